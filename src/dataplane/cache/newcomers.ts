/**
 * Answers that were asked for once: a ring of octets in which the newest overwrites the oldest.
 * Most names are asked for once in the life of their answer, and a flood of random names is nothing
 * else: here they cost no object, no string and no work for the garbage collector, and they push
 * nothing out of the cache that is asked for again. Who is found here a second time moves there.
 *
 * One record, 8 octets aligned:
 *
 *      0 octets of the record  4 hash  8 stored ms  16 expires ms  24 refresh ms
 *     32 message octets  34 TTLs  36 octets of names  38 octets of the asked name
 *     40 type  42 DO and CD  43 taken   44 message, TTL offsets (2 octets each), names
 *
 * A position counts octets since the start, so that an old one is told from a new one at the same
 * place. The index has buckets of four positions; the oldest gives way.
 */
import { HEADER_OCTETS } from '../../wire/header.ts'
import type { QuestionKey } from '../question-key.ts'
import { createEntry, type CacheEntry } from './cache-entry.ts'

const AT_HASH = 4
const AT_MESSAGE_OCTETS = 32
const AT_TTLS = 34
const AT_NAMES = 36
const AT_ASKED_NAME = 38
const AT_TYPE = 40
const AT_FLAGS = 42
const AT_TAKEN = 43
const AT_BODY = 44
const ALIGNMENT = 8
const WAYS = 4
/** A ring that one record would fill keeps nothing. */
const RECORDS_MIN = 8
/** Octets of the ring for each position of the index: half of the smallest usual record. */
const OCTETS_PER_POSITION = 64
const NONE = -1
const TAKEN = 1

/** The ring of one worker. */
export class Newcomers {
  readonly #size: number
  readonly #buffer: ArrayBuffer
  readonly #octets: Uint8Array
  readonly #words: Int32Array
  readonly #halves: Uint16Array
  readonly #times: Float64Array
  /** Positions plus one; 0 is none. */
  readonly #index: Float64Array
  readonly #bucketMask: number
  /** Where the next record begins, and the oldest that is whole. */
  #head = 0
  #tail = 0
  /** Records that can still be found. */
  entries = 0
  /** Octets of those. */
  octets = 0
  /** Records overwritten before anybody asked again. */
  evictions = 0

