/**
 * All listeners of one worker: a UDP and a TCP socket for each listen address. Addresses may come
 * and go while it runs.
 */
import type { Libc } from '../sys/libc.ts'
import type { Counters } from './counters.ts'
import type { BoundEndpoint, Descriptors } from './messages.ts'
import type { Endpoint, LimitSettings } from './settings.ts'
import type { ClientAccess } from './transport/client-access.ts'
import type { QueryHandler } from './transport/query-handler.ts'
import { openTcpListener, type TcpListener } from './transport/tcp-listener.ts'
import { openUdpBatchListener, type UdpBatchListener } from './transport/udp-batch-listener.ts'
import { openUdpListener, type UdpListener } from './transport/udp-listener.ts'

/** Ports tried where the system shall give one that is free over UDP and TCP alike. */
const PORT_DRAWS_MAX = 16

interface ListenerPair {
  readonly udp: UdpListener | UdpBatchListener
  readonly tcp: TcpListener
}

/** What the listeners of one worker share. */
export interface ListenerContext {
  readonly handler: QueryHandler
  readonly counters: Counters
  /** Undefined: datagrams are read one by one. */
  readonly libc: Libc | undefined
  /** Binds with SO_REUSEPORT where no descriptors are given. */
  readonly shared: boolean
}

/** The listeners of one worker; `open` adds to them. */
export class Listeners {
  readonly #context: ListenerContext
  #pairs: ListenerPair[] = []
  #access: ClientAccess
  #limits: LimitSettings

  constructor(context: ListenerContext, access: ClientAccess, limits: LimitSettings) {
    this.#context = context
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
    endpoints: readonly Endpoint[],
    descriptors: Descriptors | undefined,
  ): Promise<BoundEndpoint[]> {
    const bound: BoundEndpoint[] = []
    for (const [index, endpoint] of endpoints.entries()) {
      const { libc } = this.#context
      const pair =
        libc !== undefined && descriptors !== undefined
          ? await this.#adopt(libc, endpoint, descriptors, index)
          : await this.#bind(endpoint)
      this.#pairs.push(pair)
      this.#access.addOwn(pair.udp.endpoint)
      bound.push({ udp: pair.udp.endpoint, tcp: pair.tcp.endpoint })
    }
    return bound
  }

  /** Closes the listeners of addresses that have gone, and what still hangs on them. */
  close(endpoints: readonly Endpoint[]): void {
    this.#pairs = this.#pairs.filter(({ udp, tcp }) => {
      const bound = udp.endpoint
      const goes = endpoints.some(
        ({ address, port }) => address === bound.address && port === bound.port,
      )
      if (goes) {
        udp.close()
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
      access.addOwn(udp.endpoint)
      udp.access = access
      tcp.access = access
      tcp.limits = limits
    }
  }

  /** Takes no more connections; datagrams are still answered. */
  stopAccepting(): void {
    for (const { tcp } of this.#pairs) tcp.stopAccepting()
  }

  closeUdp(): void {
    for (const { udp } of this.#pairs) udp.close()
  }

  closeTcp(): void {
    for (const { tcp } of this.#pairs) tcp.close()
  }

  /** Takes over what the supervisor has bound. */
  async #adopt(
    libc: Libc,
    endpoint: Endpoint,
    { pairs, adopted }: Descriptors,
    index: number,
  ): Promise<ListenerPair> {
    const { handler, counters } = this.#context
    const pair = pairs[index]!
    Atomics.store(adopted, index * 2, 1)
    const udp = await openUdpBatchListener(
      libc,
      pair.udp,
      endpoint,
      handler,
      this.#access,
      counters,
    )
    try {
      Atomics.store(adopted, index * 2 + 1, 1)
      const source = { endpoint, fd: pair.tcp, shared: false }
      const tcp = await openTcpListener(source, handler, this.#access, this.#limits, counters)
      return { udp, tcp }
    } catch (error) {
      udp.close()
      throw error
    }
  }

  /** Binds one port over UDP and TCP; port 0 is drawn again where TCP does not get UDP's port. */
  async #bind(asked: Endpoint): Promise<ListenerPair> {
    const { handler, counters, shared } = this.#context
    for (let draws = 1; ; draws++) {
      const udp = await openUdpListener(asked, shared, handler, this.#access, counters)
      const bound = { address: asked.address, port: udp.endpoint.port }
      const source = { endpoint: bound, fd: undefined, shared }
      try {
        const tcp = await openTcpListener(source, handler, this.#access, this.#limits, counters)
        return { udp, tcp }
      } catch (error) {
        udp.close()
        if (asked.port !== 0 || draws === PORT_DRAWS_MAX) throw error
      }
    }
  }
}
