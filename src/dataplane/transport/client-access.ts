/**
 * Who gets an answer, and as whom: clients of the sites and of `allowFrom`, from source ports that
 * are no reflector's, and never ourselves. Anybody else is dropped without a word, so that nobody
 * can use us against a third party.
 */
import { AF_INET6 } from '../../sys/libc.ts'
import {
  IPV4_AT,
  IPV6_AT,
  SOCKADDR_IN6_OCTETS,
  portOf,
  writeSocketAddress,
} from '../../sys/socket-address.ts'
import { AddressTable, wordAt } from '../address-table.ts'
import { buildAddressTable, type PrefixRule } from '../build-address-table.ts'
import type { Client } from '../client.ts'
import { DROP_ACL, DROP_LOOP, DROP_SOURCE_PORT } from '../counters.ts'
import type { Endpoint, RateSettings, SiteSettings } from '../settings.ts'
import { hashPrefix } from './client-key.ts'

/** The client may ask. */
export const ADMITTED = -1
/**
 * echo, daytime, quotd, chargen, time: answering them makes loops (CVE-2024-2169); port 0 takes no
 * answer.
 */
const REFLECTOR_PORTS = [0, 7, 13, 17, 19, 37]
const PORT_REFLECTOR = 1
const PORT_OURS = 2

/** Numbers of the table: a site below these bits, and whether the address may ask at all. */
const SITE_MASK = 0xffff
const MAY_ASK = 0x10000
const UNLIMITED = 0x20000
/** No number of the table. */
const NOT_ASKED = -1

/** What an access list needs to know. */
export interface AccessSettings {
  /** CIDR prefixes whose clients are answered under the default policy. */
  readonly allowFrom: readonly string[]
  /** Their clients are answered too, each under its site's policy. */
  readonly sites: readonly Pick<SiteSettings, 'name' | 'from'>[]
  readonly rate: Pick<RateSettings, 'ipv4ClientBits' | 'ipv6ClientBits' | 'exemptFrom'>
}

/** The access list of one worker; it changes only by `addOwn`. */
export class ClientAccess {
  readonly #table: AddressTable
  /** Leading bits that make one client. */
  readonly #ipv4Bits: number
  readonly #ipv6Bits: number
  /** By number; the default has none. */
  readonly #siteNames: readonly string[]
  readonly #ports = new Uint8Array(0x10000)
  /** Socket addresses of our own listeners, one after another. */
  readonly #own: Uint8Array[] = []
  readonly #scratch = new Uint8Array(SOCKADDR_IN6_OCTETS)
  /** The IPv4 client that was found last: those of one NAT address come one after another. */
  #lastIpv4 = 0
  #lastFound = NOT_ASKED
  #lastKey = 0

  constructor(settings: AccessSettings) {
    this.#table = createTable(settings)
    this.#ipv4Bits = settings.rate.ipv4ClientBits
    this.#ipv6Bits = settings.rate.ipv6ClientBits
    this.#siteNames = ['', ...settings.sites.map(({ name }) => name)]
    for (const port of REFLECTOR_PORTS) this.#ports[port] = PORT_REFLECTOR
  }

  /** From here on nothing that seems to come from this listener of ours is answered. */
  addOwn({ address, port }: Endpoint): void {
    const own = new Uint8Array(SOCKADDR_IN6_OCTETS)
    if (writeSocketAddress(own, address, port) === 0) return
    this.#own.push(own)
    this.#ports[port] = this.#ports[port]! | PORT_OURS
  }

  /**
   * Fills `client` from the socket address at `start`, as the system writes it. Returns `ADMITTED`,
   * or the reason for which its datagram is dropped.
   */
  admit(addresses: Uint8Array, start: number, client: Client): number {
    if (!this.find(addresses, start, client)) return DROP_ACL
    const port = this.#ports[portOf(addresses, start)]!
    return port === 0 ? ADMITTED : this.#refusal(port, addresses, start)
  }

