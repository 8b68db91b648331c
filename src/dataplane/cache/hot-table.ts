/**
 * The questions that are asked again and again, found by one hash instead of a string, a Map, an
 * LRU list and a walk through the compiled lists. Four places for each hash, whose hashes stand
 * together: one look at them says which record is worth a look, if any. What finds all four taken
 * pushes out one of them.
 *
 * It decides nothing by itself: an answer counts only as long as its cache entry lives and under
 * the policy stamp that let its name pass, a verdict only under the stamp that it was made under.
 * It takes two thirds of the JavaScript off a cached answer and half off a block that is asked
 * again (DECISIONS.md, 52).
 */
import { createSlots } from '../../base/slots.ts'
import { SECOND_MS } from '../../base/units.ts'
import type { AskedName } from '../query.ts'
import type { ParsedQuery } from '../../wire/query.ts'
import { HEADER_OCTETS } from '../../wire/header.ts'
import type { CacheEntry } from './cache-entry.ts'

/** Slots of each table; a centre of some hundred people asks a few thousand names an hour. */
const SLOTS = 32_768
const SLOT_MASK = SLOTS - 1
/** Places for each hash, a power of two: the one that its low bits name, and its neighbours. */
const WAYS = 4
const WAY_MASK = WAYS - 1
/** Time between two touches of an entry in the LRU, which has to know that it is in use. */
const TOUCH_SECONDS = 2

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
  /** Hashes of the questions whose answers stand at the same places. */
  readonly #answerHashes = new Int32Array(SLOTS)
  readonly #blocks = createSlots<HotBlock>(SLOTS)
  /** Hashes of the names whose verdicts stand at the same places. */
  readonly #blockHashes = new Int32Array(SLOTS)
  /** Hashes of blocked names that were seen: only a second sighting is worth a record. */
  readonly #seen = new Int32Array(SLOTS)
  /** Which of four taken places is given away next. */
  #turn = 0

  /** Returns the answer to this very question, alive or not, or null. */
  answer(asked: AskedName, query: ParsedQuery): CacheEntry | null {
    const hash = asked.questionHash(query)
    const hashes = this.#answerHashes
    const home = hash & SLOT_MASK
    for (let way = 0; way < WAYS; way++) {
      const slot = home ^ way
      if (hashes[slot] !== hash) continue
      const entry = this.#answers[slot]!
      if (isAnswer(entry, asked, query)) return entry
    }
    return null
  }

  /** True when the entry should be touched in the LRU: now and then, however often it is asked. */
  isTouchDue(entry: CacheEntry, nowMs: number): boolean {
    const second = (nowMs / SECOND_MS) | 0
    if (second - entry.hotSecond < TOUCH_SECONDS) return false
    entry.hotSecond = second
    return true
  }

  /** @param stamp of the policy that let the asked name pass: the answer is hot under it only. */
  putAnswer(asked: AskedName, query: ParsedQuery, entry: CacheEntry, stamp: string): void {
    entry.hotStamp = stamp
    const hash = asked.questionHash(query)
    const home = hash & SLOT_MASK
    let free = -1
    for (let way = WAYS - 1; way >= 0; way--) {
      const known = this.#answers[home ^ way]!
      if (known === entry) return
      if (known === null) free = home ^ way
    }
    // An older answer to the question would be found before this one.
    const older = this.answer(asked, query)
    const slot = older !== null ? older.hotSlot : free !== -1 ? free : this.#giveAway(home)
    const pushed = this.#answers[slot]!
    if (pushed !== null) pushed.hotSlot = -1
    entry.hotSlot = slot
    this.#answers[slot] = entry
    this.#answerHashes[slot] = hash
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
    const { hash } = asked
    const hashes = this.#blockHashes
    const home = hash & SLOT_MASK
    for (let way = 0; way < WAYS; way++) {
      const slot = home ^ way
      if (hashes[slot] !== hash) continue
      const block = this.#blocks[slot]!
      if (block === null || block.stamp !== stamp) continue
      if (sameName(asked, block.octets, 0, block.octets.length)) return block
    }
    return null
  }

  /** Notes a verdict that `block` does not know; keeps it from the second time on. */
  noteBlock(
    asked: AskedName,
    matched: number,
    ruleStart: number,
    whole: boolean,
    stamp: string,
  ): void {
    const { hash } = asked
    const home = hash & SLOT_MASK
    if (!this.#wasSeen(hash)) return
    let slot = -1
    for (let way = WAYS - 1; way >= 0; way--) {
      const known = this.#blocks[home ^ way]!
      // Nobody asks for a verdict of another policy again.
      if (known === null || known.stamp !== stamp) slot = home ^ way
    }
    if (slot === -1) slot = this.#giveAway(home)
    this.#blocks[slot] = createBlock(asked, matched, ruleStart, whole, stamp)
    this.#blockHashes[slot] = hash
  }

  /** True when the hash was noted before; notes it. */
  #wasSeen(hash: number): boolean {
    const seen = this.#seen
    const home = hash & SLOT_MASK
    let free = -1
    for (let way = 0; way < WAYS; way++) {
      const known = seen[home ^ way]!
      if (known === hash) return true
      if (known === 0) free = home ^ way
    }
    seen[free !== -1 ? free : this.#giveAway(home)] = hash
    return false
  }

  /** One of the places of a hash, which are all taken: each in its turn. */
  #giveAway(home: number): number {
    this.#turn = (this.#turn + 1) & WAY_MASK
    return home ^ this.#turn
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
