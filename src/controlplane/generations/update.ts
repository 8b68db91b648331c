/**
 * An update of the subscribed lists: fetch, check, build, test, put in force. At every moment
 * before its last step the generation in force is the old one; whatever fails leaves it there.
 */

import { OperationalError } from '../../base/errors.ts'
import type { DataplaneSettings } from '../../dataplane/settings.ts'
import type { ImageComparison } from '../blocklist/safety/compare-images.ts'
import { loadPopularNames } from '../blocklist/safety/control-names.ts'
import type { GateFault } from '../blocklist/safety/list-contract.ts'
import type { CompileProgress } from '../compiler/compile.ts'
import type { ControlSettings } from '../config/settings.ts'
import { audit, type Actor } from './audit.ts'
import { buildUpdate, findInForce, type InForce } from './build-update.ts'
import type { ChangedVerdicts, RecordedNames } from './changed-verdicts.ts'
import type { CheckSurroundings, Compile } from './check-list.ts'
import { GenerationStore, type Generation, type GenerationReport } from './generation-store.ts'
import { keptVersion } from './kept-version.ts'
import { ListVersions } from './list-versions.ts'
import { OverruledGates } from './overruled-gates.ts'
import { dueLists } from './schedule.ts'
import {
  loadSubscriptions,
  requireSubscription,
  saveSubscriptions,
  type Subscription,
} from './subscriptions.ts'
import {
  fetchList,
  judgeFetched,
  saveOutcome,
  type FetchedList,
  type ListOutcome,
  type UpdatedList,
} from './update-list.ts'
import { whileLocked } from './version-journal.ts'

/** Lists fetched at once: enough for the slowest not to hold up the others. */
const FETCHES_MAX = 4

/** How far an update is. */
export type UpdateProgress =
  | { readonly phase: 'fetch'; readonly list: string; readonly octets: number; readonly of: number }
  | { readonly phase: 'check'; readonly list: string; readonly compile: CompileProgress }
  | { readonly phase: 'build'; readonly compile: CompileProgress }
  | { readonly phase: 'done'; readonly outcome: ListOutcome }

export interface UpdateOptions {
  readonly stateDirectory: string
  readonly control: ControlSettings
  readonly settings: DataplaneSettings
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly compile: Compile
  readonly actor: Actor
  /** Lists to ask for; undefined: all that are enabled and not pinned. */
  readonly lists?: readonly string[] | undefined
  /** What a new installation subscribes to; a plan and an update of what is due only look. */
  readonly newcomer?: readonly Subscription[] | undefined
  /** Gates that are overruled (`OverruledGates`); a reason belongs to them. */
  readonly force: readonly string[]
  /** Finds out everything and changes nothing. */
  readonly plan: boolean
  /** Builds from what is there, without asking any server. */
  readonly offline?: boolean | undefined
  /** Asks for the lists that are due instead of `lists`, and for nothing while updates are held. */
  readonly due?: boolean | undefined
  readonly reason?: string | undefined
  /** What was asked lately: a plan counts how much of it would be judged otherwise. */
  readonly recent?: RecordedNames | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress: (progress: UpdateProgress) => void
}

export interface UpdateResult {
  readonly outcomes: readonly ListOutcome[]
  /** `unchanged`: the generation in force is made of the same lists. */
  readonly kind: 'built' | 'unchanged' | 'refused' | 'planned'
  /** The generation in force afterwards; of a plan, the one in force now. */
  readonly generation: Generation | undefined
  readonly comparison: ImageComparison | undefined
  readonly probes: number
  /** Of a plan, where names were recorded. */
  readonly recentlyAsked?: ChangedVerdicts | undefined
  /** Gates that all lists together did not pass, and those that the operator has overruled. */
  readonly faults: readonly GateFault[]
  readonly overruledFaults: readonly GateFault[]
  /** Nothing was looked at: a rollback holds updates. */
  readonly isHeld?: boolean | undefined
}

