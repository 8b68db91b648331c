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
import type { RedisWire, WriteBatch } from './redis-wire.ts'
import type { Seal } from './seal.ts'
import type { SharedKeys } from './shared-keys.ts'
import type { SharedQuestion } from './shared-question.ts'
import { SharedValue, writeValue } from './shared-value.ts'

const WRITES_MAX = 1024
const WRITE_OCTETS_MAX = 1024 * 1024

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
  readonly #onDone: (error: unknown) => void
  /** Octets of each write that is not acknowledged, in the order of the replies. */
  readonly #octets = new Int32Array(WRITES_MAX)
  #first = 0
  #open = 0
  #octetsOpen = 0
  #batch = createBatch()

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
    this.#onDone = (error) => this.#done(error)
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
    const octets = writeValue(this.value)
    if (octets === null || ttlMs < 1) {
      this.drop()
      return
    }
    const id = question.sharedId === '' ? this.#keys.id(question.key) : question.sharedId
    this.addSealed(this.#keys.keyOf(id), this.#seal.seal(octets, id), ttlMs)
  }

  /** Sends a sealed value with the others of this turn. */
  addSealed(key: string, sealed: Buffer, ttlMs: number): void {
    if (!this.isOpen) {
      this.drop()
      return
    }
    const batch = this.#batch
    batch.keys.push(key)
    batch.values.push(sealed)
    batch.ttlsMs.push(Math.ceil(ttlMs))
    this.#octets[(this.#first + this.#open) % WRITES_MAX] = sealed.length
    this.#open++
    this.#octetsOpen += sealed.length
    this.#show()
    this.#flushLater()
  }

  /** Sends what has gathered. */
  send(): void {
    const batch = this.#batch
    if (batch.keys.length === 0) return
    this.#batch = createBatch()
    this.#wire.write(batch, this.#onDone)
  }

  #done(error: unknown): void {
    this.#octetsOpen -= this.#octets[this.#first]!
    this.#first = (this.#first + 1) % WRITES_MAX
    this.#open--
    this.#show()
    if (error === null || error === undefined) {
      count(this.#counters, REDIS + REDIS_WRITTEN + WRITE_STORED)
      this.#link.noteReply()
      return
    }
    count(this.#counters, REDIS + REDIS_WRITTEN + WRITE_FAILED)
    this.#link.noteError(error)
  }

  #show(): void {
    this.#counters[REDIS + REDIS_WRITES_OPEN] = this.#open
    this.#counters[REDIS + REDIS_WRITE_OCTETS_OPEN] = this.#octetsOpen
  }
}

function createBatch(): WriteBatch {
  return { keys: [], values: [], ttlsMs: [] }
}
