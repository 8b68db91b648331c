import { readFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { describe, expect, test } from 'vitest'
import {
  DROPPED,
  DROP_GONE,
  DROP_SHORT,
  OUTCOME_BLOCKED,
  OUTCOME_CACHED,
  OUTCOME_FORWARDED,
  TCP_ACCEPTED,
  TCP_CLOSED_IDLE,
  TCP_CONNECTIONS,
  TCP_REJECTED,
  responseSlot,
} from '../../src/dataplane/counters.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askUdp, frame, from, openTcp, type TcpClient } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { decodeMessage, encodeQuery } from '../support/messages.ts'
import {
  answerAddresses,
  reply,
  startScriptedUpstream,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'
import { conforms } from '../conformance/conforms.ts'

const BLOCKED = { rules: { adult: ['blocked.example'] } }

async function expectBalanced(server: Dataplane): Promise<void> {
  const { received, answered, dropped } = await server.idle()
  expect(received).toBe(answered + dropped)
}

/** Resolves with how the server ended a connection on which nothing is sent: FIN or RST. */
function endOf(server: Dataplane, octets: Uint8Array): Promise<'fin' | 'reset'> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: server.address, port: server.port })
    socket.write(octets)
    socket.on('data', () => {})
    socket.once('end', () => resolve('fin'))
    socket.once('error', () => resolve('reset'))
  })
}

describe('pipelined queries', () => {
  test('are answered as they are ready: a slow name holds back no other', async () => {
    conforms('tcp-pipelining')
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      if (query.name === 'slow.example') await gate.opened
      return answerAddresses(query)
    })
    const server = await startDataplane({ ...BLOCKED, upstreams: [upstream] })
    const client = await openTcp(server)
    const names = Array.from({ length: 99 }, (_, index) =>
      index % 3 === 0 ? `x${index}.blocked.example` : `name${index}.example`,
    )
    const queries = names.map((name, index) => encodeQuery(name, 'A', { id: index + 1 }))
    await client.send(encodeQuery('slow.example', 'A', { id: 0 }), ...queries)
    const ids = new Set<number>()
    for (let index = 0; index < 99; index++) ids.add((await client.nextMessage()).id)
    expect(ids).toEqual(new Set(names.map((_, index) => index + 1)))
    gate.open()
    expect((await client.nextMessage()).id).toBe(0)
    await client.close()
    await expectBalanced(server)
  })

  test('each get their own answer wherever the octets are split', async () => {
    const server = await startDataplane(BLOCKED)
    const stream = frame(
      encodeQuery('a.blocked.example', 'A', { id: 1 }),
      encodeQuery('localhost', 'A', { id: 2 }),
    )
    const client = await openTcp(server)
    for (let at = 0; at <= stream.length; at++) {
      await client.writeSplit(stream, [at])
      const answers = [await client.nextMessage(), await client.nextMessage()]
      expect(answers.map(({ id, rcode }) => [id, rcode])).toEqual([
        [1, 'NXDOMAIN'],
        [2, 'NOERROR'],
      ])
    }
    await client.writeSplit(stream, [...stream.keys()])
    expect([(await client.nextMessage()).id, (await client.nextMessage()).id]).toEqual([1, 2])
    await client.close()
    await expectBalanced(server)
  })

  test('that are malformed do not end the connection', async () => {
    const server = await startDataplane(BLOCKED)
    const client = await openTcp(server)
    const short = Buffer.alloc(11)
    const formerr = Buffer.concat([encodeQuery('a.example', 'A', { id: 5 }), Buffer.from([0])])
    const response = encodeQuery('a.example')
    response.writeUInt16BE(0x8000, 2)
    const last = encodeQuery('blocked.example', 'A', { id: 9 })
    await client.send(Buffer.alloc(0), short, formerr, response, last)
    expect(await client.nextMessage()).toMatchObject({ id: 5, rcode: 'FORMERR' })
    expect(await client.nextMessage()).toMatchObject({ id: 9, rcode: 'NXDOMAIN' })
    expect(server.count(DROPPED + DROP_SHORT)).toBe(2)
    await client.close()
    await expectBalanced(server)
  })

  test('past the limit of those in flight wait unread until others are answered', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await startDataplane({ upstreams: [upstream], limits: { tcpInFlightMax: 4 } })
    const client = await openTcp(server)
    const queries = Array.from({ length: 20 }, (_, id) =>
      encodeQuery(`a${id}.example`, 'A', { id }),
    )
    await client.send(...queries)
    await upstream.query(4)
    await askUdp(server, 'localhost')
    expect(server.balance().inFlight).toBe(4)
    gate.open()
    const ids = new Set<number>()
    for (let index = 0; index < 20; index++) ids.add((await client.nextMessage()).id)
    expect(ids.size).toBe(20)
    await client.close()
    await expectBalanced(server)
  })

  test('are counted under their own outcome, also when an answer lets others be read', async () => {
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({
      ...BLOCKED,
      upstreams: [upstream],
      limits: { tcpInFlightMax: 1 },
    })
    const client = await openTcp(server)
    await client.send(
      encodeQuery('www.example'),
      encodeQuery('blocked.example'),
      encodeQuery('www.example'),
      encodeQuery('other.example'),
      encodeQuery('blocked.example'),
    )
    for (let index = 0; index < 5; index++) await client.next()
    await server.idle()
    const counts = [
      [OUTCOME_FORWARDED, 0],
      [OUTCOME_CACHED, 0],
      [OUTCOME_BLOCKED, 3],
    ].map(([outcome, rcode]) => server.count(responseSlot(outcome!, rcode!)))
    expect(counts).toEqual([2, 1, 2])
    await client.close()
  })
})

