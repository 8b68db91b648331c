/** What a query pays for its client: access, site and key in one look-up, then the rate. */
import { Client } from '../../src/dataplane/client.ts'
import { FAMILY_IPV4, FAMILY_IPV6, PROTO_UDP } from '../../src/dataplane/counters.ts'
import type { RateSettings } from '../../src/dataplane/settings.ts'
import { ADMITTED, ClientAccess } from '../../src/dataplane/transport/client-access.ts'
import { ClientRate } from '../../src/dataplane/transport/client-rate.ts'
import { SOCKADDR_IN6_OCTETS, writeSocketAddress } from '../../src/sys/socket-address.ts'
import type { Part } from './parts.ts'

const PREFIXES = 5000
const CLIENTS = 2048
const PORT = 4000
/** Spreads the clients over the prefixes without an order that a processor could learn. */
const STEP = 1_579
/** Never used up while it is timed. */
const QUERIES_PER_SECOND = 1_000_000

const RATE: RateSettings = {
  clientQueriesPerSecond: QUERIES_PER_SECOND,
  clientBurst: 10 * QUERIES_PER_SECOND,
  prefixQueriesPerSecond: QUERIES_PER_SECOND,
  prefixBurst: 10 * QUERIES_PER_SECOND,
  ipv4ClientBits: 32,
  ipv6ClientBits: 64,
  ipv4PrefixBits: 24,
  ipv6PrefixBits: 56,
  slip: 1,
  clientsMax: 16_384,
  exemptFrom: ['127.0.0.0/8'],
}

/** Five hundred sites of ten prefixes each. */
function sitesOf(network: (index: number) => string): { name: string; from: string[] }[] {
  return Array.from({ length: PREFIXES / 10 }, (_, site) => ({
    name: `site-${site}`,
    from: Array.from({ length: 10 }, (_prefix, index) => network(site * 10 + index)),
  }))
}

function addressesOf(host: (index: number) => string): Uint8Array[] {
  return Array.from({ length: CLIENTS }, (_, index) => {
    const octets = new Uint8Array(SOCKADDR_IN6_OCTETS)
    writeSocketAddress(octets, host((index * STEP) % PREFIXES), PORT)
    return octets
  })
}

function admission(name: string, access: ClientAccess, addresses: readonly Uint8Array[]): Part {
  const client = new Client(PROTO_UDP, FAMILY_IPV4)
  for (const address of addresses) {
    if (access.admit(address, 0, client) !== ADMITTED)
      throw new Error(`wrong before timing: ${name}`)
  }
  const run = (): void => {
    for (const address of addresses) access.admit(address, 0, client)
  }
  return { name, operations: addresses.length, run }
}

function limiting(access: ClientAccess, addresses: readonly Uint8Array[]): Part {
  const rate = new ClientRate({ rate: RATE, sites: [] })
  const clients = addresses.map((address) => {
    const client = new Client(PROTO_UDP, FAMILY_IPV6)
    access.admit(address, 0, client)
    client.site = 0
    return client
  })
  const run = (): void => {
    const nowMs = performance.now()
    for (const client of clients) rate.isOver(client, false, nowMs)
  }
  return { name: 'rate of client and prefix', operations: clients.length, run }
}

function ipv4(index: number): string {
  return `10.${index >> 8}.${index & 0xff}`
}

function ipv6(index: number): string {
  return `2001:db8:${index.toString(16)}`
}

/** Looking clients up without a site and with thousands of prefixes; charging a query. */
export function clientParts(): Part[] {
  const ipv4Hosts = addressesOf((index) => `${ipv4(index)}.77`)
  const ipv6Hosts = addressesOf((index) => `${ipv6(index)}::77`)
  const allowFrom = ['10.0.0.0/8', '127.0.0.0/8', '192.168.0.0/16', '2001:db8::/32']
  const none = new ClientAccess({ allowFrom, sites: [], rate: RATE })
  const many = [
    ...sitesOf((index) => `${ipv4(index)}.64/26`),
    ...sitesOf((index) => `${ipv6(index)}::/48`).map((site) => ({
      ...site,
      name: `${site.name}-6`,
    })),
  ]
  const sites = new ClientAccess({ allowFrom, sites: many, rate: RATE })
  return [
    admission('admit a client, no sites', none, ipv4Hosts),
    admission(`admit a client, ${PREFIXES} IPv4 prefixes`, sites, ipv4Hosts),
    admission(`admit a client, ${PREFIXES} IPv6 prefixes`, sites, ipv6Hosts),
    admission(
      'admit the client of before',
      sites,
      ipv4Hosts.map(() => ipv4Hosts[0]!),
    ),
    limiting(none, ipv4Hosts),
  ]
}
