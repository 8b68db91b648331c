/**
 * Answers and their verdicts in this worker's memory, bounded in octets: `lru-cache` for what is
 * asked for again and again, and before it a ring for what was asked for once.
 */
import { LRUCache } from 'lru-cache'
import type { CacheEntry } from './cache-entry.ts'
import { Newcomers } from './newcomers.ts'
import { CACHE_ENTRIES, CACHE_EVICTIONS, CACHE_OCTETS, type Counters } from '../counters.ts'
import type { QuestionKey } from '../question-key.ts'

/**
 * What an entry costs besides its octets in resident memory: object, buffer, two views, key string,
 * cells of the LRU, and the engine's garbage in proportion (`npm run bench:memory`).
 */
const ENTRY_OVERHEAD_OCTETS = 1024
/** The ring's share of the limit, its index included, is one in this many. */
const RING_SHARE = 4
/** What the ring's index adds to its octets, at most. */
const INDEX_SHARE = 1.25
/** Places of the filter before the LRU, a power of two: several for each entry that it holds. */
const FILTER_PLACES = 1 << 18
const FILTER_MASK = FILTER_PLACES - 1
/** A place that has counted so far counts no more, and lets everything pass from then on. */
const FILTER_FULL = 0xff

/** The memory tier. */
export class MemoryCache {
  readonly #newcomers: Newcomers
  readonly #entries: LRUCache<string, CacheEntry>
  /**
   * By hash: how many entries of the LRU have it. Most names are new; for them nobody asks the LRU,
   * whose look-up is one of a string in a Map.
   */
  readonly #filter = new Uint8Array(FILTER_PLACES)
  readonly #counters: Counters
  /** How long an entry is kept past its expiry (RFC 8767). */
  staleMs = 0

  /**
   * @param octetsMax limit of answers, keys and their bookkeeping.
   * @param onGone told of every entry that leaves.
   */
  constructor(octetsMax: number, counters: Counters, onGone: (entry: CacheEntry) => void) {
    this.#counters = counters
    const ringOctets = Math.floor(octetsMax / RING_SHARE)
    this.#newcomers = new Newcomers(Math.floor(ringOctets / INDEX_SHARE))
    const lruOctets = octetsMax - ringOctets
    // No `max`: each entry counts its overhead, and arrays as long as that take 10 ms to make.
    this.#entries = new LRUCache<string, CacheEntry>({
      maxSize: lruOctets,
      dispose: (entry, _text, reason) => {
        this.#count(entry.hash, -1)
        onGone(entry)
        if (reason === 'evict') counters[CACHE_EVICTIONS] = counters[CACHE_EVICTIONS]! + 1
      },
    })
  }

  get entries(): number {
    return this.#entries.size + this.#newcomers.entries
  }

  get octets(): number {
    return this.#entries.calculatedSize + this.#newcomers.octets
  }

  /**
   * Returns the entry as long as it is kept, or undefined; from `expiresMs` on it is stale. Who is
   * asked for the second time moves from the ring to the LRU.
   *
   * @param nowMs the monotonic clock.
   */
  get(key: QuestionKey, nowMs: number): CacheEntry | undefined {
    const entry = this.#mayHold(key) ? this.#entries.get(key.text) : undefined
    if (entry === undefined) return this.#promote(key, nowMs)
    if (nowMs < entry.expiresMs + this.staleMs) return entry
    this.#entries.delete(key.text)
    this.#showSize()
    return undefined
  }

  /**
   * Keeps a copy of the answer for the seconds that its facts allow. What is fetched again and
   * again mostly comes in the size that it had, and takes the place of the one before.
   */
  set(key: QuestionKey, entry: CacheEntry): void {
    const known = this.#mayHold(key) ? this.#entries.get(key.text) : undefined
    if (known?.renew(entry) === true) return
    if (known !== undefined || !this.#newcomers.add(key, entry)) {
      this.#newcomers.remove(key)
      this.#keep(key, entry.kept())
    }
    this.#showSize()
  }

  #promote(key: QuestionKey, nowMs: number): CacheEntry | undefined {
    const entry = this.#newcomers.take(key)
    if (entry === null) return undefined
    const isKept = nowMs < entry.expiresMs + this.staleMs
    if (isKept) this.#keep(key, entry)
    this.#showSize()
    return isKept ? entry : undefined
  }

  #keep(key: QuestionKey, entry: CacheEntry): void {
    const octets = entry.octets + entry.ttlCount * 2 + entry.names.length
    const { hash, text } = key
    entry.hash = hash
    this.#count(hash, 1)
    this.#entries.set(text, entry, { size: octets + text.length + ENTRY_OVERHEAD_OCTETS })
  }

  #mayHold(key: QuestionKey): boolean {
    return this.#filter[key.hash & FILTER_MASK] !== 0
  }

  #count(hash: number, change: number): void {
    const place = hash & FILTER_MASK
    const before = this.#filter[place]!
    if (before !== FILTER_FULL) this.#filter[place] = before + change
  }

  #showSize(): void {
    this.#counters[CACHE_ENTRIES] = this.entries
    this.#counters[CACHE_OCTETS] = this.octets
    const evictions = this.#newcomers.evictions
    if (evictions === 0) return
    this.#newcomers.evictions = 0
    this.#counters[CACHE_EVICTIONS] = this.#counters[CACHE_EVICTIONS]! + evictions
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
