import { describe, expect, test } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askTcp, askUdp } from '../support/dns-client.ts'
import {
  reply,
  startScriptedUpstream,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'

/** Says of every answer that it was validated. */
const VALIDATING = (query: Parameters<typeof reply>[0]) =>
  reply(query, {
    authenticData: true,
    answers: [{ name: query.name, type: 'A', ttl: 60, data: '192.0.2.1' }],
  })

async function start(
  trustsAd: boolean,
): Promise<{ server: Dataplane; upstream: ScriptedUpstream }> {
  const upstream = await startScriptedUpstream(VALIDATING)
  const rules = { adult: ['blocked.example'] }
  const forward = { trustsAd: [trustsAd] }
  return { server: await startDataplane({ upstreams: [upstream], rules, forward }), upstream }
}

const CLIENTS = [
  { what: 'who sets AD', options: { authenticData: true }, gets: true },
  { what: 'who sets DO', options: { edns: { dnssecOk: true } }, gets: true },
  { what: 'who sets neither', options: { edns: {} }, gets: false },
] as const

describe('AD of an upstream that is trusted', () => {
  test.each(CLIENTS)('reaches a client $what: $gets, also from the cache', async (client) => {
    conforms('dnssec-bits')
    const { server, upstream } = await start(true)
    for (const ask of [askUdp, askTcp, askUdp]) {
      const answer = await ask(server, 'www.example.com', 'A', client.options)
      expect(answer.authenticData).toBe(client.gets)
      expect(answer.authoritative).toBe(false)
    }
    expect(upstream.queries).toHaveLength(1)
    expect(upstream.queries[0]!.message.authenticData, 'asks for AD').toBe(true)
  })

  test('is kept with the answer, whoever asked for it first', async () => {
    const { server, upstream } = await start(true)
    expect((await askUdp(server, 'www.example.com')).authenticData).toBe(false)
    const options = { authenticData: true }
    expect((await askUdp(server, 'www.example.com', 'A', options)).authenticData).toBe(true)
    expect(upstream.queries).toHaveLength(1)
  })

  test('is never said of answers that are ours', async () => {
    conforms('dnssec-bits')
    const { server } = await start(true)
    for (const name of ['blocked.example', 'a.onion', 'localhost']) {
      for (const { options } of CLIENTS) {
        const answer = await askUdp(server, name, 'A', options)
        expect([answer.authenticData, answer.authoritative]).toEqual([false, false])
      }
    }
  })
})

describe('AD of an upstream that is not trusted', () => {
  test.each(CLIENTS)('reaches no client $what', async ({ options }) => {
    conforms('dnssec-bits')
    const { server, upstream } = await start(false)
    for (const ask of [askUdp, askUdp]) {
      expect((await ask(server, 'www.example.com', 'A', options)).authenticData).toBe(false)
    }
    expect(upstream.queries[0]!.message.authenticData).toBe(false)
  })
})
