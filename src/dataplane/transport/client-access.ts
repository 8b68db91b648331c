/**
 * Who gets an answer: addresses inside `allowFrom`, from source ports that are no reflector's.
 * Anybody else is dropped without a word, so that nobody can use us against a third party.
 */
import { isIPv6 } from 'node:net'
import { AF_INET6 } from '../../sys/libc.ts'
import {
  IPV4_AT,
  IPV6_AT,
  SOCKADDR_IN6_OCTETS,
  writeSocketAddress,
} from '../../sys/socket-address.ts'

/** Verdicts remembered by address text: a site is a handful of routers, so this stays small. */
const REMEMBERED_MAX = 4096
/**
 * echo, daytime, quotd, chargen, time: answering them makes loops (CVE-2024-2169); port 0 takes no
 * answer.
 */
const REFLECTOR_PORTS = new Set([0, 7, 13, 17, 19, 37])

/** One CIDR prefix as octets. */
class Prefix {
  readonly #octets: Uint8Array
  readonly #whole: number
  readonly #mask: number

  constructor(octets: Uint8Array, bits: number) {
    this.#octets = octets
    this.#whole = bits >>> 3
    this.#mask = (0xff00 >>> (bits & 7)) & 0xff
  }

  covers(address: Uint8Array, start: number): boolean {
    const whole = this.#whole
    const octets = this.#octets
    for (let i = 0; i < whole; i++) if (address[start + i] !== octets[i]) return false
    const mask = this.#mask
    return mask === 0 || (address[start + whole]! & mask) === (octets[whole]! & mask)
  }
}

/** The access list of one worker; immutable but for what it remembers. */
export class ClientAccess {
  readonly #scratch = new Uint8Array(SOCKADDR_IN6_OCTETS)
  readonly #ipv4: readonly Prefix[]
  readonly #ipv6: readonly Prefix[]
  readonly #remembered = new Map<string, boolean>()

  /** @param prefixes CIDR prefixes, IPv4 and IPv6, already checked. */
  constructor(prefixes: readonly string[]) {
    this.#ipv4 = createPrefixes(prefixes, false)
    this.#ipv6 = createPrefixes(prefixes, true)
  }

  /** The same as `allows` for a socket address as the system writes it, at `start`. */
  allowsOctets(addresses: Uint8Array, start: number): boolean {
    const ipv6 = addresses[start] === AF_INET6
    const at = start + (ipv6 ? IPV6_AT : IPV4_AT)
    const prefixes = ipv6 ? this.#ipv6 : this.#ipv4
    for (let i = 0; i < prefixes.length; i++) {
      if (prefixes[i]!.covers(addresses, at)) return true
    }
    return false
  }

  /** True when the client at this address is one of ours. */
  allows(address: string): boolean {
    const known = this.#remembered.get(address)
    if (known !== undefined) return known
    const bare = address.startsWith('::ffff:') ? address.slice(7) : dropZone(address)
    const written = writeSocketAddress(this.#scratch, bare, 0) !== 0
    const allowed = written && this.allowsOctets(this.#scratch, 0)
    if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear()
    this.#remembered.set(address, allowed)
    return allowed
  }
}

/** True for source ports that must never get an answer. */
export function isReflectorPort(port: number): boolean {
  return REFLECTOR_PORTS.has(port)
}

function dropZone(address: string): string {
  const zone = address.indexOf('%')
  return zone === -1 ? address : address.slice(0, zone)
}

function createPrefixes(prefixes: readonly string[], ipv6: boolean): Prefix[] {
  const made = []
  for (const prefix of prefixes) {
    const slash = prefix.indexOf('/')
    const network = prefix.slice(0, slash)
    if (isIPv6(network) !== ipv6) continue
    const address = new Uint8Array(SOCKADDR_IN6_OCTETS)
    writeSocketAddress(address, network, 0)
    const octets = address.slice(ipv6 ? IPV6_AT : IPV4_AT, ipv6 ? IPV6_AT + 16 : IPV4_AT + 4)
    made.push(new Prefix(octets, Number(prefix.slice(slash + 1))))
  }
  return made
}
