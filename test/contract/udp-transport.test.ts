/** What the UDP transports promise, on real sockets. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  DROPPED,
  DROP_SHORT,
  DROP_SOURCE_PORT,
  FAMILY_IPV4,
  FAMILY_IPV6,
  PROTO_UDP,
  QUERIES,
  QUESTION_TYPES,
} from '../../src/dataplane/counters.ts'
import { ReceiveDrops } from '../../src/controlplane/admin/receive-drops.ts'
import { DatagramBatch } from '../../src/sys/datagram-batch.ts'
import type * as EventLoop from '../../src/sys/event-loop.ts'
import { isLibc, openLibc, type Libc } from '../../src/sys/libc.ts'
import { openConnectedSocket } from '../../src/sys/socket.ts'
import { startDataplane, type Dataplane, type DataplaneOptions } from '../support/dataplane.ts'
import { askUdp, openTcp, openUdp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { grantedReceiveOctets, sendRaw, udpSocketsAt } from '../support/kernel-sockets.ts'
import { decodeMessage, encodeQuery } from '../support/messages.ts'
import { answerAddresses, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { conforms } from '../conformance/conforms.ts'

/** Whether workers find what Node.js waits with: without it they have no loop of their own. */
const nodeLoop = vi.hoisted(() => ({ isFound: true }))
vi.mock('../../src/sys/event-loop.ts', async (importOriginal) => {
  const original = await importOriginal<typeof EventLoop>()
  const findEventLoop: typeof EventLoop.findEventLoop = (calls) =>
    nodeLoop.isFound ? original.findEventLoop(calls) : Promise.resolve(original.NOT_FOUND)
  return { ...original, findEventLoop }
})

const RULES = { adult: ['blocked.example'] }
/** The kernel's own account of one small datagram is below this. */
const SMALL_DATAGRAM_OCTETS_MAX = 1280
const SMALL_DATAGRAM_OCTETS_MIN = 512
const SEND_SLOTS = 64
/** More than any transport answers before others get their turn. */
const TURN_DATAGRAMS_MAX = 1024
const RECEIVE_BUFFER_OCTETS = 4 * 1024 * 1024

let libc: Libc
beforeAll(async () => {
  const opened = await openLibc()
  if (!isLibc(opened)) throw new Error(`no system calls: ${opened.why}`)
  libc = opened
})

const clients: Socket[] = []
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
})

interface Received {
  readonly message: Buffer
  readonly from: RemoteInfo
}

/** A client that keeps all that comes, in a buffer as large as the server's. */
async function listenAsClient(
  address: string,
): Promise<{ socket: Socket; received: Received[]; until: (count: number) => Promise<void> }> {
  const received: Received[] = []
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  clients.push(socket)
  socket.bind(0, address)
  await once(socket, 'listening')
  const until = async (count: number): Promise<void> => {
    while (received.length < count) await once(socket, 'message')
  }
  socket.on('message', (message, from) => received.push({ message, from }))
  return { socket, received, until }
}

/**
 * Sends so many queries for a blocked name in one go: the event loop, and with it the server of
 * this thread, does not turn meanwhile. Nobody reads the answers.
 */
function sendBurst(server: Dataplane, datagrams: number): void {
  const fd = openConnectedSocket(libc, server, 0)
  const batch = new DatagramBatch(libc, SEND_SLOTS, 512)
  const query = encodeQuery('www.blocked.example')
  for (const message of batch.messages) message.set(query)
  try {
    for (let left = datagrams; left > 0; left -= SEND_SLOTS) {
      const burst = Math.min(left, SEND_SLOTS)
      for (let slot = 0; slot < burst; slot++) batch.queue(slot, query.length, 0)
      expect(batch.send(fd)).toBe(0)
    }
  } finally {
    libc.close(fd)
  }
}

function receivedOver(server: Dataplane, family: number): number {
  const first = QUERIES + (PROTO_UDP * 2 + family) * QUESTION_TYPES.length
  return server.counters
    .slice(first, first + QUESTION_TYPES.length)
    .reduce((sum, value) => sum + value, 0)
}

