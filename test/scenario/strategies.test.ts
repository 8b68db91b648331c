import { describe, expect, test } from 'vitest'
import {
  DROPPED,
  DROP_LATE,
  FAILURE_TIMEOUT,
  LIMITED,
  LIMIT_CLIENT,
  LIMIT_UPSTREAM,
  UPSTREAM_UP,
  failureSlot,
} from '../../src/dataplane/counters.ts'
import { conforms } from '../conformance/conforms.ts'
import { advanceClock } from '../support/clock.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askTcp, askUdp, openUdp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { decodeMessage, encodeQuery } from '../support/messages.ts'
import { freePort } from '../support/ports.ts'
import {
  answerAddresses,
  reply,
  silence,
  startScriptedUpstream,
  type Script,
} from '../support/scripted-upstream.ts'

const QUICK = { tryTimeoutMs: 80, totalTimeoutMs: 400, triesMax: 3 }

function answering(data: string): Script {
  return (query) => reply(query, { answers: [{ name: query.name, type: 'A', ttl: 300, data }] })
}

describe('an upstream that is passed over', () => {
  test('is probed with a question that no client has asked', async () => {
    conforms('failure-cache', 'dead-upstream')
    const first = await startScriptedUpstream(silence)
    const second = await startScriptedUpstream(answering('192.0.2.2'))
    const server = await startDataplane({ upstreams: [first, second], forward: QUICK })
    for (const name of ['a.example', 'b.example', 'c.example']) await askUdp(server, name)
    expect(server.count(UPSTREAM_UP)).toBe(0)
    // Its time for a probe comes: it is still silent, and the client does not feel it.
    advanceClock(1000)
    const probed = first.queries.length
    expect((await askUdp(server, 'd.example')).answers[0]?.data).toBe('192.0.2.2')
    expect(await first.query(probed + 1)).toMatchObject({ name: '.', type: 'NS' })
    expect((await askUdp(server, 'e.example')).answers[0]?.data).toBe('192.0.2.2')
    expect(first.queries).toHaveLength(probed + 1)
    await server.until(() => server.count(failureSlot(0, FAILURE_TIMEOUT)) === 4, 'the probe ended')
    // It is back.
    first.follow(answering('192.0.2.1'))
    advanceClock(4000)
    await askUdp(server, 'f.example')
    await server.until(() => server.count(UPSTREAM_UP) === 1, 'it is up')
    expect((await askUdp(server, 'g.example')).answers[0]?.data).toBe('192.0.2.1')
    const { received, answered } = await server.idle()
    expect(received).toBe(answered)
  })

  test('sees at most one packet a second once it is gone, and clients get their answer at once', async () => {
    conforms('failure-cache', 'dead-upstream')
    const upstream = await startScriptedUpstream(silence)
    const forward = { ...QUICK, triesMax: 1 }
    const server = await startDataplane({ upstreams: [upstream], forward })
    await Promise.all(Array.from({ length: 20 }, (_, i) => askUdp(server, `early${i}.example`)))
    expect(server.count(failureSlot(0, FAILURE_TIMEOUT))).toBe(20)
    advanceClock(3000)
    const before = upstream.queries.length
    for (let index = 0; index < 100; index++) {
      const answer = await askUdp(server, `gone${index}.example`, 'A', { edns: {} })
      expect(answer).toMatchObject({ rcode: 'SERVFAIL', ede: { code: 22 } })
    }
    expect(upstream.queries.length - before).toBeLessThanOrEqual(3)
    const timeouts = (): number => server.count(failureSlot(0, FAILURE_TIMEOUT))
    await server.until(() => timeouts() === upstream.queries.length, 'the probe ended')
    // It comes back: the next probe tells, and what had failed is asked again.
    upstream.follow(answerAddresses)
    advanceClock(4000)
    await askUdp(server, 'probe.example')
    await server.until(() => server.count(UPSTREAM_UP) === 1, 'it is up')
    expect((await askUdp(server, 'gone99.example')).rcode).toBe('NOERROR')
  })

  test('is found again by the first probe, however many names below a slow zone are asked', async () => {
    conforms('random-subdomains', 'dead-upstream')
    const upstream = await startScriptedUpstream((query) =>
      query.name.endsWith('slow.example') ? undefined : answerAddresses(query),
    )
    const forward = { ...QUICK, triesMax: 1 }
    const server = await startDataplane({ upstreams: [upstream], forward })
    const flood = (round: string) =>
      Promise.all(Array.from({ length: 20 }, (_, i) => askUdp(server, `${round}${i}.slow.example`)))
    await flood('early')
    advanceClock(3000)
    const before = upstream.queries.length
    const [first] = await flood('late')
    expect(first?.rcode).toBe('SERVFAIL')
    expect((await upstream.query(before + 1)).type).toBe('NS')
    await server.until(() => server.count(UPSTREAM_UP) === 1, 'it is up')
    expect((await askUdp(server, 'honest.example')).rcode).toBe('NOERROR')
    expect(upstream.queries.filter(({ type }) => type === 'NS')).toHaveLength(1)
  })

  test('is back when its reply to a probe comes, however late', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(silence)
    const forward = { tryTimeoutMs: 80, totalTimeoutMs: 10_000, triesMax: 1 }
    const server = await startDataplane({ upstreams: [upstream], forward })
    for (let index = 0; index < 3; index++) await askUdp(server, `a${index}.example`)
    upstream.follow(async (query) => {
      await gate.opened
      return reply(query, { rcode: 'REFUSED' })
    })
    advanceClock(1000)
    await askUdp(server, 'b.example')
    const timeouts = (): number => server.count(failureSlot(0, FAILURE_TIMEOUT))
    await server.until(() => timeouts() === 5, 'the probe timed out')
    expect(server.count(UPSTREAM_UP)).toBe(0)
    gate.open()
    await server.until(() => server.count(UPSTREAM_UP) === 1, 'it is up')
  })

  test('is not taken to be gone for one name that nobody can answer', async () => {
    const upstream = await startScriptedUpstream((query) =>
      query.name.startsWith('broken') ? undefined : answerAddresses(query),
    )
    const server = await startDataplane({ upstreams: [upstream], forward: QUICK })
    for (let index = 0; index < 3; index++) {
      expect((await askUdp(server, `broken${index}.example`)).rcode).toBe('SERVFAIL')
      expect((await askUdp(server, `whole${index}.example`)).rcode).toBe('NOERROR')
    }
  })

  test('of three may flap every moment: every question is answered', async () => {
    conforms('dead-upstream')
    let isUp = true
    const flapping = await startScriptedUpstream((query) =>
      isUp ? answering('192.0.2.1')(query) : undefined,
    )
    const upstreams = [
      flapping,
      await startScriptedUpstream(answering('192.0.2.2')),
      await startScriptedUpstream(answering('192.0.2.3')),
    ]
    const server = await startDataplane({ upstreams, forward: QUICK })
    for (let round = 0; round < 20; round++) {
      isUp = !isUp
      advanceClock(500)
      const names = Array.from({ length: 10 }, (_, index) => `r${round}-${index}.example`)
      const answers = await Promise.all(names.map((name) => askUdp(server, name)))
      expect(answers.map(({ answers: [record] }) => record?.type)).toEqual(names.map(() => 'A'))
    }
    const { received, answered, dropped } = await server.idle()
    expect(received).toBe(answered + dropped)
  })
})

