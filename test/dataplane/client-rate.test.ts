import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Client } from '../../src/dataplane/client.ts'
import { FAMILY_IPV4, PROTO_UDP } from '../../src/dataplane/counters.ts'
import type { RateSettings } from '../../src/dataplane/settings.ts'
import { ClientRate, RateTable } from '../../src/dataplane/transport/client-rate.ts'

const SETTINGS: RateSettings = {
  clientQueriesPerSecond: 10,
  clientBurst: 3,
  prefixQueriesPerSecond: 0,
  prefixBurst: 1,
  ipv4ClientBits: 32,
  ipv6ClientBits: 64,
  ipv4PrefixBits: 24,
  ipv6PrefixBits: 56,
  slip: 1,
  clientsMax: 64,
  exemptFrom: [],
}

/** A bucket that counts its tokens, and fills by the time that went by. */
class NaiveBucket {
  #tokens: number
  #lastMs = 0
  readonly #burst: number
  readonly #intervalMs: number

  constructor(burst: number, intervalMs: number) {
    this.#tokens = burst
    this.#burst = burst
    this.#intervalMs = intervalMs
  }

  take(nowMs: number): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#lastMs) / this.#intervalMs)
    this.#lastMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}

function client(last: number): Client {
  const made = new Client(PROTO_UDP, FAMILY_IPV4)
  made.octets = Uint8Array.of(192, 0, 2, last)
  made.addressOctets = 4
  made.key = last
  return made
}

test('a bucket gives what a bucket that counts tokens gives, in whole intervals', () => {
  const step = fc.record({ key: fc.nat(3), pause: fc.nat(5) })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.array(step, { maxLength: 200 }),
      (burst, steps) => {
        const table = new RateTable(64)
        const models = Array.from({ length: 4 }, () => new NaiveBucket(burst, 8))
        let nowMs = 0
        for (const { key, pause } of steps) {
          nowMs += pause * 8
          expect(table.take(key, 8, burst, nowMs)).toBe(models[key]!.take(nowMs))
        }
      },
    ),
  )
})

test('in the long run a client gets its rate, however fast it asks', () => {
  const table = new RateTable(64)
  let taken = 0
  for (let nowMs = 0; nowMs < 10_000; nowMs += 0.25) {
    if (table.take(7, 10, 20, nowMs)) taken++
  }
  expect(taken).toBeGreaterThanOrEqual(1000)
  expect(taken).toBeLessThanOrEqual(1000 + 21)
})

test('a full table forgets who asks least, never who asks most', () => {
  const table = new RateTable(4)
  for (let index = 0; index < 100; index++) table.take(-1, 1000, 100, 0)
  expect(table.take(-1, 1000, 100, 0)).toBe(false)
  for (let key = 0; key < 10_000; key++) table.take(key, 1000, 100, 1)
  expect(table.take(-1, 1000, 100, 2)).toBe(false)
})

test('clients have a bucket each, proven or not, and a site its own rate', () => {
  const sites = [{ rate: { ...SETTINGS, clientQueriesPerSecond: 0 } }]
  const rate = new ClientRate({ rate: SETTINGS, sites })
  const over = (who: Client, isProven = false): boolean =>
    [0, 0, 0, 0].map(() => rate.isOver(who, isProven, 0)).at(-1)!
  expect(over(client(1))).toBe(true)
  expect(rate.isOver(client(1), true, 0)).toBe(false)
  expect(over(client(1), true)).toBe(true)
  expect(rate.isOver(client(2), false, 0)).toBe(false)
  const exempt = client(1)
  exempt.unlimited = true
  expect(over(exempt)).toBe(false)
  const elsewhere = client(1)
  elsewhere.site = 1
  expect(over(elsewhere)).toBe(false)
  expect(rate.isOver(client(1), false, 100)).toBe(false)
  expect(rate.isOver(client(1), false, 100)).toBe(true)
})

test('all clients of a prefix share one more bucket', () => {
  const limits = { clientQueriesPerSecond: 0, prefixQueriesPerSecond: 10, prefixBurst: 5 }
  const rate = new ClientRate({ rate: { ...SETTINGS, ...limits }, sites: [] })
  const outcomes = [1, 2, 3, 4, 5, 6, 7].map((last) => rate.isOver(client(last), false, 0))
  expect(outcomes).toEqual([false, false, false, false, false, true, true])
  const other = client(1)
  other.octets = Uint8Array.of(192, 0, 3, 1)
  expect(rate.isOver(other, false, 0)).toBe(false)
})

test.each([
  { slip: 0, due: [false, false, false, false] },
  { slip: 1, due: [true, true, true, true] },
  { slip: 2, due: [false, true, false, true] },
])('slip $slip: $due', ({ slip, due }) => {
  const rate = new ClientRate({ rate: { ...SETTINGS, slip }, sites: [] })
  expect(due.map(() => rate.isSlipDue())).toEqual(due)
})
