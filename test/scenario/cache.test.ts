import { describe, expect, test } from 'vitest'
import {
  CACHE_EVICTIONS,
  CACHE_HIT,
  CACHE_LOOKUPS,
  CACHE_OCTETS,
} from '../../src/dataplane/counters.ts'
import { advanceClock } from '../support/clock.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askTcp, askUdp } from '../support/dns-client.ts'
import {
  nameError,
  noData,
  reply,
  startScriptedUpstream,
  truncated,
  type ReceivedQuery,
} from '../support/scripted-upstream.ts'
import { conforms } from '../conformance/conforms.ts'

function withTtl(ttl: number) {
  return (query: ReceivedQuery): Buffer =>
    reply(query, { answers: [{ name: query.name, type: 'A', ttl, data: '192.0.2.1' }] })
}

describe('an answer is kept', () => {
  test('for its TTL, which every client sees shrink', async () => {
    conforms('ttl', 'ghost-domains')
    const upstream = await startScriptedUpstream(withTtl(100))
    // A fetch before the end has its own tests; here it could be seen before or after a look.
    const server = await startDataplane({ upstreams: [upstream], cache: { prefetch: false } })
    const ttl = async (): Promise<number | undefined> =>
      (await askUdp(server, 'www.example')).answers[0]?.ttl
    expect(await ttl()).toBe(100)
    advanceClock(30_000)
    expect(await ttl()).toBe(70)
    advanceClock(69_000)
    expect(await ttl()).toBe(1)
    expect(upstream.queries).toHaveLength(1)
    advanceClock(1000)
    expect(await ttl()).toBe(100)
    expect(upstream.queries).toHaveLength(2)
  })

  test('and given to clients of both transports and any letter case', async () => {
    const upstream = await startScriptedUpstream(withTtl(100))
    const server = await startDataplane({ upstreams: [upstream] })
    await askUdp(server, 'www.example')
    const again = await askTcp(server, 'WWW.EXAMPLE', 'A', { id: 77, edns: {} })
    expect(again).toMatchObject({ id: 77, rcode: 'NOERROR' })
    expect(again.questions[0]?.name).toBe('WWW.EXAMPLE')
    expect(upstream.queries).toHaveLength(1)
    expect(server.count(CACHE_LOOKUPS + CACHE_HIT)).toBe(1)
  })

  test('by name and type: another type is asked anew', async () => {
    const upstream = await startScriptedUpstream(withTtl(100))
    const server = await startDataplane({ upstreams: [upstream] })
    await askUdp(server, 'www.example', 'A')
    await askUdp(server, 'www.example', 'TXT')
    await askUdp(server, 'ww.example', 'A')
    expect(upstream.queries).toHaveLength(3)
  })

  test.each([
    { what: 'NXDOMAIN', script: (query: ReceivedQuery) => nameError(query, 60), keptSeconds: 60 },
    { what: 'NODATA', script: (query: ReceivedQuery) => noData(query, 45), keptSeconds: 45 },
  ])('when it is $what, as long as its SOA says (RFC 2308 5)', async ({ script, keptSeconds }) => {
    conforms('negative')
    const upstream = await startScriptedUpstream(script)
    const server = await startDataplane({ upstreams: [upstream], cache: { prefetch: false } })
    const first = await askUdp(server, 'nothing.example')
    advanceClock((keptSeconds - 1) * 1000)
    const last = await askUdp(server, 'nothing.example')
    expect(last).toMatchObject({ rcode: first.rcode, answers: [] })
    expect(last.authorities[0]?.ttl).toBe(1)
    expect(upstream.queries).toHaveLength(1)
    advanceClock(1000)
    await askUdp(server, 'nothing.example')
    expect(upstream.queries).toHaveLength(2)
  })

  test('no longer than the configuration says', async () => {
    const upstream = await startScriptedUpstream((query) =>
      query.name.startsWith('no') ? nameError(query, 5000) : withTtl(5000)(query),
    )
    const cache = { ttlSecondsMax: 50, negativeTtlSecondsMax: 20 }
    const server = await startDataplane({ upstreams: [upstream], cache })
    expect((await askUdp(server, 'www.example')).answers[0]?.ttl).toBe(50)
    expect((await askUdp(server, 'no.example')).authorities[0]?.ttl).toBe(20)
    advanceClock(20_000)
    await askUdp(server, 'www.example')
    await askUdp(server, 'no.example')
    expect(upstream.queries.map(({ name }) => name)).toEqual([
      'www.example',
      'no.example',
      'no.example',
    ])
  })
})

describe('an answer is not kept', () => {
  test.each([
    { what: 'with TTL 0', script: withTtl(0) },
    { what: 'with the top bit of its TTL set', script: withTtl(0x80000000) },
    {
      what: 'that says NXDOMAIN without a SOA',
      script: (query: ReceivedQuery) => reply(query, { rcode: 'NXDOMAIN' }),
    },
    { what: 'that says NODATA without a SOA', script: (query: ReceivedQuery) => reply(query) },
  ])('$what', async ({ script }) => {
    const upstream = await startScriptedUpstream(script)
    const server = await startDataplane({ upstreams: [upstream] })
    await askUdp(server, 'www.example')
    await askUdp(server, 'www.example')
    expect(upstream.queries).toHaveLength(2)
  })

  test('that was truncated', async () => {
    const upstream = await startScriptedUpstream(truncated, { tcp: false })
    const forward = { tryTimeoutMs: 200, totalTimeoutMs: 400, triesMax: 1 }
    const server = await startDataplane({ upstreams: [upstream], forward })
    await askUdp(server, 'www.example')
    // The failure itself is kept for a second.
    advanceClock(1000)
    await askUdp(server, 'www.example')
    expect(upstream.queries.length).toBeGreaterThanOrEqual(2)
  })

  test('for a name that it brought along: only the question counts', async () => {
    conforms('bailiwick')
    const upstream = await startScriptedUpstream((query) =>
      reply(query, {
        answers: [
          { name: query.name, type: 'A', ttl: 300, data: '192.0.2.1' },
          { name: 'bank.example', type: 'A', ttl: 300, data: '192.0.2.66' },
        ],
        authorities: [{ name: 'com', type: 'NS', ttl: 300, data: 'ns.evil.example' }],
        additionals: [{ name: 'bank.example', type: 'A', ttl: 300, data: '192.0.2.66' }],
      }),
    )
    const server = await startDataplane({ upstreams: [upstream] })
    await askUdp(server, 'www.example')
    await askUdp(server, 'bank.example')
    await askUdp(server, 'com', 'NS')
    expect(upstream.queries).toHaveLength(3)
  })
})

test('the cache keeps within its octets, and hot names stay', async () => {
  conforms('cache-thrash')
  const upstream = await startScriptedUpstream(withTtl(300))
  const octetsMax = 100_000
  const server = await startDataplane({ upstreams: [upstream], cache: { octetsMax } })
  for (let index = 0; index < 400; index++) {
    await askUdp(server, `cold${index}.example`)
    await askUdp(server, 'hot.example')
    expect(server.count(CACHE_OCTETS)).toBeLessThanOrEqual(octetsMax)
  }
  expect(server.count(CACHE_EVICTIONS)).toBeGreaterThan(100)
  expect(upstream.countOf('hot.example')).toBe(1)
})
