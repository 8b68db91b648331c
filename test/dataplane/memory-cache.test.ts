import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CacheEntry } from '../../src/dataplane/cache/cache-entry.ts'
import { MemoryCache } from '../../src/dataplane/cache/memory-cache.ts'
import {
  CACHE_ENTRIES,
  CACHE_EVICTIONS,
  CACHE_OCTETS,
  createCounters,
  type Counters,
} from '../../src/dataplane/counters.ts'
import { entryFor, keyOf } from './entries.ts'

function makeCache(
  octetsMax: number,
  counters: Counters = createCounters(),
  onGone: (entry: CacheEntry) => void = () => {},
): MemoryCache {
  return new MemoryCache(octetsMax, counters, onGone)
}

describe('the memory cache', () => {
  test('keeps an entry until the very millisecond at which it expires', () => {
    const cache = makeCache(1_000_000)
    cache.set(keyOf('key'), entryFor('key', 100, 10, 5000))
    expect(cache.get(keyOf('key'), 5000)).toBeDefined()
    expect(cache.get(keyOf('key'), 14_999)).toBeDefined()
    expect(cache.get(keyOf('key'), 15_000)).toBeUndefined()
    expect(cache.entries).toBe(0)
  })

  test('never holds more octets than its limit, and counts whom it sends away', () => {
    const counters = createCounters()
    const cache = makeCache(50_000, counters)
    for (let index = 0; index < 500; index++) {
      cache.set(keyOf(`key${index}`), entryFor(`key${index}`, 100 + (index % 900), 300))
      // Asked for again: from the ring into the LRU.
      if (index % 2 === 0) cache.get(keyOf(`key${index}`), 0)
      expect(cache.octets).toBeLessThanOrEqual(50_000)
      expect(counters[CACHE_OCTETS]).toBe(cache.octets)
      expect(counters[CACHE_ENTRIES]).toBe(cache.entries)
    }
    expect(counters[CACHE_EVICTIONS]).toBe(500 - cache.entries)
    expect(cache.entries).toBeGreaterThan(20)
    // The one used last is there, the first is not.
    expect(cache.get(keyOf('key499'), 0)).toBeDefined()
    expect(cache.get(keyOf('key0'), 0)).toBeUndefined()
  })

  test('tells of every entry that leaves: sent away, expired or replaced', () => {
    const gone: CacheEntry[] = []
    const cache = makeCache(10_000, createCounters(), (entry) => gone.push(entry))
    cache.set(keyOf('key'), entryFor('key', 100, 1))
    const first = cache.get(keyOf('key'), 0)
    cache.set(keyOf('key'), entryFor('key', 101, 1))
    expect(gone).toEqual([first])
    const second = cache.get(keyOf('key'), 0)
    cache.get(keyOf('key'), 2000)
    expect(gone).toEqual([first, second])
    for (let index = 0; index < 50; index++) {
      cache.set(keyOf(`key${index}`), entryFor(`key${index}`, 1000, 300))
      cache.get(keyOf(`key${index}`), 0)
    }
    expect(gone).toHaveLength(2 + 50 - cache.entries)
  })

  test('an answer of the same size takes the place of the one before, and all that it says', () => {
    const gone: CacheEntry[] = []
    const cache = makeCache(10_000, createCounters(), (entry) => gone.push(entry))
    const names = Uint8Array.from([1, 0x61, 0])
    cache.set(keyOf('key'), entryFor('key', 100, 1, 0, { fill: 1, ttls: [40], names }))
    const first = cache.get(keyOf('key'), 0)!
    first.stamp = 'before'
    first.matched = 2
    first.bar = 1
    const later = entryFor('key', 100, 9, 500, { fill: 2, ttls: [50], names: names.fill(0) })
    later.stamp = 'after'
    cache.set(keyOf('key'), later)
    const found = cache.get(keyOf('key'), 2000)!
    expect(found).toBe(first)
    expect(gone).toEqual([])
    expect(found.message.subarray(0, 100)).toEqual(later.message.subarray(0, 100))
    expect([...found.ttlOffsets.subarray(0, 1), ...found.names]).toEqual([50, 0, 0, 0])
    expect([found.storedMs, found.expiresMs, found.refreshMs]).toEqual([500, 9500, 9500])
    expect([found.stamp, found.matched, found.bar]).toEqual(['after', 0, 0])
    expect(found.message).not.toBe(later.message)
  })

  test('keeps what is asked for again through a flood of names that are asked for once', () => {
    const cache = makeCache(400_000)
    for (let index = 0; index < 100; index++) {
      cache.set(keyOf(`hot${index}`), entryFor(`hot${index}`, 150, 300))
      cache.get(keyOf(`hot${index}`), 0)
    }
    for (let index = 0; index < 50_000; index++) {
      cache.set(keyOf(`n${index}`), entryFor(`n${index}`, 150, 300))
    }
    let kept = 0
    for (let index = 0; index < 100; index++) {
      if (cache.get(keyOf(`hot${index}`), 0) !== undefined) kept++
    }
    expect(kept).toBe(100)
    expect(cache.octets).toBeLessThanOrEqual(400_000)
  })

  test('does not keep an answer larger than itself', () => {
    const cache = makeCache(10_000)
    cache.set(keyOf('small'), entryFor('small', 100, 300))
    cache.set(keyOf('large'), entryFor('large', 20_000, 300))
    expect(cache.get(keyOf('large'), 0)).toBeUndefined()
    expect(cache.get(keyOf('small'), 0)).toBeDefined()
    expect(cache.octets).toBeLessThanOrEqual(10_000)
  })

  test('shows its size again when an entry has expired', () => {
    const counters = createCounters()
    const cache = makeCache(10_000, counters)
    cache.set(keyOf('key'), entryFor('key', 100, 1))
    cache.get(keyOf('key'), 2000)
    expect([counters[CACHE_ENTRIES], counters[CACHE_OCTETS]]).toEqual([0, 0])
  })

  test('replaces an entry under the same key', () => {
    const cache = makeCache(10_000)
    cache.set(keyOf('key'), entryFor('key', 100, 1))
    const before = cache.octets
    cache.set(keyOf('key'), entryFor('key', 100, 1))
    expect([cache.entries, cache.octets]).toEqual([1, before])
  })

  test('holds whatever it has not told of as gone, in whatever order names are asked and replaced', () => {
    const step = fc.tuple(fc.constantFrom('set', 'get'), fc.integer({ min: 0, max: 60 }))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const gone = new Set<string>()
        const kept = new Map<string, CacheEntry>()
        const cache = makeCache(200_000, createCounters(), (entry) => {
          for (const [label, one] of kept) if (one === entry) gone.add(label)
        })
        for (const [what, number] of steps) {
          const label = `n${number}`
          if (what === 'set') {
            cache.set(keyOf(label), entryFor(label, 100 + number, 300))
            kept.delete(label)
            gone.delete(label)
          }
          const found = cache.get(keyOf(label), 0)
          if (what === 'set') expect(found?.octets).toBe(100 + number)
          else if (kept.has(label) && !gone.has(label)) expect(found).toBe(kept.get(label))
          if (found !== undefined) kept.set(label, found)
        }
      }),
    )
  })
})
