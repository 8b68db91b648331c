/**
 * All listeners of one worker: a UDP and a TCP socket for each address in clear, a TCP socket for
 * each encrypted one. Addresses may come and go while it runs.
 */
import type { Libc } from '../sys/libc.ts'
import type { SocketLoop } from '../sys/socket-loop.ts'
import { StreamCalls } from '../sys/stream-calls.ts'
import type { Counters } from './counters.ts'
import type { Descriptors } from './messages.ts'
import type { Endpoint, LimitSettings, ListenSettings, TlsIdentity } from './settings.ts'
import type { ClientAccess } from './transport/client-access.ts'
import type { HttpsProtocol } from './transport/https-protocol.ts'
import type { QueryHandler } from './transport/query-handler.ts'
import type { StreamProtocol } from './transport/stream-connection.ts'
import { TcpProtocol } from './transport/tcp-protocol.ts'
import type { TlsProtocol } from './transport/tls-protocol.ts'
import { openTcpListener, type TcpListener, type TcpSource } from './transport/tcp-listener.ts'
import { openUdpBatchListener, type UdpBatchListener } from './transport/udp-batch-listener.ts'
import { openUdpListener, type UdpListener } from './transport/udp-listener.ts'

const IN_CLEAR = new TcpProtocol()
/** Ports tried where the system shall give one that is free over UDP and TCP alike. */
const PORT_DRAWS_MAX = 16

interface ListenerPair {
  readonly endpoint: ListenSettings
  /** Undefined for encrypted listeners. */
  readonly udp: UdpListener | UdpBatchListener | undefined
  readonly tcp: TcpListener
  /** Undefined for listeners in clear. */
  readonly encrypted: TlsProtocol | HttpsProtocol | undefined
}

/** What the listeners of one worker share. */
export interface ListenerContext {
  readonly handler: QueryHandler
  readonly counters: Counters
  /** Undefined: datagrams are read one by one. */
  readonly libc: Libc | undefined
  /** The worker's own loop, which reads the batches; undefined: Node brings their start. */
  readonly loop: SocketLoop | undefined
  /** Binds with SO_REUSEPORT where no descriptors are given. */
  readonly shared: boolean
}

/** The listeners of one worker; `open` adds to them. */
export class Listeners {
  readonly #context: ListenerContext
  readonly #calls: StreamCalls | null
  #pairs: ListenerPair[] = []
  #access: ClientAccess
  #limits: LimitSettings
  #tls: TlsIdentity | undefined

  constructor(
    context: ListenerContext,
    access: ClientAccess,
    limits: LimitSettings,
    tls: TlsIdentity | undefined,
  ) {
    this.#tls = tls
    this.#context = context
    this.#calls = context.libc === undefined ? null : new StreamCalls(context.libc)
    this.#access = access
    this.#limits = limits
  }

  /**
   * Listens on more addresses and returns what they were bound to.
   *
   * @param descriptors bound by the supervisor, one pair an address; undefined: bind here.
   * @throws OperationalError when one cannot be bound; those before it stay open.
   */
  async open(
    endpoints: readonly ListenSettings[],
    descriptors: Descriptors | undefined,
  ): Promise<ListenSettings[]> {
    const bound: ListenSettings[] = []
    for (const [index, endpoint] of endpoints.entries()) {
      const pair = await this.#openOne(endpoint, descriptors, index)
      this.#pairs.push(pair)
      if (pair.udp !== undefined) this.#access.addOwn(pair.udp.endpoint)
      bound.push(pair.endpoint)
    }
    return bound
  }