describe.each([
  { kind: 'batched', transport: 'batched', isFound: true },
  { kind: 'batched, woken by Node,', transport: 'batched', isFound: false },
  { kind: 'plain', transport: 'plain', isFound: true },
] as const)('the $kind UDP transport', ({ transport, isFound }) => {
  const start = (options: DataplaneOptions = {}): Promise<Dataplane> => {
    nodeLoop.isFound = isFound
    return startDataplane({ rules: RULES, transport, ...options })
  }

  test.each([
    { address: '127.0.0.1', family: FAMILY_IPV4 },
    { address: '::1', family: FAMILY_IPV6 },
  ])('answers at $address, and counts its family', async ({ address, family }) => {
    const server = await start({ addresses: [address] })
    expect((await askUdp(server, 'www.blocked.example')).rcode).toBe('NXDOMAIN')
    expect(receivedOver(server, family)).toBe(1)
    expect(server.balance()).toEqual({ received: 1, answered: 1, dropped: 0, inFlight: 0 })
  })

  test('answers from the address and port that were asked, at once and later', async () => {
    conforms('same-address')
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const addresses = ['127.0.0.2', '127.0.0.3', '127.0.0.1']
    const server = await start({ addresses, upstreams: [upstream] })
    const client = await listenAsClient('127.0.0.1')
    for (const name of ['www.blocked.example', 'www.example']) {
      for (const { address, port } of server.endpoints) {
        client.socket.send(encodeQuery(name), port, address)
      }
    }
    await client.until(3)
    await server.until(() => server.balance().inFlight === 3)
    gate.open()
    await client.until(6)
    const sources = client.received.map(({ from }) => `${from.address}:${from.port}`)
    const asked = server.endpoints.map(({ address, port }) => `${address}:${port}`)
    expect(sources.slice(0, 3).toSorted()).toEqual(asked.toSorted())
    expect(sources.slice(3).toSorted()).toEqual(asked.toSorted())
  })

  test('asks for a receive buffer of 4 MiB, and gets what the system allows', async () => {
    const server = await start()
    const allowed = Number(readFileSync('/proc/sys/net/core/rmem_max', 'latin1'))
    const granted = grantedReceiveOctets(udpSocketsAt(server.port)[0]!)
    // The kernel doubles what is asked for; the batched transport may go over the limit as root.
    expect(granted).toBeGreaterThanOrEqual(2 * Math.min(RECEIVE_BUFFER_OCTETS, allowed))
  })

  test('answers a burst that fits the receive buffer to the last datagram', async () => {
    const server = await start()
    const [socket] = udpSocketsAt(server.port)
    const burst = Math.floor(grantedReceiveOctets(socket!) / SMALL_DATAGRAM_OCTETS_MAX)
    expect(burst).toBeGreaterThan(100)
    sendBurst(server, burst)
    await server.until(() => server.balance().answered === burst)
    expect(udpSocketsAt(server.port)[0]!.drops).toBe(0)
    expect(new ReceiveDrops().total(server.endpoints)).toBe(0)
  })

  test('of a burst larger than it, what is not answered is counted by the kernel and by us', async () => {
    const server = await start()
    const [socket] = udpSocketsAt(server.port)
    const burst = Math.ceil(grantedReceiveOctets(socket!) / SMALL_DATAGRAM_OCTETS_MIN) + 1000
    sendBurst(server, burst)
    const dropped = udpSocketsAt(server.port)[0]!.drops
    expect(dropped).toBeGreaterThan(0)
    await server.until(() => server.balance().answered === burst - dropped)
    expect(udpSocketsAt(server.port)[0]!.drops).toBe(dropped)
    expect(new ReceiveDrops().total(server.endpoints)).toBe(dropped)
    expect((await askUdp(server, 'www.blocked.example')).rcode).toBe('NXDOMAIN')
    expect(server.balance().received).toBe(burst - dropped + 1)
  })

  test('lets a TCP client have its turn within a burst', async () => {
    const server = await start()
    const client = await openTcp(server)
    const burst = Math.floor(grantedReceiveOctets(udpSocketsAt(server.port)[0]!) / 2048)
    expect(burst).toBeGreaterThan(TURN_DATAGRAMS_MAX)
    sendBurst(server, burst)
    await client.send(encodeQuery('www.blocked.example'))
    expect((await client.nextMessage()).rcode).toBe('NXDOMAIN')
    expect(server.balance().answered).toBeLessThan(burst)
    await server.until(() => server.balance().answered === burst + 1)
    await client.close()
  })

  test.each([
    { octets: 0, answered: false },
    { octets: 11, answered: false },
    { octets: 512, answered: true },
    { octets: 1232, answered: true },
    { octets: 4096, answered: true },
    { octets: 65_507, answered: true },
  ])('a datagram of $octets octets is answered: $answered', async ({ octets, answered }) => {
    const server = await start()
    const client = await openUdp(server)
    // A query, and zeros behind it that belong to no record: FORMERR, whatever their number.
    const datagram = Buffer.alloc(octets)
    encodeQuery('www.blocked.example', 'A', { id: 77 }).copy(datagram)
    await client.send(datagram)
    if (answered) {
      expect(decodeMessage(await client.next())).toMatchObject({ id: 77, rcode: 'FORMERR' })
    }
    await client.send(encodeQuery('www.blocked.example', 'A', { id: 78 }))
    expect(decodeMessage(await client.next())).toMatchObject({ id: 78, rcode: 'NXDOMAIN' })
    expect(server.count(DROPPED + DROP_SHORT)).toBe(answered ? 0 : 1)
    expect(server.balance()).toMatchObject({ received: 2, answered: answered ? 2 : 1 })
    await client.close()
  })

  test.each(['127.0.0.1', '::1'] as const)(
    'drops and counts what comes from source port 0 of %s, and answers what comes behind it',
    async (address) => {
      const server = await start({ addresses: [address] })
      const query = encodeQuery('www.blocked.example')
      for (let index = 0; index < 3; index++) sendRaw(address, 0, server.port, query)
      expect((await askUdp(server, 'www.blocked.example')).rcode).toBe('NXDOMAIN')
      expect(server.count(DROPPED + DROP_SOURCE_PORT)).toBe(3)
      expect(server.balance()).toEqual({ received: 4, answered: 1, dropped: 3, inFlight: 0 })
    },
  )

  test('goes on when clients are gone before their answers, at once or later', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await start({ upstreams: [upstream] })
    for (let index = 0; index < 20; index++) {
      const client = await openUdp(server)
      await client.send(encodeQuery('www.blocked.example'))
      await client.send(encodeQuery(`late${index}.example`))
      await client.close()
    }
    await server.until(() => server.balance().inFlight === 20)
    gate.open()
    const { received, answered, dropped } = await server.idle()
    expect({ received, answered, dropped }).toEqual({ received: 40, answered: 40, dropped: 0 })
    expect((await askUdp(server, 'www.blocked.example')).rcode).toBe('NXDOMAIN')
  })
})
