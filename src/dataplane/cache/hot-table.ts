/**
 * The questions that are asked again and again, found by one hash instead of a string, a Map, an
 * LRU list and a walk through the compiled lists. Two places for each hash: what finds both taken
 * pushes out the one that came first.
 *
 * It decides nothing by itself: an answer counts only as long as its cache entry lives and under
 * the policy stamp that let its name pass, a verdict only under the stamp that it was made under.
 * It takes two thirds of the JavaScript off a cached answer and half off a block that is asked
 * again (DECISIONS.md, 52).
 */
import { createSlots } from '../../base/slots.ts'
import type { AskedName } from '../query.ts'
import type { ParsedQuery } from '../../wire/query.ts'
import { HEADER_OCTETS } from '../../wire/header.ts'
import type { CacheEntry } from './cache-entry.ts'

/** Slots of each table; a centre of some hundred people asks a few thousand names an hour. */
const SLOTS = 32_768
const SLOT_MASK = SLOTS - 1
/** Hits between two touches of the entry in the LRU, which has to know that it is in use. */
const TOUCH_MASK = 31

/** A blocked name with its verdict. */
export class HotBlock {
  readonly octets: Uint8Array
  /** The categories, as bits, that cover the name. */
  readonly matched: number
  readonly ruleStart: number
  readonly whole: boolean
  readonly stamp: string

  constructor(asked: AskedName, matched: number, ruleStart: number, whole: boolean, stamp: string) {
    this.octets = new Uint8Array(asked.octets.subarray(0, asked.length))
    this.matched = matched
    this.ruleStart = ruleStart
    this.whole = whole
    this.stamp = stamp
  }
}

/** Both tables of one worker. */
export class HotTable {
  readonly #answers = createSlots<CacheEntry>(SLOTS)
  readonly #blocks = createSlots<HotBlock>(SLOTS)
  /** Hash of the blocked name seen last at each slot: only a second sighting is worth a record. */
  readonly #seen = new Int32Array(SLOTS)

  /** Returns the answer to this very question, alive or not, or null. */
  answer(asked: AskedName, query: ParsedQuery): CacheEntry | null {
    const slot = answerSlot(asked, query)
    const first = this.#answers[slot]!
    if (isAnswer(first, asked, query)) return first
    const second = this.#answers[slot ^ 1]!
    return isAnswer(second, asked, query) ? second : null
  }

  /** True when the entry should be touched in the LRU: now and then. */
  isTouchDue(entry: CacheEntry): boolean {
    entry.hotHits = (entry.hotHits + 1) & TOUCH_MASK
    return entry.hotHits === 0
  }

  /** @param stamp of the policy that let the asked name pass: the answer is hot under it only. */
  putAnswer(asked: AskedName, query: ParsedQuery, entry: CacheEntry, stamp: string): void {
    const slot = answerSlot(asked, query)
    const before = this.#answers[slot]!
    entry.hotStamp = stamp
    if (before === entry || this.#answers[slot ^ 1] === entry) return
    if (before !== null) {
      const pushed = this.#answers[slot ^ 1]!
      if (pushed !== null) pushed.hotSlot = -1
      before.hotSlot = slot ^ 1
      this.#answers[slot ^ 1] = before
    }
    entry.hotSlot = slot
    this.#answers[slot] = entry
  }

  /** The cache has let go of the entry, or its name needs more than one look now. */
  forget(entry: CacheEntry): void {
    entry.hotStamp = ''
    if (entry.hotSlot >= 0 && this.#answers[entry.hotSlot] === entry) {
      this.#answers[entry.hotSlot] = null
    }
    entry.hotSlot = -1
  }

  /** Returns the verdict on this very name under the policy of that stamp, or null. */
  block(asked: AskedName, stamp: string): HotBlock | null {
    const block = this.#blocks[asked.hash & SLOT_MASK]!
    if (block === null || block.stamp !== stamp) return null
    return sameName(asked, block.octets, 0, block.octets.length) ? block : null
  }

  /** Notes a verdict; keeps it from the second time on. */
  noteBlock(
    asked: AskedName,
    matched: number,
    ruleStart: number,
    whole: boolean,
    stamp: string,
  ): void {
    const slot = asked.hash & SLOT_MASK
    if (this.#seen[slot] !== asked.hash) {
      this.#seen[slot] = asked.hash
      return
    }
    this.#blocks[slot] = createBlock(asked, matched, ruleStart, whole, stamp)
  }
}

function isAnswer(
  entry: CacheEntry | null,
  asked: AskedName,
  query: ParsedQuery,
): entry is CacheEntry {
  if (entry === null || entry.type !== query.type) return false
  if (entry.keyFlags !== asked.keyFlags(query)) return false
  return sameName(asked, entry.message, HEADER_OCTETS, entry.nameOctets)
}

function answerSlot(asked: AskedName, query: ParsedQuery): number {
  return asked.questionHash(query) & SLOT_MASK
}

function sameName(
  asked: AskedName,
  octets: Uint8Array,
  start: number,
  nameOctets: number,
): boolean {
  const length = asked.length
  if (nameOctets !== length) return false
  const name = asked.octets
  for (let i = 0; i < length; i++) if (name[i] !== octets[start + i]) return false
  return true
}

function createBlock(
  asked: AskedName,
  matched: number,
  ruleStart: number,
  whole: boolean,
  stamp: string,
): HotBlock {
  return new HotBlock(asked, matched, ruleStart, whole, stamp)
}
