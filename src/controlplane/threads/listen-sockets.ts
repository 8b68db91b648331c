/**
 * Binds the sockets of the data plane, in the thread that outlives every worker: it knows each
 * descriptor until a worker has taken it over.
 */
import { networkInterfaces } from 'node:os'
import { OperationalError } from '../../base/errors.ts'
import type { DescriptorPair, Descriptors } from '../../dataplane/messages.ts'
import type { Endpoint } from '../../dataplane/settings.ts'
import { createListenError } from '../../dataplane/transport/listen-error.ts'
import type { Libc } from '../../sys/libc.ts'
import { boundPort, closeDescriptor, openBoundSocket } from '../../sys/socket.ts'

/** Draws of a port that is free for UDP and TCP alike, where port 0 leaves the choice to us. */
const PORT_DRAWS_MAX = 16

/** Bound sockets with the ports that they got. */
export interface BoundSockets {
  readonly endpoints: readonly Endpoint[]
  readonly descriptors: Descriptors
}

/**
 * Binds a UDP and a TCP socket for every address.
 *
 * @throws OperationalError when one cannot be bound; the others are closed again.
 */
export function bindSockets(
  libc: Libc,
  listen: readonly Endpoint[],
  shared: boolean,
): BoundSockets {
  const endpoints: Endpoint[] = []
  const pairs: DescriptorPair[] = []
  const adopted = new Int32Array(
    new SharedArrayBuffer(listen.length * 2 * Int32Array.BYTES_PER_ELEMENT),
  )
  try {
    for (const asked of listen) {
      const { endpoint, pair } = bindPair(libc, asked, shared)
      endpoints.push(endpoint)
      pairs.push(pair)
    }
  } catch (error) {
    closeUnadopted(libc, { pairs, adopted })
    throw error
  }
  return { endpoints, descriptors: { pairs, adopted } }
}

/** Binds one port over UDP and TCP; port 0 is drawn again where TCP does not get UDP's port. */
function bindPair(
  libc: Libc,
  asked: Endpoint,
  shared: boolean,
): { endpoint: Endpoint; pair: DescriptorPair } {
  for (let draws = 1; ; draws++) {
    const udp = bindOne(libc, 'udp', asked, shared)
    const endpoint = { address: asked.address, port: boundPort(libc, udp) }
    try {
      return { endpoint, pair: { udp, tcp: bindOne(libc, 'tcp', endpoint, shared) } }
    } catch (error) {
      closeDescriptor(libc, udp)
      if (asked.port !== 0 || draws === PORT_DRAWS_MAX) throw error
    }
  }
}

/** Gives back the descriptors that no worker has taken over; each only once. */
export function closeUnadopted(libc: Libc, { pairs, adopted }: Descriptors): void {
  for (const [index, { udp, tcp }] of pairs.entries()) {
    for (const [offset, fd] of [udp, tcp].entries()) {
      const wasAdopted = Atomics.exchange(adopted, index * 2 + offset, 1) !== 0
      if (!wasAdopted) closeDescriptor(libc, fd)
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
export function expandWildcards(listen: readonly Endpoint[]): Endpoint[] {
  const expanded = listen.flatMap((endpoint) => {
    const { address, port } = endpoint
    if (address !== '0.0.0.0' && address !== '::') return [endpoint]
    const family = address === '::' ? 'IPv6' : 'IPv4'
    const local = Object.values(networkInterfaces()).flatMap((entries) => entries ?? [])
    return local
      .filter((entry) => entry.family === family && !isLinkLocal(entry.address))
      .map((entry) => ({ address: entry.address, port }))
  })
  if (expanded.length === 0) {
    throw new OperationalError(
      'ERR_ADDRESS_UNAVAILABLE',
      'no interface has an address for the wildcard to listen on; wait for the network, or name ' +
        'an address with --listen',
    )
  }
  // An address that is named beside its wildcard is one address; port 0 is a new one each time.
  const isSecond = ({ address, port }: Endpoint, index: number): boolean =>
    port !== 0 &&
    expanded.findIndex((other) => other.address === address && other.port === port) < index
  return expanded.filter((endpoint, index) => !isSecond(endpoint, index))
}

/** fe80::/10 needs a zone, and no router points there. */
function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address)
}
