/** `niveau3 allow` and `niveau3 deny`: names that pass or are blocked whatever the lists say. */

import type { Command } from 'commander'
import { OperationalError } from '../../base/errors.ts'
import { SECOND_MS } from '../../base/units.ts'
import { nameToText } from '../blocklist/name-text.ts'
import { parseDuration, parseMoment } from '../overrule/duration.ts'
import { NAMES_MAX } from '../overrule/requests.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { requireHost } from './names-and-types.ts'
import { atDesk, tellChange } from './overrule-desk.ts'
import { addServerOptions, type ServerOptions } from './server-options.ts'

interface Options extends ServerOptions {
  readonly exact?: boolean
  readonly for?: string
  readonly until?: string
  readonly site?: string
  readonly category?: string
  readonly reason: string
  readonly force?: boolean
}

/** Adds `allow`. */
export function addAllow(program: Command, cli: Cli): void {
  const command = program
    .command('allow')
    .description('let names pass whatever the lists say, each with all names below it; at once')
  addRuleOptions(command)
  command.action((names: readonly string[], options: Options) => add('allow', names, options, cli))
  finish(command, [
    'niveau3 allow example.org --for 2h --reason "French lessons"',
    'niveau3 allow www.example.org --exact --site lyon --reason "wrongly on a list"',
    'niveau3 allow - --until 18:00 --reason "exam" < names.txt',
  ])
}

/** Adds `deny`. */
export function addDeny(program: Command, cli: Cli): void {
  const command = program
    .command('deny')
    .description('block names whatever the lists say, each with all names below it; at once')
    .option('--category <category>', 'count and answer them as this category does')
  addRuleOptions(command)
  command.action((names: readonly string[], options: Options) => add('deny', names, options, cli))
  finish(command, [
    'niveau3 deny bad.example --reason "phishing, reported by residents"',
    'niveau3 deny proxy.example --category vpn --reason "new gateway"',
  ])
}

function addRuleOptions(command: Command): void {
  command
    .argument('<name...>', 'the names; - reads them from standard input, one a line')
    .option('--exact', 'the name alone, not those below it')
    .option('--for <span>', 'how long: 90s, 10m, 2h, 3d; default: until it is removed')
    .option('--until <moment>', 'until when: 18:00, 2026-12-01, 2026-12-01T18:00')
    .option('--site <site>', 'at this site only; "default" is those who are in none')
    .requiredOption('--reason <text>', 'why: it stands in the audit log and in `check`')
    .option('--force', 'a whole registry, or an essential name, all the same')
  addServerOptions(command)
}

async function add(
  action: 'allow' | 'deny',
  texts: readonly string[],
  options: Options,
  cli: Cli,
): Promise<void> {
  const names = namesOf(texts, cli)
  const { exact = false, site = null, category = null, reason, force = false } = options
  const untilMs = endOf(options)
  const request = { action, names, exact, site, category, untilMs, reason, force }
  const change = await atDesk(options, cli, (desk) => desk.add(request))
  if (options.json) {
    printJson(cli.terminal, action, change)
    return
  }
  tellChange(change, cli.terminal)
  const ids = change.added.map(({ id }) => id)
  const undo = ids.length > 3 ? 'niveau3 rules ls shows all' : `niveau3 rules rm ${ids.join(' ')}`
  cli.terminal.out(`undo: ${undo}\n`)
}

function endOf({ for: span, until }: Options): number | null {
  const nowMs = Date.now()
  if (span === undefined) return until === undefined ? null : parseMoment(until, nowMs)
  if (until !== undefined) {
    throw new OperationalError('ERR_USAGE', 'give --for or --until, not both')
  }
  return nowMs + parseDuration(span) * SECOND_MS
}

/** The names of the arguments, with those of standard input where `-` stands. */
function namesOf(texts: readonly string[], { readStdin, terminal }: Cli): string[] {
  const words = texts.flatMap((text) => (text === '-' ? linesOf(readStdin()) : [text]))
  if (words.length === 0) throw new OperationalError('ERR_USAGE', 'standard input holds no name')
  if (words.length > NAMES_MAX) {
    const advice = 'more are a list: niveau3 lists add'
    throw new OperationalError('ERR_USAGE', `at most ${NAMES_MAX} names at once; ${advice}`)
  }
  return words.map((word) => nameToText(requireHost(word, (line) => terminal.err(`${line}\n`))))
}

/** Lines of names; `#` starts a comment. */
function linesOf(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/(?:^|\s)#.*$/, '').trim())
    .filter((line) => line !== '')
}
