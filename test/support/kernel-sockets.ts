/** What the kernel says about UDP sockets, and datagrams that no socket of Node can send. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import koffi from 'koffi'

const AF_INET = 2
const AF_INET6 = 10
const SOCK_RAW = 3
const IPPROTO_UDP = 17
const IPPROTO_IPV6 = 41
const IPV6_CHECKSUM = 7
/** Where the checksum stands in a UDP header. */
const CHECKSUM_AT = 6
const UDP_HEADER_OCTETS = 8
const SOL_SOCKET = 1
const SO_RCVBUF = 8

const library = koffi.load(null)
const socket = library.func('int socket(int, int, int)')
const setsockopt = library.func('int setsockopt(int, int, int, const void *, unsigned int)')
const getsockopt = library.func('int getsockopt(int, int, int, void *, void *)')
const sendto = library.func(
  'int64_t sendto(int, const void *, size_t, int, const void *, unsigned int)',
)
const close = library.func('int close(int)')

/** One line of `/proc/net/udp` or `/proc/net/udp6`. */
export interface KernelSocket {
  readonly inode: string
  /** Datagrams dropped because the receive buffer was full. */
  readonly drops: number
}

/** Returns the UDP sockets that are bound to a port, whatever their address. */
export function udpSocketsAt(port: number): KernelSocket[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return ['/proc/net/udp', '/proc/net/udp6'].flatMap((file) =>
    readFileSync(file, 'latin1')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => columns[1]?.endsWith(suffix) === true)
      .map((columns) => ({ inode: columns[9]!, drops: Number(columns[12]) })),
  )
}

/** Returns the receive buffer that the kernel granted a socket of this process (SO_RCVBUF). */
export function grantedReceiveOctets({ inode }: KernelSocket): number {
  const wanted = `socket:[${inode}]`
  const fd = readdirSync('/proc/self/fd').find((name) => linkOf(name) === wanted)
  if (fd === undefined) throw new Error(`socket ${inode} is not of this process`)
  const value = new Int32Array(1)
  const length = new Uint32Array([4])
  if (getsockopt(Number(fd), SOL_SOCKET, SO_RCVBUF, value, length) !== 0) {
    throw new Error(`getsockopt(${fd}): errno ${koffi.errno()}`)
  }
  return value[0]!
}

/** The descriptor that lists the folder is gone when it is looked at. */
function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}

/**
 * Sends a datagram from any source port, 0 too, by a raw socket, to a port of 127.0.0.1 or ::1.
 *
 * @throws Error where raw sockets are not permitted: they need root or CAP_NET_RAW.
 */
export function sendRaw(
  address: '127.0.0.1' | '::1',
  sourcePort: number,
  port: number,
  payload: Uint8Array,
): void {
  const ipv6 = address === '::1'
  const fd = Number(socket(ipv6 ? AF_INET6 : AF_INET, SOCK_RAW, IPPROTO_UDP))
  if (fd < 0) {
    throw new Error(
      `this test needs a raw socket, and this process may not have one (errno ${koffi.errno()}): ` +
        'run it as root or with CAP_NET_RAW',
    )
  }
  try {
    if (ipv6) setsockopt(fd, IPPROTO_IPV6, IPV6_CHECKSUM, Int32Array.of(CHECKSUM_AT), 4)
    const datagram = Buffer.alloc(UDP_HEADER_OCTETS + payload.length)
    datagram.writeUInt16BE(sourcePort, 0)
    datagram.writeUInt16BE(port, 2)
    datagram.writeUInt16BE(datagram.length, 4)
    datagram.set(payload, UDP_HEADER_OCTETS)
    const to = Buffer.alloc(ipv6 ? 28 : 16)
    to.writeUInt16LE(ipv6 ? AF_INET6 : AF_INET, 0)
    to.set(ipv6 ? Buffer.from(`${'00'.repeat(15)}01`, 'hex') : [127, 0, 0, 1], ipv6 ? 8 : 4)
    const sent = Number(sendto(fd, datagram, datagram.length, 0, to, to.length))
    if (sent !== datagram.length) throw new Error(`sendto: ${sent}, errno ${koffi.errno()}`)
  } finally {
    close(fd)
  }
}
