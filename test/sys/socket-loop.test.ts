import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket as TcpSocket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { NOTHING, DatagramBatch } from '../../src/sys/datagram-batch.ts'
import { DescriptorLedger, createLedgerWords } from '../../src/sys/descriptor-ledger.ts'
import { NOT_FOUND, findEventLoop, findWatcher } from '../../src/sys/event-loop.ts'
import { isLibc, openLibc, type Libc } from '../../src/sys/libc.ts'
import { openSocketLoop, type AdoptedSocket, type SocketLoop } from '../../src/sys/socket-loop.ts'
import { StreamCalls, descriptorOf } from '../../src/sys/stream-calls.ts'
import { writeSocketAddress } from '../../src/sys/socket-address.ts'
import { boundPort, closeDescriptor, openBoundSocket } from '../../src/sys/socket.ts'

let libc: Libc
let loop: SocketLoop
let peer: Socket
const cleanups: (() => void)[] = []

beforeEach(async () => {
  const opened = await openLibc()
  if (!isLibc(opened)) throw new Error(`no system calls: ${opened.why}`)
  libc = opened
  const made = await openSocketLoop(libc, new DescriptorLedger(createLedgerWords(65_536)))
  if (made === undefined) throw new Error('no loop of our own')
  loop = made
  peer = createSocket('udp4')
  peer.bind(0, '127.0.0.1')
  await once(peer, 'listening')
})

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
  loop.close()
  peer.close()
})

function nothing(): void {}

/** A bound socket whose datagrams are read by the loop; `texts` fills as they come. */
function openRead(onRead: (texts: readonly string[]) => void = nothing): {
  fd: number
  port: number
  texts: string[]
  next: () => Promise<void>
} {
  const { fd } = openBoundSocket(libc, 'udp', { address: '127.0.0.1', port: 0 }, false)
  expect(fd).toBeGreaterThan(0)
  const batch = new DatagramBatch(libc, 8, 512)
  const texts: string[] = []
  let resolveNext = nothing
  const readable = (): boolean => {
    for (let got = batch.receive(fd, 0); got > NOTHING; got = batch.receive(fd, 0)) {
      for (let slot = 0; slot < got; slot++) {
        texts.push(Buffer.from(batch.messages[slot]!.subarray(0, batch.lengthOf(slot))).toString())
      }
    }
    onRead(texts)
    resolveNext()
    return false
  }
  expect(loop.add(fd, { readable })).toBe(true)
  cleanups.push(() => {
    loop.remove(fd)
    closeDescriptor(libc, fd)
  })
  const next = (): Promise<void> => new Promise((resolve) => (resolveNext = resolve))
  return { fd, port: boundPort(libc, fd), texts, next }
}

/**
 * A listener that Node watches as well, as a worker's are. Each datagram that the loop reads sends
 * the next one to the socket itself, until there were `most`.
 */
async function openListener(
  most: number,
): Promise<{ port: number; byNode: string[]; read: () => number }> {
  const { fd } = openBoundSocket(libc, 'udp', { address: '127.0.0.1', port: 0 }, false)
  const port = boundPort(libc, fd)
  const byNode: string[] = []
  let read = 0
  const batch = new DatagramBatch(libc, 1, 512)
  const sendNext = (): void => {
    batch.queue(0, 1, writeSocketAddress(batch.addresses, '127.0.0.1', port))
    batch.send(fd)
  }
  const readable = (): boolean => {
    read += Math.max(0, batch.receive(fd, 0))
    if (read < most) sendNext()
    return false
  }
  const socket = createSocket('udp4')
  socket.on('message', (message) => {
    byNode.push(message.toString())
    if (read === 0) sendNext()
    loop.wake()
  })
  await new Promise<void>((resolve) => socket.bind({ fd }, resolve))
  expect(loop.addListener(fd, { readable })).toBe(true)
  cleanups.push(() => {
    loop.remove(fd)
    socket.close()
  })
  return { port, byNode, read: () => read }
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 1))
}

