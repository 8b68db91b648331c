/** The ring against a naive model, and what a worker writes into it. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { wipeObservedRing } from '../../src/controlplane/threads/observed-slots.ts'
import { readRecord } from '../../src/controlplane/observe/observed-record.ts'
import { RingReader } from '../../src/controlplane/observe/ring-reader.ts'
import { OUTCOME_BLOCKED, OUTCOME_FORWARDED, replyCodeOf } from '../../src/dataplane/counters.ts'
import { Client } from '../../src/dataplane/client.ts'
import { ObservedQueries, SLOW_MS } from '../../src/dataplane/observed-queries.ts'
import {
  ObservedRing,
  RECORD,
  RECORD_OCTETS,
  createObservedRing,
} from '../../src/dataplane/observed-ring.ts'
import { Waiter } from '../../src/dataplane/query.ts'
import { ParsedQuery } from '../../src/wire/query.ts'
import { nameToWire } from '../../src/controlplane/blocklist/name-text.ts'

type Step = { readonly write: number } | { readonly readBy: number }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ write: fc.integer({ min: 1, max: 12 }) }),
    fc.record({ readBy: fc.integer({ min: 0, max: 1 }) }),
  ),
  { maxLength: 60 },
)

/** A record that holds nothing but its own number. */
function recordOf(number: number): Uint8Array {
  const record = Buffer.alloc(RECORD_OCTETS)
  record.writeDoubleLE(number, RECORD.at)
  return record
}

test('each reader sees every record once, in order, but for those that were overwritten', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), steps, (records, all) => {
      const memory = createObservedRing(records)
      const ring = new ObservedRing(memory)
      const readers = [0, 1].map(() => ({ reader: new RingReader(memory), next: 0 }))
      let written = 0
      for (const step of all) {
        if ('write' in step) {
          for (let i = 0; i < step.write; i++) ring.write(recordOf(written++))
          continue
        }
        const place = readers[step.readBy]!
        const seen: number[] = []
        const missed = place.reader.take((record) => seen.push(record.readDoubleLE(RECORD.at)))
        const first = Math.max(place.next, written - records)
        expect(missed).toBe(first - place.next)
        expect(seen).toEqual(Array.from({ length: written - first }, (_, index) => first + index))
        place.next = written
      }
    }),
  )
})

test('a wiped ring holds nothing but zeros and takes nothing more', () => {
  const memory = createObservedRing(4)
  const ring = new ObservedRing(memory)
  for (let i = 0; i < 6; i++) ring.write(recordOf(i + 1))
  wipeObservedRing(memory)
  ring.write(recordOf(9))
  expect(new Uint8Array(memory).every((octet) => octet === 0)).toBe(true)
})

/** A query as the parser leaves it. */
function queryFor(name: string, type = 1): ParsedQuery {
  const wire = nameToWire(name)
  if (typeof wire === 'string') throw new Error(wire)
  const query = new ParsedQuery(Buffer.concat([Buffer.alloc(12), wire, Buffer.alloc(4)]))
  query.questionEnd = 12 + wire.length + 4
  query.type = type
  return query
}

function clientOf(...octets: number[]): Client {
  const client = new Client(0, octets.length === 4 ? 0 : 1)
  client.octets = Uint8Array.from(octets)
  client.addressOctets = octets.length
  return client
}

const BLOCKED = replyCodeOf(OUTCOME_BLOCKED, 3)

describe('what a worker notes', () => {
  test('of a blocked question: all but the last part of the address', () => {
    const ring = createObservedRing(8)
    const observed = new ObservedQueries(1)
    observed.begin({ kind: 'blocked', ring, remainingMs: 60_000 })
    const vpn = Buffer.from('vpn')
    observed.takeClient(clientOf(192, 0, 2, 77), performance.now())
    observed.noteBlocked(queryFor('A.VPN.example', 28), vpn, 'lyon', BLOCKED)
    const groups = [0x20, 0x01, 0xd, 0xb8, 0xab, 0xcd, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 0x99]
    observed.takeClient(clientOf(...groups), performance.now())
    observed.noteBlocked(queryFor('b.example'), vpn, 'default', BLOCKED)
    const seen: unknown[] = []
    new RingReader(ring).take((record) => seen.push(readRecord('blocked', record)))
    expect(seen).toMatchObject([
      { name: 'a.vpn.example', type: 28, category: 'vpn', site: 'lyon', client: '192.0.2.0/24' },
      { name: 'b.example', site: 'default', client: '2001:db8:abcd::/48', rcode: 'NXDOMAIN' },
    ])
    // Nowhere in the memory, not only not in what is shown.
    expect(Buffer.from(ring).includes(Buffer.from([192, 0, 2, 77]))).toBe(false)
    expect(Buffer.from(ring).includes(Buffer.from([0xab, 0xcd, 0x12]))).toBe(false)
  })

  test('of a slow question: the registrable domain, no client, no more than four labels', () => {
    const ring = createObservedRing(8)
    const observed = new ObservedQueries(1)
    observed.begin({ kind: 'slow', ring, remainingMs: 60_000 })
    const nowMs = performance.now()
    const code = replyCodeOf(OUTCOME_FORWARDED, 0)
    observed.takeClient(clientOf(192, 0, 2, 77), nowMs - SLOW_MS - 1)
    observed.noteSlow(queryFor('anna.phone.clinic.example.gouv.fr'), 'lyon', code, nowMs)
    observed.takeClient(clientOf(192, 0, 2, 77), nowMs - SLOW_MS + 1)
    observed.noteSlow(queryFor('quick.example'), 'lyon', code, nowMs)
    const seen: unknown[] = []
    new RingReader(ring).take((record) => seen.push(readRecord('slow', record)))
    expect(seen).toMatchObject([
      { name: 'example.gouv.fr', client: null, category: null, site: 'lyon', outcome: 'forwarded' },
    ])
    expect(Buffer.from(ring).includes('anna')).toBe(false)
    expect(Buffer.from(ring).includes('phone')).toBe(false)
    expect(Buffer.from(ring).includes(Buffer.from([192, 0, 2]))).toBe(false)
  })

  test('of a client that waits: its network, unless it waits since before the look', () => {
    const ring = createObservedRing(8)
    const [first, second] = [new ObservedQueries(1), new ObservedQueries(2)]
    const waiter = new Waiter()
    first.takeClient(clientOf(192, 0, 2, 77), 0)
    first.hold(waiter)
    for (const observed of [first, second]) {
      observed.begin({ kind: 'blocked', ring, remainingMs: 60_000 })
      observed.takeWaiter(waiter)
      observed.noteBlocked(queryFor('c.example'), Buffer.from('vpn'), 'default', BLOCKED)
    }
    const clients: unknown[] = []
    new RingReader(ring).take((record) => clients.push(readRecord('blocked', record).client))
    expect(clients).toEqual(['192.0.2.0/24', null])
  })

  test('nothing after its time, though nobody has told it to end', () => {
    const ring = createObservedRing(8)
    const observed = new ObservedQueries(1)
    observed.begin({ kind: 'blocked', ring, remainingMs: 0 })
    observed.takeClient(clientOf(192, 0, 2, 77), performance.now())
    observed.noteBlocked(queryFor('a.example'), Buffer.from('vpn'), 'default', BLOCKED)
    expect(new ObservedRing(ring).written).toBe(0)
  })
})
