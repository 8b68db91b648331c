/** Sockets made by the system directly, with the options that Node does not offer. */
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEPORT,
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  type Libc,
} from './libc.ts'
import { SOCKADDR_IN6_OCTETS, writeSocketAddress } from './socket-address.ts'

/** A descriptor, or -1 and why. */
export interface OpenedSocket {
  readonly fd: number
  readonly error: NodeJS.ErrnoException
}

const NO_ERROR: NodeJS.ErrnoException = new Error('none')

/** Makes a non-blocking UDP socket bound to the address; SO_REUSEPORT when `shared`. */
export function openBoundSocket(
  libc: Libc,
  endpoint: { readonly address: string; readonly port: number },
  shared: boolean,
  receiveBufferOctets: number,
): OpenedSocket {
  const ipv6 = endpoint.address.includes(':')
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC
  const fd = libc.socket(ipv6 ? AF_INET6 : AF_INET, type, 0)
  if (fd < 0) return { fd, error: createSystemError('socket', libc.errno()) }
  if (shared) setOption(libc, fd, SOL_SOCKET, SO_REUSEPORT, 1)
  if (ipv6) setOption(libc, fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
  // Forcing needs CAP_NET_ADMIN; without it the system caps the size at net.core.rmem_max.
  if (setOption(libc, fd, SOL_SOCKET, SO_RCVBUFFORCE, receiveBufferOctets) !== 0) {
    setOption(libc, fd, SOL_SOCKET, SO_RCVBUF, receiveBufferOctets)
  }
  const address = new Uint8Array(SOCKADDR_IN6_OCTETS)
  const octets = writeSocketAddress(address, endpoint.address, endpoint.port)
  if (octets === 0 || libc.bind(fd, address, octets) !== 0) {
    const error = createSystemError('bind', octets === 0 ? EADDRNOTAVAIL : libc.errno())
    libc.close(fd)
    return { fd: -1, error }
  }
  return { fd, error: NO_ERROR }
}

/** Gives a descriptor back that Node has not taken over. */
export function closeDescriptor(libc: Libc, fd: number): void {
  libc.close(fd)
}

function setOption(libc: Libc, fd: number, level: number, name: number, value: number): number {
  const octets = new Uint8Array(Int32Array.of(value).buffer)
  return libc.setsockopt(fd, level, name, octets, octets.length)
}

function createSystemError(call: string, errno: number): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${call} failed with errno ${errno}`)
  error.errno = errno
  error.syscall = call
  if (errno === EADDRINUSE) error.code = 'EADDRINUSE'
  if (errno === EACCES) error.code = 'EACCES'
  if (errno === EADDRNOTAVAIL) error.code = 'EADDRNOTAVAIL'
  return error
}
