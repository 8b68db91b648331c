/** `niveau3 lists ls`: what is subscribed to, how it went, and which generations there are. */

import type { Command } from 'commander'
import { DAY_S, HOUR_S, MINUTE_S, SECOND_MS } from '../../base/units.ts'
import { loadCatalogue } from '../blocklist/catalogue.ts'
import { SHOW_LISTS, type ShownList } from '../operations/show-lists.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { groupDigits } from './filter-image.ts'
import { perform } from './perform.ts'
import { printable, table } from './terminal.ts'
import { addServerOptions, type ServerOptions } from './server-options.ts'

interface Options extends ServerOptions {
  readonly catalogue?: boolean
}

/** Adds the command. */
export function addListsLs(lists: Command, cli: Cli): void {
  const command = lists
    .command('ls')
    .description('show the subscribed lists, their state, and the generations')
    .option('--catalogue', 'show the lists that can be subscribed to')
    .action((options: Options) => (options.catalogue ? catalogue(options, cli) : ls(options, cli)))
  addServerOptions(command)
  finish(command, ['niveau3 lists ls', 'niveau3 lists ls --catalogue', 'niveau3 lists ls --json'])
}

async function catalogue({ json }: Options, { terminal }: Cli): Promise<void> {
  const { sources } = await loadCatalogue()
  if (json) {
    printJson(terminal, 'lists-catalogue', { sources })
    return
  }
  const rows = sources.map((source) => [
    source.id,
    source.category,
    source.default ? 'default' : '',
    `${groupDigits(source.names.min)}+`,
    source.licence,
    source.url,
  ])
  terminal.out(table([['LIST', 'CATEGORY', 'SET', 'NAMES', 'LICENCE', 'URL'], ...rows]))
}

async function ls(options: Options, cli: Cli): Promise<void> {
  const { result } = await perform(SHOW_LISTS, {}, options, cli)
  const { generation: inForce, generations, hold, lists, pinned } = result
  if (options.json) {
    printJson(cli.terminal, 'lists-ls', result)
    return
  }
  cli.terminal.out(lists.length === 0 ? NOTHING : table([HEADINGS, ...lists.map(cells)]))
  for (const { name, status } of lists) {
    if (status === null || status.why === '') continue
    cli.terminal.out(`${name}: ${status.outcome}: ${printable(status.why)}\n`)
  }
  for (const { createdAt, digest, generation, names } of generations) {
    const marks = [
      generation === inForce ? 'in force' : '',
      pinned.includes(generation) ? 'pinned' : '',
    ].filter((mark) => mark !== '')
    const what = `${groupDigits(names)} names, digest ${digest.slice(0, 12)}`
    const shown = marks.length > 0 ? `  ${marks.join(', ')}` : ''
    cli.terminal.out(`generation ${generation}  ${createdAt.slice(0, 16)}  ${what}${shown}\n`)
  }
  if (hold !== null) {
    const { since, why } = hold
    cli.terminal.out(`automatic updates are held since ${since} (${why}): niveau3 lists resume\n`)
  }
}

const NOTHING =
  'nothing is subscribed to: the curated lists are served; "niveau3 lists update" subscribes to the ' +
  'default set\n'
const HEADINGS = ['LIST', 'CATEGORY', 'STATE', 'NAMES', 'CHECKED', 'VERSION', 'LICENCE', 'SOURCE']

function cells(list: ShownList): readonly string[] {
  const { category, licence, name, status, url, version } = list
  return [
    name,
    category,
    stateOf(list),
    version === null ? '-' : groupDigits(version.names),
    ageOf(status?.checkedAt),
    ageOf(version?.fetchedAt),
    licence === '' ? '-' : licence,
    url,
  ]
}

function stateOf({ enabled, pinned, status }: ShownList): string {
  if (!enabled) return 'off'
  const word = status === null ? 'new' : status.failures > 0 ? status.outcome : 'on'
  return pinned ? `${word}, pinned` : word
}

/** `9h`, `3d`: how long ago. */
function ageOf(time: string | undefined): string {
  if (time === undefined) return '-'
  const seconds = Math.max(0, (Date.now() - Date.parse(time)) / SECOND_MS)
  if (seconds < HOUR_S) return `${Math.floor(seconds / MINUTE_S)}m`
  if (seconds < 2 * DAY_S) return `${Math.floor(seconds / HOUR_S)}h`
  return `${Math.floor(seconds / DAY_S)}d`
}
