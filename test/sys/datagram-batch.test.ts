import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ADDRESS_STRIDE, DatagramBatch, NOTHING } from '../../src/sys/datagram-batch.ts'
import { EAGAIN, EINTR, isLibc, openLibc, type Libc } from '../../src/sys/libc.ts'
import { portOf, writeSocketAddress } from '../../src/sys/socket-address.ts'
import { boundPort, closeDescriptor, openBoundSocket } from '../../src/sys/socket.ts'

const SLOTS = 8
const SLOT_OCTETS = 512

let libc: Libc
let fd: number
let peer: Socket

beforeEach(async () => {
  const opened = await openLibc()
  if (!isLibc(opened)) throw new Error(`no system calls: ${opened.why}`)
  libc = opened
  const bound = openBoundSocket(libc, 'udp', { address: '127.0.0.1', port: 0 }, false)
  expect(bound.fd).toBeGreaterThan(0)
  fd = bound.fd
  peer = createSocket('udp4')
  peer.bind(0, '127.0.0.1')
  await once(peer, 'listening')
})

afterEach(() => {
  closeDescriptor(libc, fd)
  peer.close()
})

/** Sends datagrams and waits until the kernel has taken each: on loopback it is then with us. */
async function sendAll(messages: readonly Uint8Array[]): Promise<void> {
  const port = boundPort(libc, fd)
  for (const message of messages) {
    await new Promise<void>((resolve, reject) => {
      peer.send(message, port, '127.0.0.1', (error) => (error ? reject(error) : resolve()))
    })
  }
}

function textOf(batch: DatagramBatch, slot: number): string {
  return Buffer.from(batch.messages[slot]!.subarray(0, batch.lengthOf(slot))).toString()
}

describe('a batch of datagrams', () => {
  test('reads nothing when nothing is there', () => {
    const batch = new DatagramBatch(libc, SLOTS, SLOT_OCTETS)
    expect(batch.receive(fd, 0)).toBe(NOTHING)
  })

  test('reads a burst in order, with lengths and senders, and the rest by the next call', async () => {
    const batch = new DatagramBatch(libc, SLOTS, SLOT_OCTETS)
    const names = Array.from({ length: 11 }, (_, index) => `datagram ${index}`)
    await sendAll(names.map((name) => Buffer.from(name)))
    expect(batch.receive(fd, 0)).toBe(SLOTS)
    const read = Array.from({ length: SLOTS }, (_, slot) => textOf(batch, slot))
    for (let slot = 0; slot < SLOTS; slot++) {
      expect(portOf(batch.addresses, slot * ADDRESS_STRIDE)).toBe(peer.address().port)
    }
    expect(batch.receive(fd, 0)).toBe(3)
    read.push(textOf(batch, 0), textOf(batch, 1), textOf(batch, 2))
    expect(read).toEqual(names)
    expect(batch.receive(fd, 0)).toBe(NOTHING)
  })

  test('leaves slot 0 alone when it reads behind a datagram that was placed there', async () => {
    const batch = new DatagramBatch(libc, SLOTS, SLOT_OCTETS)
    batch.messages[0]!.set(Buffer.from('placed'))
    const octets = writeSocketAddress(batch.addresses, '127.0.0.1', 4242)
    batch.place(0, 6, octets)
    await sendAll([Buffer.from('second')])
    expect(batch.receive(fd, 1)).toBe(1)
    expect([textOf(batch, 0), textOf(batch, 1)]).toEqual(['placed', 'second'])
    expect(portOf(batch.addresses, 0)).toBe(4242)
  })

  test.each([
    { octets: 0, cut: false, why: 'an empty datagram is one' },
    { octets: 11, cut: false, why: 'short' },
    { octets: SLOT_OCTETS, cut: false, why: 'exactly the slot' },
    { octets: SLOT_OCTETS + 1, cut: true, why: 'one too many' },
    { octets: 65_507, cut: true, why: 'the largest that UDP can carry' },
  ])('a datagram of $octets octets is cut: $cut, $why', async ({ octets, cut }) => {
    const batch = new DatagramBatch(libc, SLOTS, SLOT_OCTETS)
    await sendAll([Buffer.alloc(octets, 7), Buffer.from('next')])
    expect(batch.receive(fd, 0)).toBe(2)
    expect(batch.wasCut(0)).toBe(cut)
    expect(batch.lengthOf(0)).toBe(Math.min(octets, SLOT_OCTETS))
    expect(textOf(batch, 1)).toBe('next')
  })

  test('answers where the datagrams stand, in one call, in order', async () => {
    const batch = new DatagramBatch(libc, SLOTS, SLOT_OCTETS)
    await sendAll(['a', 'b', 'c'].map((text) => Buffer.from(text)))
    expect(batch.receive(fd, 0)).toBe(3)
    const received: string[] = []
    const all = new Promise<void>((resolve) => {
      peer.on('message', (message) => {
        received.push(message.toString())
        if (received.length === 2) resolve()
      })
    })
    for (const slot of [0, 2]) {
      batch.messages[slot]!.set(Buffer.from('!'), 1)
      batch.queue(slot, 2, batch.addressOctets(slot))
    }
    expect(batch.queued).toBe(2)
    expect(batch.send(fd)).toBe(0)
    expect(batch.queued).toBe(0)
    await all
    expect(received).toEqual(['a!', 'c!'])
  })

  test('a datagram that cannot be sent is refused by itself, and the others leave', async () => {
    const batch = new DatagramBatch(libc, SLOTS, SLOT_OCTETS)
    const port = peer.address().port
    const arrived = once(peer, 'message')
    // Port 0 takes no datagram: sendmmsg stops before it.
    for (const [slot, to] of [0, port, 0].entries()) {
      const address = batch.addresses.subarray(slot * ADDRESS_STRIDE)
      const octets = writeSocketAddress(address, '127.0.0.1', to)
      batch.messages[slot]!.set(Buffer.from(`to ${slot}`))
      batch.queue(slot, 4, octets)
    }
    expect(batch.send(fd)).toBe(2)
    const [message] = (await arrived) as [Buffer]
    expect(message.toString()).toBe('to 1')
  })
})

