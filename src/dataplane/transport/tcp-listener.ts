/**
 * TCP (RFC 7766): pipelined queries, answers in the order in which they are ready. Connections are
 * bounded in number, in idle time, in queries under way and in answers that nobody reads.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { Client } from '../client.ts'
import {
  DROPPED,
  DROP_ACL,
  FAMILY_IPV4,
  FAMILY_IPV6,
  PROTO_TCP,
  TCP_ACCEPTED,
  TCP_CLOSED_IDLE,
  TCP_CONNECTIONS,
  TCP_REJECTED,
  count,
  querySlot,
  type Counters,
} from '../counters.ts'
import type { ReplySink, Waiter } from '../query.ts'
import type { Endpoint, LimitSettings } from '../settings.ts'
import { SOCKADDR_IN6_OCTETS } from '../../sys/socket-address.ts'
import { MESSAGE_OCTETS_MAX } from '../../wire/header.ts'
import { REPLY_SLACK_OCTETS } from '../../wire/reply.ts'
import { StreamReader } from '../../wire/stream-reader.ts'
import type { ClientAccess } from './client-access.ts'
import { createListenError } from './listen-error.ts'
import type { QueryHandler } from './query-handler.ts'
import { ReplyGather } from './reply-gather.ts'

/** How often idle connections are looked for, at most. */
const SWEEP_MS_MAX = 1000
const LENGTH_OCTETS = 2
const BACKLOG = 511

/** One client connection. */
class TcpConnection implements ReplySink {
  readonly socket: Socket
  readonly address: string
  readonly #client: Client
  readonly #listener: TcpListener
  readonly #reader = new StreamReader()
  /** Queries whose answers are still awaited. */
  inFlight = 0
  /** When octets last moved, either way. */
  activeMs: number
  /** Since when a message has been incomplete; also from connecting to the first one. */
  partialSinceMs: number
  #awaitsMessage = true
  #paused = false
  #ended = false
  /** Late answers wait for the end of the turn. */
  #corked = false
  readonly #uncork: () => void
  readonly #onTick: () => void

  constructor(socket: Socket, address: string, client: Client, listener: TcpListener) {
    this.socket = socket
    this.address = address
    this.#client = client
    this.#listener = listener
    this.activeMs = performance.now()
    this.partialSinceMs = this.activeMs
    this.#uncork = () => {
      this.#corked = false
      socket.uncork()
    }
    this.#onTick = () => this.#readOn()
    socket.on('data', (chunk) => this.#received(chunk))
    socket.on('drain', () => this.#moved())
    socket.on('end', () => this.#halfClosed())
    // 'error' (a reset) is always followed by 'close'.
    socket.on('error', () => socket.destroy())
    socket.on('close', () => listener.forget(this))
  }

  /** Finds the client anew: its site may be another, or it may not ask any more. */
  isAdmitted(access: ClientAccess): boolean {
    return access.findText(this.address, this.#client.octets, this.#client)
  }

  get awaitsMessage(): boolean {
    return this.#awaitsMessage
  }

  /** A connection is its own address. */
  hold(waiter: Waiter): void {
    waiter.takeClient(this.#client)
  }

  /** An answer that had to be waited for; those of one turn leave together. */
  send(reply: Uint8Array, octets: number): boolean {
    this.inFlight--
    const socket = this.socket
    const sent = socket.writable
    if (sent) {
      if (!this.#corked) {
        this.#corked = true
        socket.cork()
        process.nextTick(this.#uncork)
      }
      socket.write(framed(reply, octets))
    }
    this.#moved()
    return sent
  }

  /** Closes for good after the answers that are already written: FIN, not RST (RFC 7766 6.2.3). */
  finish(): void {
    this.#ended = true
    this.socket.end()
  }

  #received(chunk: Uint8Array): void {
    this.activeMs = performance.now()
    this.#reader.push(chunk)
    this.#answerAll()
  }

  /** Something was sent: read on where reading had stopped. */
  #moved(): void {
    this.activeMs = performance.now()
    this.#readOn()
    this.#endIfDone()
  }

  #halfClosed(): void {
    this.#ended = true
    this.#endIfDone()
  }

  /** The client sends no more: close when its last answer is out. */
  #endIfDone(): void {
    if (this.#ended && this.inFlight === 0 && !this.socket.writableEnded) this.socket.end()
  }

  #readOn(): void {
    if (!this.#paused || this.socket.destroyed || !this.#mayRead()) return
    // In the middle of an answer, perhaps to another connection: its replies are being gathered.
    if (this.#listener.isGathering) process.nextTick(this.#onTick)
    else this.#answerAll()
  }

  /** False when the client reads too slowly or waits for too much. */
  #mayRead(): boolean {
    const listener = this.#listener
    const limits = listener.limits
    return (
      this.inFlight < limits.tcpInFlightMax &&
      this.socket.writableLength + listener.gather.length < limits.tcpUnsentOctetsMax
    )
  }

  /** Handles every complete message; their answers leave in one write. */
  #answerAll(): void {
    const socket = this.socket
    this.#listener.isGathering = true
    let mayRead = this.#mayRead()
    let message = mayRead ? this.#reader.next() : null
    while (message !== null) {
      this.#handle(message)
      mayRead = this.#mayRead()
      message = mayRead ? this.#reader.next() : null
    }
    this.#writeGathered()
    this.#listener.isGathering = false
    if (mayRead && this.#reader.partialOctets > 0 && !this.#awaitsMessage) {
      this.#awaitsMessage = true
      this.partialSinceMs = this.activeMs
    }
    if (mayRead === this.#paused) {
      this.#paused = !mayRead
      if (mayRead) socket.resume()
      else socket.pause()
    }
  }

  #handle(message: Uint8Array): void {
    const { handler, reply, gather } = this.#listener
    this.#awaitsMessage = false
    this.inFlight++
    const octets = handler.handle(message, message.length, reply, this.#client, this, this.activeMs)
    if (octets < 0) return
    this.inFlight--
    if (octets === 0) return
    if (gather.isFullFor(octets)) this.#writeGathered()
    gather.add(reply, octets, handler.replyCode)
  }

  /** Writes what is gathered, and counts it. */
  #writeGathered(): void {
    const { handler, gather } = this.#listener
    const replies = gather.replies
    if (replies === 0) return
    const sent = this.socket.writable
    if (sent) this.socket.write(gather.copy())
    const milliseconds = performance.now() - this.activeMs
    for (let index = 0; index < replies; index++) {
      if (sent) handler.countSent(gather.codeOf(index), milliseconds)
      else handler.countUnsent()
    }
    gather.clear()
  }
}

