/** `niveau3 tail`: blocked or slow questions as they come, for a while that is written down. */
import type { Command } from 'commander'
import { EXIT, OperationalError } from '../../base/errors.ts'
import type { ObservedKind } from '../../dataplane/observed-queries.ts'
import type { ObserveEvent, ObservedQuestion } from '../observe/requests.ts'
import { endText, momentText } from '../overrule/duration.ts'
import { finish, type Cli } from './cli.ts'
import { Interruption } from './interruption.ts'
import { typeName } from './names-and-types.ts'
import { look, questionJson } from './observing.ts'
import { addServerOptions, findServer, type ServerOptions } from './server-options.ts'
import { printable, type Terminal } from './terminal.ts'

const SCHEMA = 'niveau3.tail/1'
/** Of a date and time, the time. */
const TIME_AT = 11
const SITE_CHARS = 10
const CLIENT_CHARS = 18
const CATEGORY_CHARS = 10
const TYPE_CHARS = 5

interface Options extends ServerOptions {
  readonly blocked?: boolean
  readonly slow?: boolean
  readonly site?: string
  readonly category?: string
  readonly for?: string
  readonly reason: string
}

/** Adds the command. */
export function addTail(program: Command, cli: Cli): void {
  const command = program
    .command('tail')
    .description('show blocked or slow questions as they come; off unless somebody looks')
    .option('--blocked', 'blocked questions, with the network of the client (/24 or /48)')
    .option('--slow', 'questions that took half a second or more: registrable domains, no client')
    .option('--site <site>', 'of this site only; "default" is those who are in none')
    .option('--category <category>', 'blocked by this category only')
    .option('--for <span>', 'how long: 90s, 10m, 1h at most; default: 10m')
    .requiredOption('--reason <text>', 'why: it stands in the audit log')
    .action((options: Options) => tail(options, cli))
  addServerOptions(command)
  finish(command, [
    'niveau3 tail --blocked --reason "the bank does not open at lyon" --site lyon',
    'niveau3 tail --blocked --category vpn --for 2m --reason "new list" --json',
    'niveau3 tail --slow --reason "pages hang"',
  ])
}

async function tail(options: Options, cli: Cli): Promise<void> {
  const { category, for: span, json = false, reason, site } = options
  const { terminal } = cli
  const kind = kindOf(options)
  const server = findServer(options, cli)
  const tell = json ? jsonTeller(terminal) : textTeller(kind, terminal)
  const interruption = new Interruption()
  try {
    const wish = { kind, span, site, category, reason }
    const end = await look(server, wish, interruption.signal, tell)
    if (json) terminal.out(jsonLine({ event: 'ended', ...end }))
    else terminal.err(`the time is over: ${end.shown} shown, nothing of them is kept\n`)
  } catch (error) {
    if (!interruption.signal.aborted) throw error
    if (!json) terminal.err('ended: nothing of it is kept\n')
    cli.endWith(EXIT.interrupted)
  } finally {
    interruption.end()
  }
}

function kindOf({ blocked = false, category, slow = false }: Options): ObservedKind {
  if (blocked === slow) {
    const why =
      'say which questions: --blocked or --slow. What is answered as it was asked is shown to ' +
      'nobody: counts of it are in niveau3 top'
    throw new OperationalError('ERR_USAGE', why)
  }
  if (slow && category !== undefined) {
    throw new OperationalError('ERR_USAGE', 'only blocked questions have a --category')
  }
  return blocked ? 'blocked' : 'slow'
}

function jsonLine(content: object): string {
  return `${JSON.stringify({ schema: SCHEMA, ...content })}\n`
}

function jsonTeller({ out }: Terminal): (event: ObserveEvent) => void {
  return (event) => out(jsonLine(event.event === 'question' ? questionJson(event) : event))
}

/** Questions to standard output, all else to standard error. */
function textTeller(kind: ObservedKind, terminal: Terminal): (event: ObserveEvent) => void {
  return (event) => {
    switch (event.event) {
      case 'started':
        terminal.err(
          `${kind} questions until ${endText(event.until)}; Ctrl-C ends it. It stands in the audit ` +
            'log; nothing of what is shown is kept\n',
        )
        break
      case 'missed':
        terminal.err(`${event.count} not shown: they came faster than they could be\n`)
        break
      case 'question':
        terminal.out(questionText(event, terminal))
    }
  }
}

function questionText(question: ObservedQuestion, { paint }: Terminal): string {
  const { category, client, name, outcome, rcode, site, time, tookMs, transport } = question
  const type = typeName(question.type)
  const words = [
    momentText(Date.parse(time)).slice(TIME_AT),
    printable(site).padEnd(SITE_CHARS),
    ...(category === null ? [] : [(client ?? '-').padEnd(CLIENT_CHARS)]),
    paint('yellow', printable(category ?? outcome).padEnd(CATEGORY_CHARS)),
    type.padEnd(TYPE_CHARS),
    printable(name),
    `${rcode} ${transport} ${tookMs < 1 ? tookMs.toFixed(2) : Math.round(tookMs)} ms`,
  ]
  return `${words.join('  ')}\n`
}
