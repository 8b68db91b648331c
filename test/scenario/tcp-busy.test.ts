import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  DROPPED,
  DROP_GONE,
  TCP_ACCEPTED,
  TCP_CLOSED_IDLE,
  TCP_CONNECTIONS,
} from '../../src/dataplane/counters.ts'
import { SocketLoop } from '../../src/sys/socket-loop.ts'
import { StreamCalls } from '../../src/sys/stream-calls.ts'
import { conforms } from '../conformance/conforms.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { frame, openTcp, type TcpClient } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { encodeQuery } from '../support/messages.ts'
import { answerAddresses, reply, startScriptedUpstream } from '../support/scripted-upstream.ts'

/** Over Node's own transport nothing is ever read by system calls; everything else is the same. */
const IS_PLAIN = process.env['TEST_TRANSPORT'] === 'plain'
const BLOCKED = { rules: { adult: ['blocked.example'] } }
const ROUNDS_MAX = 2000

const adopt = vi.spyOn(SocketLoop.prototype, 'adopt')
const receive = vi.spyOn(StreamCalls.prototype, 'receive')

beforeEach(() => {
  adopt.mockClear()
  receive.mockClear()
})

afterEach(() => {
  if (IS_PLAIN) expect(receive).not.toHaveBeenCalled()
})

/** Asks one question after the other until the worker's own loop reads the connection. */
async function keepBusy(client: TcpClient, rounds = 8): Promise<void> {
  const before = receive.mock.calls.length
  for (let round = 0; round < ROUNDS_MAX; round++) {
    await client.send(encodeQuery('localhost', 'A', { id: round }))
    expect((await client.next()).readUInt16BE(0)).toBe(round)
    const isBusy = IS_PLAIN ? round === rounds : receive.mock.calls.length >= before + rounds
    if (isBusy) return
  }
  throw new Error('the loop did not take the connection')
}

async function expectBalanced(server: Dataplane): Promise<void> {
  const { received, answered, dropped } = await server.idle()
  expect(received).toBe(answered + dropped)
}

async function startHeld(): Promise<{ server: Dataplane; gate: Gate; asked: () => Promise<void> }> {
  const gate = new Gate()
  const upstream = await startScriptedUpstream(async (query) => {
    if (query.name.startsWith('slow')) await gate.opened
    return answerAddresses(query)
  })
  const server = await startDataplane({ ...BLOCKED, upstreams: [upstream] })
  return { server, gate, asked: async () => void (await upstream.query(1)) }
}

describe('a busy connection', () => {
  test('is read by the loop of the worker, and by Node once it is quiet', async () => {
    const server = await startDataplane(BLOCKED)
    const client = await openTcp(server)
    for (let round = 0; round < 3; round++) {
      await keepBusy(client)
      await new Promise((resolve) => setTimeout(resolve, 50))
      const byLoop = receive.mock.calls.length
      await client.send(encodeQuery('blocked.example', 'A', { id: 7 }))
      expect(await client.nextMessage()).toMatchObject({ id: 7, rcode: 'NXDOMAIN' })
      expect(receive.mock.calls.length).toBe(byLoop)
    }
    await client.close()
    await expectBalanced(server)
  })

  test('is answered wherever the octets are split', async () => {
    const server = await startDataplane(BLOCKED)
    const client = await openTcp(server)
    const stream = frame(
      encodeQuery('a.blocked.example', 'A', { id: 1 }),
      encodeQuery('localhost', 'A', { id: 2 }),
    )
    for (let at = 1; at < stream.length; at++) {
      await keepBusy(client, 1)
      await client.writeSplit(stream, [at])
      const answers = [await client.nextMessage(), await client.nextMessage()]
      expect(answers.map(({ id, rcode }) => [id, rcode])).toEqual([
        [1, 'NXDOMAIN'],
        [2, 'NOERROR'],
      ])
    }
    // A split falls into a read of the loop, and into one of its own buffer.
    await keepBusy(client)
    await client.writeSplit(stream, [...stream.keys()])
    expect([(await client.nextMessage()).id, (await client.nextMessage()).id]).toEqual([1, 2])
    await client.close()
    await expectBalanced(server)
  })

  test('and others never get octets of each other', async () => {
    const server = await startDataplane(BLOCKED)
    const clients = await Promise.all(Array.from({ length: 8 }, () => openTcp(server)))
    await Promise.all(
      clients.map(async (client, number) => {
        await keepBusy(client)
        for (let round = 0; round < 40; round++) {
          const names = [`a${number}-${round}.blocked.example`, `${'b'.repeat(round)}x.localhost`]
          const stream = frame(...names.map((name, id) => encodeQuery(name, 'A', { id })))
          await client.writeSplit(stream, [3 + ((round * 7 + number) % (stream.length - 3))])
          for (const [id, name] of names.entries()) {
            const answer = await client.nextMessage()
            expect(answer).toMatchObject({ id, questions: [{ name }] })
          }
        }
        await client.close()
      }),
    )
    await expectBalanced(server)
  })

  test('gets late answers beside those that are known', async () => {
    const { server, gate, asked } = await startHeld()
    const client = await openTcp(server)
    await keepBusy(client)
    const slow = ['slow1.example', 'slow2.example', 'slow3.example']
    await client.send(...slow.map((name, index) => encodeQuery(name, 'A', { id: index + 1 })))
    await asked()
    await keepBusy(client)
    gate.open()
    const answers = [await client.nextMessage(), await client.nextMessage()]
    answers.push(await client.nextMessage())
    expect(new Set(answers.map(({ id }) => id))).toEqual(new Set([1, 2, 3]))
    for (const { rcode } of answers) expect(rcode).toBe('NOERROR')
    await keepBusy(client)
    await client.close()
    await expectBalanced(server)
  })
})

