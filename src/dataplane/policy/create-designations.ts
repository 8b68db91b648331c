/** Writes the SVCB records that lead clients to our encrypted listeners (RFC 9460, 9461, 9462). */
import {
  IPV4_AT,
  IPV6_AT,
  SOCKADDR_IN6_OCTETS,
  writeSocketAddress,
} from '../../sys/socket-address.ts'
import type { ListenSettings } from '../settings.ts'

/** Addresses named in one record: the answer has to fit into any datagram. */
const HINTS_MAX = 4

/** Service parameters (RFC 9460 7, RFC 9461 5). */
const KEY_ALPN = 1
const KEY_PORT = 3
const KEY_IPV4HINT = 4
const KEY_IPV6HINT = 6
const KEY_DOHPATH = 7
const DOHPATH = '/dns-query{?dns}'

/** Both are as good; clients that can do either save a layer with the first. */
const OFFERS = [
  { protocol: 'tls', priority: 1, alpn: 'dot' },
  { protocol: 'https', priority: 2, alpn: 'h2' },
] as const

/** Returns RDATA of SVCB: one record for each protocol and port; none without a name of ours. */
export function createDesignations(
  listen: readonly ListenSettings[],
  serverName: string | undefined,
): Uint8Array[] {
  if (serverName === undefined) return []
  return OFFERS.flatMap(({ protocol, priority, alpn }) => {
    const endpoints = listen.filter((endpoint) => endpoint.protocol === protocol)
    return [...new Set(endpoints.map(({ port }) => port))].map((port) => {
      const addresses = endpoints.filter((one) => one.port === port).map(({ address }) => address)
      const hints = [...hintsOf(addresses, KEY_IPV4HINT), ...hintsOf(addresses, KEY_IPV6HINT)]
      const path = protocol === 'https' ? parameter(KEY_DOHPATH, octetsOf(DOHPATH)) : []
      const parameters = [
        ...parameter(KEY_ALPN, [alpn.length, ...octetsOf(alpn)]),
        ...parameter(KEY_PORT, [port >>> 8, port & 0xff]),
        ...hints,
        ...path,
      ]
      return Uint8Array.from([0, priority, ...wireName(serverName), ...parameters])
    })
  })
}

function parameter(key: number, value: readonly number[]): number[] {
  return [key >>> 8, key & 0xff, value.length >>> 8, value.length & 0xff, ...value]
}

function hintsOf(addresses: readonly string[], key: number): number[] {
  const isIpv6 = key === KEY_IPV6HINT
  // A zone means something on one machine only.
  const own = [...new Set(addresses)].filter(
    (address) => address.includes(':') === isIpv6 && !address.includes('%'),
  )
  if (own.length === 0) return []
  return parameter(key, own.slice(0, HINTS_MAX).flatMap(addressOctets))
}

function addressOctets(address: string): number[] {
  const written = new Uint8Array(SOCKADDR_IN6_OCTETS)
  writeSocketAddress(written, address, 0)
  const isIpv6 = address.includes(':')
  return [...written.subarray(isIpv6 ? IPV6_AT : IPV4_AT).subarray(0, isIpv6 ? 16 : 4)]
}

function wireName(name: string): number[] {
  const labels = name.split('.').flatMap((label) => [label.length, ...octetsOf(label)])
  return [...labels, 0]
}

function octetsOf(text: string): number[] {
  return [...Buffer.from(text, 'latin1')]
}
