/** Asks an opened image about a name: once per query, in place, without allocation. */

import { BLOCK_NAMES, LABELS_MAX, NAME_OCTETS_MAX } from './layout.ts'
import type { Trie } from './open.ts'
import { prependLabel, ROOT_HASH } from './suffix-hash.ts'

const NONE = -1
/** A binary search over 2^31 entries ends after this many steps. */
const SEARCH_STEPS_MAX = 32

/** Looks names up in one image. Holds scratch state: one per thread. */
export class Matcher {
  /** Whether some stored name covers the asked one; true as well when an exception opened it. */
  matched = false
  /** Offset in the message at which the matched stored name begins, -1 when none matched. */
  ruleStart = NONE
  /** Index into the image's lists of the list that decided, -1 when the name is not blocked. */
  list = NONE
  /** True when all names below the asked one are blocked for at least the same categories. */
  whole = false

  readonly #blocks: Uint8Array
  readonly #blockStarts: Uint32Array
  readonly #verdicts: Int32Array
  readonly #openings: Uint32Array
  readonly #key = new Uint8Array(NAME_OCTETS_MAX)
  readonly #entry = new Uint8Array(NAME_OCTETS_MAX * 2)
  readonly #labelStarts = new Uint8Array(LABELS_MAX)

  constructor(trie: Trie) {
    this.#blocks = trie.blocks
    this.#blockStarts = trie.blockStarts
    this.#verdicts = trie.verdicts
    this.#openings = trie.openings
  }

  /**
   * Returns the categories that block the name at `nameStart`, 0 when none does.
   *
   * The name stands uncompressed and already validated, in any letter case: labels of 1 to 63
   * octets, 255 octets in all, ended by the root octet (RFC 1035 3.1).
   */
  find(message: Uint8Array, nameStart: number): number {
    this.matched = false
    this.ruleStart = NONE
    this.list = NONE
    this.whole = false
    const labels = this.#readKey(message, nameStart)
    let keyEnd = this.#labelStarts[0]!
    for (let label = 0; label < labels; label++) {
      const start = label === 0 ? 0 : this.#labelStarts[label]! - this.#labelStarts[0]!
      keyEnd = this.#keyOctets - start
      const verdict = this.#search(keyEnd)
      if (verdict !== NONE) return this.#conclude(message, nameStart, label, labels, verdict * 4)
    }
    return 0
  }

  #keyOctets = 0

  #conclude(
    message: Uint8Array,
    nameStart: number,
    label: number,
    labels: number,
    verdict: number,
  ): number {
    this.matched = true
    this.ruleStart = nameStart + this.#labelStarts[label]!
    const below = this.#verdicts[verdict + 2]! | 0
    const bits = label === 0 ? this.#verdicts[verdict]! | 0 : below
    if (bits === 0) return 0
    this.list = label === 0 ? this.#verdicts[verdict + 1]! : this.#verdicts[verdict + 3]!
    this.whole = (below & bits) === bits && !this.#hasOpening(message, nameStart, labels)
    return bits
  }

  #hasOpening(message: Uint8Array, nameStart: number, labels: number): boolean {
    const openings = this.#openings
    if (openings.length === 0) return false
    let hash = ROOT_HASH
    for (let label = labels - 1; label >= 0; label--) {
      hash = prependLabel(hash, message, nameStart + this.#labelStarts[label]!)
    }
    const wanted = hash >>> 0
    let low = 0
    let high = openings.length
    for (let step = 0; step < SEARCH_STEPS_MAX && low < high; step++) {
      const middle = (low + high) >>> 1
      if (openings[middle]! < wanted) low = middle + 1
      else high = middle
    }
    return openings[low] === wanted
  }

  /** Writes the labels from the right, folded, into `#key`; returns their number. */
  #readKey(message: Uint8Array, nameStart: number): number {
    let labels = 0
    let at = nameStart
    while (message[at]! !== 0 && labels < LABELS_MAX) {
      this.#labelStarts[labels++] = at - nameStart
      at += message[at]! + 1
    }
    let write = at - nameStart
    this.#keyOctets = write
    for (let label = 0; label < labels; label++) {
      const start = nameStart + this.#labelStarts[label]!
      const length = message[start]!
      write -= length + 1
      this.#key[write] = length
      for (let i = 1; i <= length; i++) {
        const octet = message[start + i]!
        this.#key[write + i] = (octet - 65) >>> 0 < 26 ? octet | 32 : octet
      }
    }
    return labels
  }

  /** Returns the verdict of the stored name that is `#key[0..octets)`, or `NONE`. */
  #search(octets: number): number {
    let low = 0
    let high = this.#blockStarts.length
    for (let step = 0; step < SEARCH_STEPS_MAX && low < high; step++) {
      const middle = (low + high) >>> 1
      const start = this.#blockStarts[middle]! + 4
      const length = this.#blocks[start - 1]!
      if (this.#compare(this.#blocks, start, length, octets) > 0) high = middle
      else low = middle + 1
    }
    return low === 0 ? NONE : this.#scan(this.#blockStarts[low - 1]!, octets)
  }

  #scan(start: number, octets: number): number {
    let at = start
    for (let index = 0; index < BLOCK_NAMES && at < this.#blocks.length; index++) {
      const shared = this.#blocks[at + 2]!
      const own = this.#blocks[at + 3]!
      for (let i = 0; i < own; i++) this.#entry[shared + i] = this.#blocks[at + 4 + i]!
      const order = this.#compare(this.#entry, 0, shared + own, octets)
      if (order === 0) return this.#blocks[at]! | (this.#blocks[at + 1]! << 8)
      if (order > 0) return NONE
      at += 4 + own
    }
    return NONE
  }

  #compare(octets: Uint8Array, start: number, length: number, keyOctets: number): number {
    const shared = Math.min(length, keyOctets)
    for (let i = 0; i < shared; i++) {
      const difference = octets[start + i]! - this.#key[i]!
      if (difference !== 0) return difference
    }
    return length - keyOctets
  }
}