/** Answers that fill the kernel's buffers. */
async function startLarge(): Promise<Dataplane> {
  const answers = Array.from({ length: 200 }, (_, index) => ({
    name: 'large.example',
    type: 'A',
    ttl: 300,
    data: `192.0.2.${index}`,
  }))
  const upstream = await startScriptedUpstream((query) =>
    query.transport === 'udp' ? reply(query, { truncated: true }) : reply(query, { answers }),
  )
  return startDataplane({ upstreams: [upstream], limits: { tcpUnsentOctetsMax: 64 * 1024 } })
}

test('a busy client that stops reading gets every answer, whole and in order, once it reads', async () => {
  conforms('tcp-exhaustion')
  const server = await startLarge()
  const client = await openTcp(server)
  await client.send(encodeQuery('large.example', 'A', { id: 0 }))
  const expected = await client.next()
  await keepBusy(client)
  client.pause()
  const amount = 4000
  const before = server.balance().answered
  const questions = Array.from({ length: amount }, (_, id) =>
    encodeQuery('large.example', 'A', { id }),
  )
  const sent = client.send(...questions)
  // The kernel's buffers are full, and so is what we keep for the client.
  let seen = -1
  while (server.balance().answered !== seen) {
    seen = server.balance().answered
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
  expect(seen - before).toBeGreaterThan(0)
  expect(seen - before).toBeLessThan(amount)
  client.resume()
  await sent
  for (let id = 0; id < amount; id++) {
    const answer = await client.next()
    expect(answer.readUInt16BE(0)).toBe(id)
    expect(answer.length).toBe(expected.length)
    // The header's id is theirs, and the TTL may have aged: names and addresses are not.
    expect(answer.subarray(2, 40).equals(expected.subarray(2, 40))).toBe(true)
    expect(answer.subarray(-4).equals(expected.subarray(-4))).toBe(true)
  }
  await keepBusy(client)
  await client.close()
  await expectBalanced(server)
})

describe('a busy connection ends', () => {
  test('by FIN after the client has ended its side and got its answers', async () => {
    const { server, gate, asked } = await startHeld()
    const client = await openTcp(server)
    await keepBusy(client)
    await client.send(encodeQuery('slow.example', 'A', { id: 1 }), encodeQuery('localhost'))
    client.endWriting()
    expect((await client.nextMessage()).rcode).toBe('NOERROR')
    await asked()
    gate.open()
    expect(await client.nextMessage()).toMatchObject({ id: 1, rcode: 'NOERROR' })
    await client.closed
    await server.until(() => server.count(TCP_CONNECTIONS) === 0, 'closed')
    await client.close()
    await expectBalanced(server)
  })

  test('when the client resets it: what it still waited for is dropped and counted', async () => {
    const { server, gate, asked } = await startHeld()
    const client = await openTcp(server)
    await keepBusy(client)
    await client.send(encodeQuery('slow1.example'), encodeQuery('slow2.example'))
    await asked()
    await keepBusy(client)
    client.reset()
    await server.until(() => server.count(TCP_CONNECTIONS) === 0, 'gone')
    gate.open()
    await expectBalanced(server)
    expect(server.count(DROPPED + DROP_GONE)).toBe(2)
  })

  test('by FIN when a reload refuses its address, and when the server stops', async () => {
    const server = await startDataplane(BLOCKED)
    const refused = await openTcp(server)
    await keepBusy(refused)
    server.reload({ allowFrom: ['192.0.2.0/24'] })
    await refused.closed
    server.reload({ allowFrom: ['127.0.0.0/8'] })
    const stopped = await openTcp(server)
    await keepBusy(stopped)
    await Promise.all([server.stop(1000), stopped.closed])
    await Promise.all([refused.close(), stopped.close()])
    expect(server.count(TCP_CONNECTIONS)).toBe(0)
  })

  test('for good: who writes on after our FIN is not heard, and is cut when idle', async () => {
    const server = await startDataplane({ ...BLOCKED, limits: { tcpIdleMs: 200 } })
    const socket = createConnection({ host: '127.0.0.1', port: server.port, allowHalfOpen: true })
    const question = frame(encodeQuery('localhost'))
    socket.write(question)
    await once(socket, 'data')
    server.reload({ allowFrom: ['192.0.2.0/24'] })
    await once(socket, 'end')
    const { received } = await server.idle()
    const gone = new Promise((resolve) => socket.on('close', resolve).on('error', () => {}))
    const writing = setInterval(() => socket.write(question), 20)
    await gone
    clearInterval(writing)
    await server.until(() => server.count(TCP_CONNECTIONS) === 0, 'cut')
    expect((await server.idle()).received).toBe(received)
  })

  test('when it has been idle, though others keep the loop awake', async () => {
    const server = await startDataplane({ ...BLOCKED, limits: { tcpIdleMs: 200 } })
    const [idle, busy] = [await openTcp(server), await openTcp(server)]
    await keepBusy(idle)
    while (server.count(TCP_CLOSED_IDLE) === 0) await keepBusy(busy, 1)
    await idle.closed
    await server.until(() => server.count(TCP_CONNECTIONS) === 1, 'closed')
    await Promise.all([idle.close(), busy.close()])
    await expectBalanced(server)
  })
})

test('whoever gets the descriptor of a busy connection that is gone gets none of its answers', async () => {
  const gates: Gate[] = []
  const upstream = await startScriptedUpstream(async (query) => {
    const gate = new Gate()
    gates.push(gate)
    await gate.opened
    return answerAddresses(query)
  })
  const server = await startDataplane({ ...BLOCKED, upstreams: [upstream] })
  let reused = 0
  for (let round = 0; round < 10; round++) {
    const gone = await openTcp(server)
    await keepBusy(gone)
    await gone.send(encodeQuery(`slow${round}.example`, 'A', { id: 99 }))
    await server.until(() => gates.length === round + 1, 'asked')
    await keepBusy(gone)
    const descriptor = adopt.mock.lastCall?.[0]
    gone.reset()
    await server.until(() => server.count(TCP_CONNECTIONS) === 0, 'gone')
    const other = await openTcp(server)
    await keepBusy(other)
    if (adopt.mock.lastCall?.[0] === descriptor) reused++
    gates[round]!.open()
    await expectBalanced(server)
    expect(server.count(DROPPED + DROP_GONE)).toBe(round + 1)
    await other.send(encodeQuery('blocked.example', 'A', { id: 5 }))
    expect(await other.nextMessage()).toMatchObject({ id: 5, rcode: 'NXDOMAIN' })
    await other.close()
    await server.until(() => server.count(TCP_CONNECTIONS) === 0, 'closed')
  }
  expect(reused).toBeGreaterThan(0)
})

async function openDescriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length
}

test('busy connections that come and go leave no descriptor behind', async () => {
  const server = await startDataplane(BLOCKED)
  const visit = async (index: number): Promise<void> => {
    const client = await openTcp(server)
    await keepBusy(client, 1)
    if (index % 3 === 0) client.reset()
    if (index % 3 === 1) client.endWriting()
    await client.close()
    await server.until(() => server.count(TCP_CONNECTIONS) === 0, 'closed')
  }
  await visit(0)
  const before = await openDescriptors()
  for (let index = 0; index < 30; index++) await visit(index)
  // Others of this process come and go as well, but not one for each visit.
  expect(await openDescriptors()).toBeLessThan(before + 10)
  expect(server.count(TCP_ACCEPTED)).toBe(31)
})
