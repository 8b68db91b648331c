import { describe, expect, test } from 'vitest'
import { CacheEntry, MemoryCache } from '../../src/dataplane/cache/memory-cache.ts'
import {
  CACHE_ENTRIES,
  CACHE_EVICTIONS,
  CACHE_OCTETS,
  createCounters,
} from '../../src/dataplane/counters.ts'
import { AnswerFacts } from '../../src/wire/answer.ts'

function entryOf(octets: number, ttlSeconds: number, nowMs = 0): CacheEntry {
  const facts = new AnswerFacts()
  facts.octets = octets
  facts.ttlSeconds = ttlSeconds
  return new CacheEntry(new Uint8Array(octets + 100).fill(7), facts, nowMs)
}

describe('the memory cache', () => {
  test('keeps an entry until the very millisecond at which it expires', () => {
    const cache = new MemoryCache(1_000_000, createCounters())
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
    const entry = new CacheEntry(message, facts, 0)
    message.fill(9)
    expect(entry.message).toEqual(new Uint8Array(200).fill(1))
    expect(entry.message.buffer.byteLength).toBe(200)
    expect(entry.ttlOffsets).toHaveLength(2)
    expect(entry.ttlOffsets.buffer.byteLength).toBe(4)
  })

  test('never holds more octets than its limit, and counts whom it sends away', () => {
    const counters = createCounters()
    const cache = new MemoryCache(50_000, counters)
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

  test('does not keep an answer larger than itself', () => {
    const cache = new MemoryCache(10_000, createCounters())
    cache.set('small', entryOf(100, 300))
    cache.set('large', entryOf(20_000, 300))
    expect(cache.get('large', 0)).toBeUndefined()
    expect(cache.get('small', 0)).toBeDefined()
    expect(cache.octets).toBeLessThanOrEqual(10_000)
  })

  test('shows its size again when an entry has expired', () => {
    const counters = createCounters()
    const cache = new MemoryCache(10_000, counters)
    cache.set('key', entryOf(100, 1))
    cache.get('key', 2000)
    expect([counters[CACHE_ENTRIES], counters[CACHE_OCTETS]]).toEqual([0, 0])
  })

  test('replaces an entry under the same key', () => {
    const cache = new MemoryCache(10_000, createCounters())
    cache.set('key', entryOf(100, 1))
    const before = cache.octets
    cache.set('key', entryOf(100, 1))
    expect([cache.entries, cache.octets]).toEqual([1, before])
  })
})