describe('the strategy', () => {
  test('`fastest` asks who answers soonest, and measures the others besides', async () => {
    const gates = [new Gate(), new Gate()]
    const slow = await startScriptedUpstream(async (query) => {
      await gates[query.type === 'NS' ? 1 : 0]!.opened
      return answering('192.0.2.1')(query)
    })
    const fast = await startScriptedUpstream(answering('192.0.2.2'))
    const forward = { strategy: 'fastest', tryTimeoutMs: 3000, totalTimeoutMs: 9000 } as const
    const server = await startDataplane({ upstreams: [slow, fast], forward })
    // Neither was measured: the first is asked, and takes its time.
    const first = askUdp(server, 'a.example')
    await slow.query(1)
    await new Promise((resolve) => setTimeout(resolve, 50))
    gates[0]!.open()
    expect((await first).answers[0]?.data).toBe('192.0.2.1')
    for (let index = 0; index < 10; index++) {
      expect((await askUdp(server, `b${index}.example`)).answers[0]?.data).toBe('192.0.2.2')
    }
    expect(slow.queries).toHaveLength(1)
    // After a while the slow one is measured with a question that nobody waits for.
    advanceClock(11_000)
    expect((await askUdp(server, 'late.example')).answers[0]?.data).toBe('192.0.2.2')
    expect((await slow.query(2)).type).toBe('NS')
    gates[1]!.open()
  })

  test('`fastest` goes on to the next when the fastest is silent', async () => {
    const upstreams = [await startScriptedUpstream(), await startScriptedUpstream()]
    const forward = { strategy: 'fastest', ...QUICK } as const
    const server = await startDataplane({ upstreams, forward })
    await askUdp(server, 'a.example')
    for (const upstream of upstreams) upstream.follow(silence)
    upstreams[0]!.follow((query) =>
      query.name === 'b.example' ? undefined : answerAddresses(query),
    )
    upstreams[1]!.follow(answerAddresses)
    expect((await askUdp(server, 'b.example')).rcode).toBe('NOERROR')
  })

  test('`parallel` asks several at once, and takes the first good answer', async () => {
    const gate = new Gate()
    const upstreams = [
      await startScriptedUpstream((query) => reply(query, { rcode: 'SERVFAIL' })),
      await startScriptedUpstream(async (query) => {
        await gate.opened
        return answering('192.0.2.2')(query)
      }),
      await startScriptedUpstream(answering('192.0.2.3')),
    ]
    const forward = { strategy: 'parallel', parallelMax: 2 } as const
    const server = await startDataplane({ upstreams, forward })
    const answer = askUdp(server, 'a.example')
    await Promise.all([upstreams[0]!.query(1), upstreams[1]!.query(1)])
    gate.open()
    // SERVFAIL came first and was no reason to end, nor to ask a third.
    expect((await answer).answers[0]?.data).toBe('192.0.2.2')
    expect(upstreams[2]!.queries).toHaveLength(0)
    const { received, answered } = await server.idle()
    expect(received).toBe(answered)
  })

  test('`parallel` with one upstream asks it once', async () => {
    const upstream = await startScriptedUpstream()
    const forward = { strategy: 'parallel', parallelMax: 4 } as const
    const server = await startDataplane({ upstreams: [upstream], forward })
    await askUdp(server, 'a.example')
    expect(upstream.queries).toHaveLength(1)
  })

  test('`parallel` survives upstreams that refuse at once', async () => {
    const closed = { address: '127.0.0.1', port: await freePort() }
    const forward = { strategy: 'parallel', parallelMax: 3, ...QUICK } as const
    const server = await startDataplane({ upstreams: [closed, closed, closed], forward })
    const names = Array.from({ length: 50 }, (_, index) => `a${index}.example`)
    const answers = await Promise.all(names.map((name) => askUdp(server, name)))
    expect(new Set(answers.map(({ rcode }) => rcode))).toEqual(new Set(['SERVFAIL']))
    const { received, answered } = await server.idle()
    expect(received).toBe(answered)
  })
})

