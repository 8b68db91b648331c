import { describe, expect, test } from 'vitest'
import {
  CACHE_EXPIRED,
  CACHE_LOOKUPS,
  LIMITED,
  LIMIT_CLIENT,
  OUTCOME_STALE,
  PREFETCHED,
  responseSlot,
} from '../../src/dataplane/counters.ts'
import { conforms } from '../conformance/conforms.ts'
import { advanceClock } from '../support/clock.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askTcp, askUdp, openTcp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { decodeMessage, encodeQuery } from '../support/messages.ts'
import {
  answerAddresses,
  nameError,
  noData,
  reply,
  silence,
  startScriptedUpstream,
  type ReceivedQuery,
} from '../support/scripted-upstream.ts'

const QUICK = { tryTimeoutMs: 80, totalTimeoutMs: 400, triesMax: 3 }
/** No second try, however busy the machine. */
const PATIENT = { tryTimeoutMs: 20_000, totalTimeoutMs: 20_000, triesMax: 1 }
const EDNS = { edns: {} }

function withTtl(ttl: number, data = '192.0.2.1') {
  return (query: ReceivedQuery): Buffer =>
    reply(query, { answers: [{ name: query.name, type: 'A', ttl, data }] })
}

function withAlias(ttl: number) {
  return (query: ReceivedQuery): Buffer =>
    reply(query, {
      answers: [
        { name: query.name, type: 'CNAME', ttl, data: 'tracker.example' },
        { name: 'tracker.example', type: 'A', ttl, data: '192.0.2.1' },
      ],
    })
}

function staleReplies(server: Dataplane, rcode = 0): number {
  return server.count(responseSlot(OUTCOME_STALE, rcode))
}

