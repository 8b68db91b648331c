/**
 * One answer with its verdict. It keeps the names that the answer led through, so that after a
 * change of policy the verdict is derived again locally, without asking upstream.
 */
import { HEADER_OCTETS } from '../../wire/header.ts'
import type { AnswerFacts } from '../../wire/answer.ts'
import type { StoredAnswer } from '../../wire/reply.ts'
import type { QuestionKey } from '../question-key.ts'

/** Share of its life after which an answer that is still asked for is fetched again. */
const PREFETCH_SHARE = 0.9
/** Answers of shorter life are not worth a question before their time. */
const PREFETCH_LIFE_MS_MIN = 10_000
const NO_OCTETS = new Uint8Array(0)
const NO_OFFSETS = new Uint16Array(0)

/**
 * An entry over the buffers of others right after `take`, which the next answer overwrites; one
 * with octets of its own from `kept` or from a cache.
 */
export class CacheEntry implements StoredAnswer {
  message: Uint8Array = NO_OCTETS
  octets = 0
  /** The first `ttlCount` count. */
  ttlOffsets: Uint16Array = NO_OFFSETS
  ttlCount = 0
  /** Targets that the answer led through: wire names, lower case, one after another. */
  names: Uint8Array = NO_OCTETS
  storedMs = 0
  /** Until then it is an answer; afterwards it is stale, and still kept for a while. */
  expiresMs = 0
  /** From then on a hit asks anew: late in its life, or some time after the last such question. */
  refreshMs = 0
  /** Policy stamp under which `matched` and `bar` hold. */
  stamp = ''
  /** Categories, as bits, that cover something that the answer leads to. */
  matched = 0
  /** Why nobody may have the answer, or 0. */
  bar = 0
  /** The question, to be told from others: octets of its name, type, DO and CD. */
  nameOctets = 0
  type = 0
  keyFlags = 0
  /** Of its key, as long as the LRU has it. */
  hash = 0
  /** Policy stamp under which the asked name passed, as the hot table was told; '' elsewhere. */
  hotStamp = ''
  /** Place in the hot table, or -1; the worker's second in which the LRU heard of a hit there. */
  hotSlot = -1
  hotSecond = 0

  /**
   * Makes it the answer in `message`, whose question gets the lower case that was asked with.
   *
   * @param nowMs when it came, on the monotonic clock.
   */
  take(message: Uint8Array, facts: AnswerFacts, asked: QuestionKey, nowMs: number): void {
    const { octets: name, nameStart, nameOctets } = asked
    for (let i = 0; i < nameOctets; i++) message[HEADER_OCTETS + i] = name[nameStart + i]!
    this.message = message
    this.octets = facts.octets
    this.ttlOffsets = facts.ttlOffsets
    this.ttlCount = facts.ttlCount
    this.names = facts.namesOctets === 0 ? NO_OCTETS : facts.names.subarray(0, facts.namesOctets)
    this.nameOctets = nameOctets
    this.type = asked.type
    this.keyFlags = asked.flags
    this.storedMs = nowMs
    const lifeMs = facts.ttlSeconds * 1000
    this.expiresMs = nowMs + lifeMs
    this.refreshMs = nowMs + (lifeMs < PREFETCH_LIFE_MS_MIN ? lifeMs : lifeMs * PREFETCH_SHARE)
  }

  /**
   * Takes the octets of message, TTL offsets and names out of one buffer, where they stand behind
   * each other from the start on: one allocation instead of three.
   */
  takeBody(body: ArrayBuffer, octets: number, ttlCount: number, namesOctets: number): void {
    const ttlStart = octets + (octets & 1)
    this.message = createOctets(body, 0, octets)
    this.octets = octets
    this.ttlOffsets = createOffsets(body, ttlStart, ttlCount)
    this.ttlCount = ttlCount
    const namesStart = ttlStart + ttlCount * 2
    this.names = namesOctets === 0 ? NO_OCTETS : createOctets(body, namesStart, namesOctets)
  }

  /** Returns a copy with octets of its own. */
  kept(): CacheEntry {
    const { octets, ttlCount, names } = this
    const copy = createEntry()
    const ttlStart = octets + (octets & 1)
    copy.takeBody(
      createBody(ttlStart + ttlCount * 2 + names.length),
      octets,
      ttlCount,
      names.length,
    )
    copy.nameOctets = this.nameOctets
    copy.type = this.type
    copy.keyFlags = this.keyFlags
    copy.#fill(this)
    return copy
  }

  /**
   * Takes over a later answer to the same question, in the octets that it has; false, and nothing
   * is changed, when they are not as many. An entry made anew lives long enough to become the
   * garbage that is collected last.
   */
  renew(later: CacheEntry): boolean {
    if (later.octets !== this.octets || later.ttlCount !== this.ttlCount) return false
    if (later.names.length !== this.names.length) return false
    this.#fill(later)
    return true
  }

  /** Copies what an answer says; the buffers have its size. */
  #fill(from: CacheEntry): void {
    const { octets, ttlCount, names } = from
    for (let at = 0; at < octets; at++) this.message[at] = from.message[at]!
    for (let i = 0; i < ttlCount; i++) this.ttlOffsets[i] = from.ttlOffsets[i]!
    for (let at = 0; at < names.length; at++) this.names[at] = names[at]!
    this.storedMs = from.storedMs
    this.expiresMs = from.expiresMs
    this.refreshMs = from.refreshMs
    this.stamp = from.stamp
    this.matched = from.matched
    this.bar = from.bar
  }

  /**
   * The verdict in one number, as it is shared under its policy stamp: bit of the first category
   * that matched, -1 when none did, -2 for an answer that nobody may have.
   */
  get category(): number {
    const { matched } = this
    if (matched !== 0) return 31 - Math.clz32(matched & -matched)
    return this.bar === 0 ? -1 : -2
  }
}

function createBody(octets: number): ArrayBuffer {
  return new ArrayBuffer(octets)
}

function createOctets(body: ArrayBuffer, start: number, octets: number): Uint8Array {
  return new Uint8Array(body, start, octets)
}

function createOffsets(body: ArrayBuffer, start: number, count: number): Uint16Array {
  return new Uint16Array(body, start, count)
}

/** Makes an empty entry. */
export function createEntry(): CacheEntry {
  return new CacheEntry()
}
