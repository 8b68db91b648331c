/** UDP through Node's `dgram`: one socket per listen address, one event per datagram. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { Client } from '../client.ts'
import {
  DROPPED,
  FAMILY_IPV4,
  FAMILY_IPV6,
  PROTO_UDP,
  UDP_SEND_ERRORS,
  count,
  querySlot,
  type Counters,
} from '../counters.ts'
import { MESSAGE_OCTETS_MAX } from '../../wire/header.ts'
import { REPLY_SLACK_OCTETS } from '../../wire/reply.ts'
import type { ReplySink, Waiter } from '../query.ts'
import type { Endpoint } from '../settings.ts'
import { ADMITTED, type ClientAccess } from './client-access.ts'
import { createListenError } from './listen-error.ts'
import type { QueryHandler } from './query-handler.ts'

/** Kernel memory asked for datagrams that wait for us: about 10,000 small ones. */
const RECEIVE_BUFFER_OCTETS = 4 * 1024 * 1024

/** One bound socket; it is the sink of every answer that its clients wait for. */
export class UdpListener implements ReplySink {
  readonly #socket: Socket
  readonly #handler: QueryHandler
  readonly #counters: Counters
  readonly #client: Client
  readonly #onSent: (error: Error | null) => void
  access: ClientAccess
  readonly #reply = new Uint8Array(MESSAGE_OCTETS_MAX + REPLY_SLACK_OCTETS)
  /** Where the query that is being handled came from. */
  #remote: RemoteInfo = { address: '', port: 0, family: 'IPv4', size: 0 }
  #closing = false

  constructor(
    socket: Socket,
    handler: QueryHandler,
    access: ClientAccess,
    counters: Counters,
    family: number,
  ) {
    this.#socket = socket
    this.#handler = handler
    this.#counters = counters
    this.#client = new Client(PROTO_UDP, family)
    this.access = access
    this.#onSent = (error) => {
      if (error !== null) count(counters, UDP_SEND_ERRORS)
    }
    socket.on('message', (message, remote) => this.#received(message, remote))
    // An ICMP error or a full buffer concerns one datagram; the listener goes on.
    socket.on('error', () => count(counters, UDP_SEND_ERRORS))
  }

  /** The address and port that the socket got. */
  get endpoint(): Endpoint {
    const { address, port } = this.#socket.address()
    return { address, port }
  }

  hold(waiter: Waiter): void {
    waiter.address = this.#remote.address
    waiter.port = this.#remote.port
    waiter.takeClient(this.#client)
  }

  send(reply: Uint8Array, octets: number, waiter: Waiter): boolean {
    return this.#send(reply, octets, waiter.address, waiter.port)
  }

  close(): void {
    if (this.#closing) return
    this.#closing = true
    this.#socket.close()
  }

  #received(message: Uint8Array, remote: RemoteInfo): void {
    const handler = this.#handler
    const refusal = this.access.admitText(remote.address, remote.port, this.#client)
    if (refusal !== ADMITTED) {
      this.#drop(refusal)
      return
    }
    this.#remote = remote
    const receivedMs = performance.now()
    const octets = handler.handle(
      message,
      message.length,
      this.#reply,
      this.#client,
      this,
      receivedMs,
    )
    if (octets <= 0) return
    const code = handler.replyCode
    if (this.#send(this.#reply, octets, remote.address, remote.port)) {
      handler.countSent(code, performance.now() - receivedMs)
    } else {
      handler.countUnsent()
    }
  }

  #send(reply: Uint8Array, octets: number, address: string, port: number): boolean {
    if (this.#closing) return false
    // dgram keeps the buffer until the send is done, so each answer gets its own.
    this.#socket.send(Buffer.from(reply.subarray(0, octets)), port, address, this.#onSent)
    return true
  }

  #drop(reason: number): void {
    count(this.#counters, querySlot(PROTO_UDP, this.#client.family, 0))
    count(this.#counters, DROPPED + reason)
  }
}

/**
 * Binds the address and answers queries from then on.
 *
 * @param shared lets other workers bind the same port (SO_REUSEPORT), where Node can.
 */
export function openUdpListener(
  endpoint: Endpoint,
  shared: boolean,
  handler: QueryHandler,
  access: ClientAccess,
  counters: Counters,
): Promise<UdpListener> {
  const ipv6 = endpoint.address.includes(':')
  const options = {
    type: ipv6 ? ('udp6' as const) : ('udp4' as const),
    ipv6Only: ipv6,
    ...(shared ? { reusePort: true } : {}),
  }
  const socket = createSocket(options)
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      socket.close()
      reject(createListenError(endpoint, 'UDP', error))
    }
    socket.once('error', onError)
    socket.bind({ address: endpoint.address, port: endpoint.port, exclusive: true }, () => {
      socket.off('error', onError)
      socket.setRecvBufferSize(RECEIVE_BUFFER_OCTETS)
      const family = ipv6 ? FAMILY_IPV6 : FAMILY_IPV4
      resolve(new UdpListener(socket, handler, access, counters, family))
    })
  })
}
