/**
 * The listen addresses and their sockets, in the thread that outlives every worker.
 *
 * A worker is lent a second descriptor of each of its sockets. When it dies, the socket stays, with
 * the datagrams and connections that wait in it, and the next worker of that place takes them.
 */
import { networkInterfaces } from 'node:os'
import { OperationalError } from '../../base/errors.ts'
import type { DescriptorPair, Descriptors } from '../../dataplane/messages.ts'
import type { Endpoint, ListenSettings } from '../../dataplane/settings.ts'
import { createListenError } from '../../dataplane/transport/listen-error.ts'
import type { Libc } from '../../sys/libc.ts'
import {
  boundPort,
  closeDescriptor,
  duplicateDescriptor,
  openBoundSocket,
} from '../../sys/socket.ts'

/** Draws of a port that is free for UDP and TCP alike, where port 0 leaves the choice to us. */
const PORT_DRAWS_MAX = 16

/** One address that is listened on. */
interface Listened {
  /** As the configuration has it, a wildcard replaced by one of its addresses. */
  readonly asked: ListenSettings
  /** With the port that it got. */
  bound: ListenSettings
  /** By place of worker; empty without the system calls, when each worker binds for itself. */
  readonly pairs: DescriptorPair[]
}

/** What a look at the interfaces would change. */
export interface AddressChanges {
  readonly appeared: readonly ListenSettings[]
  readonly vanished: readonly Endpoint[]
}

/** All listen addresses of the server, with the sockets of every worker's place. */
export class ListenSockets {
  readonly #configured: readonly ListenSettings[]
  readonly #libc: Libc | undefined
  readonly #shared: boolean
  /** Places whose sockets are bound. */
  #places = 0
  #listened: Listened[]

