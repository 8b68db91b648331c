import { describe, expect, test } from 'vitest'
import {
  FAILURE_MISMATCH,
  FAILURE_NETWORK,
  FAILURE_RCODE,
  FAILURE_TIMEOUT,
  UPSTREAM_QUERIES,
  UPSTREAM_UP,
  failureSlot,
} from '../../src/dataplane/counters.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askTcp, askUdp, openUdp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { decodeMessage, encodeQuery, type Message } from '../support/messages.ts'
import { join, name, record, u16 } from '../support/octets.ts'
import { freePort } from '../support/ports.ts'
import {
  answerAddresses,
  garbage,
  reply,
  silence,
  startScriptedUpstream,
  withWrongId,
  withoutResponseBit,
  wrongQuestion,
  type ReceivedQuery,
  type Script,
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

/** The reply that the client waits for. */
function right(query: ReceivedQuery): Buffer {
  return reply(query, { answers: [{ name: query.name, type: 'A', ttl: 300, data: '192.0.2.1' }] })
}

/** What an attacker would like it to believe. */
function wrong(query: ReceivedQuery): Buffer {
  return reply(query, { answers: [{ name: query.name, type: 'A', ttl: 300, data: '192.0.2.66' }] })
}

function withOpcode(message: Buffer): Buffer {
  const copy = Buffer.from(message)
  copy.writeUInt8(copy.readUInt8(2) | 0x28, 2)
  return copy
}

function withType(query: ReceivedQuery, type: string): Buffer {
  return reply(query, { question: { name: query.name, type }, answers: [] })
}

describe('a reply that answers another question', () => {
  test.each([
    { what: 'wrong id', bad: (query: ReceivedQuery) => withWrongId(wrong(query)) },
    { what: 'another name', bad: (query: ReceivedQuery) => wrongQuestion(query) },
    { what: 'another type', bad: (query: ReceivedQuery) => withType(query, 'AAAA') },
    { what: 'QR clear', bad: (query: ReceivedQuery) => withoutResponseBit(wrong(query)) },
    { what: 'opcode UPDATE', bad: (query: ReceivedQuery) => withOpcode(wrong(query)) },
    { what: 'garbage behind the header', bad: (query: ReceivedQuery) => garbage(query) },
    { what: 'a header alone', bad: (query: ReceivedQuery) => reply(query).subarray(0, 12) },
    { what: 'eleven octets', bad: (query: ReceivedQuery) => reply(query).subarray(0, 11) },
    { what: 'no octet', bad: () => Buffer.alloc(0) },
    {
      what: 'no question',
      bad: (query: ReceivedQuery) => {
        const empty = Buffer.from(reply(query).subarray(0, 12))
        empty.writeUInt16BE(0, 4)
        return join(empty, record({ owner: name(query.name), type: 1, rdata: Buffer.alloc(4) }))
      },
    },
  ])('($what) is ignored, and the right one that follows wins', async ({ bad }) => {
    conforms('reply-match', 'blind-spoofing', 'first-malformed')
    const upstream = await startScriptedUpstream((query) => [bad(query), bad(query), right(query)])
    const server = await startDataplane({ upstreams: [upstream] })
    for (const ask of [askUdp, askTcp]) {
      expect(addressOf(await ask(server, `${ask.name}.example`))).toBe('192.0.2.1')
    }
    expect(upstream.queries).toHaveLength(2)
    expect(server.count(failureSlot(0, FAILURE_MISMATCH))).toBe(4)
    await expectBalanced(server)
  })

  test('is told by its type even where upper and lower case would hide it', async () => {
    // HTTPS is type 65, "A" in ASCII; type 97 is "a".
    const upstream = await startScriptedUpstream((query) => [
      withType(query, 'TYPE97'),
      reply(query, { rcode: 'NXDOMAIN' }),
    ])
    const server = await startDataplane({ upstreams: [upstream] })
    expect((await askUdp(server, 'svc.example', 'HTTPS')).rcode).toBe('NXDOMAIN')
    expect(server.count(failureSlot(0, FAILURE_MISMATCH))).toBe(1)
  })

  test('is ignored when it comes from another port', async () => {
    conforms('reply-match')
    const upstream = await startScriptedUpstream((query) => [
      { octets: wrong(query), as: 'spoofed' },
    ])
    const server = await startDataplane({ upstreams: [upstream], forward: QUICK })
    expect((await askUdp(server, 'spoofed.example')).rcode).toBe('SERVFAIL')
  })

  test('does not win by number: 200 wrong ids lose against one right reply', async () => {
    conforms('blind-spoofing')
    const upstream = await startScriptedUpstream((query) => {
      const guesses = Array.from({ length: 200 }, (_, index) => {
        const guess = wrong(query)
        guess.writeUInt16BE((query.id + 1 + index * 3) & 0xffff, 0)
        return guess
      }).filter((guess) => guess.readUInt16BE(0) !== query.id)
      return [...guesses, right(query)]
    })
    const server = await startDataplane({ upstreams: [upstream] })
    expect(addressOf(await askUdp(server, 'guessed.example'))).toBe('192.0.2.1')
  })
})

describe('when an upstream fails, the next one is asked', () => {
  test('after its time is over', async () => {
    const dead = await startScriptedUpstream(silence)
    const server = await startDataplane({
      upstreams: [dead, await startScriptedUpstream()],
      forward: QUICK,
    })
    expect(addressOf(await askUdp(server, 'a.example'))).toBe('192.0.2.53')
    expect(server.count(failureSlot(0, FAILURE_TIMEOUT))).toBe(1)
    await expectBalanced(server)
  })

  test('and the third when two are silent, within a budget of exactly three tries', async () => {
    const upstreams = [
      await startScriptedUpstream(silence),
      await startScriptedUpstream(silence),
      await startScriptedUpstream(),
    ]
    const forward = { tryTimeoutMs: 200, totalTimeoutMs: 600, triesMax: 3 }
    const server = await startDataplane({ upstreams, forward })
    expect((await askUdp(server, 'a.example')).answers).toHaveLength(1)
    expect(upstreams.map(({ queries }) => queries.length)).toEqual([1, 1, 1])
  })

  test('at once when its port is closed', async () => {
    conforms('dead-upstream')
    const closed = { address: '127.0.0.1', port: await freePort() }
    const server = await startDataplane({ upstreams: [closed, await startScriptedUpstream()] })
    const startMs = Date.now()
    expect(addressOf(await askUdp(server, 'a.example'))).toBe('192.0.2.53')
    expect(Date.now() - startMs).toBeLessThan(1000)
    expect(server.count(failureSlot(0, FAILURE_NETWORK))).toBe(1)
  })

  test.each(['SERVFAIL', 'REFUSED', 'NOTIMP', 'FORMERR'] as const)('on %s', async (rcode) => {
    const failing = await startScriptedUpstream((query) => reply(query, { rcode }))
    const server = await startDataplane({ upstreams: [failing, await startScriptedUpstream()] })
    expect(addressOf(await askUdp(server, 'a.example'))).toBe('192.0.2.53')
    expect(server.count(failureSlot(0, FAILURE_RCODE))).toBe(1)
  })

  test('on a reply that is malformed behind its question', async () => {
    const broken = await startScriptedUpstream((query) => {
      const message = reply(query, { answers: [] })
      message.writeUInt16BE(1, 6)
      return join(message, Buffer.from([0xc0]), u16(1))
    })
    const server = await startDataplane({ upstreams: [broken, await startScriptedUpstream()] })
    expect(addressOf(await askUdp(server, 'a.example'))).toBe('192.0.2.53')
  })

  test('but NXDOMAIN is an answer', async () => {
    const first = await startScriptedUpstream((query) => reply(query, { rcode: 'NXDOMAIN' }))
    const second = await startScriptedUpstream()
    const server = await startDataplane({ upstreams: [first, second] })
    expect((await askUdp(server, 'a.example')).rcode).toBe('NXDOMAIN')
    expect(second.queries).toHaveLength(0)
  })

  test('and after three failures it is passed over', async () => {
    const dead = await startScriptedUpstream(silence)
    const server = await startDataplane({
      upstreams: [dead, await startScriptedUpstream()],
      forward: QUICK,
    })
    for (let index = 0; index < 6; index++) await askUdp(server, `a${index}.example`)
    expect(server.count(UPSTREAM_QUERIES)).toBe(3)
    expect(server.count(UPSTREAM_UP)).toBe(0)
    expect(server.count(UPSTREAM_UP + 1)).toBe(1)
  })
})

describe('when no upstream answers', () => {
  test('the client gets SERVFAIL with EDE 22, and without EDNS no OPT', async () => {
    const dead = await startScriptedUpstream(silence)
    const closed = { address: '127.0.0.1', port: await freePort() }
    const server = await startDataplane({ upstreams: [dead, closed], forward: QUICK })
    const [told, untold] = await Promise.all([
      askUdp(server, 'a.example', 'A', { edns: {} }),
      askUdp(server, 'b.example'),
    ])
    expect(told).toMatchObject({ rcode: 'SERVFAIL', ede: { code: 22 } })
    expect(untold).toMatchObject({ rcode: 'SERVFAIL', edns: undefined })
    await expectBalanced(server)
  })

  test('because none is configured, it says so at once', async () => {
    const server = await startDataplane()
    expect(await askTcp(server, 'a.example', 'A', { edns: {} })).toMatchObject({
      rcode: 'SERVFAIL',
      ede: { code: 22 },
    })
    await expectBalanced(server)
  })

  test('a late reply is dropped without a word', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await startDataplane({ upstreams: [upstream], forward: QUICK })
    const client = await openUdp(server)
    await client.send(encodeQuery('late.example'))
    expect(decodeMessage(await client.next()).rcode).toBe('SERVFAIL')
    gate.open()
    const asked = upstream.queries.length
    await server.until(() => server.count(failureSlot(0, FAILURE_MISMATCH)) === asked, 'they came')
    expect(client.unread).toBe(0)
    await client.close()
    await expectBalanced(server)
  })
})

