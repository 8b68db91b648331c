/**
 * Which addresses a list may be fetched from: a redirect or a name of somebody else must not lead
 * into the operator's own network, where `http://169.254.169.254/` gives away keys.
 */

import ipaddr from 'ipaddr.js'

/** IPv6 prefixes that carry an IPv4 address, and where it begins in the 16 octets. */
const CARRIES_IPV4: Readonly<Record<string, number>> = {
  ipv4Mapped: 12,
  rfc6145: 12,
  rfc6052: 12,
  '6to4': 2,
}

/** True for an address of the public Internet: unicast, and neither private nor special. */
export function isPublicAddress(text: string): boolean {
  // A zone index marks an address of this link.
  if (text.includes('%') || !ipaddr.isValid(text)) return false
  const address = ipaddr.parse(text)
  const range = address.range()
  const start = CARRIES_IPV4[range]
  if (address.kind() === 'ipv6' && start !== undefined) {
    const octets = address.toByteArray().slice(start, start + 4)
    return isPublicAddress(octets.join('.'))
  }
  return range === 'unicast'
}
