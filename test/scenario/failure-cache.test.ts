import { describe, expect, test } from 'vitest'
import { CACHE_FAILURE, CACHE_LOOKUPS } from '../../src/dataplane/counters.ts'
import { conforms } from '../conformance/conforms.ts'
import { advanceClock } from '../support/clock.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askTcp, askUdp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { freePort } from '../support/ports.ts'
import {
  answerAddresses,
  reply,
  silence,
  startScriptedUpstream,
  type ReceivedQuery,
} from '../support/scripted-upstream.ts'

const QUICK = { tryTimeoutMs: 80, totalTimeoutMs: 400, triesMax: 3 }
const EDNS = { edns: {} }

describe('a failure is kept (RFC 9520)', () => {
  test.each(['SERVFAIL', 'REFUSED'] as const)('for a second when it is %s', async (rcode) => {
    conforms('failure-cache', 'ede')
    const upstream = await startScriptedUpstream((query) => reply(query, { rcode }))
    const server = await startDataplane({ upstreams: [upstream] })
    const first = await askUdp(server, 'a.example', 'A', EDNS)
    expect(first).toMatchObject({ rcode, ede: undefined })
    for (const ask of [askUdp, askTcp, askUdp]) {
      const again = await ask(server, 'A.Example', 'A', EDNS)
      expect(again).toMatchObject({ rcode, ede: { code: 13 } })
      expect(again.questions[0]?.name).toBe('A.Example')
    }
    expect(upstream.queries).toHaveLength(1)
    expect(server.count(CACHE_LOOKUPS + CACHE_FAILURE)).toBe(3)
    upstream.follow(answerAddresses)
    advanceClock(1000)
    expect((await askUdp(server, 'a.example')).rcode).toBe('NOERROR')
    const { received, answered } = await server.idle()
    expect(received).toBe(answered)
  })

  test('when no upstream answers: no storm of tries for a name that all ask for', async () => {
    conforms('failure-cache', 'ede')
    const upstream = await startScriptedUpstream(silence)
    const server = await startDataplane({ upstreams: [upstream], forward: QUICK })
    const startMs = Date.now()
    expect(await askUdp(server, 'a.example', 'A', EDNS)).toMatchObject({ ede: { code: 22 } })
    for (let round = 0; round < 10; round++) {
      const asked = Array.from({ length: 100 }, () => askUdp(server, 'a.example'))
      for (const { rcode } of await Promise.all(asked)) expect(rcode).toBe('SERVFAIL')
    }
    const seconds = Math.ceil((Date.now() - startMs) / 1000)
    expect(upstream.queries.length).toBeLessThanOrEqual(3 * seconds)
    expect(server.count(CACHE_LOOKUPS + CACHE_FAILURE)).toBeGreaterThan(500)
  })

  test('twice as long each time, up to what the configuration says', async () => {
    conforms('failure-cache')
    const upstream = await startScriptedUpstream((query) => reply(query, { rcode: 'SERVFAIL' }))
    const server = await startDataplane({ upstreams: [upstream], cache: { failureSecondsMax: 6 } })
    await askUdp(server, 'a.example')
    let expected = 1
    for (const seconds of [1, 2, 4, 6, 6]) {
      advanceClock(seconds * 1000 - 500)
      await askUdp(server, 'a.example')
      expect(upstream.queries).toHaveLength(expected)
      advanceClock(500)
      await askUdp(server, 'a.example')
      expect(upstream.queries).toHaveLength(++expected)
    }
  })

  test('for this question only: another type, and DO, are asked', async () => {
    const upstream = await startScriptedUpstream((query) => reply(query, { rcode: 'SERVFAIL' }))
    const server = await startDataplane({ upstreams: [upstream] })
    await askUdp(server, 'a.example')
    await askUdp(server, 'a.example', 'AAAA')
    await askUdp(server, 'a.example', 'A', { edns: { dnssecOk: true } })
    await askUdp(server, 'a.example', 'A', { checkingDisabled: true })
    await askUdp(server, 'b.example')
    expect(upstream.queries).toHaveLength(5)
  })

  test.each([
    { what: 'is SERVFAIL', script: (query: ReceivedQuery) => reply(query, { rcode: 'SERVFAIL' }) },
    { what: 'is silence', script: silence },
  ])('of the upstreams that were asked, whose last word $what', async ({ script }) => {
    const gate = new Gate()
    const former = await startScriptedUpstream(async (query) => {
      await gate.opened
      return script(query)
    })
    const forward = { tryTimeoutMs: 300, totalTimeoutMs: 300, triesMax: 1 }
    const server = await startDataplane({ upstreams: [former], forward })
    const failed = askUdp(server, 'a.example')
    await former.query(1)
    server.reload({ upstreams: [await startScriptedUpstream()] })
    gate.open()
    expect((await failed).rcode).toBe('SERVFAIL')
    expect((await askUdp(server, 'a.example')).rcode).toBe('NOERROR')
    expect(server.count(CACHE_LOOKUPS + CACHE_FAILURE)).toBe(0)
  })

  test('no longer than it takes to name other upstreams', async () => {
    const closed = { address: '127.0.0.1', port: await freePort() }
    const server = await startDataplane({ upstreams: [closed] })
    expect((await askUdp(server, 'a.example')).rcode).toBe('SERVFAIL')
    server.reload({ upstreams: [await startScriptedUpstream()] })
    expect((await askUdp(server, 'a.example')).rcode).toBe('NOERROR')
  })
})