/** The first try hangs until the gate opens, the others get what `rest` says. */
function firstHangs(gate: Gate, rest: Script): Script {
  let asked = 0
  return async (query) => {
    if (asked++ > 0) return rest(query)
    await gate.opened
    return right(query)
  }
}

describe('a reply later than its own try', () => {
  test('still wins while the question is open', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(firstHangs(gate, silence))
    const forward = { tryTimeoutMs: 200, totalTimeoutMs: 5000, triesMax: 10 }
    const server = await startDataplane({ upstreams: [upstream], forward })
    const answer = askUdp(server, 'late.example')
    await upstream.query(3)
    gate.open()
    expect(addressOf(await answer)).toBe('192.0.2.1')
    expect(server.count(failureSlot(0, FAILURE_TIMEOUT))).toBe(2)
    expect(server.count(failureSlot(0, FAILURE_MISMATCH))).toBe(0)
    await expectBalanced(server)
  })

  test('counts as a mismatch once another try was answered', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(firstHangs(gate, answerAddresses))
    const server = await startDataplane({ upstreams: [upstream], forward: QUICK })
    expect(addressOf(await askUdp(server, 'twice.example'))).toBe('192.0.2.53')
    gate.open()
    await server.until(() => server.count(failureSlot(0, FAILURE_MISMATCH)) === 1, 'it came')
    expect(addressOf(await askUdp(server, 'twice.example'))).toBe('192.0.2.53')
    expect(upstream.queries).toHaveLength(2)
    await expectBalanced(server)
  })

  test('wins over TCP too, on the connection that was left for its silence', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(firstHangs(gate, silence))
    const forward = { tryTimeoutMs: 200, totalTimeoutMs: 5000, triesMax: 10 }
    const upstreams = [{ address: upstream.address, port: upstream.port, protocol: 'tcp' as const }]
    const server = await startDataplane({ upstreams, forward })
    const answer = askUdp(server, 'late.example')
    await upstream.query(2)
    gate.open()
    expect(addressOf(await answer)).toBe('192.0.2.1')
    expect(upstream.connections).toBeGreaterThan(1)
    await expectBalanced(server)
  })

  test('of a first upstream wins against a second that hangs', async () => {
    const gate = new Gate()
    const slow = await startScriptedUpstream(firstHangs(gate, silence))
    const dead = await startScriptedUpstream(silence)
    const forward = { tryTimeoutMs: 200, totalTimeoutMs: 5000, triesMax: 3 }
    const server = await startDataplane({ upstreams: [slow, dead], forward })
    const answer = askUdp(server, 'late.example')
    await dead.query(1)
    gate.open()
    expect(addressOf(await answer)).toBe('192.0.2.1')
  })
})