describe('what waits is bounded', () => {
  test('for each client: what is past its share is SERVFAIL, others are not touched', async () => {
    conforms('dnsbomb', 'birthday')
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const limits = { pendingPerClientMax: 20 }
    const server = await startDataplane({ upstreams: [upstream], limits })
    const client = await openUdp(server)
    for (let index = 0; index < 50; index++) {
      await client.send(encodeQuery(`a${index}.example`, 'A', { edns: {} }))
    }
    for (let index = 0; index < 30; index++) {
      const answer = decodeMessage(await client.next())
      expect(answer).toMatchObject({ rcode: 'SERVFAIL', ede: { code: 23 } })
    }
    expect(server.count(LIMITED + LIMIT_CLIENT)).toBe(30)
    gate.open()
    for (let index = 0; index < 20; index++) {
      expect(decodeMessage(await client.next()).rcode).toBe('NOERROR')
    }
    // Its share is free again.
    await client.send(encodeQuery('again.example'))
    expect(decodeMessage(await client.next()).rcode).toBe('NOERROR')
    await client.close()
    const { received, answered } = await server.idle()
    expect(received).toBe(answered)
  })

  test('for each upstream: what is past its share goes to the next', async () => {
    conforms('backlog', 'random-subdomains')
    const slow = await startScriptedUpstream(silence)
    const other = await startScriptedUpstream()
    const forward = { pendingPerUpstreamMax: 16, tryTimeoutMs: 20_000, totalTimeoutMs: 20_000 }
    const server = await startDataplane({ upstreams: [slow, other], forward })
    const client = await openUdp(server)
    for (let index = 0; index < 16; index++) await client.send(encodeQuery(`a${index}.example`))
    await slow.query(16)
    for (let index = 16; index < 40; index++) {
      expect((await askUdp(server, `a${index}.example`)).rcode).toBe('NOERROR')
    }
    expect(slow.queries).toHaveLength(16)
    expect(server.count(LIMITED + LIMIT_UPSTREAM)).toBe(24)
    await client.close()
  })

  test('and what was long in coming does not leave in one burst; TCP clients wait for theirs', async () => {
    conforms('dnsbomb')
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const limits = { lateRepliesPerClientMax: 10 }
    const forward = { tryTimeoutMs: 20_000, totalTimeoutMs: 20_000 }
    const server = await startDataplane({ upstreams: [upstream], limits, forward })
    const client = await openUdp(server)
    for (let index = 0; index < 60; index++) await client.send(encodeQuery('slow.example'))
    const patient = askTcp(server, 'slow.example')
    await server.until(() => server.balance().inFlight === 61, 'all wait')
    advanceClock(2000)
    gate.open()
    expect((await patient).answers).toHaveLength(1)
    const { received, answered, dropped } = await server.idle()
    expect({ received, answered, dropped }).toEqual({ received: 61, answered: 11, dropped: 50 })
    expect(server.count(DROPPED + DROP_LATE)).toBe(50)
    for (let index = 0; index < 10; index++) await client.next()
    expect(client.unread).toBe(0)
    // Who asks again has the answer from the cache.
    await client.send(encodeQuery('slow.example'))
    expect(decodeMessage(await client.next()).answers).toHaveLength(1)
    await client.close()
  })

  test('in time: every question has its answer within the budget, whatever the upstreams do', async () => {
    conforms('dnsbomb', 'backlog')
    const upstream = await startScriptedUpstream(silence)
    const forward = { tryTimeoutMs: 100, totalTimeoutMs: 300, triesMax: 10 }
    const server = await startDataplane({ upstreams: [upstream], forward })
    const client = await openUdp(server)
    const startMs = performance.now()
    for (let index = 0; index < 200; index++) await client.send(encodeQuery(`a${index}.example`))
    for (let index = 0; index < 200; index++) {
      expect(decodeMessage(await client.next()).rcode).toBe('SERVFAIL')
    }
    // Three tries fit; a fourth would end past the budget.
    expect(performance.now() - startMs).toBeLessThan(3000)
    expect(upstream.queries.length).toBeLessThanOrEqual(200 * 5)
    await client.close()
    const { received, answered } = await server.idle()
    expect(received).toBe(answered)
  })
})