/**
 * Updates lists.
 *
 * @throws OperationalError ERR_STATE_LOCKED while another update runs, ERR_HELD after a rollback,
 *   ERR_WRITE, ERR_NO_LIST when there is nothing to build, ERR_USAGE for gates that are overruled
 *   without a reason; the signal's reason when it is aborted.
 */
export async function updateLists(options: UpdateOptions): Promise<UpdateResult> {
  if (options.force.length > 0 && (options.reason ?? '').trim() === '') {
    const why = '--force overrules a gate of the safety contract: say why with --reason TEXT'
    throw new OperationalError('ERR_USAGE', why)
  }
  const overruled = new OverruledGates(options.force)
  return whileLocked(options.stateDirectory, async () => {
    const held = await heldResult(options)
    return held ?? updateLocked(await dueOptions(options), overruled)
  })
}

/** While a rollback holds updates, none is made: a build would put the newer versions back. */
async function heldResult({
  due,
  plan,
  stateDirectory,
}: UpdateOptions): Promise<UpdateResult | undefined> {
  const store = new GenerationStore(stateDirectory)
  const state = await store.state()
  if (state === undefined || state.hold === null) return undefined
  if (due === true) {
    const generation = await store.find(state.generation)
    const none = { outcomes: [], faults: [], overruledFaults: [], probes: 0 }
    return { ...none, comparison: undefined, kind: 'unchanged', generation, isHeld: true }
  }
  if (plan) return undefined
  throw new OperationalError(
    'ERR_HELD',
    `updates are held since ${state.hold.since} (${state.hold.why}), and one would put newer lists ` +
      'in force again: "niveau3 lists resume" first, "niveau3 lists update --plan" shows what would change',
  )
}

/** What is due is known only under the lock: another update may just have ended. */
async function dueOptions(options: UpdateOptions): Promise<UpdateOptions> {
  if (options.due !== true) return options
  const { stateDirectory } = options
  const subscriptions = (await loadSubscriptions(stateDirectory)) ?? []
  const lists = await dueLists(stateDirectory, subscriptions, Date.now())
  return { ...options, lists, offline: lists.length === 0 }
}

async function updateLocked(
  options: UpdateOptions,
  overruled: OverruledGates,
): Promise<UpdateResult> {
  const { plan, stateDirectory } = options
  const subscriptions = await subscriptionsOf(options)
  for (const name of [...(options.lists ?? []), ...overruled.lists]) {
    requireSubscription(subscriptions, name)
  }
  const enabled = subscriptions.filter((subscription) => subscription.enabled)
  const popular = await loadPopularNames()
  const inForce = await findInForce(stateDirectory)
  try {
    const lists = await updateEach(enabled, inForce, popular, overruled, options)
    const result = await buildUpdate(lists, inForce, popular, overruled, options)
    const asked = lists
      .filter(({ subscription }) => isAsked(subscription, options))
      .map((list) => (result.kind === 'refused' ? untaken(list) : list))
    if (!plan) await keepOutcomes(asked, result, options)
    return { ...result, outcomes: asked.map(({ outcome }) => outcome) }
  } finally {
    await sweep(enabled, inForce, stateDirectory)
  }
}

/** The subscriptions; a new installation's are kept, unless this is a plan. */
async function subscriptionsOf({
  actor,
  due,
  newcomer,
  plan,
  stateDirectory,
}: UpdateOptions): Promise<readonly Subscription[]> {
  const subscriptions = await loadSubscriptions(stateDirectory)
  if (subscriptions !== undefined || newcomer === undefined || due === true) {
    return subscriptions ?? []
  }
  if (!plan) {
    await saveSubscriptions(stateDirectory, newcomer)
    const lists = newcomer.map(({ name }) => name)
    await audit(stateDirectory, actor, 'lists-subscribe-default', { lists })
  }
  return newcomer
}

function reportOf({ generation, served }: InForce): GenerationReport | undefined {
  return generation?.report ?? served?.report
}

