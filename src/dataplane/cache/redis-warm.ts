/**
 * The hottest questions, kept in Redis so that a box is warm soon after its start: one sealed list
 * that every worker merges its own into, once a minute and when it stops. At the start the list is
 * read, then the values it names, a batch after the other; no upstream is asked.
 */
import { REDIS, count, type Counters } from '../counters.ts'
import { REDIS_WARMED } from '../redis-counters.ts'
import { createKey, type QuestionKey } from '../question-key.ts'
import type { RedisSettings } from '../settings.ts'
import { HotUses } from './hot-uses.ts'
import { BATCH_LOOKUPS_MAX, KeyRow } from './redis-rows.ts'
import type { RedisWire } from './redis-wire.ts'
import type { RedisWrites } from './redis-writes.ts'
import { NodeGcm } from './node-gcm.ts'
import { OPENED, Seal, createSealed } from './seal.ts'
import { createId, type SharedKeys } from './shared-keys.ts'
import { KEY_OCTETS_MIN } from './shared-question.ts'
import type { SharedValue } from './shared-value.ts'
import { SOUND, type ValueCheck } from './value-check.ts'
import type { AnswerFacts } from '../../wire/answer.ts'

/** Between two lists of one worker, and how much of it is left to chance. */
const PUBLISH_MS = 60_000
const PUBLISH_JITTER_MS = 10_000
/** The list outlives every answer that it names: a restart may take a night. */
const LIST_MS = 7 * 24 * 3600 * 1000
/** What the list's own place is named by; no client can ask it: its label is too long. */
const LIST_QUESTION = '\u00ffhot list'
/** The list is never longer, however long the names that clients ask. */
export const LIST_OCTETS_MAX = 512 * 1024
const ENTRY_FIXED_OCTETS = 5
/** Uses of a worker are told apart for this many times the names that the list holds. */
const USES_FACTOR = 4

/** Takes an answer into memory; false when it is there already, or not to be had. */
export type TakeWarm = (
  question: QuestionKey,
  value: SharedValue,
  facts: AnswerFacts,
  storedMs: number,
) => boolean

/** What it is made of; all belong to the cache of the same worker. */
export interface WarmParts {
  readonly settings: RedisSettings
  readonly counters: Counters
  readonly keys: SharedKeys
  readonly wire: RedisWire
  readonly writes: RedisWrites
  readonly check: ValueCheck
  readonly take: TakeWarm
}

/** The hot list of one worker. */
export class RedisWarm {
  readonly uses: HotUses
  readonly #parts: WarmParts
  readonly #seal: Seal
  /** What the list said last. */
  #listed: readonly (readonly [string, number])[] = []
  #timer: NodeJS.Timeout | undefined
  #isWarm = false

  constructor(parts: WarmParts) {
    this.#parts = parts
    this.uses = new HotUses(parts.settings.hotNames * USES_FACTOR)
    this.#seal = new Seal(parts.settings.secret, 'niveau3 hot list', new NodeGcm(LIST_OCTETS_MAX))
    this.#publishLater()
  }

  /** Redis answers: reads the list, and the answers that it names, once. */
  warmUp(): void {
    if (this.#isWarm) return
    this.#isWarm = true
    this.#readList((listed) => {
      if (listed === undefined) this.#isWarm = false
      else this.#readAnswers(listed.slice(0, this.#parts.settings.hotNames))
    })
  }

  /** Writes the list a last time. */
  close(): void {
    clearTimeout(this.#timer)
    this.#write()
  }

  #publishLater(): void {
    const waitMs = PUBLISH_MS + Math.random() * PUBLISH_JITTER_MS
    this.#timer = setTimeout(() => {
      this.#readList(() => {
        this.#write()
        this.#publishLater()
      })
    }, waitMs)
    this.#timer.unref()
  }

  #readList(done: (listed: readonly (readonly [string, number])[] | undefined) => void): void {
    const { keys, wire } = this.#parts
    const id = createId(keys, LIST_QUESTION)
    const row = new KeyRow(keys)
    row.add(id)
    wire.read(row, (_error, values) => {
      const sealed = values?.[0]
      if (sealed && this.#seal.unseal(sealed, id) === OPENED) {
        this.#listed = decodeList(this.#seal.opened)
      }
      done(values === undefined ? undefined : this.#listed)
    })
  }

  /** Half of what the list said, and all that this worker has seen since. */
  #write(): void {
    const { settings, keys, writes } = this.#parts
    const own = this.uses.ranked()
    if (own.length === 0 || !writes.isOpen) return
    const merged = new Map(this.#listed.map(([key, uses]) => [key, uses / 2]))
    for (const [key, uses] of own) merged.set(key, (merged.get(key) ?? 0) + uses)
    const ranked = [...merged].sort((left, right) => right[1] - left[1])
    this.#listed = ranked.slice(0, settings.hotNames)
    const id = createId(keys, LIST_QUESTION)
    const sealed = createSealed(this.#seal, encodeList(this.#listed), id)
    if (sealed !== null) writes.addSealed(id, sealed, LIST_MS)
    this.uses.halve()
  }

  #readAnswers(listed: readonly (readonly [string, number])[]): void {
    const batch = listed.slice(0, BATCH_LOOKUPS_MAX)
    if (batch.length === 0) return
    const { keys, wire } = this.#parts
    const ids = batch.map(([key]) => createId(keys, key))
    const row = new KeyRow(keys)
    for (const id of ids) row.add(id)
    wire.read(row, (_error, values) => {
      // Without values the connection is gone; what is warm by now stays so.
      if (values === undefined) return
      for (const [index, id] of ids.entries()) this.#take(id, values[index] ?? null)
      setImmediate(() => this.#readAnswers(listed.slice(BATCH_LOOKUPS_MAX)))
    })
  }

  #take(id: Uint8Array, sealed: Buffer | null): void {
    if (sealed === null) return
    const { check, take, counters } = this.#parts
    if (check.check(sealed, id, '', performance.now(), Date.now()) !== SOUND) return
    const { value, facts, storedMs } = check
    if (take(createKey(value.question), value, facts, storedMs))
      count(counters, REDIS + REDIS_WARMED)
  }
}

/**
 * Octets of the key (one, less the smallest), uses as a 32-bit float, the key; again and again.
 * What does not fit is left out: the names that are asked least.
 */
export function encodeList(listed: readonly (readonly [string, number])[]): Buffer {
  const out = Buffer.alloc(LIST_OCTETS_MAX)
  let at = 0
  for (const [key, uses] of listed) {
    if (at + ENTRY_FIXED_OCTETS + key.length > LIST_OCTETS_MAX) break
    out.writeUInt8(key.length - KEY_OCTETS_MIN, at)
    out.writeFloatBE(uses, at + 1)
    out.write(key, at + ENTRY_FIXED_OCTETS, 'latin1')
    at += ENTRY_FIXED_OCTETS + key.length
  }
  return out.subarray(0, at)
}

/** Reads what `encodeList` wrote, as far as it makes sense. */
export function decodeList(octets: Buffer): readonly (readonly [string, number])[] {
  const listed: [string, number][] = []
  let at = 0
  while (at + ENTRY_FIXED_OCTETS + KEY_OCTETS_MIN <= octets.length) {
    const end = at + ENTRY_FIXED_OCTETS + octets.readUInt8(at) + KEY_OCTETS_MIN
    const uses = octets.readFloatBE(at + 1)
    if (end > octets.length || !(uses >= 0)) break
    listed.push([octets.toString('latin1', at + ENTRY_FIXED_OCTETS, end), uses])
    at = end
  }
  return listed
}