describe('a connection is ended', () => {
  test('by FIN when it has been idle', async () => {
    conforms('tcp-idle')
    const server = await startDataplane({ ...BLOCKED, limits: { tcpIdleMs: 100 } })
    expect(await endOf(server, frame(encodeQuery('blocked.example')))).toBe('fin')
    expect(server.count(TCP_CLOSED_IDLE)).toBe(1)
    await server.until(() => server.count(TCP_CONNECTIONS) === 0)
  })

  test('but not while an answer is awaited', async () => {
    conforms('tcp-idle')
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await startDataplane({ upstreams: [upstream], limits: { tcpIdleMs: 40 } })
    const patient = await openTcp(server)
    await patient.send(encodeQuery('slow.example'))
    await upstream.query(1)
    // Others come, are idle, and are closed: the patient one has been silent for longer.
    for (let index = 0; index < 3; index++) {
      const idle = await openTcp(server)
      await idle.send(encodeQuery('localhost'))
      await idle.next()
      await idle.closed
      await idle.close()
    }
    gate.open()
    expect((await patient.nextMessage()).rcode).toBe('NOERROR')
    await patient.close()
  })

  test.each([
    { what: 'no octet comes', octets: Buffer.alloc(0) },
    { what: 'a length comes and no message', octets: Buffer.from([0, 30]) },
    { what: 'half a message comes', octets: frame(encodeQuery('a.example')).subarray(0, 9) },
    {
      what: 'a message is complete and the next one is not',
      octets: frame(encodeQuery('localhost'), encodeQuery('a.example')).subarray(0, 50),
    },
  ])('when $what in time', async ({ octets }) => {
    const server = await startDataplane({ limits: { tcpMessageMs: 100, tcpIdleMs: 60_000 } })
    await endOf(server, octets)
    expect(server.count(TCP_CLOSED_IDLE)).toBe(1)
    await expectBalanced(server)
  })

  test('when its octets come one by one, however steadily', async () => {
    conforms('tcp-exhaustion')
    const server = await startDataplane({ limits: { tcpMessageMs: 150, tcpIdleMs: 60_000 } })
    const client = await openTcp(server)
    const ended = new Set<string>()
    void client.closed.then(() => ended.add('by the server'))
    const stream = frame(Buffer.alloc(10_000))
    for (let at = 0; ended.size === 0 && at < stream.length; at++) {
      await client.write(stream.subarray(at, at + 1)).catch(() => {})
      await new Promise((resolve) => setImmediate(resolve))
    }
    await client.closed
    expect(server.count(TCP_CLOSED_IDLE)).toBe(1)
    await client.close()
  })

  test('after the client has ended its side and got its answers', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await startDataplane({ upstreams: [upstream] })
    const client = await openTcp(server)
    await client.send(encodeQuery('a.example', 'A', { id: 1 }), encodeQuery('b.example'))
    client.endWriting()
    await upstream.query(2)
    gate.open()
    const answers = [await client.nextMessage(), await client.nextMessage()]
    expect(answers.map(({ rcode }) => rcode)).toEqual(['NOERROR', 'NOERROR'])
    await client.closed
    await client.close()
    await expectBalanced(server)
  })

  test('by the client before its answer: the answer is a counted drop', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await startDataplane({ upstreams: [upstream] })
    const client = await openTcp(server)
    await client.send(encodeQuery('a.example'), encodeQuery('b.example'))
    await upstream.query(2)
    client.reset()
    await server.until(() => server.count(TCP_CONNECTIONS) === 0, 'gone')
    gate.open()
    await expectBalanced(server)
    expect(server.count(DROPPED + DROP_GONE)).toBe(2)
  })
})