function framed(reply: Uint8Array, octets: number): Buffer {
  const message = Buffer.allocUnsafe(LENGTH_OCTETS + octets)
  message[0] = octets >>> 8
  message[1] = octets
  message.set(reply.subarray(0, octets), LENGTH_OCTETS)
  return message
}

/** One listen address: accepts connections, keeps them within the limits. */
export class TcpListener {
  readonly #server: Server
  readonly #counters: Counters
  readonly #connections = new Set<TcpConnection>()
  readonly #perClient = new Map<string, number>()
  readonly #sweepTimer: NodeJS.Timeout
  /** Answers are written here, then gathered behind their length. */
  readonly reply = new Uint8Array(MESSAGE_OCTETS_MAX + REPLY_SLACK_OCTETS)
  readonly gather = new ReplyGather()
  isGathering = false
  readonly handler: QueryHandler
  readonly family: number
  #access: ClientAccess
  limits: LimitSettings

  constructor(
    server: Server,
    handler: QueryHandler,
    access: ClientAccess,
    limits: LimitSettings,
    counters: Counters,
    family: number,
  ) {
    this.#server = server
    this.#counters = counters
    this.handler = handler
    this.#access = access
    this.limits = limits
    this.family = family
    server.on('connection', (socket) => this.#openConnection(socket))
    // Out of descriptors: the connection is lost, the listener goes on.
    server.on('error', () => count(counters, TCP_REJECTED))
    const sweepMs = Math.min(SWEEP_MS_MAX, limits.tcpIdleMs / 4, limits.tcpMessageMs / 4)
    this.#sweepTimer = setInterval(() => this.#sweep(), sweepMs)
    this.#sweepTimer.unref()
  }

  /** From here on everybody is who the new list says, on connections that are open too. */
  set access(access: ClientAccess) {
    this.#access = access
    for (const connection of this.#connections) {
      if (!connection.isAdmitted(access)) connection.finish()
    }
  }

  /** The address and port that the socket got. */
  get endpoint(): Endpoint {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') return { address: '', port: 0 }
    return { address: address.address, port: address.port }
  }

  /** Takes no more connections; those without a query under way are closed. */
  stopAccepting(): void {
    this.#server.close()
    for (const connection of this.#connections) {
      if (connection.inFlight === 0) connection.finish()
    }
  }

  close(): void {
    clearInterval(this.#sweepTimer)
    this.#server.close()
    for (const connection of this.#connections) connection.socket.destroySoon()
  }

  forget(connection: TcpConnection): void {
    if (!this.#connections.delete(connection)) return
    this.#counters[TCP_CONNECTIONS] = this.#counters[TCP_CONNECTIONS]! - 1
    const left = (this.#perClient.get(connection.address) ?? 1) - 1
    if (left === 0) this.#perClient.delete(connection.address)
    else this.#perClient.set(connection.address, left)
  }

  #openConnection(socket: Socket): void {
    const counters = this.#counters
    const address = socket.remoteAddress ?? ''
    const client = new Client(PROTO_TCP, this.family)
    if (!this.#access.findText(address, new Uint8Array(SOCKADDR_IN6_OCTETS), client)) {
      count(counters, querySlot(PROTO_TCP, this.family, 0))
      count(counters, DROPPED + DROP_ACL)
      socket.destroy()
      return
    }
    const mine = this.#perClient.get(address) ?? 0
    if (mine >= this.limits.tcpConnectionsPerClientMax || !this.#makeRoom()) {
      count(counters, TCP_REJECTED)
      socket.destroy()
      return
    }
    socket.setNoDelay(true)
    this.#perClient.set(address, mine + 1)
    this.#connections.add(new TcpConnection(socket, address, client, this))
    count(counters, TCP_ACCEPTED)
    count(counters, TCP_CONNECTIONS)
  }

  /**
   * When the house is full, the connection that has been idle longest leaves; false if none is
   * idle.
   */
  #makeRoom(): boolean {
    if (this.#connections.size < this.limits.tcpConnectionsMax) return true
    let idlest: TcpConnection | null = null
    for (const connection of this.#connections) {
      if (connection.inFlight > 0) continue
      if (idlest === null || connection.activeMs < idlest.activeMs) idlest = connection
    }
    if (idlest === null) return false
    count(this.#counters, TCP_CLOSED_IDLE)
    idlest.socket.destroy()
    this.forget(idlest)
    return true
  }

  #sweep(): void {
    const nowMs = performance.now()
    const { tcpIdleMs, tcpMessageMs } = this.limits
    for (const connection of this.#connections) {
      if (connection.awaitsMessage && nowMs - connection.partialSinceMs > tcpMessageMs) {
        count(this.#counters, TCP_CLOSED_IDLE)
        connection.socket.destroy()
      } else if (connection.inFlight === 0 && nowMs - connection.activeMs > tcpIdleMs) {
        count(this.#counters, TCP_CLOSED_IDLE)
        // A client that reads nothing, or does not answer our FIN, is cut off.
        const stuck = connection.socket.writableLength > 0 || connection.socket.writableEnded
        if (stuck) connection.socket.destroy()
        else connection.finish()
      }
    }
  }
}

/** Where a TCP listener gets its socket from. */
export interface TcpSource {
  readonly endpoint: Endpoint
  /** A listening socket to take over; undefined: bind the address. */
  readonly fd: number | undefined
  /** When binding: lets other workers bind the same port (SO_REUSEPORT), where Node can. */
  readonly shared: boolean
}

/** Listens and answers from then on. */
export function openTcpListener(
  source: TcpSource,
  handler: QueryHandler,
  access: ClientAccess,
  limits: LimitSettings,
  counters: Counters,
): Promise<TcpListener> {
  const { endpoint, fd, shared } = source
  const ipv6 = endpoint.address.includes(':')
  const server = createServer({ allowHalfOpen: true })
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      reject(createListenError(endpoint, 'TCP', error))
    }
    server.once('error', onError)
    const where = { host: endpoint.address, port: endpoint.port, ipv6Only: ipv6, exclusive: true }
    const options = fd === undefined ? { ...where, ...(shared ? { reusePort: true } : {}) } : { fd }
    server.listen({ ...options, backlog: BACKLOG }, () => {
      server.off('error', onError)
      const family = ipv6 ? FAMILY_IPV6 : FAMILY_IPV4
      resolve(new TcpListener(server, handler, access, limits, counters, family))
    })
  })
}
