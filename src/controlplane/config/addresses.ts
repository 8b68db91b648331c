/**
 * Addresses, ports, prefixes and upstreams as operators write them. Strict forms only: `010.1.1.1`
 * means one address to one program and another to the next, so it means none here.
 */

import ipaddr from 'ipaddr.js'
import { SocketAddress, isIPv4 } from 'node:net'
import type { Endpoint, ListenSettings, UpstreamSettings } from '../../dataplane/settings.ts'

/** Why a text was refused, and what the operator may have meant. */
export interface Fault {
  readonly fault: string
  readonly suggestion?: string
}

/** The port of DNS over UDP and TCP (RFC 1035 4.2). */
export const DNS_PORT = 53

/** The port of DNS over TLS (RFC 7858 3.1). */
export const TLS_PORT = 853
/** The port of DNS over HTTPS. */
export const HTTPS_PORT = 443

/** Who may ask when nothing is configured: this machine and private networks. */
export const PRIVATE_PREFIXES: readonly string[] = [
  '127.0.0.0/8', // loopback, RFC 1122 3.2.1.3
  '10.0.0.0/8', // RFC 1918
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10', // carrier-grade NAT, RFC 6598
  '169.254.0.0/16', // link-local, RFC 3927
  '::1/128',
  'fc00::/7', // unique local, RFC 4193
  'fe80::/10', // link-local, RFC 4291
]

/** Where no public name leads to: private networks, this host, the link. */
export const NEVER_PUBLIC_PREFIXES: readonly string[] = [
  ...PRIVATE_PREFIXES,
  '0.0.0.0/8', // this host, RFC 1122
  '::/128', // unspecified, RFC 4291
  'fec0::/10', // site-local, RFC 3879
]

/** This machine itself. */
export const LOOPBACK_PREFIXES: readonly string[] = ['127.0.0.0/8', '::1/128']

/** Tells a fault from what a parser here returns. */
export function isFault(value: object | string): value is Fault {
  return typeof value === 'object' && 'fault' in value
}

/** The result of a parser here for a text that the schema has already accepted. */
export function accepted<Result extends object | string>(result: Result | Fault): Result {
  if (isFault(result)) throw new TypeError(result.fault)
  return result
}

/** Returns the canonical text of an IP literal (RFC 5952 for IPv6, zone kept), or the fault. */
export function parseAddress(text: string): string | Fault {
  if (isIPv4(text)) return text
  if (isIPv6(text)) {
    const parsed = ipaddr.IPv6.parse(text)
    if (!parsed.isIPv4MappedAddress()) return parsed.toRFC5952String()
    const ipv4 = parsed.toIPv4Address().toString()
    return { fault: `"${text}" is an IPv4-mapped address`, suggestion: `write ${ipv4}` }
  }
  if (/^\d+(\.\d+){3}$/.test(text)) return strictIPv4Fault(text)
  if (text === 'localhost') {
    return { fault: `"${text}" is a name, not an address`, suggestion: 'write 127.0.0.1 or ::1' }
  }
  if (/[g-z]/i.test(text)) {
    return { fault: `"${text}" is not an IP address; names are not looked up here` }
  }
  return { fault: `"${text}" is not an IP address` }
}

/** Leading zeros are octal to some programs; numbers over 255 are nothing to anybody. */
function strictIPv4Fault(text: string): Fault {
  const parts = text.split('.').map(Number)
  const fault = `"${text}" is not an IP address`
  if (parts.some((part) => part > 255)) return { fault: `${fault}: each part is 0 to 255` }
  return { fault: `${fault}: leading zeros are ambiguous`, suggestion: `write ${parts.join('.')}` }
}

const IPV6_OCTETS = /^[\d.:a-f]+$/i

/**
 * What `isIPv6` of `node:net` says, by way of the parser for sockets: the expression of Node.js 20
 * takes 5 ms of every start to compile.
 */
export function isIPv6(text: string): boolean {
  if (!text.includes(':')) return false
  const zoneAt = text.indexOf('%')
  if (zoneAt !== -1 && !/^%[0-9A-Za-z.:-]+$/.test(text.slice(zoneAt))) return false
  const address = zoneAt === -1 ? text : text.slice(0, zoneAt)
  // The parser sees the text as C does, up to the first NUL.
  if (!IPV6_OCTETS.test(address)) return false
  try {
    void new SocketAddress({ address, family: 'ipv6' })
    return true
  } catch {
    return false
  }
}

