import { describe, expect, test } from 'vitest'
import { CacheEntry, MemoryCache } from '../../src/dataplane/cache/memory-cache.ts'
import {
  CACHE_ENTRIES,
  CACHE_EVICTIONS,
  CACHE_OCTETS,
  createCounters,
  type Counters,
} from '../../src/dataplane/counters.ts'
import { HEADER_OCTETS } from '../../src/wire/header.ts'
import { AnswerFacts } from '../../src/wire/answer.ts'

/** The root, type A: the smallest question. */
const QUESTION = {
  message: new Uint8Array(32),
  questionEnd: HEADER_OCTETS + 5,
  type: 1,
  keyFlags: 0,
}

function makeCache(
  octetsMax: number,
  counters: Counters = createCounters(),
  onGone: (entry: CacheEntry) => void = () => {},
): MemoryCache {
  return new MemoryCache(octetsMax, counters, onGone)
}

function entryOf(octets: number, ttlSeconds: number, nowMs = 0): CacheEntry {
  const facts = new AnswerFacts()
  facts.octets = octets
  facts.ttlSeconds = ttlSeconds
  return new CacheEntry(new Uint8Array(octets + 100).fill(7), facts, QUESTION, nowMs)
}

describe('the memory cache', () => {
  test('keeps an entry until the very millisecond at which it expires', () => {
    const cache = makeCache(1_000_000)
    cache.set('key', entryOf(100, 10, 5000))
    expect(cache.get('key', 5000)).toBeDefined()
    expect(cache.get('key', 14_999)).toBeDefined()
    expect(cache.get('key', 15_000)).toBeUndefined()
    expect(cache.entries).toBe(0)
  })

  test('keeps its own copy of the octets that count, and no more', () => {
    const message = new Uint8Array(65_535).fill(1)
    const facts = new AnswerFacts()
    facts.octets = 200
    facts.ttlCount = 2
    const entry = new CacheEntry(message, facts, QUESTION, 0)
    message.fill(9)
    expect(entry.message.subarray(HEADER_OCTETS + 5)).toEqual(new Uint8Array(200 - 17).fill(1))
    expect(entry.message.buffer.byteLength).toBe(200)
    expect(entry.ttlOffsets).toHaveLength(2)
    expect(entry.ttlOffsets.buffer.byteLength).toBe(4)
  })

  test('never holds more octets than its limit, and counts whom it sends away', () => {
    const counters = createCounters()
    const cache = makeCache(50_000, counters)
    for (let index = 0; index < 500; index++) {
      cache.set(`key${index}`, entryOf(100 + (index % 900), 300))
      expect(cache.octets).toBeLessThanOrEqual(50_000)
      expect(counters[CACHE_OCTETS]).toBe(cache.octets)
      expect(counters[CACHE_ENTRIES]).toBe(cache.entries)
    }
    expect(counters[CACHE_EVICTIONS]).toBe(500 - cache.entries)
    expect(cache.entries).toBeGreaterThan(20)
    // The one used last is there, the first is not.
    expect(cache.get('key499', 0)).toBeDefined()
    expect(cache.get('key0', 0)).toBeUndefined()
  })

  test('tells of every entry that leaves: sent away, expired or replaced', () => {
    const gone: CacheEntry[] = []
    const cache = makeCache(10_000, createCounters(), (entry) => gone.push(entry))
    const first = entryOf(100, 1)
    const second = entryOf(100, 1)
    cache.set('key', first)
    cache.set('key', second)
    expect(gone).toEqual([first])
    cache.get('key', 2000)
    expect(gone).toEqual([first, second])
    for (let index = 0; index < 50; index++) cache.set(`key${index}`, entryOf(1000, 300))
    expect(gone).toHaveLength(2 + 50 - cache.entries)
  })

  test('does not keep an answer larger than itself', () => {
    const cache = makeCache(10_000)
    cache.set('small', entryOf(100, 300))
    cache.set('large', entryOf(20_000, 300))
    expect(cache.get('large', 0)).toBeUndefined()
    expect(cache.get('small', 0)).toBeDefined()
    expect(cache.octets).toBeLessThanOrEqual(10_000)
  })

  test('shows its size again when an entry has expired', () => {
    const counters = createCounters()
    const cache = makeCache(10_000, counters)
    cache.set('key', entryOf(100, 1))
    cache.get('key', 2000)
    expect([counters[CACHE_ENTRIES], counters[CACHE_OCTETS]]).toEqual([0, 0])
  })

  test('replaces an entry under the same key', () => {
    const cache = makeCache(10_000)
    cache.set('key', entryOf(100, 1))
    const before = cache.octets
    cache.set('key', entryOf(100, 1))
    expect([cache.entries, cache.octets]).toEqual([1, before])
  })
})
