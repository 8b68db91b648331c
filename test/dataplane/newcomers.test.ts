import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CacheEntry } from '../../src/dataplane/cache/cache-entry.ts'
import { Newcomers } from '../../src/dataplane/cache/newcomers.ts'
import { entryFor, keyOf } from './entries.ts'

/** What an entry says, its octets as they count. */
function saidBy(entry: CacheEntry | null): unknown {
  if (entry === null) return null
  const { octets, ttlCount, storedMs, expiresMs, refreshMs, nameOctets, type, keyFlags } = entry
  return {
    message: Buffer.from(entry.message.subarray(0, octets)).toString('hex'),
    ttls: [...entry.ttlOffsets.subarray(0, ttlCount)],
    names: Buffer.from(entry.names).toString('hex'),
    times: [storedMs, expiresMs, refreshMs],
    question: [nameOctets, type, keyFlags],
  }
}

describe('the ring of newcomers', () => {
  test('gives back what it was given, once', () => {
    const ring = new Newcomers(65_536)
    const names = Uint8Array.from([3, 0x66, 0x6f, 0x6f, 0])
    const entry = entryFor('www', 101, 300, 5000, { ttls: [40, 90], names })
    expect(ring.add(keyOf('www'), entry)).toBe(true)
    expect(ring.entries).toBe(1)
    expect(saidBy(ring.take(keyOf('www')))).toEqual(saidBy(entry))
    expect(ring.take(keyOf('www'))).toBeNull()
    expect(ring.entries).toBe(0)
  })

  test('keeps octets of its own', () => {
    const ring = new Newcomers(65_536)
    const entry = entryFor('www', 100, 300)
    ring.add(keyOf('www'), entry)
    const before = saidBy(entry)
    entry.message.fill(9)
    const taken = ring.take(keyOf('www'))
    for (let index = 0; index < 500; index++)
      ring.add(keyOf(`n${index}`), entryFor(`n${index}`, 200, 60))
    expect(saidBy(taken)).toEqual(before)
  })

  test('lets the oldest go first, and counts whom nobody asked for again', () => {
    const ring = new Newcomers(8192)
    for (let index = 0; index < 200; index++)
      ring.add(keyOf(`n${index}`), entryFor(`n${index}`, 150, 60))
    expect(ring.entries + ring.evictions).toBeLessThanOrEqual(200)
    expect(ring.octets).toBeLessThanOrEqual(8192)
    expect(ring.take(keyOf('n0'))).toBeNull()
    expect(ring.take(keyOf('n199'))).not.toBeNull()
  })

  test('does not keep what would fill an eighth of it', () => {
    const ring = new Newcomers(8192)
    expect(ring.add(keyOf('large'), entryFor('large', 2000, 60))).toBe(false)
    expect(ring.entries).toBe(0)
  })

  test('forgets what is removed', () => {
    const ring = new Newcomers(8192)
    ring.add(keyOf('www'), entryFor('www', 100, 60))
    ring.remove(keyOf('www'))
    ring.remove(keyOf('other'))
    expect(ring.take(keyOf('www'))).toBeNull()
    expect(ring.entries).toBe(0)
  })

  test('never gives anything but the newest answer to that very question', () => {
    const step = fc.record({
      label: fc.integer({ min: 0, max: 60 }).map((n) => `n${n}`),
      octets: fc.integer({ min: 30, max: 600 }),
      fill: fc.integer({ min: 0, max: 255 }),
      isAdd: fc.boolean(),
    })
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 400 }),
        fc.integer({ min: 64, max: 9000 }),
        (steps, size) => {
          const ring = new Newcomers(size)
          const model = new Map<string, unknown>()
          for (const { label, octets, fill, isAdd } of steps) {
            if (isAdd) {
              const entry = entryFor(label, octets, 60, octets, { fill, ttls: [fill] })
              // What is refused leaves the one before in place: the cache removes it.
              if (ring.add(keyOf(label), entry)) model.set(label, saidBy(entry))
            } else {
              const taken = ring.take(keyOf(label))
              if (taken !== null) expect(saidBy(taken)).toEqual(model.get(label))
              model.delete(label)
            }
            expect(ring.entries).toBeLessThanOrEqual(model.size)
          }
        },
      ),
    )
  })

  test('finds nearly all that it has room for', () => {
    const ring = new Newcomers(1_000_000)
    for (let index = 0; index < 4000; index++)
      ring.add(keyOf(`n${index}`), entryFor(`n${index}`, 120, 60))
    let found = 0
    for (let index = 0; index < 4000; index++) if (ring.take(keyOf(`n${index}`)) !== null) found++
    expect(found).toBeGreaterThan(3960)
  })
})