  /** `admit` for an address and port as Node writes them. */
  admitText(address: string, port: number, client: Client): number {
    const octets = writeClient(this.#scratch, address, port)
    return octets === 0 ? DROP_ACL : this.admit(this.#scratch, 0, client)
  }

  /**
   * `find` for an address as Node writes it: of a connection, whose source port says nothing.
   *
   * @param octets takes the address for as long as `client` is in use; `SOCKADDR_IN6_OCTETS`.
   */
  findText(address: string, octets: Uint8Array, client: Client): boolean {
    return writeClient(octets, address, 0) !== 0 && this.find(octets, 0, client)
  }

  /** Fills `client` from the socket address at `start`; false when it may not ask. */
  find(addresses: Uint8Array, start: number, client: Client): boolean {
    const isIpv6 = addresses[start] === AF_INET6
    const at = start + (isIpv6 ? IPV6_AT : IPV4_AT)
    const found = isIpv6 ? this.#table.findIpv6(addresses, at) : this.#findIpv4(addresses, at)
    client.octets = addresses
    client.at = at
    client.addressOctets = isIpv6 ? 16 : 4
    client.site = found & SITE_MASK
    client.siteName = this.#siteNames[client.site]!
    client.unlimited = (found & UNLIMITED) !== 0
    client.key = isIpv6 ? hashPrefix(addresses, at, this.#ipv6Bits) : this.#lastKey
    return (found & MAY_ASK) !== 0
  }

  #findIpv4(addresses: Uint8Array, at: number): number {
    const word = wordAt(addresses, at) | 0
    if (word !== this.#lastIpv4 || this.#lastFound === NOT_ASKED) {
      this.#lastIpv4 = word
      this.#lastFound = this.#table.findIpv4(addresses, at)
      this.#lastKey = hashPrefix(addresses, at, this.#ipv4Bits)
    }
    return this.#lastFound
  }

  #refusal(port: number, addresses: Uint8Array, start: number): number {
    if ((port & PORT_REFLECTOR) !== 0) return DROP_SOURCE_PORT
    for (const own of this.#own) if (isSameSource(own, addresses, start)) return DROP_LOOP
    return ADMITTED
  }
}

/** True when family, port and address are the same. */
function isSameSource(own: Uint8Array, addresses: Uint8Array, start: number): boolean {
  if (own[0] !== addresses[start]) return false
  const isIpv6 = own[0] === AF_INET6
  const end = isIpv6 ? IPV6_AT + 16 : IPV4_AT + 4
  if (portOf(own, 0) !== portOf(addresses, start)) return false
  for (let i = isIpv6 ? IPV6_AT : IPV4_AT; i < end; i++) {
    if (own[i] !== addresses[start + i]) return false
  }
  return true
}

/** An IPv4 client of an IPv6 socket is an IPv4 client; the zone is no part of an address. */
function writeClient(into: Uint8Array, address: string, port: number): number {
  const zone = address.indexOf('%')
  const bare = address.startsWith('::ffff:') ? address.slice(7) : address
  return writeSocketAddress(into, zone === -1 ? bare : bare.slice(0, zone), port)
}

function createTable({ allowFrom, sites, rate }: AccessSettings): AddressTable {
  const rules: PrefixRule[] = allowFrom.map((prefix) => ({ prefix, value: MAY_ASK }))
  for (const [index, { from }] of sites.entries()) {
    for (const prefix of from) rules.push({ prefix, value: MAY_ASK | (index + 1) })
  }
  for (const prefix of rate.exemptFrom) rules.push({ prefix, value: UNLIMITED })
  const ranges = buildAddressTable(rules, 0, (around, own) => {
    const site = own & SITE_MASK || around & SITE_MASK
    return ((around | own) & ~SITE_MASK) | site
  })
  return new AddressTable(ranges)
}
