/**
 * Answers and their verdicts in this worker's memory: `lru-cache` bounded in octets. An entry keeps
 * the names that its answer led through, so that after a change of policy the verdict is derived
 * again locally, without asking upstream.
 */
import { LRUCache } from 'lru-cache'
import { HEADER_OCTETS } from '../../wire/header.ts'
import { QUESTION_FIXED_OCTETS } from '../../wire/query.ts'
import type { AnswerFacts } from '../../wire/answer.ts'
import type { StoredAnswer } from '../../wire/reply.ts'
import { CACHE_ENTRIES, CACHE_EVICTIONS, CACHE_OCTETS, type Counters } from '../counters.ts'

/**
 * What an entry costs besides its octets: object, two views, key string, cells of the LRU
 * (measured).
 */
const ENTRY_OVERHEAD_OCTETS = 640
/** Entries of the smallest useful size that fit the limit decide how long the LRU's arrays are. */
const ENTRY_OCTETS_MIN = ENTRY_OVERHEAD_OCTETS + 60

/** Share of its life after which an answer that is still asked for is fetched again. */
const PREFETCH_SHARE = 0.9
/** Answers of shorter life are not worth a question before their time. */
const PREFETCH_LIFE_MS_MIN = 10_000

/** One answer with its verdict. */
export class CacheEntry implements StoredAnswer {
  readonly message: Uint8Array
  readonly octets: number
  readonly ttlOffsets: Uint16Array
  readonly ttlCount: number
  /** Targets that the answer led through: wire names, lower case, one after another. */
  readonly names: Uint8Array
  readonly storedMs: number
  /** Until then it is an answer; afterwards it is stale, and still kept for a while. */
  readonly expiresMs: number
  /** From then on a hit asks anew: late in its life, or some time after the last such question. */
  refreshMs: number
  /** Policy stamp under which `matched` and `bar` hold. */
  stamp = ''
  /** Categories, as bits, that cover something that the answer leads to. */
  matched = 0
  /** Why nobody may have the answer, or 0. */
  bar = 0
  /** The question, to be told from others: octets of its name, type, DO and CD. */
  readonly nameOctets: number
  readonly type: number
  readonly keyFlags: number
  /** Place in the hot table, or -1; hits there since the LRU was told. */
  hotSlot = -1
  hotHits = 0

  /** @param asked the pending question, whose octets are lower case; the upstream's may not be. */
  constructor(message: Uint8Array, facts: AnswerFacts, asked: AskedQuestion, nowMs: number) {
    const octets = facts.octets
    this.message = Uint8Array.prototype.slice.call(message, 0, octets)
    for (let at = HEADER_OCTETS; at < asked.questionEnd; at++) {
      this.message[at] = asked.message[at]!
    }
    this.nameOctets = asked.questionEnd - HEADER_OCTETS - QUESTION_FIXED_OCTETS
    this.type = asked.type
    this.keyFlags = asked.keyFlags
    this.octets = octets
    this.ttlOffsets = facts.ttlOffsets.slice(0, facts.ttlCount)
    this.ttlCount = facts.ttlCount
    this.names = facts.namesOctets === 0 ? NO_NAMES : facts.names.slice(0, facts.namesOctets)
    this.storedMs = nowMs
    const lifeMs = facts.ttlSeconds * 1000
    this.expiresMs = nowMs + lifeMs
    this.refreshMs = nowMs + (lifeMs < PREFETCH_LIFE_MS_MIN ? lifeMs : lifeMs * PREFETCH_SHARE)
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

const NO_NAMES = new Uint8Array(0)

/** What an entry needs to know of the question that it answers. */
export interface AskedQuestion {
  readonly message: Uint8Array
  readonly questionEnd: number
  readonly type: number
  readonly keyFlags: number
}

/** The memory tier. Keys are those of `AskedName.key`. */
export class MemoryCache {
  readonly #entries: LRUCache<string, CacheEntry>
  readonly #counters: Counters
  /** How long an entry is kept past its expiry (RFC 8767). */
  staleMs = 0

  /**
   * @param octetsMax limit of answers, keys and their bookkeeping.
   * @param onGone told of every entry that leaves.
   */
  constructor(octetsMax: number, counters: Counters, onGone: (entry: CacheEntry) => void) {
    this.#counters = counters
    this.#entries = new LRUCache<string, CacheEntry>({
      max: Math.max(1, Math.ceil(octetsMax / ENTRY_OCTETS_MIN)),
      maxSize: octetsMax,
      dispose: (entry, _key, reason) => {
        onGone(entry)
        if (reason === 'evict') counters[CACHE_EVICTIONS] = counters[CACHE_EVICTIONS]! + 1
      },
    })
  }

  get entries(): number {
    return this.#entries.size
  }

  get octets(): number {
    return this.#entries.calculatedSize
  }

  /**
   * Returns the entry as long as it is kept, or undefined; from `expiresMs` on it is stale.
   *
   * @param nowMs the monotonic clock.
   */
  get(key: string, nowMs: number): CacheEntry | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (nowMs < entry.expiresMs + this.staleMs) return entry
    this.#entries.delete(key)
    this.#showSize()
    return undefined
  }

  /** Keeps a copy of the answer for the seconds that its facts allow. */
  set(key: string, entry: CacheEntry): void {
    const octets = entry.octets + entry.ttlCount * 2 + entry.names.length
    this.#entries.set(key, entry, { size: octets + key.length + ENTRY_OVERHEAD_OCTETS })
    this.#showSize()
  }

  #showSize(): void {
    this.#counters[CACHE_ENTRIES] = this.entries
    this.#counters[CACHE_OCTETS] = this.octets
  }
}

/** Makes a worker's memory tier; what leaves it leaves the hot table too. */
export function createCache(
  settings: { readonly cache: { readonly octetsMax: number } },
  counters: Counters,
  hot: { forget(entry: CacheEntry): void },
): MemoryCache {
  return new MemoryCache(settings.cache.octetsMax, counters, (entry) => hot.forget(entry))
}