describe('a stale answer (RFC 8767)', () => {
  test('is given when no upstream answers, with TTL 30 and EDE 3', async () => {
    conforms('stale', 'ede')
    const upstream = await startScriptedUpstream(withTtl(60))
    const server = await startDataplane({ upstreams: [upstream], forward: QUICK })
    await askUdp(server, 'www.example')
    upstream.follow(silence)
    advanceClock(61_000)
    const stale = await askUdp(server, 'www.example', 'A', EDNS)
    expect(stale).toMatchObject({ rcode: 'NOERROR', ede: { code: 3 } })
    expect(stale.answers).toMatchObject([{ data: '192.0.2.1', ttl: 30 }])
    expect(upstream.queries).toHaveLength(4)
    expect(staleReplies(server)).toBe(1)
    expect(server.count(CACHE_LOOKUPS + CACHE_EXPIRED)).toBe(1)
    const untold = await askTcp(server, 'www.example')
    expect(untold).toMatchObject({ rcode: 'NOERROR', edns: undefined })
  })

  test('is given at once for 30 s after the upstreams failed, then they are asked again', async () => {
    conforms('stale', 'failure-cache')
    const upstream = await startScriptedUpstream(withTtl(60))
    const server = await startDataplane({ upstreams: [upstream], forward: QUICK })
    await askUdp(server, 'www.example')
    upstream.follow(silence)
    advanceClock(61_000)
    await askUdp(server, 'www.example')
    const tried = upstream.queries.length
    for (let index = 0; index < 20; index++) await askUdp(server, 'www.example')
    expect(upstream.queries).toHaveLength(tried)
    advanceClock(31_000)
    upstream.follow(withTtl(60, '192.0.2.2'))
    expect((await askUdp(server, 'www.example')).answers).toMatchObject([
      { data: '192.0.2.2', ttl: 60 },
    ])
    expect(staleReplies(server)).toBe(21)
  })

  test('is given after 1.8 s to who waits, while the question goes on as a refresh', async () => {
    conforms('stale')
    const gate = new Gate()
    const upstream = await startScriptedUpstream(withTtl(60))
    const cache = { staleWaitMs: 100 }
    const server = await startDataplane({ upstreams: [upstream], cache, forward: PATIENT })
    await askUdp(server, 'www.example')
    upstream.follow(async (query) => {
      await gate.opened
      return withTtl(60, '192.0.2.2')(query)
    })
    advanceClock(61_000)
    const waited = await askUdp(server, 'www.example', 'A', EDNS)
    expect(waited).toMatchObject({ ede: { code: 3 }, answers: [{ data: '192.0.2.1' }] })
    // Who comes now has not to wait again.
    expect(await askUdp(server, 'www.example')).toMatchObject({ answers: [{ data: '192.0.2.1' }] })
    expect(upstream.queries).toHaveLength(2)
    gate.open()
    await server.until(() => server.balance().inFlight === 0)
    await expect
      .poll(async () => (await askUdp(server, 'www.example')).answers[0]?.data)
      .toBe('192.0.2.2')
    expect(upstream.queries).toHaveLength(2)
  })

  test('and a refresh that fails lets no name pass that was blocked meanwhile', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(withTtl(60))
    const server = await startDataplane({
      rules: { adult: ['nothing.example'] },
      upstreams: [upstream],
    })
    // Asked often enough to be found by one hash.
    for (let times = 0; times < 4; times++) await askUdp(server, 'www.example')
    upstream.follow(async (query) => {
      await gate.opened
      return reply(query, { rcode: 'SERVFAIL' })
    })
    advanceClock(58_000)
    expect((await askUdp(server, 'www.example')).answers).toHaveLength(1)
    await upstream.query(2)
    server.reload({ rules: { adult: ['www.example'] } })
    gate.open()
    await server.until(() => server.balance().inFlight === 0)
    for (let times = 0; times < 4; times++) {
      expect(await askUdp(server, 'www.example', 'A', EDNS)).toMatchObject({
        answers: [],
        ede: { code: 15 },
      })
    }
  })

  test('is not given where a fresh one comes in time', async () => {
    const upstream = await startScriptedUpstream(withTtl(60))
    const server = await startDataplane({ upstreams: [upstream] })
    await askUdp(server, 'www.example')
    advanceClock(61_000)
    upstream.follow(withTtl(60, '192.0.2.2'))
    expect((await askUdp(server, 'www.example')).answers[0]?.data).toBe('192.0.2.2')
    expect(staleReplies(server)).toBe(0)
  })

  test('is given at once where the operator lets nobody wait', async () => {
    const upstream = await startScriptedUpstream(withTtl(60))
    const server = await startDataplane({ upstreams: [upstream], cache: { staleWaitMs: 0 } })
    await askUdp(server, 'www.example')
    advanceClock(61_000)
    upstream.follow(withTtl(60, '192.0.2.2'))
    expect((await askUdp(server, 'www.example')).answers[0]?.data).toBe('192.0.2.1')
    await upstream.query(2)
    await expect
      .poll(async () => (await askUdp(server, 'www.example')).answers[0]?.data)
      .toBe('192.0.2.2')
    expect(upstream.queries).toHaveLength(2)
  })

  test('is given at once to who is past a limit of what may wait', async () => {
    conforms('stale', 'ede')
    const upstream = await startScriptedUpstream(withTtl(60))
    const limits = { pendingPerClientMax: 1 }
    const server = await startDataplane({ upstreams: [upstream], limits, forward: PATIENT })
    await askUdp(server, 'www.example')
    const gate = new Gate()
    upstream.follow(async (query) => {
      await gate.opened
      return withTtl(60)(query)
    })
    advanceClock(61_000)
    const waits = askUdp(server, 'other.example')
    await upstream.query(2)
    const stale = await askUdp(server, 'www.example', 'A', EDNS)
    expect(stale).toMatchObject({ rcode: 'NOERROR', ede: { code: 3 } })
    expect(stale.answers).toMatchObject([{ data: '192.0.2.1', ttl: 30 }])
    expect(staleReplies(server)).toBe(1)
    expect(server.count(LIMITED + LIMIT_CLIENT)).toBe(1)
    gate.open()
    expect((await waits).rcode).toBe('NOERROR')
    const { received, answered } = await server.idle()
    expect(received).toBe(answered)
  })

  test.each(['the server stops', 'no upstream is left'])('is given when %s', async (why) => {
    conforms('stale')
    const upstream = await startScriptedUpstream(withTtl(60))
    const gate = new Gate()
    const server = await startDataplane({ upstreams: [upstream], forward: PATIENT })
    await askUdp(server, 'www.example')
    upstream.follow(async (query) => {
      await gate.opened
      return withTtl(60)(query)
    })
    advanceClock(61_000)
    const client = await openTcp(server)
    await client.send(encodeQuery('waits.example'))
    await upstream.query(2)
    const isStop = why === 'the server stops'
    const stopped = isStop ? server.stop(10_000) : server.reload({ upstreams: [] })
    await client.send(encodeQuery('www.example', 'A', EDNS))
    const stale = decodeMessage(await client.next())
    expect(stale).toMatchObject({ rcode: 'NOERROR', ede: { code: 3 } })
    gate.open()
    expect(decodeMessage(await client.next()).rcode).toBe('NOERROR')
    await client.close()
    await stopped
    expect(upstream.queries).toHaveLength(2)
  })

  test.each(['SERVFAIL', 'REFUSED'] as const)('is better than %s', async (rcode) => {
    const upstream = await startScriptedUpstream(withTtl(60))
    const server = await startDataplane({ upstreams: [upstream] })
    await askUdp(server, 'www.example')
    advanceClock(61_000)
    upstream.follow((query) => reply(query, { rcode }))
    expect(await askUdp(server, 'www.example', 'A', EDNS)).toMatchObject({
      rcode: 'NOERROR',
      ede: { code: 3 },
    })
  })

  test.each([
    { what: 'NXDOMAIN', script: nameError, rcode: 'NXDOMAIN', code: 19 },
    { what: 'NODATA', script: noData, rcode: 'NOERROR', code: 3 },
  ])('may be $what, and says so by EDE $code', async ({ script, rcode, code }) => {
    const upstream = await startScriptedUpstream((query) => script(query))
    const server = await startDataplane({ upstreams: [upstream], forward: QUICK })
    await askUdp(server, 'nothing.example')
    upstream.follow(silence)
    advanceClock(61_000)
    expect(await askUdp(server, 'nothing.example', 'A', EDNS)).toMatchObject({
      rcode,
      ede: { code },
      answers: [],
      authorities: [{ ttl: 30 }],
    })
  })

  test.each(['no longer than the configuration says', 'not at all where it is off'])(
    'is kept %s',
    async (what) => {
      const staleSecondsMax = what.startsWith('not') ? 0 : 100
      const upstream = await startScriptedUpstream(withTtl(60))
      const cache = { staleSecondsMax }
      const server = await startDataplane({ upstreams: [upstream], forward: QUICK, cache })
      await askUdp(server, 'www.example')
      upstream.follow(silence)
      advanceClock((60 + staleSecondsMax) * 1000)
      expect((await askUdp(server, 'www.example')).rcode).toBe('SERVFAIL')
      expect(staleReplies(server)).toBe(0)
    },
  )
})

