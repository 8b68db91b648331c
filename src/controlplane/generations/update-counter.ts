/**
 * Counts updates by what the state directory says of each list: so those count as well that a
 * command or another program has run.
 */
import type { UpdateResult } from '../admin/server-facts.ts'
import type { ListStatus } from './list-versions.ts'

type Counts = Record<UpdateResult, number>

/** The counts of all lists since the start. */
export class UpdateCounter {
  readonly #byList = new Map<string, { checkedAt: string | undefined; readonly counts: Counts }>()

  /**
   * Takes a look at a list's status, and returns the list's counts. What happened before the first
   * look is history.
   */
  look(list: string, status: ListStatus | undefined): Counts {
    const known = this.#byList.get(list)
    if (known === undefined) {
      const counts = { updated: 0, unchanged: 0, failed: 0, refused: 0 }
      this.#byList.set(list, { checkedAt: status?.checkedAt, counts })
      return counts
    }
    if (status !== undefined && status.checkedAt !== known.checkedAt) {
      known.checkedAt = status.checkedAt
      known.counts[status.outcome] += 1
    }
    return known.counts
  }
}
