/**
 * Answers on their way into Redis: sealed when they come, sent at the end of the turn, and bounded
 * in number and octets until Redis has acknowledged them. What does not fit is not shared, and
 * counted; nobody waits for a write.
 */
import { REDIS, count, type Counters } from '../counters.ts'
import {
  REDIS_WRITES_OPEN,
  REDIS_WRITE_OCTETS_OPEN,
  REDIS_WRITTEN,
  WRITE_DROPPED,
  WRITE_FAILED,
  WRITE_STORED,
} from '../redis-counters.ts'
import type { RedisLink } from './redis-link.ts'
import { SetRow } from './redis-rows.ts'
import type { RedisWire, WriteCallback } from './redis-wire.ts'
import { SEAL_OCTETS, type Seal } from './seal.ts'
import type { SharedKeys } from './shared-keys.ts'
import type { SharedQuestion } from './shared-question.ts'
import { SharedValue, TOO_LARGE, writeValue } from './shared-value.ts'

const WRITES_MAX = 1024
const WRITE_OCTETS_MAX = 1024 * 1024
/** Rows that are kept for the next batches. */
const SPARE_ROWS_MAX = 8

/** The writes of one worker. */
export class RedisWrites {
  /** To be filled by the caller before `add`; reused. */
  readonly value = new SharedValue()
  readonly #link: RedisLink
  readonly #wire: RedisWire
  readonly #keys: SharedKeys
  readonly #seal: Seal
  readonly #counters: Counters
  readonly #flushLater: () => void
  readonly #onDone: WriteCallback
  /** Octets of each write that is not acknowledged, in the order of the replies. */
  readonly #octets = new Int32Array(WRITES_MAX)
  #first = 0
  #open = 0
  #octetsOpen = 0
  #row: SetRow
  readonly #spareRows: SetRow[] = []

  constructor(
    link: RedisLink,
    wire: RedisWire,
    keys: SharedKeys,
    seal: Seal,
    counters: Counters,
    flushLater: () => void,
  ) {
    this.#link = link
    this.#wire = wire
    this.#keys = keys
    this.#seal = seal
    this.#counters = counters
    this.#flushLater = flushLater
    this.#onDone = (error, row) => this.#done(error, row)
    this.#row = createRow(keys)
  }

  /** Whether a value would be sent: asked before one is made. */
  get isOpen(): boolean {
    return this.#link.isUp && this.#open < WRITES_MAX && this.#octetsOpen < WRITE_OCTETS_MAX
  }

  /** Counts a value that was not made, because `isOpen` said no. */
  drop(): void {
    count(this.#counters, REDIS + REDIS_WRITTEN + WRITE_DROPPED)
  }

  /** Seals what stands in `value` and sends it with the others of this turn. */
  add(question: SharedQuestion, ttlMs: number): void {
    const seal = this.#seal
    const octets = writeValue(this.value, seal.text)
    if (octets === TOO_LARGE || ttlMs < 1) {
      this.drop()
      return
    }
    const sealedOctets = octets + SEAL_OCTETS
    if (!this.#hasRoomFor(sealedOctets)) {
      this.drop()
      return
    }
    const id = question.sharedId
    if (!question.hasSharedId) {
      this.#keys.writeId(question.key.text, id)
      question.hasSharedId = true
    }
    const at = this.#row.add(id, sealedOctets, Math.ceil(ttlMs))
    if (seal.sealTo(this.#row.octets, at, octets, id)) this.#note(sealedOctets)
    else {
      this.#row.dropLast()
      this.drop()
    }
  }

  /** Sends a sealed value with the others of this turn. */
  addSealed(id: Uint8Array, sealed: Uint8Array, ttlMs: number): void {
    if (!this.isOpen || !this.#hasRoomFor(sealed.length)) {
      this.drop()
      return
    }
    const at = this.#row.add(id, sealed.length, Math.ceil(ttlMs))
    this.#row.octets.set(sealed, at)
    this.#note(sealed.length)
  }

  /** Sends what has gathered. */
  send(): void {
    const row = this.#row
    if (row.count === 0) return
    this.#row = this.#spareRows.pop() ?? createRow(this.#keys)
    this.#wire.write(row, this.#onDone)
  }

  #hasRoomFor(octets: number): boolean {
    return this.#octetsOpen + octets <= WRITE_OCTETS_MAX
  }

  #note(octets: number): void {
    this.#octets[(this.#first + this.#open) % WRITES_MAX] = octets
    this.#open++
    this.#octetsOpen += octets
    this.#show()
    this.#flushLater()
  }

  #done(error: unknown, row: SetRow): void {
    this.#octetsOpen -= this.#octets[this.#first]!
    this.#first = (this.#first + 1) % WRITES_MAX
    this.#open--
    this.#show()
    row.replies++
    if (error === null || error === undefined) {
      count(this.#counters, REDIS + REDIS_WRITTEN + WRITE_STORED)
      this.#link.noteReply()
      if (row.replies === row.count) this.#keep(row)
      return
    }
    row.hasFailed = true
    count(this.#counters, REDIS + REDIS_WRITTEN + WRITE_FAILED)
    this.#link.noteError(error)
  }

  /** All of the row has been read by Redis: its octets may be written over. */
  #keep(row: SetRow): void {
    if (row.hasFailed || this.#spareRows.length >= SPARE_ROWS_MAX) return
    row.clear()
    this.#spareRows.push(row)
  }

  #show(): void {
    this.#counters[REDIS + REDIS_WRITES_OPEN] = this.#open
    this.#counters[REDIS + REDIS_WRITE_OCTETS_OPEN] = this.#octetsOpen
  }
}

function createRow(keys: SharedKeys): SetRow {
  return new SetRow(keys)
}