/** Parses `ADDR:PORT` or `[IPv6]:PORT`; `defaultPort` makes the port optional. */
export function parseEndpoint(text: string, defaultPort?: number): Endpoint | Fault {
  const trimmed = text.trim()
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(trimmed)
  if (bracketed) {
    if (!bracketed[1]!.includes(':')) {
      return { fault: `"${text}": square brackets are for IPv6 addresses` }
    }
    return endpoint(text, bracketed[1]!, bracketed[2], defaultPort)
  }
  if (isIPv6(trimmed)) {
    if (defaultPort !== undefined) return endpoint(text, trimmed, undefined, defaultPort)
    const suggestion = `write [${trimmed}]:${DNS_PORT}`
    return { fault: `"${text}" needs a port, and brackets around the IPv6 address`, suggestion }
  }
  const colon = trimmed.lastIndexOf(':')
  if (colon === -1) return endpoint(text, trimmed, undefined, defaultPort)
  if (trimmed.indexOf(':') !== colon && isIPv6(trimmed.slice(0, colon))) {
    const suggestion = `write [${trimmed.slice(0, colon)}]:${trimmed.slice(colon + 1)}`
    return { fault: `"${text}": an IPv6 address with a port needs brackets`, suggestion }
  }
  return endpoint(text, trimmed.slice(0, colon), trimmed.slice(colon + 1), defaultPort)
}

function endpoint(
  text: string,
  addressText: string,
  portText: string | undefined,
  defaultPort: number | undefined,
): Endpoint | Fault {
  const address = parseAddress(addressText)
  if (typeof address !== 'string') {
    if (addressText === '' || addressText === '*') {
      const port = portText ?? String(DNS_PORT)
      const suggestion = `for every address write 0.0.0.0:${port} and [::]:${port}`
      return { fault: `"${text}" names no address`, suggestion }
    }
    return address
  }
  if (portText === undefined) {
    if (defaultPort !== undefined) return { address, port: defaultPort }
    const suggestion = `write ${formatEndpoint({ address, port: DNS_PORT })}`
    return { fault: `"${text}" has no port`, suggestion }
  }
  const port = parsePort(portText)
  if (port === undefined) {
    return { fault: `"${text}": port "${portText}" is not a number from 0 to 65535` }
  }
  return { address, port }
}

function parsePort(text: string): number | undefined {
  if (!/^\d{1,5}$/.test(text)) return undefined
  const port = Number(text)
  return port <= 65_535 ? port : undefined
}

