/**
 * Listens on TCP, for whatever is spoken over it (RFC 7766, 7858, 8484). Connections are bounded in
 * number, in idle time, in queries under way and in answers that nobody reads.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { Client } from '../client.ts'
import {
  DROPPED,
  DROP_ACL,
  FAMILY_IPV4,
  FAMILY_IPV6,
  TCP_ACCEPTED,
  TCP_CLOSED_IDLE,
  TCP_CONNECTIONS,
  TCP_REJECTED,
  count,
  querySlot,
  type Counters,
} from '../counters.ts'
import type { Endpoint, LimitSettings } from '../settings.ts'
import { SOCKADDR_IN6_OCTETS } from '../../sys/socket-address.ts'
import type { SocketLoop } from '../../sys/socket-loop.ts'
import type { StreamCalls } from '../../sys/stream-calls.ts'
import { MESSAGE_OCTETS_MAX } from '../../wire/header.ts'
import { REPLY_SLACK_OCTETS } from '../../wire/reply.ts'
import type { ClientAccess } from './client-access.ts'
import { createListenError } from './listen-error.ts'
import type { QueryHandler } from './query-handler.ts'
import { ReplyGather } from './reply-gather.ts'
import { TurnBudget } from './turn-budget.ts'
import type { StreamConnection, StreamContext, StreamProtocol } from './stream-connection.ts'

/** How often idle connections are looked for, at most. */
const SWEEP_MS_MAX = 1000
const BACKLOG = 511

/** One listen address: accepts connections, keeps them within the limits. */
export class TcpListener implements StreamContext {
  readonly #server: Server
  readonly #protocol: StreamProtocol
  /** The client that each counts for: its key when it came, whatever a reload makes of it. */
  readonly #connections = new Map<StreamConnection, number>()
  /** Connections by client key: a /64 of IPv6 is one client with as many addresses as it likes. */
  readonly #perClient = new Map<number, number>()
  readonly #sweepTimer: NodeJS.Timeout
  /** Answers are written here, then gathered behind their length. */
  readonly reply = new Uint8Array(MESSAGE_OCTETS_MAX + REPLY_SLACK_OCTETS)
  readonly gather = new ReplyGather()
  readonly turn = new TurnBudget()
  isGathering = false
  unsentOctets = 0
  loop: SocketLoop | null = null
  calls: StreamCalls | null = null
  readonly handler: QueryHandler
  readonly counters: Counters
  readonly family: number
  #access: ClientAccess
  limits: LimitSettings

  constructor(
    server: Server,
    protocol: StreamProtocol,
    handler: QueryHandler,
    access: ClientAccess,
    limits: LimitSettings,
    counters: Counters,
    family: number,
  ) {
    this.#server = server
    this.#protocol = protocol
    this.counters = counters
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
    for (const connection of this.#connections.keys()) {
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
    for (const connection of this.#connections.keys()) {
      if (connection.inFlight === 0) connection.finish()
    }
  }

  close(): void {
    clearInterval(this.#sweepTimer)
    this.#server.close()
    for (const connection of this.#connections.keys()) connection.socket.destroySoon()
  }

  forget(connection: StreamConnection): void {
    this.loop?.catchUp()
    const key = this.#connections.get(connection)
    if (key === undefined) return
    this.#connections.delete(connection)
    this.counters[TCP_CONNECTIONS] = this.counters[TCP_CONNECTIONS]! - 1
    const left = (this.#perClient.get(key) ?? 1) - 1
    if (left === 0) this.#perClient.delete(key)
    else this.#perClient.set(key, left)
  }

  #openConnection(socket: Socket): void {
    this.loop?.catchUp()
    const counters = this.counters
    const address = socket.remoteAddress ?? ''
    const client = new Client(this.#protocol.proto, this.family)
    if (!this.#access.findText(address, new Uint8Array(SOCKADDR_IN6_OCTETS), client)) {
      count(counters, querySlot(this.#protocol.proto, this.family, 0))
      count(counters, DROPPED + DROP_ACL)
      socket.destroy()
      return
    }
    const { key } = client
    const mine = this.#perClient.get(key) ?? 0
    if (mine >= this.limits.tcpConnectionsPerClientMax || !this.#makeRoom(mine)) {
      count(counters, TCP_REJECTED)
      socket.destroy()
      return
    }
    socket.setNoDelay(true)
    // What made room may have been the client's own.
    this.#perClient.set(key, (this.#perClient.get(key) ?? 0) + 1)
    this.#connections.set(this.#protocol.openConnection(socket, address, client, this), key)
    count(counters, TCP_ACCEPTED)
    count(counters, TCP_CONNECTIONS)
  }

  /**
   * When the house is full, the connection that has been idle longest leaves. If none is idle, the
   * client with the most gives one up, as long as it keeps as many as the new one will have; false
   * when nobody has to.
   */
  #makeRoom(mine: number): boolean {
    if (this.#connections.size < this.limits.tcpConnectionsMax) return true
    let idlest: StreamConnection | null = null
    for (const connection of this.#connections.keys()) {
      if (connection.inFlight > 0) continue
      if (idlest === null || connection.activeMs < idlest.activeMs) idlest = connection
    }
    if (idlest === null) return this.#takeFromHeaviest(mine)
    count(this.counters, TCP_CLOSED_IDLE)
    idlest.socket.destroy()
    this.forget(idlest)
    return true
  }

  /** Ends the connection of the client with the most that has been silent for longest. */
  #takeFromHeaviest(mine: number): boolean {
    let most = mine + 1
    let heaviest: number | null = null
    for (const [key, connections] of this.#perClient) {
      if (connections <= most) continue
      most = connections
      heaviest = key
    }
    if (heaviest === null) return false
    let oldest: StreamConnection | null = null
    for (const [connection, key] of this.#connections) {
      if (key !== heaviest) continue
      if (oldest === null || connection.activeMs < oldest.activeMs) oldest = connection
    }
    if (oldest === null) return false
    count(this.counters, TCP_REJECTED)
    oldest.socket.destroy()
    this.forget(oldest)
    return true
  }

  #sweep(): void {
    const nowMs = performance.now()
    const { tcpIdleMs, tcpMessageMs } = this.limits
    for (const connection of this.#connections.keys()) {
      if (connection.isOverdue(nowMs, tcpMessageMs)) {
        count(this.counters, TCP_CLOSED_IDLE)
        connection.socket.destroy()
      } else if (connection.inFlight === 0 && nowMs - connection.activeMs > tcpIdleMs) {
        count(this.counters, TCP_CLOSED_IDLE)
        if (connection.isStuck) connection.socket.destroy()
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
  protocol: StreamProtocol,
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
      resolve(new TcpListener(server, protocol, handler, access, limits, counters, family))
    })
  })
}