  /** Closes the listeners of addresses that have gone, and what still hangs on them. */
  close(endpoints: readonly Endpoint[]): void {
    this.#pairs = this.#pairs.filter(({ endpoint: bound, udp, tcp }) => {
      const goes = endpoints.some(
        ({ address, port }) => address === bound.address && port === bound.port,
      )
      if (goes) {
        udp?.close()
        tcp.close()
      }
      return !goes
    })
  }

  /** From here on, all listeners go by these. */
  update(access: ClientAccess, limits: LimitSettings): void {
    this.#access = access
    this.#limits = limits
    for (const { udp, tcp } of this.#pairs) {
      if (udp !== undefined) {
        access.addOwn(udp.endpoint)
        udp.access = access
      }
      tcp.access = access
      tcp.limits = limits
    }
  }

  /** New connections are greeted with this certificate; open ones go on. */
  certify(tls: TlsIdentity): void {
    this.#tls = tls
    for (const { encrypted } of this.#pairs) {
      if (encrypted !== undefined) encrypted.identity = tls
    }
  }

  /** Where clients are answered at this moment. */
  get endpoints(): readonly ListenSettings[] {
    return this.#pairs.map(({ endpoint }) => endpoint)
  }

  /** Takes no more connections; datagrams are still answered. */
  stopAccepting(): void {
    for (const { tcp } of this.#pairs) tcp.stopAccepting()
  }

  closeUdp(): void {
    for (const { udp } of this.#pairs) udp?.close()
  }

  closeTcp(): void {
    for (const { tcp } of this.#pairs) tcp.close()
  }

  #openOne(
    endpoint: ListenSettings,
    descriptors: Descriptors | undefined,
    index: number,
  ): Promise<ListenerPair> {
    const { libc } = this.#context
    const isBound = libc !== undefined && descriptors !== undefined
    if (endpoint.protocol !== 'dns') {
      const fd = isBound ? takeOver(descriptors, index, 1) : undefined
      return this.#openEncrypted(endpoint, fd)
    }
    return isBound ? this.#adopt(libc, endpoint, descriptors, index) : this.#bind(endpoint)
  }

  async #openEncrypted(asked: ListenSettings, fd: number | undefined): Promise<ListenerPair> {
    const { counters, shared } = this.#context
    const tls = this.#tls
    if (tls === undefined) throw new TypeError('an encrypted listener without a certificate')
    const encrypted =
      asked.protocol === 'tls'
        ? new (await import('./transport/tls-protocol.ts')).TlsProtocol(tls)
        : new (await import('./transport/https-protocol.ts')).HttpsProtocol(
            tls,
            this.#limits,
            counters,
          )
    const tcp = await this.#openTcp({ endpoint: asked, fd, shared }, encrypted)
    const endpoint = { ...asked, port: tcp.endpoint.port }
    return { endpoint, udp: undefined, tcp, encrypted }
  }

  async #openTcp(source: TcpSource, protocol: StreamProtocol): Promise<TcpListener> {
    const { handler, counters, loop } = this.#context
    const access = this.#access
    const tcp = await openTcpListener(source, protocol, handler, access, this.#limits, counters)
    tcp.loop = loop ?? null
    tcp.calls = this.#calls
    return tcp
  }

  /** Takes over what the supervisor has bound. */
  async #adopt(
    libc: Libc,
    endpoint: ListenSettings,
    descriptors: Descriptors,
    index: number,
  ): Promise<ListenerPair> {
    const { handler, counters, loop } = this.#context
    const fd = takeOver(descriptors, index, 0)
    const udp = await openUdpBatchListener(libc, fd, endpoint, handler, this.#access, counters)
    try {
      const source = { endpoint, fd: takeOver(descriptors, index, 1), shared: false }
      const tcp = await this.#openTcp(source, IN_CLEAR)
      if (loop !== undefined) udp.join(loop)
      return { endpoint, udp, tcp, encrypted: undefined }
    } catch (error) {
      udp.close()
      throw error
    }
  }

  /** Binds one port over UDP and TCP; port 0 is drawn again where TCP does not get UDP's port. */
  async #bind(asked: ListenSettings): Promise<ListenerPair> {
    const { handler, counters, shared } = this.#context
    for (let draws = 1; ; draws++) {
      const udp = await openUdpListener(asked, shared, handler, this.#access, counters)
      const endpoint = { ...asked, port: udp.endpoint.port }
      const source = { endpoint, fd: undefined, shared }
      try {
        const tcp = await this.#openTcp(source, IN_CLEAR)
        return { endpoint, udp, tcp, encrypted: undefined }
      } catch (error) {
        udp.close()
        if (asked.port !== 0 || draws === PORT_DRAWS_MAX) throw error
      }
    }
  }
}

/** Takes a descriptor that the supervisor has bound: 0 is UDP's, 1 is TCP's. */
function takeOver({ pairs, adopted }: Descriptors, index: number, transport: 0 | 1): number {
  const pair = pairs[index]!
  Atomics.store(adopted, index * 2 + transport, 1)
  return (transport === 0 ? pair.udp : pair.tcp) ?? -1
}
