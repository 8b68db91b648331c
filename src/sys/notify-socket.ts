/**
 * The socket of a service manager (sd_notify(3)): one datagram of `NAME=value` lines over AF_UNIX,
 * which Node cannot send. Path and abstract addresses; Linux on 64-bit x86 and arm64.
 */

import { AF_UNIX, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM } from './libc.ts'

/** `sun_path` of unix(7). */
const PATH_OCTETS_MAX = 108
const FAMILY_OCTETS = 2
/** A manager that went away is an error code, not a signal. */
const MSG_NOSIGNAL = 0x4000

/** Sends to one manager; made by `openNotifySocket`. */
export interface NotifySocket {
  /** Sends one message; returns false when the manager could not take it now. */
  send(text: string): boolean
  close(): void
}

/**
 * Opens the way to the address that `NOTIFY_SOCKET` holds: `/path`, or `@name` for an abstract one.
 *
 * @returns the socket, or why there is none
 */
export async function openNotifySocket(
  address: string,
): Promise<NotifySocket | { readonly why: string }> {
  const sockaddr = unixAddress(address)
  if (sockaddr === undefined) return { why: `${address} is no address of a notify socket` }
  try {
    const { default: koffi } = await import('koffi')
    const library = koffi.load(null)
    const socket = library.func('int socket(int, int, int)')
    const sendto = library.func(
      'intptr_t sendto(int, const void *, size_t, int, const void *, unsigned int)',
    )
    const close = library.func('int close(int)')
    const fd = Number(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0))
    if (fd < 0) return { why: `socket failed with errno ${koffi.errno()}` }
    return {
      send: (text) => {
        const octets = new TextEncoder().encode(text)
        const flags = MSG_NOSIGNAL | MSG_DONTWAIT
        const sent = sendto(fd, octets, octets.length, flags, sockaddr, sockaddr.length)
        return Number(sent) === octets.length
      },
      close: () => void close(fd),
    }
  } catch (error) {
    return { why: error instanceof Error ? error.message : String(error) }
  }
}

/** `sockaddr_un`; undefined for what is neither absolute nor abstract, or too long. */
function unixAddress(address: string): Uint8Array | undefined {
  const isAbstract = address.startsWith('@')
  if (!isAbstract && !address.startsWith('/')) return undefined
  const path = new TextEncoder().encode(isAbstract ? `\0${address.slice(1)}` : `${address}\0`)
  if (path.length > PATH_OCTETS_MAX || path.length < 2) return undefined
  const sockaddr = new Uint8Array(FAMILY_OCTETS + path.length)
  sockaddr[0] = AF_UNIX
  sockaddr.set(path, FAMILY_OCTETS)
  return sockaddr
}