/** Leftovers of this update and of those that were cut off. */
async function sweep(
  enabled: readonly Subscription[],
  inForce: InForce,
  stateDirectory: string,
): Promise<void> {
  const report = reportOf(inForce)
  for (const { name } of enabled) {
    const versions = new ListVersions(stateDirectory, name)
    try {
      const current = await versions.current()
      const served = report?.lists.find((list) => list.name === name)
      await versions.sweep((current ?? served)?.sha256)
    } catch {
      // Which files are the last good version is not known: none is a leftover.
    }
  }
}

/** Fetches several lists at once, then compiles and judges one after the other. */
async function updateEach(
  enabled: readonly Subscription[],
  inForce: InForce,
  popular: CheckSurroundings['popular'],
  overruled: OverruledGates,
  options: UpdateOptions,
): Promise<readonly UpdatedList[]> {
  const { control, environment, onProgress, signal, stateDirectory } = options
  const report = reportOf(inForce)
  const places = await Promise.all(
    enabled.map(async (subscription) => {
      const versions = new ListVersions(stateDirectory, subscription.name)
      return { subscription, versions, kept: await keptVersion(subscription, versions, report) }
    }),
  )
  const fetched = await inParallel(places, async (place) => {
    if (!isAsked(place.subscription, options)) return { kind: 'unchanged' } as const
    return fetchList(place, {
      updates: control.updates,
      environment,
      signal,
      onProgress: (octets, of) => {
        onProgress({ phase: 'fetch', list: place.subscription.name, octets, of })
      },
    })
  })
  const lists: UpdatedList[] = []
  for (const [index, place] of places.entries()) {
    signal?.throwIfAborted()
    const list = place.subscription.name
    const result: FetchedList = fetched[index] ?? { kind: 'unchanged' }
    const updated = await judgeFetched(place, result, overruled, {
      ...surroundingsOf(options, popular),
      onProgress: (compile) => onProgress({ phase: 'check', list, compile }),
    })
    lists.push(updated)
    if (isAsked(place.subscription, options))
      onProgress({ phase: 'done', outcome: updated.outcome })
  }
  return lists
}

function isAsked({ name, pinned }: Subscription, { lists, offline }: UpdateOptions): boolean {
  if (offline === true) return false
  return lists === undefined ? !pinned : lists.includes(name)
}

function surroundingsOf(options: UpdateOptions, popular: CheckSurroundings['popular']) {
  const { compile, control, signal } = options
  return { compile, safety: control.safety, popular, signal }
}

/** Statuses and the audit line of the lists that were asked for. */
async function keepOutcomes(
  lists: readonly UpdatedList[],
  result: UpdateResult,
  options: UpdateOptions,
): Promise<void> {
  for (const list of lists) await saveOutcome(list)
  const changed = lists.filter(({ outcome }) => outcome.outcome !== 'unchanged')
  if (result.kind === 'unchanged' && changed.length === 0) return
  const { actor, reason, stateDirectory } = options
  await audit(stateDirectory, actor, 'lists-update', {
    result: result.kind,
    generation: result.generation?.number,
    digest: result.generation?.report.digest,
    lists: changed.map(({ outcome }) => {
      const { list, outcome: became, why, forced, faults } = outcome
      const overruled = forced && { forced, overruled: faults }
      return { list, outcome: became, ...(why && { why }), ...overruled }
    }),
    ...(result.faults.length > 0 && { faults: result.faults }),
    ...(result.overruledFaults.length > 0 && { overruled: result.overruledFaults }),
    ...(reason !== undefined && { reason }),
  })
}

/** A good list of a build that was refused: its last good version stays as well. */
function untaken(list: UpdatedList): UpdatedList {
  if (list.outcome.outcome !== 'updated') return list
  const why = 'all lists together did not pass the safety contract'
  return {
    ...list,
    outcome: { ...list.outcome, outcome: 'refused', code: 'ERR_IMAGE_REFUSED', why },
  }
}

async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      results[index] = await work(items[index]!)
    }
  }
  const workers = Array.from({ length: Math.min(FETCHES_MAX, items.length) }, worker)
  const outcomes = await Promise.allSettled(workers)
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw asError(outcome.reason)
  return results
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new OperationalError('ERR_DOWNLOAD', String(reason))
}
