import { describe, expect, test } from 'vitest'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askTcp, askUdp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { type Message } from '../support/messages.ts'
import {
  answerAddresses,
  reply,
  startScriptedUpstream,
  truncated,
  type ReceivedQuery,
} from '../support/scripted-upstream.ts'
import { conforms } from '../conformance/conforms.ts'

const QUICK = { tryTimeoutMs: 80, totalTimeoutMs: 400, triesMax: 3 }

function addressOf(message: Message): unknown {
  return message.answers[0]?.data
}

async function expectBalanced(server: Dataplane): Promise<void> {
  const { received, answered, dropped } = await server.idle()
  expect(received).toBe(answered + dropped)
}

/** A hundred addresses. */
function long(query: ReceivedQuery): Buffer {
  const answers = Array.from({ length: 100 }, (_, index) => ({
    name: query.name,
    type: 'A',
    ttl: 60,
    data: `192.0.2.${index}`,
  }))
  return reply(query, { answers })
}

describe('an answer that is too long for UDP', () => {
  test('is fetched over TCP, and cut for the client with TC', async () => {
    conforms('proxy', 'fragment-poisoning')
    const upstream = await startScriptedUpstream((query) =>
      query.transport === 'udp' ? truncated(query) : long(query),
    )
    const server = await startDataplane({ upstreams: [upstream] })
    const overTcp = await askTcp(server, 'long.example')
    expect(overTcp).toMatchObject({ truncated: false })
    expect(overTcp.answers).toHaveLength(100)
    const overUdp = await askUdp(server, 'long.example')
    expect(overUdp.truncated).toBe(true)
    expect(overUdp.octets.length).toBeLessThanOrEqual(512)
    const wide = await askUdp(server, 'long.example', 'A', { edns: { udpOctets: 65_535 } })
    expect(wide.octets.length).toBeLessThanOrEqual(1232)
    expect(wide.answers.length).toBeGreaterThan(overUdp.answers.length)
    expect(upstream.queries.map(({ transport }) => transport)).toEqual(['udp', 'tcp'])
  })

  test('and truncated over TCP as well is never given out as whole', async () => {
    const upstream = await startScriptedUpstream((query) =>
      reply(query, {
        truncated: true,
        answers: [{ name: query.name, type: 'A', ttl: 60, data: '192.0.2.1' }],
      }),
    )
    const server = await startDataplane({ upstreams: [upstream] })
    const answer = await askTcp(server, 'part.example')
    expect(answer.rcode === 'SERVFAIL' || answer.truncated).toBe(true)
    expect(answer.answers).toEqual([])
  })

  test('is SERVFAIL when TCP is refused everywhere', async () => {
    const upstream = await startScriptedUpstream(truncated, { tcp: false })
    const server = await startDataplane({ upstreams: [upstream], forward: QUICK })
    expect((await askUdp(server, 'part.example')).rcode).toBe('SERVFAIL')
    await expectBalanced(server)
  })
})

describe('an upstream that is asked over TCP only', () => {
  test('gets all questions on one connection, and may answer in any order', async () => {
    const first = new Gate()
    const upstream = await startScriptedUpstream(
      async (query) => {
        if (query.name === 'q0.example') await first.opened
        return answerAddresses(query)
      },
      { udp: false },
    )
    const server = await startDataplane({ upstreams: [{ ...at(upstream), protocol: 'tcp' }] })
    const slow = askUdp(server, 'q0.example')
    await upstream.query(1)
    const others = Array.from({ length: 20 }, (_, index) => askUdp(server, `q${index + 1}.example`))
    for (const answer of await Promise.all(others)) expect(addressOf(answer)).toBe('192.0.2.53')
    first.open()
    expect(addressOf(await slow)).toBe('192.0.2.53')
    expect(upstream.connections).toBe(1)
  })

  test.each(['close', 'reset'] as const)('and ends with %s is asked again', async (end) => {
    let ended = 0
    const upstream = await startScriptedUpstream((query) =>
      ended++ === 0 ? end : answerAddresses(query),
    )
    const server = await startDataplane({ upstreams: [{ ...at(upstream), protocol: 'tcp' }] })
    expect(addressOf(await askUdp(server, 'again.example'))).toBe('192.0.2.53')
    expect(upstream.connections).toBe(2)
  })

  test('and closes in the middle of a message is asked again', async () => {
    let cut = 0
    const upstream = await startScriptedUpstream((query) =>
      cut++ === 0
        ? [{ octets: Buffer.from([0, 90, 1, 2, 3]), as: 'unframed' }, 'close']
        : answerAddresses(query),
    )
    const server = await startDataplane({ upstreams: [{ ...at(upstream), protocol: 'tcp' }] })
    expect(addressOf(await askUdp(server, 'again.example'))).toBe('192.0.2.53')
  })

  test('and went deaf on its connection is asked on a new one', async () => {
    let deaf = true
    const upstream = await startScriptedUpstream((query) =>
      deaf ? undefined : answerAddresses(query),
    )
    const server = await startDataplane({
      upstreams: [{ ...at(upstream), protocol: 'tcp' }],
      forward: { ...QUICK, triesMax: 1 },
    })
    expect((await askUdp(server, 'a.example')).rcode).toBe('SERVFAIL')
    deaf = false
    expect(addressOf(await askUdp(server, 'b.example'))).toBe('192.0.2.53')
    expect(upstream.connections).toBe(2)
  })
})

function at(upstream: { address: string; port: number }): { address: string; port: number } {
  return { address: upstream.address, port: upstream.port }
}
