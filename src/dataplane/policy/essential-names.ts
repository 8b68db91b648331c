/**
 * The names that no list may block, as the data plane holds them: a few hundred, each covering the
 * name and all below it. Asked only when a list would block.
 */
import type { AskedName } from '../query.ts'

/** No essential name covers the asked one. */
export const NOT_ESSENTIAL = -1

/** Exact look-ups of a name and its parents; immutable. */
export class EssentialNames {
  readonly #names = new Set<string>()
  /**
   * Every proper ancestor of an essential name: under these, NXDOMAIN would deny too much (RFC
   * 8020).
   */
  readonly #above = new Set<string>()

  /**
   * @param wireNames wire names in lower case, one after another, as `blocklists/essential.txt`
   * lists them.
   */
  constructor(wireNames: Uint8Array) {
    const octets = Buffer.from(wireNames)
    let start = 0
    while (start < octets.length) {
      const labels = []
      let at = start
      while (octets[at] !== 0) {
        labels.push(at)
        at += 1 + octets[at]!
      }
      const end = at + 1
      this.#names.add(octets.toString('latin1', start, end))
      for (const label of labels.slice(1)) this.#above.add(octets.toString('latin1', label, end))
      start = end
    }
  }

  /** True when the asked name is an essential name or lies below one. */
  covers(asked: AskedName): boolean {
    return this.find(asked) !== NOT_ESSENTIAL
  }

  /** Returns which label the longest essential name begins with, or `NOT_ESSENTIAL`. */
  find(asked: AskedName): number {
    for (let label = 0; label < asked.labels; label++) {
      if (this.#names.has(asked.suffix(label))) return label
    }
    return NOT_ESSENTIAL
  }

  /** True when an essential name lies strictly below the asked name. */
  liesAbove(asked: AskedName): boolean {
    return this.#above.has(asked.suffix(0))
  }
}