describe('the number of connections', () => {
  test('of one client is bounded', async () => {
    const server = await startDataplane({ ...BLOCKED, limits: { tcpConnectionsPerClientMax: 2 } })
    const first = await openTcp(server)
    const second = await openTcp(server)
    await server.until(() => server.count(TCP_ACCEPTED) === 2)
    const third = await openTcp(server)
    await third.closed
    expect(server.count(TCP_REJECTED)).toBe(1)
    await first.send(encodeQuery('blocked.example'))
    expect((await first.nextMessage()).rcode).toBe('NXDOMAIN')
    await first.close()
    await server.until(() => server.count(TCP_CONNECTIONS) === 1)
    const fourth = await openTcp(server)
    await fourth.send(encodeQuery('blocked.example'))
    expect((await fourth.nextMessage()).rcode).toBe('NXDOMAIN')
    await Promise.all([second, third, fourth].map((client) => client.close()))
  })

  test('of one client is bounded whatever address of its prefix it comes from', async () => {
    conforms('tcp-exhaustion')
    const server = await startDataplane({
      rate: { ipv4ClientBits: 24 },
      limits: { tcpConnectionsPerClientMax: 2 },
    })
    const mine = [
      await openTcp(from(server, '127.0.0.2')),
      await openTcp(from(server, '127.0.0.3')),
    ]
    await server.until(() => server.count(TCP_ACCEPTED) === 2)
    const third = await openTcp(from(server, '127.0.0.4'))
    await third.closed
    expect(server.count(TCP_REJECTED)).toBe(1)
    const neighbour = await openTcp(from(server, '127.0.1.2'))
    await neighbour.send(encodeQuery('localhost'))
    expect((await neighbour.nextMessage()).rcode).toBe('NOERROR')
    // What a client has is still its own when a reload draws other lines.
    server.reload({ rate: { ipv4ClientBits: 32 } })
    await Promise.all(mine.map((client) => client.close()))
    await server.until(() => server.count(TCP_CONNECTIONS) === 1)
    server.reload({ rate: { ipv4ClientBits: 24 } })
    const again = [
      await openTcp(from(server, '127.0.0.5')),
      await openTcp(from(server, '127.0.0.6')),
    ]
    await server.until(() => server.count(TCP_ACCEPTED) === 5)
    await Promise.all([third, neighbour, ...again].map((client) => client.close()))
  })

  test('of all is bounded: when none is idle, the client with the most gives one up', async () => {
    conforms('tcp-exhaustion')
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await startDataplane({ upstreams: [upstream], limits: { tcpConnectionsMax: 3 } })
    const ask = async (address: string, name: string): Promise<TcpClient> => {
      const client = await openTcp(from(server, address))
      await client.send(encodeQuery(name))
      return client
    }
    const greedy: TcpClient[] = []
    for (const name of ['a.example', 'b.example', 'c.example']) {
      greedy.push(await ask('127.0.0.2', name))
      await upstream.query(greedy.length)
    }
    const second = await ask('127.0.0.3', 'd.example')
    await greedy[0]!.closed
    await upstream.query(4)
    expect(server.count(TCP_REJECTED)).toBe(1)
    // Two and one: who would have as many as the greedy one would keep is refused.
    const other = await ask('127.0.0.3', 'e.example')
    await other.closed
    expect(server.count(TCP_REJECTED)).toBe(2)
    gate.open()
    for (const client of [greedy[1]!, greedy[2]!, second]) {
      expect((await client.nextMessage()).rcode).toBe('NOERROR')
    }
    await Promise.all([...greedy, second, other].map((client) => client.close()))
    await expectBalanced(server)
  })

  test('of all is bounded: the one idle for longest gives way', async () => {
    conforms('tcp-exhaustion')
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await startDataplane({ upstreams: [upstream], limits: { tcpConnectionsMax: 3 } })
    const busy = await openTcp(server)
    await busy.send(encodeQuery('slow.example'))
    await upstream.query(1)
    const idlest = await openTcp(server)
    await idlest.send(encodeQuery('localhost'))
    await idlest.next()
    const idle = await openTcp(server)
    await idle.send(encodeQuery('localhost'))
    await idle.next()
    const late = await openTcp(server)
    await late.send(encodeQuery('localhost'))
    expect((await late.nextMessage()).rcode).toBe('NOERROR')
    await idlest.closed
    await idle.send(encodeQuery('localhost'))
    expect((await idle.nextMessage()).rcode).toBe('NOERROR')
    gate.open()
    expect((await busy.nextMessage()).rcode).toBe('NOERROR')
    expect(server.count(TCP_CONNECTIONS)).toBe(3)
    await Promise.all([busy, idlest, idle, late].map((client) => client.close()))
  })

  test('when all are busy, the new one is refused', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await startDataplane({ upstreams: [upstream], limits: { tcpConnectionsMax: 1 } })
    const busy = await openTcp(server)
    await busy.send(encodeQuery('slow.example'))
    await upstream.query(1)
    const late = await openTcp(server)
    await late.closed
    expect(server.count(TCP_REJECTED)).toBe(1)
    gate.open()
    expect((await busy.nextMessage()).rcode).toBe('NOERROR')
    await Promise.all([busy, late].map((client) => client.close()))
  })
})

