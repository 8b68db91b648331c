import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { COALESCED } from '../../src/dataplane/counters.ts'
import { advanceClock } from '../support/clock.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askTcp, askUdp, exchangeUdp, openUdp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { decodeMessage, encodeQuery, type Message } from '../support/messages.ts'
import { join, name, u16 } from '../support/octets.ts'
import {
  answerAddresses,
  reply,
  silence,
  startScriptedUpstream,
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

describe.each(['127.0.0.1', '::1'] as const)('on %s, a query that is not blocked', (address) => {
  test.each([
    ['UDP', askUdp],
    ['TCP', askTcp],
  ])('is answered by the upstream over %s', async (_transport, ask) => {
    const upstream = await startScriptedUpstream(answerAddresses, { address })
    const server = await startDataplane({ upstreams: [upstream], addresses: [address] })
    const answer = await ask(server, 'WwW.Example.Com', 'A', { id: 0x0123, edns: {} })
    expect(answer).toMatchObject({ id: 0x0123, rcode: 'NOERROR', recursionAvailable: true })
    expect(answer.questions[0]?.name).toBe('WwW.Example.Com')
    expect(addressOf(answer)).toBe('192.0.2.53')
    await expectBalanced(server)
  })
})

describe('the question that goes upstream', () => {
  test('is built anew from name, type, DO and CD, and nothing else of the client', async () => {
    conforms('smuggling', 'edns-hop', 'ecs', 'fragment-poisoning')
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({ upstreams: [upstream] })
    const options = [
      { code: 10, data: Buffer.alloc(8, 1) },
      { code: 8, data: Buffer.from([0, 1, 24, 0, 192, 0, 2]) },
      { code: 65_001, data: Buffer.from('smuggled') },
    ]
    await askUdp(server, 'Mixed.CASE.example', 'A', {
      recursionDesired: false,
      authenticData: true,
      checkingDisabled: true,
      edns: { udpOctets: 4096, dnssecOk: true, options },
    })
    const { message, octets } = await upstream.query(1)
    expect(message).toMatchObject({
      recursionDesired: true,
      authenticData: false,
      checkingDisabled: true,
      edns: { udpOctets: 1232, dnssecOk: true, version: 0, options: [] },
    })
    expect(message.questions).toEqual([{ name: 'mixed.case.example', type: 'A', class: 'IN' }])
    expect(octets).toHaveLength(12 + name('mixed.case.example').length + 4 + 11)
  })

  test('has an id and a source port that nobody can guess', async () => {
    conforms('unpredictable', 'weak-random')
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({ upstreams: [upstream] })
    const amount = 400
    const client = await openUdp(server)
    for (let index = 0; index < amount; index++) {
      await client.send(encodeQuery(`name${index}.example`, 'A', { id: 7 }))
      await client.next()
    }
    await client.close()
    const ids = upstream.queries.map(({ id }) => id)
    const ports = upstream.queries.map(({ source }) => source.port)
    expect(ids).toHaveLength(amount)
    // 400 draws out of 65,536 give 1.2 doubles on average, and never 20.
    expect(new Set(ids).size).toBeGreaterThan(amount - 20)
    expect(new Set(ports).size).toBeGreaterThan(amount - 60)
    for (const series of [ids, ports]) {
      const steps = series.slice(1).map((value, index) => value - series[index]!)
      expect(new Set(steps).size).toBeGreaterThan(amount * 0.9)
      // The bit below the highest: ports lie in the upper half.
      const high = series.filter((value) => (value & 0x4000) !== 0).length
      expect(high).toBeGreaterThan(amount * 0.35)
      expect(high).toBeLessThan(amount * 0.65)
    }
    expect(Math.min(...ports)).toBeGreaterThanOrEqual(0x8000)
  })

  test('leaves from other ports two minutes later, and is answered there', async () => {
    conforms('unpredictable')
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    onTestFinished(() => void vi.useRealTimers())
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({ upstreams: [upstream] })
    const rounds = 3
    for (let round = 0; round < rounds; round++) {
      for (let index = 0; index < 50; index++) {
        const { rcode } = await askUdp(server, `name${index}.round${round}.example`)
        expect(rcode).toBe('NOERROR')
      }
      // Ports are looked at now and then: those whose time is over are closed, then opened anew.
      advanceClock(121_000)
      vi.advanceTimersByTime(5000)
      vi.advanceTimersByTime(5000)
    }
    const ports = upstream.queries.map(({ source }) => source.port)
    expect(ports).toHaveLength(rounds * 50)
    // 150 draws out of 32,768: one double in three runs, and hardly ever 5.
    expect(new Set(ports).size).toBeGreaterThan(rounds * 50 - 5)
  })
})

test('500 clients of one name are one upstream query, each with its own id and case', async () => {
  conforms('unpredictable', 'birthday', 'letter-case')
  const gate = new Gate()
  const upstream = await startScriptedUpstream(async (query) => {
    await gate.opened
    return answerAddresses(query)
  })
  const server = await startDataplane({ upstreams: [upstream] })
  const text = 'coalesced.example.com'
  const cased = (index: number): string =>
    text
      .split('')
      .map((c, at) => ((index >> (at % 9)) & 1 ? c.toUpperCase() : c))
      .join('')
  const clients = await Promise.all(Array.from({ length: 10 }, () => openUdp(server)))
  for (let index = 0; index < 500; index++) {
    await clients[index % 10]!.send(encodeQuery(cased(index), 'A', { id: index }))
  }
  await server.until(() => server.balance().inFlight === 500, 'all wait')
  gate.open()
  const ids = new Set<number>()
  for (let index = 0; index < 500; index++) {
    const answer = decodeMessage(await clients[index % 10]!.next())
    ids.add(answer.id)
    expect(answer.questions[0]?.name).toBe(cased(answer.id))
    expect(addressOf(answer)).toBe('192.0.2.53')
  }
  expect(ids.size).toBe(500)
  expect(upstream.queries).toHaveLength(1)
  expect(server.count(COALESCED)).toBe(499)
  await Promise.all(clients.map((client) => client.close()))
  await expectBalanced(server)
})

test('DO and CD make questions of their own', async () => {
  const upstream = await startScriptedUpstream()
  const server = await startDataplane({ upstreams: [upstream] })
  for (const dnssecOk of [false, true]) {
    for (const checkingDisabled of [false, true]) {
      for (let again = 0; again < 2; again++) {
        await askUdp(server, 'keys.example', 'A', { checkingDisabled, edns: { dnssecOk } })
      }
    }
  }
  const asked = upstream.queries.map(({ message }) => [
    message.edns?.dnssecOk,
    message.checkingDisabled,
  ])
  expect(asked).toEqual([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])
})

describe('limits', () => {
  test('questions past the limit of open ones get SERVFAIL with EDE 23', async () => {
    conforms('birthday', 'random-subdomains', 'ede')
    const upstream = await startScriptedUpstream(silence)
    const server = await startDataplane({
      upstreams: [upstream],
      forward: QUICK,
      limits: { pendingMax: 5 },
    })
    const answers = await Promise.all(
      Array.from({ length: 9 }, (_, index) =>
        askUdp(server, `a${index}.example`, 'A', { edns: {} }),
      ),
    )
    const codes = answers.map(({ ede }) => ede?.code ?? 0).toSorted((a, b) => a - b)
    expect(codes).toEqual([22, 22, 22, 22, 22, 23, 23, 23, 23])
    await expectBalanced(server)
  })

  test('clients past the limit of one question get SERVFAIL with EDE 23', async () => {
    const upstream = await startScriptedUpstream(silence)
    const server = await startDataplane({
      upstreams: [upstream],
      forward: QUICK,
      limits: { waitersPerQuestionMax: 2 },
    })
    const answers = await Promise.all(
      Array.from({ length: 3 }, () => askUdp(server, 'a.example', 'A', { edns: {} })),
    )
    expect(answers.map(({ ede }) => ede?.code ?? 0).toSorted((a, b) => a - b)).toEqual([22, 22, 23])
    await expectBalanced(server)
  })
})

describe('an answer is relayed as it is', () => {
  test('in the order of its records, from the upstream and from the cache', async () => {
    conforms('record-order')
    const upstream = await startScriptedUpstream((query) =>
      reply(query, {
        answers: [
          { name: query.name, type: 'CNAME', ttl: 60, data: 'b.example' },
          { name: 'b.example', type: 'CNAME', ttl: 60, data: 'c.example' },
          ...[9, 3, 7, 1].map((octet) => ({
            name: 'c.example',
            type: 'A',
            ttl: 60,
            data: `192.0.2.${octet}`,
          })),
        ],
      }),
    )
    const server = await startDataplane({ upstreams: [upstream] })
    const order = ['b.example', 'c.example', ...[9, 3, 7, 1].map((octet) => `192.0.2.${octet}`)]
    for (let again = 0; again < 3; again++) {
      const { answers } = await askUdp(server, 'a.example')
      expect(answers.map(({ data }) => data)).toEqual(order)
    }
    expect(upstream.queries).toHaveLength(1)
  })

  test('with the octets of types that nobody knows', async () => {
    conforms('unknown-types', 'proxy')
    const rdata = Buffer.from([0xc0, 0x0c, 0xff, 0x00, 0xde, 0xad])
    const upstream = await startScriptedUpstream((query) =>
      reply(query, { answers: [{ name: query.name, type: 'TYPE666', ttl: 60, data: rdata }] }),
    )
    const server = await startDataplane({ upstreams: [upstream] })
    for (let again = 0; again < 2; again++) {
      const { answers } = await askUdp(server, 'a.example', 'TYPE666')
      expect(answers).toEqual([
        { name: 'a.example', type: 'TYPE666', ttl: 60, class: 'IN', data: rdata },
      ])
    }
  })

  test('but without its AA and AD, its OPT and what follows its records', async () => {
    const upstream = await startScriptedUpstream((query) => {
      const answer = reply(query, {
        authoritative: true,
        authenticData: true,
        answers: [{ name: query.name, type: 'A', ttl: 60, data: '192.0.2.1' }],
        edns: { options: [{ code: 15, data: u16(9) }] },
      })
      return join(answer, Buffer.from('behind'))
    })
    const server = await startDataplane({ upstreams: [upstream] })
    const octets = await exchangeUdp(server, encodeQuery('a.example', 'A', { edns: {} }))
    expect(octets.includes('behind')).toBe(false)
    expect(decodeMessage(octets)).toMatchObject({
      authoritative: false,
      authenticData: false,
      ede: undefined,
      edns: { options: [] },
    })
  })
})
