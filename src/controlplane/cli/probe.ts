/** `niveau3 probe`: whether a resolver filters, asked as a client of it. */

import type { Command } from 'commander'
import { EXIT, OperationalError, type ExitCode } from '../../base/errors.ts'
import { SITE_DEFAULT } from '../../dataplane/client.ts'
import { NO_OVERLAY, type OverlayMessage } from '../../dataplane/policy/overlay.ts'
import type { Endpoint } from '../../dataplane/settings.ts'
import { loadCatalogue } from '../blocklist/catalogue.ts'
import { EssentialNames } from '../blocklist/essential.ts'
import { nameToText } from '../blocklist/name-text.ts'
import { controlNames } from '../blocklist/safety/control-names.ts'
import { DNS_PORT, formatEndpoint, isFault, isLoopback } from '../config/addresses.ts'
import { parseEndpoint } from '../config/addresses.ts'
import { loadConfig, type LoadedConfig } from '../config/load.ts'
import { closedNames } from '../probe/probe-plan.ts'
import { ESSENTIAL, runProbe, type GroupResult, type ProbePlan } from '../probe/probe-run.ts'
import { loadOverruled } from './overruled.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { table, type Terminal } from './terminal.ts'

/** Essential names that everybody knows: asylum, family, health, emergency, help. */
export const ESSENTIAL_NAMES = ['ofpra.gouv.fr', 'caf.fr', 'ameli.fr', 'service-public.fr'] as const

interface Options {
  readonly server: string
  readonly config?: string
  readonly json?: boolean
}

/** Adds the command. */
export function addProbe(program: Command, cli: Cli): void {
  const command = program
    .command('probe')
    .description(
      'ask a resolver, as a client of it, whether it filters and blocks nothing essential',
    )
    .requiredOption('-s, --server <addr[:port]>', 'the resolver, such as the router of a house')
    .option('-c, --config <file>', 'configuration file that names the categories and their names')
    .action((options: Options) => probe(options, cli))
    .addHelpText(
      'after',
      '\nExit codes: 0 it filters, 1 a name is open that must be blocked, or the other way round,\n' +
        '3 no answer, 5 it filters, and essential names get errors (upstreams).\n',
    )
  finish(command, [
    'niveau3 probe --server 10.20.0.53',
    'niveau3 probe --server 192.168.1.1 --json',
  ])
}

async function probe(options: Options, cli: Cli): Promise<void> {
  const server = serverOf(options.server)
  const { groups, seconds } = await runProbe(await planOf(options, server, cli), { server })
  const exitCode = exitCodeOf(groups, server)
  const shown = groups.map(({ names, ...group }) => ({
    ...group,
    names: names.map(({ name, verdict }) => ({ name: nameToText(name), verdict })),
  }))
  if (options.json) {
    printJson(cli.terminal, 'probe', {
      server: formatEndpoint(server),
      ok: exitCode === EXIT.ok,
      seconds: Number(seconds.toFixed(3)),
      groups: shown,
    })
  } else cli.terminal.out(textOf(groups, cli.terminal))
  cli.endWith(exitCode)
}

function serverOf(text: string): Endpoint {
  const parsed = parseEndpoint(text, DNS_PORT)
  if (!isFault(parsed)) return parsed
  const remedy = parsed.suggestion === undefined ? '' : ` (${parsed.suggestion})`
  throw new OperationalError('ERR_USAGE', `--server: ${parsed.fault}${remedy}`)
}

/**
 * What every image must block, unless the configuration names lists of its own, other names, or
 * opens a category. On this machine what operators allow or pause is no fault either.
 */
async function planOf(
  { config: configFile }: Options,
  server: Endpoint,
  { environment }: Cli,
): Promise<ProbePlan> {
  const config = loadConfig({ configFile, environment })
  const { control } = config
  const categories = control.usesGenerations ? (await loadCatalogue()).categories : {}
  const names = new Map<string, readonly string[]>()
  for (const [category, { mustBlock }] of Object.entries(categories)) names.set(category, mustBlock)
  for (const [category, own] of Object.entries(control.probe.mustBlock)) names.set(category, own)
  const essential = await EssentialNames.load(control.essentialFiles)
  const blocked = [...names].map(([category, texts]) => {
    const closed = wires(texts).filter((name) => essential.covers(name) === undefined)
    return [category, closed] as const
  })
  const overlay = isLoopback(server.address) ? await overlayOf(config) : NO_OVERLAY
  return {
    blocked: closedNames(new Map(blocked), config, SITE_DEFAULT, overlay),
    essential: wires(ESSENTIAL_NAMES),
  }
}

/** What operators said, as far as this user may read it. */
async function overlayOf(config: LoadedConfig): Promise<OverlayMessage> {
  try {
    return (await loadOverruled(config)).overlay
  } catch (error) {
    if (error instanceof OperationalError && error.code === 'ERR_PERMISSION') return NO_OVERLAY
    throw error
  }
}

function wires(texts: readonly string[]): readonly Uint8Array[] {
  return controlNames(texts, 'probe').map(({ wire }) => wire)
}

function exitCodeOf(groups: readonly GroupResult[], server: Endpoint): ExitCode {
  const answered = groups.flatMap(({ answers }) => [answers.blocked, answers.open, answers.failed])
  if (answered.every((count) => count === 0)) {
    const place = formatEndpoint(server)
    const message = `no answer from ${place} over UDP; is it the resolver, and may this machine ask it?`
    throw new OperationalError('ERR_SERVER_UNREACHABLE', message)
  }
  if (groups.some(({ ok }) => !ok)) return EXIT.error
  return groups.some(({ answers }) => answers.failed > 0) ? EXIT.partial : EXIT.ok
}

function textOf(groups: readonly GroupResult[], { paint }: Terminal): string {
  const rows = groups.map(({ answers, category, names, ok }) => {
    const total = Object.values(answers).reduce((sum, count) => sum + count, 0)
    const good = category === ESSENTIAL ? answers.open : answers.blocked
    const what = category === ESSENTIAL ? 'open' : 'blocked'
    const state = ok
      ? good === total
        ? paint('green', 'ok')
        : paint('yellow', 'errors')
      : paint('red', 'WRONG')
    const odd = names.map(({ name, verdict }) => `${nameToText(name)} ${verdict}`).join(', ')
    return [category, state, `${good} of ${total} ${what}`, odd]
  })
  return table(rows)
}