/** Queues that many replies to the peer: "reply 0", "reply 1", and so on. */
function queueReplies(batch: DatagramBatch, replies: number): void {
  for (let slot = 0; slot < replies; slot++) {
    const address = batch.addresses.subarray(slot * ADDRESS_STRIDE)
    const octets = writeSocketAddress(address, '127.0.0.1', peer.address().port)
    batch.messages[slot]!.set(Buffer.from(`reply ${slot}`))
    batch.queue(slot, 7, octets)
  }
}

/** The real calls, but sendmmsg does as `answer` says: it sends so many, or fails with errno. */
function libcThat(answer: (call: number) => { sends: number } | { fails: number }): Libc {
  let calls = 0
  let failedWith = 0
  return {
    ...libc,
    sendmmsg: (to, vector, count, flags) => {
      const told = answer(calls++)
      if ('sends' in told) return libc.sendmmsg(to, vector, Math.min(count, told.sends), flags)
      failedWith = told.fails
      return -1
    },
    errno: () => failedWith,
  }
}

async function repliesOf(count: number): Promise<string[]> {
  const received: string[] = []
  await new Promise<void>((resolve) => {
    peer.on('message', (message) => {
      if (received.push(message.toString()) === count) resolve()
    })
  })
  return received
}

describe('a system that does not send all at once', () => {
  test('sends the rest of a burst that it took in part, each once and in order', async () => {
    const batch = new DatagramBatch(
      libcThat(() => ({ sends: 3 })),
      SLOTS,
      SLOT_OCTETS,
    )
    const received = repliesOf(SLOTS)
    queueReplies(batch, SLOTS)
    expect(batch.send(fd)).toBe(0)
    expect(await received).toEqual(Array.from({ length: SLOTS }, (_, index) => `reply ${index}`))
  })

  test('a signal in between loses nothing', async () => {
    const batch = new DatagramBatch(
      libcThat((call) => (call % 2 === 0 ? { fails: EINTR } : { sends: 2 })),
      SLOTS,
      SLOT_OCTETS,
    )
    const received = repliesOf(SLOTS)
    queueReplies(batch, SLOTS)
    expect(batch.send(fd)).toBe(0)
    expect(await received).toHaveLength(SLOTS)
  })

  test('a full send buffer refuses the rest, which is told, and the next burst leaves', async () => {
    const batch = new DatagramBatch(
      libcThat((call) => (call === 1 ? { fails: EAGAIN } : { sends: 3 })),
      SLOTS,
      SLOT_OCTETS,
    )
    const received = repliesOf(5)
    queueReplies(batch, SLOTS)
    expect(batch.send(fd)).toBe(SLOTS - 3)
    expect(batch.queued).toBe(0)
    queueReplies(batch, 2)
    expect(batch.send(fd)).toBe(0)
    expect(await received).toEqual(['reply 0', 'reply 1', 'reply 2', 'reply 0', 'reply 1'])
  })
})

describe('a bound socket', () => {
  test('shares its port only when all who bind it say so', () => {
    const first = openBoundSocket(libc, 'udp', { address: '127.0.0.1', port: 0 }, true)
    const endpoint = { address: '127.0.0.1', port: boundPort(libc, first.fd) }
    const second = openBoundSocket(libc, 'udp', endpoint, true)
    const third = openBoundSocket(libc, 'udp', endpoint, false)
    expect(second.fd).toBeGreaterThan(0)
    expect(third.fd).toBe(-1)
    expect(third.error.code).toBe('EADDRINUSE')
    for (const { fd: open } of [first, second]) closeDescriptor(libc, open)
  })

  test('says that an address is not of this machine', () => {
    const { fd: none, error } = openBoundSocket(
      libc,
      'tcp',
      { address: '192.0.2.1', port: 0 },
      false,
    )
    expect(none).toBe(-1)
    expect(error.code).toBe('EADDRNOTAVAIL')
  })
})