/** `ADDR:PORT`, with brackets around IPv6. */
export function formatEndpoint({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** Writes a listener as `parseListen` reads it. */
export function formatListen({ protocol, ...endpoint }: ListenSettings): string {
  return protocol === 'dns' ? formatEndpoint(endpoint) : `${protocol}://${formatEndpoint(endpoint)}`
}

/** Parses `ADDR:PORT`, `tls://ADDR[:853]` or `https://ADDR[:443]`. */
export function parseListen(text: string): ListenSettings | Fault {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\/(.*?)\/?$/i.exec(text.trim())
  if (scheme === null) return listenOn('dns', parseEndpoint(text))
  const [, protocol, target] = [scheme[0], scheme[1]!.toLowerCase(), scheme[2]!]
  if (protocol === 'tls') return listenOn(protocol, parseEndpoint(target, TLS_PORT))
  if (protocol === 'https') return listenOn(protocol, parseEndpoint(target, HTTPS_PORT))
  const forms = 'ADDR:PORT (UDP and TCP), tls://ADDR[:853] and https://ADDR[:443]'
  return { fault: `"${text}": listeners are ${forms}; "${protocol}://" is not offered` }
}

function listenOn(
  protocol: ListenSettings['protocol'],
  parsed: Endpoint | Fault,
): ListenSettings | Fault {
  return isFault(parsed) ? parsed : { ...parsed, protocol }
}

const UPSTREAM_FORMS =
  'udp://ADDR[:53] (or ADDR alone), tcp://ADDR[:53], tls://NAME@ADDR[:853] and ' +
  'https://NAME[:443]/dns-query#ADDR'

/**
 * Parses `udp://ADDR[:53]`, a bare address that means the same, `tcp://ADDR[:53]`,
 * `tls://NAME@ADDR[:853]` or `https://NAME[:443]/PATH#ADDR`.
 */
export function parseUpstream(text: string): UpstreamSettings | Fault {
  const label = text.trim()
  const scheme = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/i.exec(label)
  const protocol = scheme ? scheme[1]!.toLowerCase() : 'udp'
  const target = scheme ? scheme[2]! : label
  if (protocol === 'tls') return parseTlsUpstream(label, target)
  if (protocol === 'https') return parseHttpsUpstream(label)
  if (protocol !== 'udp' && protocol !== 'tcp') {
    return { fault: `"${text}": upstreams are ${UPSTREAM_FORMS}; "${protocol}://" is not offered` }
  }
  const server = parseServer(label, target, DNS_PORT)
  return isFault(server) ? server : { ...server, protocol, serverName: '', path: '', label }
}

/** Parses the `ADDR[:PORT]` of something that can be asked. */
function parseServer(label: string, target: string, defaultPort: number): Endpoint | Fault {
  const parsed = parseEndpoint(target.replace(/\/$/, ''), defaultPort)
  if (isFault(parsed)) return parsed
  if (parsed.port === 0) return { fault: `"${label}": port 0 cannot be asked` }
  if (isWildcard(parsed.address)) {
    return { fault: `"${label}": ${parsed.address} is no server's address` }
  }
  return parsed
}

/** The form in which equal upstreams are equal texts. */
export function formatUpstream({
  protocol,
  serverName,
  path,
  ...server
}: UpstreamSettings): string {
  const address = formatEndpoint(server)
  if (protocol === 'https') return `https://${serverName}${path}#${address}`
  return `${protocol}://${serverName === '' ? '' : `${serverName}@`}${address}`
}

/** `NAME@ADDR[:853]`: the address is asked, its certificate must be for the name (RFC 8310 8.1). */
function parseTlsUpstream(label: string, target: string): UpstreamSettings | Fault {
  const at = target.indexOf('@')
  if (at === -1) {
    const suggestion = `write tls://NAME@${target}`
    return { fault: `"${label}" does not say for which name its certificate must be`, suggestion }
  }
  const serverName = parseHostName(target.slice(0, at))
  if (typeof serverName !== 'string') return serverName
  const server = parseServer(label, target.slice(at + 1), TLS_PORT)
  return isFault(server) ? server : { ...server, protocol: 'tls', serverName, path: '', label }
}

const HTTPS_FORM = /^https:\/\/([^/:#?@]*)(?::(\d*))?(\/[^#]*)?(?:#(.*))?$/i

/** The URL of the resource (RFC 8484 4.1), and behind `#` the address to ask it at. */
function parseHttpsUpstream(label: string): UpstreamSettings | Fault {
  const [, name, portText, path = '/', address] = HTTPS_FORM.exec(label) ?? []
  if (name === undefined) return { fault: `"${label}" is not https://NAME[:443]/dns-query#ADDR` }
  const serverName = parseHostName(name)
  if (typeof serverName !== 'string') return serverName
  const url = `https://${name}${portText === undefined ? '' : `:${portText}`}`
  if (path === '/') {
    const suggestion = `write ${url}/dns-query#${address ?? 'ADDR'}`
    return { fault: `"${label}" has no path`, suggestion }
  }
  if (!/^[!-~]+$/.test(path)) return { fault: `"${label}": the path is not that of a URL` }
  if (address === undefined || address === '') {
    const suggestion = `write ${url}${path}#ADDR`
    return { fault: `"${label}" needs the server's address: names are not looked up`, suggestion }
  }
  const port = portText === undefined ? HTTPS_PORT : parsePort(portText)
  if (port === undefined) return { fault: `"${label}": port "${portText}" is no port` }
  const host = parseAddress(address.replace(/^\[(.*)\]$/, '$1'))
  if (typeof host !== 'string') return host
  const server = parseServer(label, formatEndpoint({ address: host, port }), port)
  return isFault(server) ? server : { ...server, protocol: 'https', serverName, path, label }
}

const HOST_LABEL = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/i

/** Returns a host name in lower case (RFC 1123 2.1), or the fault. */
export function parseHostName(text: string): string | Fault {
  const name = text.replace(/\.$/, '').toLowerCase()
  const labels = name.split('.')
  const isNumber = /^\d+$/.test(labels.at(-1)!)
  if (name.length <= 253 && !isNumber && labels.every((label) => HOST_LABEL.test(label))) {
    return name
  }
  const fault = `"${text}" is not a host name`
  return isNumber ? { fault: `${fault}; certificates of resolvers are for names` } : { fault }
}

/** Returns a CIDR prefix in canonical text; a bare address is a prefix of its whole length. */
export function parsePrefix(text: string): string | Fault {
  const trimmed = text.trim()
  const slash = trimmed.indexOf('/')
  const address = parseAddress(slash === -1 ? trimmed : trimmed.slice(0, slash))
  if (typeof address !== 'string') return address
  if (address.includes('%')) return { fault: `"${text}": a prefix has no zone` }
  const bitsMax = isIPv4(address) ? 32 : 128
  const bitsText = slash === -1 ? String(bitsMax) : trimmed.slice(slash + 1)
  const bits = /^\d{1,3}$/.test(bitsText) ? Number(bitsText) : Number.NaN
  if (!(bits <= bitsMax)) {
    return { fault: `"${text}": the prefix length is a number from 0 to ${bitsMax}` }
  }
  const network = networkAddress(address, bits)
  if (network !== address) {
    const suggestion = `write ${network}/${bits}`
    return { fault: `"${text}" has bits set after the first ${bits}`, suggestion }
  }
  return `${address}/${bits}`
}

/** Whether a text that says where a site is stands for a DNS name rather than for addresses. */
export function isSiteName(text: string): boolean {
  return /[a-z]/i.test(text) && !/[:/]/.test(text)
}

/** Parses where a site's clients come from: a CIDR prefix, or a host name in lower case. */
export function parseSiteSource(text: string): string | Fault {
  if (!isSiteName(text)) return parsePrefix(text)
  const name = parseHostName(text.trim())
  if (typeof name !== 'string') {
    return { fault: `"${text}" is neither a CIDR prefix nor a host name` }
  }
  if (name.includes('.')) return name
  return { fault: `"${text}" is a name of one label, which no upstream can look up` }
}

/** Bits of a client subnet that are no person's (RFC 7871 11.1). */
const SUBNET_BITS_MAX = { 4: 24, 6: 56 }

/** Parses `off`, or a prefix that may be told to upstreams. */
export function parseClientSubnet(text: string): string | Fault {
  if (text === 'off') return text
  const prefix = parsePrefix(text)
  if (typeof prefix !== 'string') return prefix
  const [address, bits] = prefix.split('/')
  const bitsMax = SUBNET_BITS_MAX[isIPv4(address!) ? 4 : 6]
  if (Number(bits) <= bitsMax) return prefix
  return { fault: `"${text}" tells upstreams too much: at most ${bitsMax} bits of such an address` }
}

function networkAddress(address: string, bits: number): string {
  if (isIPv4(address)) return ipaddr.IPv4.networkAddressFromCIDR(`${address}/${bits}`).toString()
  return ipaddr.IPv6.networkAddressFromCIDR(`${address}/${bits}`).toRFC5952String()
}

/** True for this machine's own addresses of 127.0.0.0/8 and ::1. */
export function isLoopback(address: string): boolean {
  return ipaddr.process(address.replace(/%.*/, '')).range() === 'loopback'
}

/** The octets of an IP literal: 4 or 16 of them. */
export function addressOctets(address: string): Uint8Array {
  return Uint8Array.from(ipaddr.parse(address).toByteArray())
}

/** `0.0.0.0` and `::` listen on every address of their family. */
export function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === '::'
}

const PRIVATE_RANGES = PRIVATE_PREFIXES.map((prefix) => ipaddr.parseCIDR(prefix))

/** Whether an address is one of this machine or of a private network; a wildcard is neither. */
export function isPrivate(address: string): boolean {
  const parsed = ipaddr.parse(address)
  return PRIVATE_RANGES.some(
    ([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits),
  )
}

/**
 * Returns the test whether asking an address would ask ourselves. A wildcard listen stands for the
 * addresses of its family that this machine has, `interfaceAddresses`.
 */
export function ownAddresses(
  listen: readonly Endpoint[],
  interfaceAddresses: readonly string[],
): (address: string, port: number) => boolean {
  return (address, port) =>
    listen.some((own) => {
      if (own.port !== port) return false
      if (!isWildcard(own.address)) return own.address === address
      const isSameFamily = own.address.includes(':') === address.includes(':')
      return isSameFamily && interfaceAddresses.includes(address)
    })
}
