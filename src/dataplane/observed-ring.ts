/**
 * The ring of observed queries of one worker: in memory shared with the control plane while an
 * operator looks, and nowhere else. It is made when somebody begins to look, and overwritten with
 * zeros when the last one ends.
 *
 * One writer. A record has a number, which is 0 while it is being written: a reader takes a copy
 * and looks at the number before and behind it. The newest record overwrites the oldest.
 */

/** Octets before the first record: how many were written, and whether more may be. */
const HEAD_OCTETS = 8
const WORD_WRITTEN = 0
/** 1 while the ring takes records. */
export const RING_WORD_OPEN = 1

/** Where the parts of a record stand; `name` is the longest, a whole wire name. */
export const RECORD = {
  number: 0,
  tookMs: 4,
  /** Milliseconds of wall clock. */
  at: 8,
  type: 16,
  /** As `replyCodeOf` makes it. */
  code: 18,
  proto: 20,
  /** 0, 3 (IPv4 /24) or 6 (IPv6 /48); the octets behind it. */
  prefixOctets: 21,
  prefix: 22,
  categoryOctets: 28,
  siteOctets: 29,
  nameOctets: 30,
  category: 32,
  site: 96,
  name: 160,
} as const
/** Octets of the longest category or site. */
export const WORD_OCTETS_MAX = 64
export const RECORD_OCTETS = 416
const RECORD_WORDS = RECORD_OCTETS / Int32Array.BYTES_PER_ELEMENT
const HEAD_WORDS = HEAD_OCTETS / Int32Array.BYTES_PER_ELEMENT

/** Makes the memory of a ring for so many records, open for its writer. */
export function createObservedRing(records: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(HEAD_OCTETS + records * RECORD_OCTETS)
  Atomics.store(new Int32Array(memory), RING_WORD_OPEN, 1)
  return memory
}

/** A ring as its writer and its reader see it; numbers of records begin with 0. */
export class ObservedRing {
  readonly #words: Int32Array
  readonly #octets: Uint8Array
  readonly records: number

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory)
    this.#octets = new Uint8Array(memory)
    this.records = (memory.byteLength - HEAD_OCTETS) / RECORD_OCTETS
  }

  /** Records since it was made: within an hour they are fewer than 2^31. */
  get written(): number {
    return Atomics.load(this.#words, WORD_WRITTEN)
  }

  /** Adds a record of `RECORD_OCTETS`; nothing when the ring is closed. */
  write(record: Uint8Array): void {
    const words = this.#words
    if (Atomics.load(words, RING_WORD_OPEN) === 0) return
    const number = words[WORD_WRITTEN]!
    const place = number % this.records
    const word = HEAD_WORDS + place * RECORD_WORDS
    const start = HEAD_OCTETS + place * RECORD_OCTETS
    Atomics.store(words, word, 0)
    for (let i = RECORD.tookMs; i < RECORD_OCTETS; i++) this.#octets[start + i] = record[i]!
    Atomics.store(words, word, number + 1)
    Atomics.store(words, WORD_WRITTEN, number + 1)
  }

  /** Copies the record of that number; false when it is not there whole, or not any more. */
  read(number: number, into: Uint8Array): boolean {
    const place = number % this.records
    const word = HEAD_WORDS + place * RECORD_WORDS
    if (Atomics.load(this.#words, word) !== number + 1) return false
    const start = HEAD_OCTETS + place * RECORD_OCTETS
    for (let i = 0; i < RECORD_OCTETS; i++) into[i] = this.#octets[start + i]!
    return Atomics.load(this.#words, word) === number + 1
  }
}
