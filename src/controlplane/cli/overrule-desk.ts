/**
 * Where commands on rules and pauses are done: by the running server, or, when none runs, in its
 * state directory.
 */

import { pino } from 'pino'
import { OperationalError } from '../../base/errors.ts'
import { EssentialNames } from '../blocklist/essential.ts'
import type { LoadedConfig } from '../config/load.ts'
import { currentActor } from '../generations/audit.ts'
import { loadSubscriptions } from '../generations/subscriptions.ts'
import { endText } from '../overrule/duration.ts'
import {
  OverruleChange,
  OverruleList,
  type AddRules,
  type ImportRules,
  type PauseBlocking,
  type RemoveRules,
  type ResumeBlocking,
  type ShownEntry,
} from '../overrule/requests.ts'
import { StateLock } from '../state-lock.ts'
import { asOwnerOf } from '../state-owner.ts'
import type { AdminClient } from './admin-client.ts'
import type { Cli } from './cli.ts'
import { findPlace, type ServerOptions } from './server-options.ts'
import type { Terminal } from './terminal.ts'

/** What can be asked, whoever does it. */
export interface OverruleDesk {
  list(): Promise<OverruleList>
  add(request: AddRules): Promise<OverruleChange>
  remove(request: RemoveRules): Promise<OverruleChange>
  importRules(request: ImportRules): Promise<OverruleChange>
  pause(request: PauseBlocking): Promise<OverruleChange>
  resume(request: ResumeBlocking): Promise<OverruleChange>
}

/**
 * Does something with rules and pauses: through the socket where a server answers, else in the
 * state directory, under its lock, and says so.
 *
 * @throws OperationalError ERR_NO_STATE when there is neither; ERR_STATE_LOCKED when a server runs
 *   that has no socket; ERR_SERVER_UNREACHABLE when the socket that is named is not answered.
 */
export async function atDesk<Result>(
  options: ServerOptions,
  cli: Cli,
  work: (desk: OverruleDesk) => Promise<Result>,
): Promise<Result> {
  const place = await findPlace(options, cli)
  if ('server' in place) return work(remoteDesk(place.server))
  const { config } = place
  const { stateDirectory } = config.control
  if (stateDirectory === undefined) {
    throw new OperationalError(
      'ERR_NO_STATE',
      'rules and pauses are kept in the state directory, and none is named: give --state-dir DIR, ' +
        'the --config FILE or the --socket FILE of the server',
    )
  }
  const lock = await StateLock.take(stateDirectory)
  try {
    const result = await asOwnerOf(stateDirectory, async () =>
      work(await localDesk(stateDirectory, config)),
    )
    if (options.json !== true) {
      cli.terminal.err(`no server runs on ${stateDirectory}: the next one starts with this\n`)
    }
    return result
  } finally {
    await lock.release()
  }
}

function remoteDesk(client: AdminClient): OverruleDesk {
  const change = (path: string, body: object): Promise<OverruleChange> =>
    client.ask(path, OverruleChange, { body })
  return {
    list: () => client.ask('/v1/rules', OverruleList),
    add: (request) => change('/v1/rules/add', request),
    remove: (request) => change('/v1/rules/remove', request),
    importRules: (request) => change('/v1/rules/import', request),
    pause: (request) => change('/v1/pause', request),
    resume: (request) => change('/v1/resume', request),
  }
}

async function localDesk(stateDirectory: string, config: LoadedConfig): Promise<OverruleDesk> {
  const { control, dataplane } = config
  const essential = await EssentialNames.load(control.essentialFiles)
  const subscribed = (await loadSubscriptions(stateDirectory)) ?? []
  const categories = dataplane.categories.map(({ name }) => name)
  for (const { category } of subscribed)
    if (!categories.includes(category)) categories.push(category)
  const { OverruleKeeper } = await import('../overrule/overrule-keeper.ts')
  const keeper = await OverruleKeeper.open({
    stateDirectory,
    log: pino({ level: 'silent' }),
    pauseSecondsMax: () => control.pauseSecondsMax,
    facts: () => ({ essential, categories, sites: dataplane.sites.map(({ name }) => name) }),
  })
  const who = currentActor('command')
  return {
    list: async () => keeper.list(),
    add: (request) => keeper.add(request, who),
    remove: (request) => keeper.remove(request, who),
    importRules: (request) => keeper.importRules(request, who),
    pause: (request) => keeper.pause(request, who),
    resume: (request) => keeper.resume(request, who),
  }
}

/** A rule or a pause in words: `allow example.com and all below at lyon until 18:00`. */
export function entryText(entry: ShownEntry): string {
  const { what, name, exact, site, category, until } = entry
  const about =
    what === 'pause'
      ? `pause of ${category === null ? 'all blocks' : `category ${category}`}`
      : `${what} ${name}${exact ? ' alone' : ' and all below'}`
  const as = what === 'deny' && category !== 'denied' ? ` as ${category}` : ''
  const end = until === null ? '' : ` until ${endText(until)}`
  return `${about}${as}${site === null ? '' : ` at ${site}`}${end}`
}

/** Tells what a change has done, and what has to be known besides. */
export function tellChange(
  { added, removed, notes }: OverruleChange,
  { out, err }: Terminal,
): void {
  const replaced = new Set(added.map(({ id }) => id))
  for (const entry of removed) {
    const word = replaced.has(entry.id) ? 'replaced' : 'removed'
    out(`${word}: ${entryText(entry)}  (${entry.id})\n`)
  }
  for (const entry of added) out(`in force: ${entryText(entry)}  (${entry.id})\n`)
  for (const note of notes) err(`note: ${note}\n`)
}
