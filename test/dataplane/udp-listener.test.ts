import { createSocket, type Socket } from 'node:dgram'
import { afterEach, expect, test } from 'vitest'
import {
  DROPPED,
  DROP_ACL,
  DROP_SOURCE_PORT,
  FAMILY_IPV4,
  PROTO_UDP,
  UDP_SEND_ERRORS,
  createCounters,
  querySlot,
} from '../../src/dataplane/counters.ts'
import { ClientAccess } from '../../src/dataplane/transport/client-access.ts'
import type { QueryHandler } from '../../src/dataplane/transport/query-handler.ts'
import { UdpListener } from '../../src/dataplane/transport/udp-listener.ts'

const sockets: Socket[] = []
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close()
})

/** A listener whose datagrams come from the test, and what its handler was given. */
async function listen(): Promise<{
  handled: number[]
  unsent: number
  counters: Float64Array
  receive: (address: string, port: number) => void
  socket: Socket
}> {
  const socket = createSocket('udp4')
  sockets.push(socket)
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const counters = createCounters()
  const seen = { handled: [] as number[], unsent: 0 }
  const handler: QueryHandler = {
    reply: Buffer.from('reply'),
    handle: (_message, _octets, _proto, _family, _sink, _address, port) => {
      seen.handled.push(port)
      return 0
    },
    countSent: () => {},
    countUnsent: () => seen.unsent++,
  }
  const access = new ClientAccess(['127.0.0.0/8'])
  const listener = new UdpListener(socket, handler, access, counters, FAMILY_IPV4)
  expect(listener.endpoint.port).toBeGreaterThan(0)
  const receive = (address: string, port: number): void => {
    const remote = { address, port, family: 'IPv4', size: 12 }
    socket.emit('message', Buffer.alloc(12), remote)
  }
  return { ...seen, counters, receive, socket }
}

test('datagrams from the ports of reflectors are dropped, counted and never handled', async () => {
  const { handled, counters, receive } = await listen()
  for (const port of [0, 7, 13, 17, 19, 37]) receive('127.0.0.1', port)
  expect(handled).toEqual([])
  expect(counters[DROPPED + DROP_SOURCE_PORT]).toBe(6)
  expect(counters[querySlot(PROTO_UDP, FAMILY_IPV4, 0)]).toBe(6)
  receive('127.0.0.1', 53)
  expect(handled).toEqual([53])
})

test('datagrams from outside the access list are dropped, counted and never handled', async () => {
  const { handled, counters, receive } = await listen()
  receive('203.0.113.1', 4000)
  expect(handled).toEqual([])
  expect(counters[DROPPED + DROP_ACL]).toBe(1)
})

test('an error of the socket is counted, and does not end the listener', async () => {
  const { handled, counters, receive, socket } = await listen()
  socket.emit('error', new Error('ECONNREFUSED'))
  expect(counters[UDP_SEND_ERRORS]).toBe(1)
  receive('127.0.0.1', 4000)
  expect(handled).toEqual([4000])
})