  /**
   * @param configured wildcards included.
   * @param libc undefined: workers bind for themselves, and only the addresses are kept here.
   * @param shared several workers bind the same ports (SO_REUSEPORT).
   * @throws OperationalError when a wildcard has no address.
   */
  constructor(configured: readonly ListenSettings[], libc: Libc | undefined, shared: boolean) {
    this.#configured = configured
    this.#libc = libc
    this.#shared = shared
    this.#listened = expandWildcards(configured).map((asked) => ({
      asked,
      bound: asked,
      pairs: [],
    }))
    if (this.#listened.length === 0) {
      throw new OperationalError(
        'ERR_ADDRESS_UNAVAILABLE',
        'no interface has an address for the wildcard to listen on; wait for the network, or ' +
          'name an address with --listen',
      )
    }
  }

  /** True when addresses may come and go. */
  get hasWildcard(): boolean {
    return this.#configured.some(isWildcard)
  }

  /** In an order that stays while none vanishes. */
  get endpoints(): readonly ListenSettings[] {
    return this.#listened.map(({ bound }) => bound)
  }

  /** Keeps the ports that a worker got which binds for itself. */
  adoptPorts(bound: readonly Endpoint[]): void {
    for (const [index, listened] of this.#listened.entries()) {
      listened.bound = { ...listened.bound, port: bound[index]?.port ?? listened.bound.port }
    }
  }

  /**
   * Binds the sockets of one more place.
   *
   * @throws OperationalError when an address cannot be bound; one of a wildcard that is not ready
   * yet (IPv6 looks for duplicates first, RFC 4862 5.4) is left out, for `changes` to find again.
   */
  openPlace(): void {
    const place = this.#places++
    for (const listened of this.#listened) {
      try {
        this.#openPair(listened, place)
      } catch (error) {
        const isConfigured = this.#configured.some((endpoint) => isSame(endpoint, listened.asked))
        if (place > 0 || isConfigured || !isUnavailable(error)) throw error
        this.#listened = this.#listened.filter((other) => other !== listened)
        if (this.#listened.length === 0) throw error
      }
    }
  }

  /**
   * Descriptors for the worker of a place, which takes them over; undefined when it binds for
   * itself.
   *
   * @param endpoints those to lend, by default all.
   */
  lend(place: number, endpoints: readonly Endpoint[] = this.endpoints): Descriptors | undefined {
    const libc = this.#libc
    if (libc === undefined) return undefined
    const pairs = endpoints.map((endpoint) => {
      const own = this.#listened.find(({ bound }) => isSame(bound, endpoint))?.pairs[place]
      return {
        udp: own === undefined ? -1 : own.udp && duplicateDescriptor(libc, own.udp),
        tcp: own === undefined ? -1 : duplicateDescriptor(libc, own.tcp),
      }
    })
    const lent = createDescriptors(pairs)
    if (pairs.every(({ udp = 0, tcp }) => udp >= 0 && tcp >= 0)) return lent
    closeUnadopted(libc, lent)
    throw new OperationalError(
      'ERR_WORKER',
      'no descriptor is left for a worker (raise LimitNOFILE or ulimit -n)',
    )
  }

  /** Closes what a worker was lent and has not taken over when it died. */
  takeBack(lent: Descriptors): void {
    if (this.#libc !== undefined) closeUnadopted(this.#libc, lent)
  }

  /** Looks at the interfaces: which addresses of the wildcards have come, and which have gone. */
  changes(): AddressChanges {
    const wanted = expandWildcards(this.#configured)
    const known = this.#listened
    return {
      appeared: wanted.filter((asked) => !known.some((listened) => isSame(listened.asked, asked))),
      vanished: known
        .filter(({ asked }) => !wanted.some((endpoint) => isSame(endpoint, asked)))
        .map(({ bound }) => bound),
    }
  }

  /**
   * Adds one address for all places and returns it with its port.
   *
   * @throws OperationalError when it cannot be bound; nothing is kept then.
   */
  add(asked: ListenSettings): ListenSettings {
    const listened: Listened = { asked, bound: asked, pairs: [] }
    try {
      for (let place = 0; place < this.#places; place++) this.#openPair(listened, place)
    } catch (error) {
      this.#closePairs(listened)
      throw error
    }
    this.#listened.push(listened)
    return listened.bound
  }

  /** Forgets an address; its sockets close when the workers have closed theirs. */
  remove(endpoint: Endpoint): void {
    const gone = this.#listened.filter(({ bound }) => isSame(bound, endpoint))
    this.#listened = this.#listened.filter((listened) => !gone.includes(listened))
    for (const listened of gone) this.#closePairs(listened)
  }

  /** Lets all sockets go: each ends with its worker from here on. */
  close(): void {
    for (const listened of this.#listened) this.#closePairs(listened)
  }

  #openPair(listened: Listened, place: number): void {
    const libc = this.#libc
    if (libc === undefined) return
    if (this.#shared && place === 0) probe(libc, listened.bound)
    const { endpoint, pair } = bindPair(libc, listened.bound, this.#shared)
    listened.bound = endpoint
    listened.pairs[place] = pair
  }

  #closePairs({ pairs }: Listened): void {
    const libc = this.#libc
    if (libc === undefined) return
    for (const pair of pairs.splice(0)) closePair(libc, pair)
  }
}

/** Returns pairs as they are handed to a worker: none of them taken over yet. */
export function createDescriptors(pairs: readonly DescriptorPair[]): Descriptors {
  const octets = pairs.length * 2 * Int32Array.BYTES_PER_ELEMENT
  return { pairs, adopted: new Int32Array(new SharedArrayBuffer(octets)) }
}

/**
 * Binds one port over UDP and TCP; port 0 is drawn again where TCP does not get UDP's port.
 *
 * @throws OperationalError when it cannot be bound; nothing is left open then.
 */
export function bindPair(
  libc: Libc,
  asked: ListenSettings,
  shared: boolean,
): { endpoint: ListenSettings; pair: DescriptorPair } {
  if (asked.protocol !== 'dns') {
    const tcp = bindOne(libc, 'tcp', asked, shared)
    return { endpoint: { ...asked, port: boundPort(libc, tcp) }, pair: { udp: undefined, tcp } }
  }
  for (let draws = 1; ; draws++) {
    const udp = bindOne(libc, 'udp', asked, shared)
    const endpoint = { ...asked, port: boundPort(libc, udp) }
    try {
      return { endpoint, pair: { udp, tcp: bindOne(libc, 'tcp', endpoint, shared) } }
    } catch (error) {
      closeDescriptor(libc, udp)
      if (asked.port !== 0 || draws === PORT_DRAWS_MAX) throw error
    }
  }
}

/**
 * Binds an address once without SO_REUSEPORT: with it, a second server on the same port would start
 * without an error and take half of the queries.
 */
function probe(libc: Libc, endpoint: ListenSettings): void {
  closePair(libc, bindPair(libc, endpoint, false).pair)
}

function closePair(libc: Libc, { udp, tcp }: DescriptorPair): void {
  if (udp !== undefined) closeDescriptor(libc, udp)
  closeDescriptor(libc, tcp)
}

function isUnavailable(error: unknown): boolean {
  return error instanceof OperationalError && error.code === 'ERR_ADDRESS_UNAVAILABLE'
}

/** Gives back the descriptors that no worker has taken over; each only once. */
function closeUnadopted(libc: Libc, { pairs, adopted }: Descriptors): void {
  for (const [index, { udp, tcp }] of pairs.entries()) {
    for (const [offset, fd] of [udp, tcp].entries()) {
      const wasAdopted = Atomics.exchange(adopted, index * 2 + offset, 1) !== 0
      if (!wasAdopted && fd !== undefined && fd >= 0) closeDescriptor(libc, fd)
    }
  }
}

function bindOne(libc: Libc, kind: 'udp' | 'tcp', endpoint: Endpoint, shared: boolean): number {
  const { fd, error } = openBoundSocket(libc, kind, endpoint, shared)
  if (fd < 0) throw createListenError(endpoint, kind.toUpperCase(), error)
  return fd
}

/**
 * Replaces a wildcard address by every address of this machine: a datagram that was asked at one
 * address must be answered from it (RFC 2181 4), and a wildcard socket would let the system choose.
 */
function expandWildcards(listen: readonly ListenSettings[]): ListenSettings[] {
  const expanded = listen.flatMap((endpoint) => {
    if (!isWildcard(endpoint)) return [endpoint]
    const family = endpoint.address === '::' ? 'IPv6' : 'IPv4'
    const local = Object.values(networkInterfaces()).flatMap((entries) => entries ?? [])
    return local
      .filter((entry) => entry.family === family && !isLinkLocal(entry.address))
      .map((entry) => ({ ...endpoint, address: entry.address }))
  })
  // An address that is named beside its wildcard is one address; port 0 is a new one each time.
  const isSecond = (endpoint: ListenSettings, index: number): boolean =>
    endpoint.port !== 0 && expanded.findIndex((other) => isSame(other, endpoint)) < index
  return expanded.filter((endpoint, index) => !isSecond(endpoint, index))
}

function isWildcard({ address }: Endpoint): boolean {
  return address === '0.0.0.0' || address === '::'
}

function isSame(one: Endpoint, other: Endpoint): boolean {
  return one.address === other.address && one.port === other.port
}

/** fe80::/10 needs a zone, and no router points there. */
function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address)
}
