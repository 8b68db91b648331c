/**
 * The names that were asked for lately, as keyed hashes of each name and of its parents: how many
 * of them a planned update would judge otherwise can be counted without knowing any of them. In
 * memory shared with the control plane, and nowhere else; the key is drawn anew with every process.
 *
 * One writer. A record is a count of suffixes, then two 32-bit words for each of them: the name
 * itself, then its parents. Of a name with more labels only the parents nearest the root are there.
 * The newest record overwrites the oldest; word 0 counts records since the start.
 */
import { SECOND_MS } from '../base/units.ts'
import { SIPHASH_OCTETS, sipHash } from '../wire/siphash.ts'
import { NAME_OCTETS_MAX } from '../wire/name.ts'
import type { AskedName } from './query.ts'

/** Suffixes of one name: rules stand near the root. */
export const RECENT_SUFFIXES_MAX = 10
/** Names of one worker. */
export const RECENT_NAMES = 4096
const WORDS_PER_SUFFIX = 2
export const RECENT_RECORD_WORDS = 1 + RECENT_SUFFIXES_MAX * WORDS_PER_SUFFIX
/** The words before the first record. */
export const RECENT_HEAD_WORDS = 1
/** New names in a second: a flood of random names shall cost no more than that. */
const NEW_NAMES_PER_SECOND_MAX = 200
/** Places by the name's own hash, two for each, to know names that are there already. */
const SEEN_SLOTS = 8192
const SEEN_MASK = SEEN_SLOTS - 1

/** What a worker records into. */
export interface RecentNamesMemory {
  readonly words: Int32Array
  /** Of SipHash, 16 octets. */
  readonly key: Uint8Array
}

/** Makes the memory of one worker; all have one key. */
export function createRecentNames(key: Uint8Array): RecentNamesMemory {
  const words = RECENT_HEAD_WORDS + RECENT_NAMES * RECENT_RECORD_WORDS
  return { words: new Int32Array(new SharedArrayBuffer(words * Int32Array.BYTES_PER_ELEMENT)), key }
}

/** The recorder of one worker. */
export class RecentNames {
  readonly #words: Int32Array
  readonly #key: Uint8Array
  /** Hash of the name seen at each slot, and the number of its record. */
  readonly #seen = new Int32Array(SEEN_SLOTS)
  readonly #seenRecord = new Int32Array(SEEN_SLOTS)
  readonly #suffix = new Uint8Array(NAME_OCTETS_MAX)
  readonly #hash = new Int32Array(SIPHASH_OCTETS / Int32Array.BYTES_PER_ELEMENT)
  readonly #hashOctets = new Uint8Array(this.#hash.buffer)
  #second = 0
  #newNames = 0

  constructor({ key, words }: RecentNamesMemory) {
    this.#words = words
    this.#key = key
    this.#seenRecord.fill(-RECENT_NAMES)
  }

  /** Notes a name that is not among the last ones; `nowMs` is the worker's clock. */
  note(asked: AskedName, nowMs: number): void {
    const hash = asked.hash
    const slot = hash & SEEN_MASK
    if (this.#isRecorded(slot, hash) || this.#isRecorded(slot ^ 1, hash)) return
    const second = Math.floor(nowMs / SECOND_MS)
    if (second !== this.#second) {
      this.#second = second
      this.#newNames = 0
    }
    if (this.#newNames >= NEW_NAMES_PER_SECOND_MAX) return
    this.#newNames++
    const record = this.#words[0]!
    // The number goes round after 2^32 records: only differences count.
    const difference = (this.#seenRecord[slot]! - this.#seenRecord[slot ^ 1]!) | 0
    const older = difference <= 0 ? slot : slot ^ 1
    this.#seen[older] = hash
    this.#seenRecord[older] = record
    this.#record(asked, record)
  }

  #isRecorded(slot: number, hash: number): boolean {
    if (this.#seen[slot] !== hash) return false
    return ((this.#words[0]! - this.#seenRecord[slot]!) | 0) < RECENT_NAMES
  }

  #record(asked: AskedName, number: number): void {
    const words = this.#words
    const labels = asked.labels
    const suffixes = Math.min(labels, RECENT_SUFFIXES_MAX)
    const start = RECENT_HEAD_WORDS + (number & (RECENT_NAMES - 1)) * RECENT_RECORD_WORDS
    // A reader that comes between sees no record rather than half of two.
    words[start] = 0
    for (let suffix = 0; suffix < suffixes; suffix++) {
      const label = suffix === 0 ? 0 : labels - suffixes + suffix
      this.#hashFrom(asked, asked.labelStarts[label]!)
      const at = start + 1 + suffix * WORDS_PER_SUFFIX
      words[at] = this.#hash[0]!
      words[at + 1] = this.#hash[1]!
    }
    words[start] = suffixes
    words[0] = number + 1
  }

  #hashFrom(asked: AskedName, start: number): void {
    const octets = asked.length - start
    for (let i = 0; i < octets; i++) this.#suffix[i] = asked.octets[start + i]!
    sipHash(this.#key, this.#suffix, octets, this.#hashOctets, 0)
  }
}