describe('a stale answer is judged by the lists of today', () => {
  test('its name is blocked now', async () => {
    conforms('stale', 'filter-bypass')
    const upstream = await startScriptedUpstream(withTtl(60))
    const server = await startDataplane({ upstreams: [upstream], forward: QUICK })
    await askUdp(server, 'www.example')
    await askUdp(server, 'www.example')
    advanceClock(61_000)
    upstream.follow(silence)
    server.reload({ rules: { adult: ['www.example'] } })
    expect(await askUdp(server, 'www.example')).toMatchObject({ rcode: 'NXDOMAIN', answers: [] })
    expect(staleReplies(server)).toBe(0)
    expect(upstream.queries).toHaveLength(1)
  })

  test('what it leads to is blocked now', async () => {
    conforms('stale', 'filter-bypass')
    const upstream = await startScriptedUpstream(withAlias(60))
    const server = await startDataplane({ upstreams: [upstream], forward: QUICK })
    await askUdp(server, 'www.example')
    advanceClock(61_000)
    upstream.follow(silence)
    server.reload({ rules: { adult: ['tracker.example'] } })
    // After the failure, and at once from then on.
    for (let index = 0; index < 2; index++) {
      const blocked = await askUdp(server, 'www.example')
      expect(blocked).toMatchObject({ rcode: 'NOERROR', answers: [] })
      expect(blocked.authorities).toHaveLength(1)
    }
    expect(staleReplies(server)).toBe(0)
  })

  test('it is blocked while clients wait for it', async () => {
    const upstream = await startScriptedUpstream(withTtl(60))
    const cache = { staleWaitMs: 300 }
    const server = await startDataplane({ upstreams: [upstream], cache, forward: PATIENT })
    await askUdp(server, 'www.example')
    advanceClock(61_000)
    upstream.follow(silence)
    const answer = askUdp(server, 'www.example')
    await upstream.query(2)
    server.reload({ rules: { adult: ['www.example'] } })
    expect(await answer).toMatchObject({ rcode: 'NXDOMAIN', answers: [] })
    expect(staleReplies(server)).toBe(0)
  })
})

