/**
 * Batches of look-ups and of values, as the octets that Redis reads (RESP 2): each is written once,
 * where it leaves from.
 */
import type { SharedKeys } from './shared-keys.ts'

/** Look-ups of one batch. */
export const BATCH_LOOKUPS_MAX = 64
/** Largest first line: `*65\r\n$4\r\nMGET\r\n`. */
const MGET_HEAD_OCTETS = 15
const CR = 0x0d
const LF = 0x0a
const DIGIT_0 = 0x30
/** Room for the SETs of a usual batch; a larger one makes itself more. */
const SETS_OCTETS = 32 * 1024
/** Octets of a SET beside its head, key and value: lengths, PX and a time. */
const SET_OCTETS_MAX = 64
const SET_TAIL = Buffer.from('\r\n$2\r\nPX\r\n$', 'latin1')

/** The keys of look-ups that travel together; reused. */
export class KeyRow {
  readonly #keys: SharedKeys
  readonly #octets: Buffer
  readonly #keyHead: Buffer
  readonly #strideOctets: number
  count = 0

  constructor(keys: SharedKeys) {
    this.#keys = keys
    this.#keyHead = Buffer.from(`$${keys.octets}\r\n`, 'latin1')
    this.#strideOctets = this.#keyHead.length + keys.octets + 2
    this.#octets = Buffer.alloc(MGET_HEAD_OCTETS + BATCH_LOOKUPS_MAX * this.#strideOctets)
  }

  get isFull(): boolean {
    return this.count >= BATCH_LOOKUPS_MAX
  }

  /** Adds the value with that id to what is asked for; not to a full row. */
  add(id: Uint8Array): void {
    const octets = this.#octets
    let at = MGET_HEAD_OCTETS + this.count++ * this.#strideOctets
    at = copy(this.#keyHead, octets, at)
    this.#keys.writeKey(id, octets, at)
    at += this.#keys.octets
    octets[at] = CR
    octets[at + 1] = LF
  }

  clear(): void {
    this.count = 0
  }

  /** The command for all keys, in the row's own octets. */
  command(): Buffer {
    const head = '*' + (this.count + 1) + '\r\n$4\r\nMGET\r\n'
    const start = MGET_HEAD_OCTETS - head.length
    this.#octets.write(head, start, 'latin1')
    return this.#octets.subarray(start, MGET_HEAD_OCTETS + this.count * this.#strideOctets)
  }

  keyAt(index: number): string {
    const at = MGET_HEAD_OCTETS + index * this.#strideOctets + this.#keyHead.length
    return this.#octets.toString('utf8', at, at + this.#keys.octets)
  }
}

/** Values that are written together; reused. */
export class SetRow {
  readonly #keys: SharedKeys
  readonly #head: Buffer
  /** Begin of each value's key, of the value itself, and its octets and lifetime. */
  readonly #keyAts: number[] = []
  readonly #valueAts: number[] = []
  readonly #valueOctets: number[] = []
  readonly #ttlsMs: number[] = []
  octets: Buffer = Buffer.alloc(SETS_OCTETS)
  length = 0
  count = 0
  /** Values of the row that Redis has answered for, and whether it refused one. */
  replies = 0
  hasFailed = false

  constructor(keys: SharedKeys) {
    this.#keys = keys
    this.#head = Buffer.from(`*5\r\n$3\r\nSET\r\n$${keys.octets}\r\n`, 'latin1')
  }

  /**
   * Writes all of a SET but its value, and returns where in `octets` that has to be written.
   *
   * @param ttlMs whole milliseconds.
   */
  add(id: Uint8Array, valueOctets: number, ttlMs: number): number {
    const most = this.#head.length + this.#keys.octets + valueOctets + SET_OCTETS_MAX
    if (this.length + most > this.octets.length) this.#grow(most)
    const octets = this.octets
    const keyAt = copy(this.#head, octets, this.length)
    this.#keys.writeKey(id, octets, keyAt)
    let at = keyAt + this.#keys.octets
    octets[at++] = CR
    octets[at++] = LF
    octets[at++] = 0x24
    at = writeDecimal(octets, at, valueOctets)
    octets[at++] = CR
    octets[at++] = LF
    const valueAt = at
    at = copy(SET_TAIL, octets, at + valueOctets)
    at = writeDecimal(octets, at, decimalsOf(ttlMs))
    octets[at++] = CR
    octets[at++] = LF
    at = writeDecimal(octets, at, ttlMs)
    octets[at++] = CR
    octets[at++] = LF
    const index = this.count++
    this.#keyAts[index] = keyAt
    this.#valueAts[index] = valueAt
    this.#valueOctets[index] = valueOctets
    this.#ttlsMs[index] = ttlMs
    this.length = at
    return valueAt
  }

  /** Takes the SET that was added last back. */
  dropLast(): void {
    this.count--
    this.length = this.#keyAts[this.count]! - this.#head.length
  }

  clear(): void {
    this.count = 0
    this.length = 0
    this.replies = 0
    // One large answer shall not keep its room for ever.
    if (this.octets.length > SETS_OCTETS) this.octets = createOctets(SETS_OCTETS)
  }

  /** The commands, in the row's own octets. */
  commands(): Buffer {
    return this.octets.subarray(0, this.length)
  }

  keyAt(index: number): string {
    const at = this.#keyAts[index]!
    return this.octets.toString('utf8', at, at + this.#keys.octets)
  }

  valueAt(index: number): Buffer {
    const at = this.#valueAts[index]!
    return this.octets.subarray(at, at + this.#valueOctets[index]!)
  }

  ttlMsAt(index: number): number {
    return this.#ttlsMs[index]!
  }

  #grow(octets: number): void {
    const grown = createOctets(2 * Math.max(this.octets.length, this.length + octets))
    this.octets.copy(grown, 0, 0, this.length)
    this.octets = grown
  }
}

function createOctets(octets: number): Buffer {
  return Buffer.alloc(octets)
}

function copy(from: Buffer, to: Buffer, at: number): number {
  for (let index = 0; index < from.length; index++) to[at + index] = from[index]!
  return at + from.length
}

function decimalsOf(value: number): number {
  let decimals = 1
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) decimals++
  return decimals
}

function writeDecimal(out: Buffer, at: number, value: number): number {
  const end = at + decimalsOf(value)
  let rest = value
  for (let to = end - 1; to >= at; to--) {
    const tenth = Math.floor(rest / 10)
    out[to] = DIGIT_0 + rest - 10 * tenth
    rest = tenth
  }
  return end
}
