/** `niveau3 lists ls`: what is subscribed to, how it went, and which generations there are. */

import type { Command } from 'commander'
import { DAY_S, HOUR_S, MINUTE_S, SECOND_MS } from '../../base/units.ts'
import { loadCatalogue } from '../blocklist/catalogue.ts'
import { GenerationStore, type Generation } from '../generations/generation-store.ts'
import { ListVersions, type ListStatus, type ListVersion } from '../generations/list-versions.ts'
import { loadSubscriptions, type Subscription } from '../generations/subscriptions.ts'
import { finish, printJson, type Cli } from './cli.ts'
import { groupDigits } from './filter-image.ts'
import { addStateOptions, loadState, type StateOptions } from './lists-state.ts'
import { printable, table } from './terminal.ts'

interface Options extends StateOptions {
  readonly catalogue?: boolean
}

interface Row {
  readonly subscription: Subscription
  readonly version: ListVersion | undefined
  readonly status: ListStatus | undefined
}

/** Adds the command. */
export function addListsLs(lists: Command, cli: Cli): void {
  const command = lists
    .command('ls')
    .description('show the subscribed lists, their state, and the generations')
    .option('--catalogue', 'show the lists that can be subscribed to')
    .action((options: Options) => (options.catalogue ? catalogue(options, cli) : ls(options, cli)))
  addStateOptions(command)
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
  const { stateDirectory } = loadState(options, cli)
  const subscriptions = (await loadSubscriptions(stateDirectory)) ?? []
  const rows = await Promise.all(
    subscriptions.map(async (subscription): Promise<Row> => {
      const versions = new ListVersions(stateDirectory, subscription.name)
      const version = await versions.current()
      return { subscription, version, status: await versions.status() }
    }),
  )
  const store = new GenerationStore(stateDirectory)
  const state = await store.state()
  const generations = await Promise.all((await store.numbers()).map((n) => store.find(n)))
  if (options.json) {
    printJson(cli.terminal, 'lists-ls', {
      lists: rows.map(rowJson),
      generation: state?.generation ?? null,
      hold: state?.hold ?? null,
      pinned: state?.pinned ?? [],
      generations: generations.map(generationJson),
    })
    return
  }
  cli.terminal.out(rows.length === 0 ? NOTHING : table([HEADINGS, ...rows.map(cells)]))
  for (const { subscription, status } of rows) {
    if (!status || status.why === '') continue
    cli.terminal.out(`${subscription.name}: ${status.outcome}: ${printable(status.why)}\n`)
  }
  for (const generation of generations) {
    const { number, report } = generation
    const marks = [
      number === state?.generation ? 'in force' : '',
      state?.pinned.includes(number) ? 'pinned' : '',
    ].filter((mark) => mark !== '')
    const what = `${groupDigits(report.names)} names, digest ${report.digest.slice(0, 12)}`
    const shown = marks.length > 0 ? `  ${marks.join(', ')}` : ''
    cli.terminal.out(`generation ${number}  ${report.createdAt.slice(0, 16)}  ${what}${shown}\n`)
  }
  if (state?.hold) {
    const { since, why } = state.hold
    cli.terminal.out(`automatic updates are held since ${since} (${why}): niveau3 lists resume\n`)
  }
}

const NOTHING =
  'nothing is subscribed to: the curated lists are served; "niveau3 lists update" subscribes to the ' +
  'default set\n'
const HEADINGS = ['LIST', 'CATEGORY', 'STATE', 'NAMES', 'CHECKED', 'VERSION', 'LICENCE', 'SOURCE']

function cells({ subscription, version, status }: Row): readonly string[] {
  const { name, category, licence, url } = subscription
  return [
    name,
    category,
    stateOf(subscription, status),
    version === undefined ? '-' : groupDigits(version.names),
    ageOf(status?.checkedAt),
    ageOf(version?.fetchedAt),
    licence === '' ? '-' : licence,
    url,
  ]
}

function stateOf({ enabled, pinned }: Subscription, status: ListStatus | undefined): string {
  if (!enabled) return 'off'
  const word = status === undefined ? 'new' : status.failures > 0 ? status.outcome : 'on'
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

function rowJson({ subscription, version, status }: Row): object {
  return { ...subscription, version: version ?? null, status: status ?? null }
}

function generationJson({ number, folder, report }: Generation): object {
  const { digest, createdAt, names, octets, forced } = report
  return { generation: number, digest, createdAt, names, octets, forced, folder }
}