/** Answers with 200 addresses, over TCP only. */
function startLargeUpstream(): Promise<ScriptedUpstream> {
  const answers = Array.from({ length: 200 }, (_, index) => ({
    name: 'large.example',
    type: 'A',
    ttl: 300,
    data: `192.0.2.${index}`,
  }))
  return startScriptedUpstream((query) =>
    query.transport === 'udp' ? reply(query, { truncated: true }) : reply(query, { answers }),
  )
}

test('a client that reads no answers is read no further, and loses none', async () => {
  conforms('tcp-exhaustion')
  const upstream = await startLargeUpstream()
  const tcpUnsentOctetsMax = 64 * 1024
  const server = await startDataplane({ upstreams: [upstream], limits: { tcpUnsentOctetsMax } })
  const client = await openTcp(server)
  client.pause()
  const amount = 6000
  const queries = Array.from({ length: amount }, (_, id) =>
    encodeQuery('large.example', 'A', { id }),
  )
  const sent = client.send(...queries)
  let seen = -1
  // It goes on until the kernel's buffers are full, and then no further.
  while (server.balance().answered !== seen) {
    seen = server.balance().answered
    for (let asked = 0; asked < 20; asked++) await askUdp(server, 'localhost')
    seen += 20
  }
  expect(server.balance().received).toBeLessThan(amount)
  client.resume()
  await sent
  const ids = new Set<number>()
  for (let index = 0; index < amount; index++) ids.add((await client.next()).readUInt16BE(0))
  expect(ids.size).toBe(amount)
  expect(decodeMessage(queries[0]!).id).toBe(0)
  await client.close()
  await expectBalanced(server)
})

/** Octets in the kernel on their way from that port: not sent, not acknowledged, or not read. */
async function octetsUnderWay(port: number): Promise<number> {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const lines = (await readFile('/proc/self/net/tcp', 'latin1')).trim().split('\n').slice(1)
  let octets = 0
  for (const line of lines) {
    const [, local = '', remote = '', , queues = ''] = line.trim().split(/\s+/)
    const [unsent = '', unread = ''] = queues.split(':')
    if (local.endsWith(end)) octets += Number.parseInt(unsent, 16)
    if (remote.endsWith(end)) octets += Number.parseInt(unread, 16)
  }
  return octets
}

test('what many clients leave unread is bounded together, and one who reads is served', async () => {
  conforms('tcp-exhaustion')
  const upstream = await startLargeUpstream()
  const tcpUnsentTotalOctetsMax = 256 * 1024
  const server = await startDataplane({
    upstreams: [upstream],
    limits: { tcpUnsentTotalOctetsMax, tcpIdleMs: 60_000, tcpMessageMs: 1000 },
  })
  const reader = await openTcp(server)
  await reader.send(encodeQuery('large.example'))
  const answer = await reader.next()
  const before = server.balance().answered
  const deaf = await Promise.all(Array.from({ length: 8 }, () => openTcp(server)))
  const questions = Array.from({ length: 3000 }, (_, id) =>
    encodeQuery('large.example', 'A', { id }),
  )
  for (const client of deaf) client.pause()
  const sent = deaf.map((client) => client.send(...questions))
  let seen = -1
  let asked = 0
  while (server.balance().answered !== seen) {
    seen = server.balance().answered
    for (let turn = 0; turn < 20; turn++) await askUdp(server, 'localhost')
    seen += 20
    asked += 20
  }
  const octets = (server.balance().answered - before - asked) * (answer.length + 2)
  const kept = octets - (await octetsUnderWay(server.port))
  // Each may have one answer of its own, and in Node's hands what it has read before it paused.
  const each = answer.length + 64 * 1024
  expect(kept).toBeLessThan(tcpUnsentTotalOctetsMax + deaf.length * each)
  const own = questions.slice(0, 100)
  await reader.send(...own)
  const ids = new Set<number>()
  for (let index = 0; index < own.length; index++) {
    ids.add((await reader.next()).readUInt16BE(0))
  }
  expect(ids.size).toBe(own.length)
  // A message that we do not read is no message that does not come.
  await new Promise((resolve) => setTimeout(resolve, 1500))
  // Who reads again gets everything.
  for (const client of deaf) client.resume()
  await Promise.all(sent)
  for (const client of deaf) {
    for (let index = 0; index < questions.length; index++) await client.next(30_000)
  }
  await Promise.all([reader, ...deaf].map((client) => client.close()))
  await expectBalanced(server)
})