describe('the loop of Node', () => {
  test('is found by what it watches', async () => {
    const found = await findEventLoop(libc)
    expect(found).toBeGreaterThan(0)
    const { fd } = openBoundSocket(libc, 'udp', { address: '127.0.0.1', port: 0 }, false)
    expect(findWatcher(fd)).toBe(NOT_FOUND)
    const socket = createSocket('udp4')
    await new Promise<void>((resolve) => socket.bind({ fd }, resolve))
    await until(() => findWatcher(fd) === found)
    socket.close()
  })

  test('is not found where the system tells nothing', () => {
    expect(findWatcher(1, '/nonexistent')).toBe(NOT_FOUND)
  })
})

/** A connection that Node has accepted, with what Node and what the loop have read of it. */
async function openAdoptable(): Promise<{
  client: TcpSocket
  socket: TcpSocket
  fd: number
  byNode: string[]
  byLoop: string[]
  adopted: AdoptedSocket
  hasLeft: () => boolean
}> {
  const server = createServer({ allowHalfOpen: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [socket] = (await once(server, 'connection')) as [TcpSocket]
  const fd = descriptorOf(socket)
  expect(fd).toBeGreaterThan(0)
  const byNode: string[] = []
  socket.on('data', (chunk: Buffer) => byNode.push(chunk.toString()))
  socket.on('error', () => {})
  const byLoop: string[] = []
  const calls = new StreamCalls(libc)
  let hasLeft = false
  const adopted: AdoptedSocket = {
    readable: () => {
      const octets = calls.receive(fd)
      if (octets > 0) byLoop.push(Buffer.from(calls.received.subarray(0, octets)).toString())
      else if (octets === 0) adopted.leaveLoop()
      return false
    },
    leaveLoop: () => {
      hasLeft = true
      loop.handBack(fd)
    },
  }
  cleanups.push(() => {
    client.destroy()
    socket.destroy()
    server.close()
  })
  // Node watches what it reads from its next turn on.
  client.write('first')
  await until(() => byNode.length === 1)
  return { client, socket, fd, byNode, byLoop, adopted, hasLeft: () => hasLeft }
}

describe('a connection of Node that the loop adopts', () => {
  test('is read by the loop alone, and by Node again after the quiet time', async () => {
    const { client, fd, byNode, byLoop, adopted, hasLeft } = await openAdoptable()
    expect(loop.adopt(fd, adopted)).toBe(true)
    client.write('for the loop')
    await until(() => byLoop.length === 1)
    await until(hasLeft)
    client.write('for Node')
    await until(() => byNode.length === 2)
    expect([byLoop, byNode]).toEqual([['for the loop'], ['first', 'for Node']])
  })

  test("is Node's when its end comes, or the loop is closed", async () => {
    const { client, socket, fd, adopted } = await openAdoptable()
    loop.adopt(fd, adopted)
    const ended = once(socket, 'end')
    client.end()
    await ended
    const other = await openAdoptable()
    loop.adopt(other.fd, other.adopted)
    loop.close()
    expect(other.hasLeft()).toBe(true)
    other.client.write('for Node')
    await until(() => other.byNode.length === 2)
    expect(loop.adopt(other.fd, other.adopted)).toBe(false)
  })

  test("is closed by Node when it breaks, and its descriptor is another's then", async () => {
    const { client, socket, fd, adopted } = await openAdoptable()
    loop.awaited = 1
    expect(loop.adopt(fd, adopted)).toBe(true)
    const closed = new Promise((resolve) => socket.once('close', resolve))
    client.resetAndDestroy()
    await closed
    // The client's own descriptor is free as well, and the lowest one is given first.
    let taken = openRead()
    while (taken.fd < fd) taken = openRead()
    expect(taken.fd).toBe(fd)
    loop.forget(fd, adopted)
    const came = taken.next()
    peer.send('for another', taken.port, '127.0.0.1')
    await came
    expect(taken.texts).toEqual(['for another'])
    loop.awaited = 0
  })

  test('is refused where Node does not watch it', async () => {
    const { fd } = openBoundSocket(libc, 'udp', { address: '127.0.0.1', port: 0 }, false)
    cleanups.push(() => closeDescriptor(libc, fd))
    expect(loop.adopt(fd, { readable: () => false, leaveLoop: nothing })).toBe(false)
  })
})

describe('the loop of a worker', () => {
  test('reads a socket that Node knows nothing of, as long as answers are awaited', async () => {
    const socket = openRead()
    loop.awaited = 1
    loop.wake()
    const came = socket.next()
    // Much later than the quiet time: nobody but the loop can hear it.
    setTimeout(() => peer.send('late', socket.port, '127.0.0.1'), 50)
    await came
    expect(socket.texts).toEqual(['late'])
    loop.awaited = 0
  })

  test('is woken by Node, reads by itself while there is traffic, and gives back to Node', async () => {
    const listener = await openListener(20)
    peer.send('first', listener.port, '127.0.0.1')
    await until(() => listener.read() === 20)
    // Node brought the first; libuv reads at most 32 in a row before the loop has its first turn.
    expect(listener.byNode[0]).toBe('first')
    expect(listener.byNode.length).toBeLessThanOrEqual(33)
    const byNode = listener.byNode.length
    // Longer than the quiet time: the worker sleeps, and only Node can wake it.
    await new Promise((resolve) => setTimeout(resolve, 50))
    peer.send('again', listener.port, '127.0.0.1')
    await until(() => listener.byNode.length > byNode)
    expect(listener.byNode.at(-1)).toBe('again')
  })

  test('lets connections and timers of Node have their turn under constant traffic', async () => {
    const { fd } = openBoundSocket(libc, 'udp', { address: '127.0.0.1', port: 0 }, false)
    const batch = new DatagramBatch(libc, 1, 512)
    const port = boundPort(libc, fd)
    let sent = 0
    /** Every datagram that is read sends the next one to the socket itself. */
    const readable = (): boolean => {
      batch.receive(fd, 0)
      sent++
      batch.queue(0, 1, writeSocketAddress(batch.addresses, '127.0.0.1', port))
      batch.send(fd)
      return false
    }
    expect(loop.add(fd, { readable })).toBe(true)
    cleanups.push(() => {
      loop.remove(fd)
      closeDescriptor(libc, fd)
    })
    peer.send('x', port, '127.0.0.1')
    loop.wake()
    const server = createServer((connection) => connection.end('hello'))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
    const [said] = (await once(client, 'data')) as [Buffer]
    expect(said.toString()).toBe('hello')
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(sent).toBeGreaterThan(20)
    client.destroy()
    server.close()
  })

  test('gives a turn to everybody, though one has more to read in every one', async () => {
    loop.awaited = 1
    const turns: number[] = []
    const greedy = [0, 1, 2].map((index) => {
      const { fd } = openBoundSocket(libc, 'udp', { address: '127.0.0.1', port: 0 }, false)
      const readable = (): boolean => {
        turns.push(index)
        return true
      }
      expect(loop.add(fd, { readable })).toBe(true)
      cleanups.push(() => {
        loop.remove(fd)
        closeDescriptor(libc, fd)
      })
      return boundPort(libc, fd)
    })
    for (const port of greedy) peer.send('x', port, '127.0.0.1')
    loop.wake()
    await until(() => turns.length > 100)
    loop.awaited = 0
    const counts = [0, 1, 2].map((index) => turns.filter((turn) => turn === index).length)
    for (const turnsOfOne of counts) expect(turnsOfOne).toBeGreaterThan(20)
  })

  test('calls at the end of the same turn who asks within it', async () => {
    const order: string[] = []
    loop.awaited = 1
    loop.wake()
    const asking = openRead((texts) => {
      loop.atTurnEnd(() => order.push(`end of the turn of ${texts.at(-1) ?? ''}`))
      order.push('read')
    })
    peer.send('one', asking.port, '127.0.0.1')
    await until(() => order.length === 2)
    expect(order).toEqual(['read', 'end of the turn of one'])
    loop.awaited = 0
  })

  test('calls at the end of the turn of Node who asks outside', async () => {
    const order: string[] = []
    loop.atTurnEnd(() => order.push('outside'))
    expect(order).toEqual([])
    await new Promise((resolve) => setImmediate(resolve))
    expect(order).toEqual(['outside'])
  })

  test('reads no more once it is closed', async () => {
    const socket = openRead()
    loop.wake()
    loop.close()
    peer.send('unheard', socket.port, '127.0.0.1')
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(socket.texts).toEqual([])
  })
})
