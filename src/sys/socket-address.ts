/**
 * `sockaddr_in` and `sockaddr_in6` as octets (Linux, little-endian): family in host order, port in
 * network order, then the address.
 */
import { isIPv4 } from 'node:net'
import { AF_INET, AF_INET6 } from './libc.ts'
import { scopeOf } from './zones.ts'

export const SOCKADDR_IN_OCTETS = 16
export const SOCKADDR_IN6_OCTETS = 28
export const PORT_AT = 2
export const IPV4_AT = 4
export const IPV6_AT = 8
const SCOPE_AT = 24
const GROUPS = 8

/**
 * Writes the socket address of a literal; returns its octets, or 0 when the literal cannot be
 * written.
 */
export function writeSocketAddress(into: Uint8Array, address: string, port: number): number {
  into.fill(0, 0, SOCKADDR_IN6_OCTETS)
  into[PORT_AT] = port >>> 8
  into[PORT_AT + 1] = port
  if (isIPv4(address)) {
    into[0] = AF_INET
    writeIpv4(into, IPV4_AT, address)
    return SOCKADDR_IN_OCTETS
  }
  into[0] = AF_INET6
  return writeIpv6(into, address) ? SOCKADDR_IN6_OCTETS : 0
}

function writeIpv4(into: Uint8Array, start: number, address: string): void {
  let at = start
  let octet = 0
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i)
    if (code === 0x2e) {
      into[at++] = octet
      octet = 0
    } else {
      octet = octet * 10 + code - 0x30
    }
  }
  into[at] = octet
}

/**
 * A zone id (`%3`, `%eth0`) becomes the scope; an interface that is not there cannot be written.
 */
function writeIpv6(into: Uint8Array, text: string): boolean {
  const zone = text.indexOf('%')
  const address = zone === -1 ? text : text.slice(0, zone)
  if (zone !== -1) {
    const scope = scopeOf(text.slice(zone + 1))
    if (scope < 0) return false
    into[SCOPE_AT] = scope
    into[SCOPE_AT + 1] = scope >>> 8
  }
  const gap = address.indexOf('::')
  const left = gap === -1 ? address : address.slice(0, gap)
  const right = gap === -1 ? '' : address.slice(gap + 2)
  const head = writeGroups(into, IPV6_AT, left)
  if (gap === -1) return head === GROUPS
  const tail = groupsOf(right)
  writeGroups(into, IPV6_AT + 2 * (GROUPS - tail), right)
  return head + tail < GROUPS
}

function groupsOf(text: string): number {
  if (text === '') return 0
  let groups = text.includes('.') ? 2 : 1
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) === 0x3a) groups++
  return groups
}

/**
 * Writes groups of up to four hexadecimal digits, a dotted IPv4 at the end allowed; returns how
 * many.
 */
function writeGroups(into: Uint8Array, start: number, text: string): number {
  if (text === '') return 0
  let at = start
  let value = 0
  let from = 0
  for (let i = 0; i <= text.length; i++) {
    const code = i === text.length ? 0x3a : text.charCodeAt(i)
    if (code === 0x2e) {
      writeIpv4(into, at, text.slice(from))
      return (at - start) / 2 + 2
    }
    if (code === 0x3a) {
      into[at] = value >>> 8
      into[at + 1] = value
      at += 2
      value = 0
      from = i + 1
    } else {
      value = value * 16 + hexDigit(code)
    }
  }
  return (at - start) / 2
}

function hexDigit(code: number): number {
  return code <= 0x39 ? code - 0x30 : (code | 0x20) - 0x57
}

/** Returns the port of a socket address. */
export function portOf(address: Uint8Array, start: number): number {
  return (address[start + PORT_AT]! << 8) | address[start + PORT_AT + 1]!
}
