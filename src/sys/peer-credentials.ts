/** Who is at the other end of a connection over a Unix socket, as the kernel knows it. */
import { SOL_SOCKET, SO_PEERCRED, type Libc } from './libc.ts'

/** `struct ucred` (unix(7)): process, user and group that connected, by their ids. */
export interface PeerCredentials {
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

const UCRED_OCTETS = 12

/** Returns the credentials that the peer had when it connected; undefined for other sockets. */
export function peerCredentials(libc: Libc, fd: number): PeerCredentials | undefined {
  const words = new Int32Array(UCRED_OCTETS / Int32Array.BYTES_PER_ELEMENT)
  const octets = new Uint8Array(Uint32Array.of(UCRED_OCTETS).buffer)
  const value = new Uint8Array(words.buffer)
  if (libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, octets) !== 0) return undefined
  const [pid = 0, uid = -1, gid = -1] = words
  // Another kind of socket answers with process 0 and no user.
  return pid === 0 ? undefined : { pid, uid: uid >>> 0, gid: gid >>> 0 }
}
