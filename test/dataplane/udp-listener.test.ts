import { createSocket, type Socket } from 'node:dgram'
import { afterEach, describe, expect, test } from 'vitest'
import {
  DROPPED,
  DROP_ACL,
  DROP_LOOP,
  DROP_SOURCE_PORT,
  FAMILY_IPV4,
  PROTO_UDP,
  UDP_SEND_ERRORS,
  createCounters,
  querySlot,
} from '../../src/dataplane/counters.ts'
import { ClientAccess } from '../../src/dataplane/transport/client-access.ts'
import type { QueryHandler } from '../../src/dataplane/transport/query-handler.ts'
import { UdpBatchListener } from '../../src/dataplane/transport/udp-batch-listener.ts'
import { UdpListener } from '../../src/dataplane/transport/udp-listener.ts'
import { conforms } from '../conformance/conforms.ts'
import { isLibc, openLibc } from '../../src/sys/libc.ts'
import { openBoundSocket } from '../../src/sys/socket.ts'

const open: (UdpListener | UdpBatchListener)[] = []
afterEach(() => {
  for (const listener of open.splice(0)) listener.close()
})

interface Heard {
  readonly socket: Socket
  readonly counters: Float64Array
  /** Messages that the handler was given. */
  readonly handled: number[]
  /** As if a datagram had come from there. */
  readonly receive: (address: string, port: number) => void
}

function handlerInto(handled: number[]): QueryHandler {
  return {
    replyCode: 0,
    handle: (_message, octets) => {
      handled.push(octets)
      return 0
    },
    countSent: () => {},
    countUnsent: () => {},
  }
}

async function listen(transport: 'plain' | 'batched'): Promise<Heard> {
  const counters = createCounters()
  const handled: number[] = []
  const handler = handlerInto(handled)
  const access = new ClientAccess({
    allowFrom: ['127.0.0.0/8'],
    sites: [],
    rate: { ipv4ClientBits: 32, ipv6ClientBits: 64, exemptFrom: [] },
  })
  const socket = createSocket('udp4')
  if (transport === 'plain') {
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
    open.push(new UdpListener(socket, handler, access, counters, FAMILY_IPV4))
  } else {
    const libc = await openLibc()
    if (!isLibc(libc)) throw new Error(libc.why)
    const { fd } = openBoundSocket(libc, 'udp', { address: '127.0.0.1', port: 0 }, false)
    await new Promise<void>((resolve) => socket.bind({ fd }, resolve))
    open.push(new UdpBatchListener(socket, fd, libc, handler, access, counters, FAMILY_IPV4))
  }
  access.addOwn(open.at(-1)!.endpoint)
  const receive = (address: string, port: number): void => {
    socket.emit('message', Buffer.alloc(12), { address, port, family: 'IPv4', size: 12 })
  }
  return { socket, counters, handled, receive }
}

describe.each(['plain', 'batched'] as const)('the %s UDP listener', (transport) => {
  test('drops, counts and never handles what comes from the ports of reflectors', async () => {
    conforms('loop-dos', 'source-port-0')
    const { handled, counters, receive } = await listen(transport)
    for (const port of [0, 7, 13, 17, 19, 37]) receive('127.0.0.1', port)
    expect(handled).toEqual([])
    expect(counters[DROPPED + DROP_SOURCE_PORT]).toBe(6)
    expect(counters[querySlot(PROTO_UDP, FAMILY_IPV4, 0)]).toBe(6)
    receive('127.0.0.1', 53)
    expect(handled).toEqual([12])
  })

  test('drops, counts and never handles what comes from outside the access list', async () => {
    const { handled, counters, receive } = await listen(transport)
    receive('203.0.113.1', 4000)
    expect(handled).toEqual([])
    expect(counters[DROPPED + DROP_ACL]).toBe(1)
  })

  test('drops, counts and never handles what claims to come from itself', async () => {
    const { handled, counters, receive, socket } = await listen(transport)
    receive('127.0.0.1', socket.address().port)
    expect(handled).toEqual([])
    expect(counters[DROPPED + DROP_LOOP]).toBe(1)
    receive('127.0.0.2', socket.address().port)
    expect(handled).toEqual([12])
  })

  test('counts an error of its socket and goes on', async () => {
    const { handled, counters, receive, socket } = await listen(transport)
    socket.emit('error', new Error('ECONNREFUSED'))
    expect(counters[UDP_SEND_ERRORS]).toBe(1)
    receive('127.0.0.1', 4000)
    expect(handled).toEqual([12])
  })
})
