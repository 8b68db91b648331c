import { describe, expect, test } from 'vitest'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askTcp, askUdp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import type { Message } from '../support/messages.ts'
import {
  answerAddresses,
  reply,
  startScriptedUpstream,
  type ReceivedQuery,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'
import { conforms } from '../conformance/conforms.ts'

function isBlocked(answer: Message): boolean {
  return answer.ede?.code === 15 && answer.answers.length === 0
}

async function expectBalanced(server: Dataplane): Promise<void> {
  const { received, answered, dropped } = await server.idle()
  expect(received).toBe(answered + dropped)
}

function alias(query: ReceivedQuery): Buffer {
  return reply(query, {
    answers: [
      { name: query.name, type: 'CNAME', data: 'target.example' },
      { name: 'target.example', type: 'A', data: '192.0.2.1' },
    ],
  })
}

/** A server that blocks none of the names that the tests ask for. */
async function start(upstream: ScriptedUpstream): Promise<Dataplane> {
  return startDataplane({ rules: { adult: ['nothing.example'] }, upstreams: [upstream] })
}

describe('after a reload', () => {
  test('an answer kept before is blocked by a new rule, and passes again without it', async () => {
    conforms('filter-bypass')
    const upstream = await startScriptedUpstream()
    const server = await start(upstream)
    expect((await askUdp(server, 'www.example')).answers).toHaveLength(1)
    server.reload({ rules: { adult: ['www.example'] } })
    expect(isBlocked(await askUdp(server, 'www.example', 'A', { edns: {} }))).toBe(true)
    server.reload({ rules: { adult: ['other.example'] } })
    expect((await askUdp(server, 'www.example')).answers).toHaveLength(1)
    expect(upstream.queries).toHaveLength(1)
  })

  test('an answer that led to a name is judged anew, without asking upstream', async () => {
    const upstream = await startScriptedUpstream(alias)
    const server = await start(upstream)
    expect((await askUdp(server, 'www.example')).answers).toHaveLength(2)
    server.reload({ rules: { adult: ['target.example'] } })
    expect(isBlocked(await askUdp(server, 'www.example', 'A', { edns: {} }))).toBe(true)
    server.reload({ rules: { adult: ['other.example'] } })
    expect((await askUdp(server, 'www.example')).answers).toHaveLength(2)
    expect(upstream.queries).toHaveLength(1)
  })

  test('a name that was in flight and is blocked now is not let through', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await start(upstream)
    const waiting = [
      askUdp(server, 'www.example', 'A', { edns: {} }),
      askTcp(server, 'www.example', 'A', { edns: {} }),
      askUdp(server, 'free.example', 'A', { edns: {} }),
    ]
    await server.until(() => server.balance().inFlight === 3, 'all wait')
    server.reload({ rules: { adult: ['www.example'] } })
    gate.open()
    const [overUdp, overTcp, free] = await Promise.all(waiting)
    expect(isBlocked(overUdp!)).toBe(true)
    expect(isBlocked(overTcp!)).toBe(true)
    expect(overUdp?.rcode).toBe('NXDOMAIN')
    expect(free?.answers).toHaveLength(1)
    await expectBalanced(server)
  })

  test('questions in flight are answered by the upstream that was asked', async () => {
    const gate = new Gate()
    const before = await startScriptedUpstream(async (query) => {
      await gate.opened
      return reply(query, { answers: [{ name: query.name, type: 'A', data: '192.0.2.1' }] })
    })
    const after = await startScriptedUpstream((query) =>
      reply(query, { answers: [{ name: query.name, type: 'A', data: '192.0.2.2' }] }),
    )
    const server = await start(before)
    const early = askUdp(server, 'early.example')
    await before.query(1)
    server.reload({ upstreams: [after] })
    expect((await askUdp(server, 'late.example')).answers[0]?.data).toBe('192.0.2.2')
    gate.open()
    expect((await early).answers[0]?.data).toBe('192.0.2.1')
    expect(before.queries).toHaveLength(1)
    await expectBalanced(server)
  })

  test('other answers for blocked names come at once', async () => {
    const server = await startDataplane({ rules: { adult: ['blocked.example'] } })
    expect((await askUdp(server, 'blocked.example')).rcode).toBe('NXDOMAIN')
    server.reload({ categories: { adult: { kind: 'refused' } } })
    expect((await askUdp(server, 'blocked.example')).rcode).toBe('REFUSED')
    server.reload({ categories: { adult: { kind: 'null' } } })
    expect((await askUdp(server, 'blocked.example')).answers[0]?.data).toBe('0.0.0.0')
  })
})