  /** @param octetsMax octets of the ring; its index takes an eighth to a quarter more. */
  constructor(octetsMax: number) {
    this.#size = Math.max(ALIGNMENT * RECORDS_MIN, octetsMax - (octetsMax % ALIGNMENT))
    const buffer = new ArrayBuffer(this.#size)
    this.#buffer = buffer
    this.#octets = new Uint8Array(buffer)
    this.#words = new Int32Array(buffer)
    this.#halves = new Uint16Array(buffer)
    this.#times = new Float64Array(buffer)
    const buckets = 2 ** Math.ceil(Math.log2(this.#size / OCTETS_PER_POSITION / WAYS))
    this.#bucketMask = Math.max(1, buckets) - 1
    this.#index = new Float64Array((this.#bucketMask + 1) * WAYS)
  }

  /** Keeps a copy of the answer; false when it is too large for the ring. */
  add(key: QuestionKey, entry: CacheEntry): boolean {
    const ttlStart = entry.octets + (entry.octets & 1)
    const body = ttlStart + entry.ttlCount * 2 + entry.names.length
    const need = (AT_BODY + body + ALIGNMENT - 1) & -ALIGNMENT
    if (need > this.#size / RECORDS_MIN) return false
    const position = this.#makeRoom(need)
    const at = position % this.#size
    this.#head = position + need
    this.#writeHead(at, need, key.hash, entry)
    const octets = this.#octets
    const message = entry.message
    const start = at + AT_BODY
    for (let i = 0; i < entry.octets; i++) octets[start + i] = message[i]!
    const ttl = (start + ttlStart) >>> 1
    for (let i = 0; i < entry.ttlCount; i++) this.#halves[ttl + i] = entry.ttlOffsets[i]!
    const names = start + ttlStart + entry.ttlCount * 2
    for (let i = 0; i < entry.names.length; i++) octets[names + i] = entry.names[i]!
    this.#enter(key, position)
    this.entries++
    this.octets += need
    return true
  }

  /** Returns the answer under the key as an entry of its own, and forgets it; null without one. */
  take(key: QuestionKey): CacheEntry | null {
    const slot = this.#find(key)
    if (slot === NONE) return null
    const at = (this.#index[slot]! - 1) % this.#size
    this.#forget(slot, at)
    return this.#read(at)
  }

  /** Forgets the answer under the key. */
  remove(key: QuestionKey): void {
    const slot = this.#find(key)
    if (slot !== NONE) this.#forget(slot, (this.#index[slot]! - 1) % this.#size)
  }

  #writeHead(at: number, need: number, hash: number, entry: CacheEntry): void {
    this.#words[at >>> 2] = need
    this.#words[(at + AT_HASH) >>> 2] = hash
    this.#times[(at >>> 3) + 1] = entry.storedMs
    this.#times[(at >>> 3) + 2] = entry.expiresMs
    this.#times[(at >>> 3) + 3] = entry.refreshMs
    this.#halves[(at + AT_MESSAGE_OCTETS) >>> 1] = entry.octets
    this.#halves[(at + AT_TTLS) >>> 1] = entry.ttlCount
    this.#halves[(at + AT_NAMES) >>> 1] = entry.names.length
    this.#halves[(at + AT_ASKED_NAME) >>> 1] = entry.nameOctets
    this.#halves[(at + AT_TYPE) >>> 1] = entry.type
    this.#octets[at + AT_FLAGS] = entry.keyFlags
    this.#octets[at + AT_TAKEN] = 0
  }

  /** Lets the oldest go until `need` octets are free in one piece; returns their position. */
  #makeRoom(need: number): number {
    const size = this.#size
    const rest = size - (this.#head % size)
    const position = rest < need ? this.#head + rest : this.#head
    while (this.#tail + size < position + need) this.#dropOldest()
    // What is too short for a record at the end of the ring is a record that nobody finds.
    if (rest < need) {
      const at = this.#head % size
      this.#words[at >>> 2] = rest
      if (rest > AT_TAKEN) this.#octets[at + AT_TAKEN] = TAKEN
    }
    return position
  }

  #dropOldest(): void {
    const at = this.#tail % this.#size
    const octets = this.#words[at >>> 2]!
    // A piece that is shorter than a record's head is the end of the ring.
    if (octets > AT_TAKEN && this.#octets[at + AT_TAKEN] !== TAKEN) {
      this.entries--
      this.octets -= octets
      this.evictions++
    }
    this.#tail += octets
  }

  #enter(key: QuestionKey, position: number): void {
    const known = this.#find(key)
    if (known !== NONE) this.#forget(known, (this.#index[known]! - 1) % this.#size)
    const first = (key.hash & this.#bucketMask) * WAYS
    let oldest = first
    for (let slot = first; slot < first + WAYS; slot++) {
      if (this.#index[slot]! < this.#index[oldest]!) oldest = slot
    }
    const pushed = this.#index[oldest]! - 1
    if (pushed >= this.#tail) {
      this.#forget(oldest, pushed % this.#size)
      this.evictions++
    }
    this.#index[oldest] = position + 1
  }

  /** Returns the place in the index of the record under the key, or `NONE`. */
  #find(key: QuestionKey): number {
    const { hash } = key
    const first = (hash & this.#bucketMask) * WAYS
    for (let slot = first; slot < first + WAYS; slot++) {
      const position = this.#index[slot]! - 1
      if (position < this.#tail) continue
      const at = position % this.#size
      if (this.#words[(at + AT_HASH) >>> 2] === hash && this.#isOf(at, key)) return slot
    }
    return NONE
  }

  #isOf(at: number, key: QuestionKey): boolean {
    if (key.type !== this.#halves[(at + AT_TYPE) >>> 1]) return false
    if (key.flags !== this.#octets[at + AT_FLAGS]) return false
    const nameOctets = this.#halves[(at + AT_ASKED_NAME) >>> 1]!
    return key.isNamed(this.#octets, at + AT_BODY + HEADER_OCTETS, nameOctets)
  }

  #forget(slot: number, at: number): void {
    this.#index[slot] = 0
    this.#octets[at + AT_TAKEN] = TAKEN
    this.entries--
    this.octets -= this.#words[at >>> 2]!
  }

  #read(at: number): CacheEntry {
    const halves = this.#halves
    const octets = halves[(at + AT_MESSAGE_OCTETS) >>> 1]!
    const ttlCount = halves[(at + AT_TTLS) >>> 1]!
    const namesOctets = halves[(at + AT_NAMES) >>> 1]!
    const start = at + AT_BODY
    const end = start + octets + (octets & 1) + ttlCount * 2 + namesOctets
    const entry = createEntry()
    entry.takeBody(this.#buffer.slice(start, end), octets, ttlCount, namesOctets)
    entry.nameOctets = halves[(at + AT_ASKED_NAME) >>> 1]!
    entry.type = halves[(at + AT_TYPE) >>> 1]!
    entry.keyFlags = this.#octets[at + AT_FLAGS]!
    entry.storedMs = this.#times[(at >>> 3) + 1]!
    entry.expiresMs = this.#times[(at >>> 3) + 2]!
    entry.refreshMs = this.#times[(at >>> 3) + 3]!
    return entry
  }
}
