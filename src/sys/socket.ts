/** Sockets made by the system directly, with the options that Node does not offer. */
import {
  AF_INET,
  AF_INET6,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  type Libc,
} from './libc.ts'
import { SOCKADDR_IN6_OCTETS, portOf, writeSocketAddress } from './socket-address.ts'

/** Kernel memory asked for datagrams that wait for us: about 10,000 small ones. */
const RECEIVE_BUFFER_OCTETS = 4 * 1024 * 1024
const BACKLOG = 511

/** A descriptor, or -1 and why. */
export interface OpenedSocket {
  readonly fd: number
  readonly error: NodeJS.ErrnoException
}

const NO_ERROR: NodeJS.ErrnoException = new Error('none')

/** What a socket is for. */
export type SocketKind = 'udp' | 'tcp'

/**
 * Makes a non-blocking socket that is bound to the address, and listening if it is TCP.
 *
 * @param shared other sockets may bind the same port (SO_REUSEPORT); the system shares the load.
 */
export function openBoundSocket(
  libc: Libc,
  kind: SocketKind,
  endpoint: { readonly address: string; readonly port: number },
  shared: boolean,
): OpenedSocket {
  const ipv6 = endpoint.address.includes(':')
  const type = (kind === 'udp' ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC
  const fd = libc.socket(ipv6 ? AF_INET6 : AF_INET, type, 0)
  if (fd < 0) return { fd, error: createSystemError('socket', libc.errno()) }
  if (shared) setOption(libc, fd, SOL_SOCKET, SO_REUSEPORT, 1)
  if (ipv6) setOption(libc, fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
  if (kind === 'tcp') setOption(libc, fd, SOL_SOCKET, SO_REUSEADDR, 1)
  else openReceiveBuffer(libc, fd)
  const address = new Uint8Array(SOCKADDR_IN6_OCTETS)
  const octets = writeSocketAddress(address, endpoint.address, endpoint.port)
  const bound = octets !== 0 && libc.bind(fd, address, octets) === 0
  if (bound && (kind === 'udp' || libc.listen(fd, BACKLOG) === 0)) return { fd, error: NO_ERROR }
  const error = createSystemError('bind', octets === 0 ? EADDRNOTAVAIL : libc.errno())
  libc.close(fd)
  return { fd: -1, error }
}

/**
 * Makes a non-blocking UDP socket on the given local port, connected to the endpoint: the system
 * drops what others send to it. Returns the descriptor, or -1.
 */
export function openConnectedSocket(
  libc: Libc,
  endpoint: { readonly address: string; readonly port: number },
  localPort: number,
): number {
  const ipv6 = endpoint.address.includes(':')
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC
  const fd = libc.socket(ipv6 ? AF_INET6 : AF_INET, type, 0)
  if (fd < 0) return -1
  const address = new Uint8Array(SOCKADDR_IN6_OCTETS)
  const local = writeSocketAddress(address, ipv6 ? '::' : '0.0.0.0', localPort)
  if (libc.bind(fd, address, local) === 0) {
    const remote = writeSocketAddress(address, endpoint.address, endpoint.port)
    if (remote !== 0 && libc.connect(fd, address, remote) === 0) return fd
  }
  libc.close(fd)
  return -1
}

/** Forcing needs CAP_NET_ADMIN; without it the system caps the size at net.core.rmem_max. */
function openReceiveBuffer(libc: Libc, fd: number): void {
  if (setOption(libc, fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_OCTETS) === 0) return
  setOption(libc, fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
}

/** Returns the port that a bound socket has; 0 when the system would not say. */
export function boundPort(libc: Libc, fd: number): number {
  const address = new Uint8Array(SOCKADDR_IN6_OCTETS)
  const octets = new Uint8Array(Uint32Array.of(address.length).buffer)
  return libc.getsockname(fd, address, octets) === 0 ? portOf(address, 0) : 0
}

/** Returns another descriptor of the same socket, or -1 when the process has no more of them. */
export function duplicateDescriptor(libc: Libc, fd: number): number {
  return libc.duplicate(fd)
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
