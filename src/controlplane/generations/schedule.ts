/**
 * When each subscribed list is due: by its own interval, stretched by chance so that a fleet does
 * not ask at the same second, and by failures so that a broken server is left in peace.
 */

import { HOUR_S, MINUTE_S, SECOND_MS } from '../../base/units.ts'
import { ListVersions, type ListStatus } from './list-versions.ts'
import { loadSubscriptions, type Subscription } from './subscriptions.ts'

/** Share of an interval that chance adds to it at most. */
const JITTER_SHARE = 0.1
/** After a failure: this, doubled with every further one, up to the interval. */
const FIRST_RETRY_MS = 15 * MINUTE_S * SECOND_MS
const DOUBLINGS_MAX = 10

/**
 * Returns when a list is to be asked next, in milliseconds of Unix time.
 *
 * @param chance 0 to 1: drawn anew for each list and each time.
 */
export function dueAtMs(
  { intervalHours }: Pick<Subscription, 'intervalHours'>,
  status: ListStatus | undefined,
  chance: number,
): number {
  if (status === undefined) return 0
  const intervalMs = intervalHours * HOUR_S * SECOND_MS
  const doublings = Math.min(status.failures - 1, DOUBLINGS_MAX)
  const waitMs =
    status.failures > 0 ? Math.min(intervalMs, FIRST_RETRY_MS * 2 ** doublings) : intervalMs
  return Date.parse(status.checkedAt) + waitMs * (1 + chance * JITTER_SHARE)
}

/** The lists that are due now, by name; pinned and disabled ones never are. */
export async function dueLists(
  stateDirectory: string,
  subscriptions: readonly Subscription[],
  nowMs: number,
): Promise<readonly string[]> {
  const due: string[] = []
  for (const subscription of subscriptions) {
    if (!subscription.enabled || subscription.pinned) continue
    const status = await statusOf(stateDirectory, subscription.name)
    if (dueAtMs(subscription, status, 0) <= nowMs) due.push(subscription.name)
  }
  return due
}

/** When the first list is due; undefined when none is subscribed to. */
export async function nextDueAtMs(
  stateDirectory: string,
  chance: () => number,
): Promise<number | undefined> {
  const subscriptions = (await loadSubscriptions(stateDirectory)) ?? []
  const times: number[] = []
  for (const subscription of subscriptions) {
    if (!subscription.enabled || subscription.pinned) continue
    const status = await statusOf(stateDirectory, subscription.name)
    times.push(dueAtMs(subscription, status, chance()))
  }
  return times.length === 0 ? undefined : Math.min(...times)
}

/** The shortest interval of the lists that are updated; infinite where there is none. */
export async function intervalMsMin(stateDirectory: string): Promise<number> {
  const subscriptions = (await loadSubscriptions(stateDirectory)) ?? []
  const updated = subscriptions.filter(({ enabled, pinned }) => enabled && !pinned)
  return Math.min(...updated.map(({ intervalHours }) => intervalHours * HOUR_S * SECOND_MS))
}

/** A damaged status makes the list due: the update writes it anew. */
async function statusOf(stateDirectory: string, list: string): Promise<ListStatus | undefined> {
  return new ListVersions(stateDirectory, list).status().catch(() => undefined)
}