describe('a hot name is fetched before its answer ends', () => {
  test('by a hit in the last tenth of its life; nobody waits for it', async () => {
    const upstream = await startScriptedUpstream(withTtl(100))
    const server = await startDataplane({ upstreams: [upstream] })
    await askUdp(server, 'www.example')
    advanceClock(89_000)
    await askUdp(server, 'www.example')
    expect(upstream.queries).toHaveLength(1)
    advanceClock(2000)
    upstream.follow(withTtl(100, '192.0.2.2'))
    expect((await askUdp(server, 'www.example')).answers).toMatchObject([
      { data: '192.0.2.1', ttl: 9 },
    ])
    await upstream.query(2)
    await expect
      .poll(async () => (await askUdp(server, 'www.example')).answers[0]?.data)
      .toBe('192.0.2.2')
    expect(server.count(PREFETCHED)).toBe(1)
    expect(upstream.queries).toHaveLength(2)
    const { received, answered } = await server.idle()
    expect(received).toBe(answered)
  })

  test('once, even when the upstream is silent', async () => {
    const upstream = await startScriptedUpstream(withTtl(100))
    const forward = { ...QUICK, triesMax: 1 }
    const server = await startDataplane({ upstreams: [upstream], forward })
    await askUdp(server, 'www.example')
    advanceClock(91_000)
    upstream.follow(silence)
    for (let index = 0; index < 10; index++) await askUdp(server, 'www.example')
    expect(upstream.queries.length).toBeLessThanOrEqual(2)
    expect(server.count(PREFETCHED)).toBe(1)
  })

  test.each([
    { why: 'it is off', ttl: 100, cache: { prefetch: false } },
    { why: 'its life is short', ttl: 9, cache: {} },
  ])('but not when $why', async ({ ttl, cache }) => {
    const upstream = await startScriptedUpstream(withTtl(ttl))
    const server = await startDataplane({ upstreams: [upstream], cache, forward: PATIENT })
    await askUdp(server, 'www.example')
    advanceClock(ttl * 950)
    await askUdp(server, 'www.example')
    await askUdp(server, 'www.example')
    expect(upstream.queries).toHaveLength(1)
    expect(server.count(PREFETCHED)).toBe(0)
  })

  test('and what comes back is judged before it is kept', async () => {
    const upstream = await startScriptedUpstream(withTtl(100))
    const server = await startDataplane({
      upstreams: [upstream],
      rules: { adult: ['tracker.example'] },
    })
    await askUdp(server, 'www.example')
    advanceClock(91_000)
    upstream.follow(withAlias(100))
    await askUdp(server, 'www.example')
    await upstream.query(2)
    await expect.poll(async () => (await askUdp(server, 'www.example')).answers).toEqual([])
    upstream.follow(answerAddresses)
    expect(upstream.queries).toHaveLength(2)
  })
})
