/**
 * How long entries have still to last, on a clock that nobody sets. Their ends are moments of wall
 * clock, as people and other boxes have them; where that clock is set back while the server runs, a
 * pause would go on for as long, and with each new policy again.
 */

import { SECOND_MS } from '../../base/units.ts'
import { isPause, type Entry } from './entry.ts'

/** The two clocks drift: by this much the wall clock has the say. */
const DRIFT_MS_MAX = SECOND_MS

interface Seen {
  readonly versionMs: number
  /** On the monotonic clock. */
  readonly atMs: number
  /** From then on. */
  readonly lastsMs: number
}

/** What this process knows of the ends of entries, from when each was made or loaded. */
export class Lasting {
  readonly #seen = new Map<string, Seen>()

  /** Takes in the entries that there are now; known versions keep their end. */
  follow(entries: ReadonlyMap<string, Entry>): void {
    const [nowMs, atMs] = [Date.now(), performance.now()]
    for (const id of this.#seen.keys()) if (!entries.has(id)) this.#seen.delete(id)
    for (const [id, { gone, untilMs, versionMs }] of entries) {
      if (gone || untilMs === null) this.#seen.delete(id)
      else if (this.#seen.get(id)?.versionMs !== versionMs) {
        this.#seen.set(id, { versionMs, atMs, lastsMs: untilMs - nowMs })
      }
    }
  }

  /** Ends pauses that claim to be made later than this moment of wall clock. */
  endPausesAfter(latestMs: number, entries: Iterable<Entry>): void {
    for (const entry of entries) {
      const { id, versionMs } = entry
      if (!isPause(entry) || versionMs <= latestMs) continue
      this.#seen.set(id, { versionMs, atMs: 0, lastsMs: Number.NEGATIVE_INFINITY })
    }
  }

  /**
   * Returns when an entry ends, as wall clock of now.
   *
   * @param longestMs it lasts no longer from when it was first seen.
   */
  endOf({ id, untilMs, versionMs }: Entry, longestMs: number): number {
    if (untilMs === null) return Number.POSITIVE_INFINITY
    const seen = this.#seen.get(id)
    if (seen?.versionMs !== versionMs) return untilMs
    const leftMs = seen.atMs + Math.min(seen.lastsMs, longestMs) - performance.now()
    const nowMs = Date.now()
    return untilMs - nowMs - leftMs > DRIFT_MS_MAX ? Math.max(0, nowMs + leftMs) : untilMs
  }
}
