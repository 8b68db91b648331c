/**
 * Who gets an answer: addresses inside `allowFrom`, from source ports that are no reflector's.
 * Anybody else is dropped without a word, so that nobody can use us against a third party.
 */
import { BlockList, isIPv6 } from 'node:net'

/** Verdicts remembered by address text: a site is a handful of routers, so this stays small. */
const REMEMBERED_MAX = 4096
/**
 * echo, daytime, quotd, chargen, time: answering them makes loops (CVE-2024-2169); port 0 takes no
 * answer.
 */
const REFLECTOR_PORTS = new Set([0, 7, 13, 17, 19, 37])

/** The access list of one worker; immutable but for what it remembers. */
export class ClientAccess {
  /** One list a family: BlockList takes an IPv4 address for one of `::/0`. */
  readonly #ipv4: BlockList
  readonly #ipv6: BlockList
  readonly #remembered = new Map<string, boolean>()

  /** @param prefixes CIDR prefixes, IPv4 and IPv6, already checked. */
  constructor(prefixes: readonly string[]) {
    this.#ipv4 = createBlockList(prefixes, 'ipv4')
    this.#ipv6 = createBlockList(prefixes, 'ipv6')
  }

  /** True when the client at this address is one of ours. */
  allows(address: string): boolean {
    const known = this.#remembered.get(address)
    if (known !== undefined) return known
    const bare = address.startsWith('::ffff:') ? address.slice(7) : dropZone(address)
    const allowed = isIPv6(bare) ? this.#ipv6.check(bare, 'ipv6') : this.#ipv4.check(bare, 'ipv4')
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

function createBlockList(prefixes: readonly string[], family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList()
  for (const prefix of prefixes) {
    const slash = prefix.indexOf('/')
    const network = prefix.slice(0, slash)
    if ((family === 'ipv6') !== isIPv6(network)) continue
    list.addSubnet(network, Number(prefix.slice(slash + 1)), family)
  }
  return list
}
