/**
 * The handful of system calls that Node does not offer, through koffi: sockets with SO_REUSEPORT,
 * many datagrams in one call, connections without Node's streams. Linux on 64-bit x86 and arm64,
 * glibc and musl: their layouts are the same.
 */

/** The calls, and what they answer: a non-negative result, or -1 with `errno()`. */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, octets: number): number
  /** `octets` is a 32-bit number: the size of `value` before, what was written after. */
  getsockopt(fd: number, level: number, name: number, value: Uint8Array, octets: Uint8Array): number
  bind(fd: number, address: Uint8Array, octets: number): number
  connect(fd: number, address: Uint8Array, octets: number): number
  listen(fd: number, backlog: number): number
  getsockname(fd: number, address: Uint8Array, octets: Uint8Array): number
  close(fd: number): number
  /** A second descriptor of the same socket, not inherited by other programs. */
  duplicate(fd: number): number
  /** `vector` is an array of `mmsghdr`; a null timeout. */
  recvmmsg(fd: number, vector: Uint8Array, count: number, flags: number, timeout: null): number
  sendmmsg(fd: number, vector: Uint8Array, count: number, flags: number): number
  recv(fd: number, into: Uint8Array, octets: number, flags: number): number
  send(fd: number, from: Uint8Array, octets: number, flags: number): number
  epoll_create1(flags: number): number
  epoll_ctl(epollFd: number, operation: number, fd: number, event: Uint8Array): number
  epoll_wait(epollFd: number, events: Uint8Array, count: number, milliseconds: number): number
  errno(): number
  /** Address of a buffer's first octet in this process. */
  addressOf(buffer: ArrayBuffer): bigint
}

/** Why there is no batched transport here; for the log. */
export type NoLibc = { readonly why: string }

/** Returns the calls, or why this machine or this Node cannot have them. */
export async function openLibc(): Promise<Libc | NoLibc> {
  if (process.platform !== 'linux') return { why: `the platform is ${process.platform}` }
  if (process.arch !== 'x64' && process.arch !== 'arm64')
    return { why: `the CPU is ${process.arch}` }
  try {
    const { default: koffi } = await import('koffi')
    // The program itself: libc's symbols are there under glibc and musl alike.
    const library = koffi.load(null)
    const fcntl = library.func('int fcntl(int, int, ...)')
    return {
      socket: library.func('int socket(int, int, int)'),
      setsockopt: library.func('int setsockopt(int, int, int, const void *, unsigned int)'),
      getsockopt: library.func('int getsockopt(int, int, int, void *, void *)'),
      bind: library.func('int bind(int, const void *, unsigned int)'),
      connect: library.func('int connect(int, const void *, unsigned int)'),
      listen: library.func('int listen(int, int)'),
      getsockname: library.func('int getsockname(int, void *, void *)'),
      close: library.func('int close(int)'),
      duplicate: (fd) => fcntl(fd, F_DUPFD_CLOEXEC, 'int', 0),
      recvmmsg: library.func('int recvmmsg(int, void *, unsigned int, int, void *)'),
      sendmmsg: library.func('int sendmmsg(int, void *, unsigned int, int)'),
      recv: library.func('long recv(int, void *, size_t, int)'),
      send: library.func('long send(int, const void *, size_t, int)'),
      epoll_create1: library.func('int epoll_create1(int)'),
      epoll_ctl: library.func('int epoll_ctl(int, int, int, void *)'),
      epoll_wait: library.func('int epoll_wait(int, void *, int, int)'),
      errno: () => koffi.errno(),
      addressOf: (buffer) => koffi.address(buffer),
    }
  } catch (error) {
    return { why: error instanceof Error ? error.message : String(error) }
  }
}

/** True for the calls, false for the reason why there are none. */
export function isLibc(libc: Libc | NoLibc): libc is Libc {
  return !('why' in libc)
}

/** Linux numbers, the same on x86-64 and arm64. */
export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_NONBLOCK = 0x800
export const SOCK_CLOEXEC = 0x80000
export const SOL_SOCKET = 1
export const SO_REUSEADDR = 2
export const SO_RCVBUF = 8
export const SO_REUSEPORT = 15
export const SO_PEERCRED = 17
export const SO_RCVBUFFORCE = 33
export const IPPROTO_IPV6 = 41
export const IPV6_V6ONLY = 26
const F_DUPFD_CLOEXEC = 1030
export const MSG_DONTWAIT = 0x40
export const MSG_TRUNC = 0x20
export const MSG_NOSIGNAL = 0x4000
export const EINTR = 4
export const EAGAIN = 11
export const EADDRINUSE = 98
export const EACCES = 13
export const EADDRNOTAVAIL = 99
