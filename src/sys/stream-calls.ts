/**
 * Reads and writes the connections that Node has accepted without its streams, which take several
 * microseconds for a read and a write. Node stays their owner: it closes them, and does what the
 * system does not do at once.
 */
import type { Socket } from 'node:net'
import { EAGAIN, EINTR, MSG_DONTWAIT, MSG_NOSIGNAL, type Libc } from './libc.ts'

const RECEIVE_OCTETS = 64 * 1024

/** Nothing can be read, or nothing can be written, at this moment. */
export const NOT_NOW = -1
/** The connection is broken; the system says so once only. */
export const BROKEN = -2
/** Node does not say which descriptor it is. */
export const NO_DESCRIPTOR = -1

/** The two calls, and where octets are read to. */
export class StreamCalls {
  /** What `receive` read last. */
  readonly received = new Uint8Array(RECEIVE_OCTETS)
  readonly #libc: Libc

  constructor(libc: Libc) {
    this.#libc = libc
  }

  /** Reads what is there into `received`: octets, 0 at the end, `NOT_NOW` or `BROKEN`. */
  receive(fd: number): number {
    const octets = this.#libc.recv(fd, this.received, RECEIVE_OCTETS, MSG_DONTWAIT)
    return octets >= 0 ? octets : this.#why()
  }

  /** Writes the first `octets` of a buffer: how many the system took, `NOT_NOW` or `BROKEN`. */
  send(fd: number, from: Uint8Array, octets: number): number {
    const sent = this.#libc.send(fd, from, octets, MSG_DONTWAIT | MSG_NOSIGNAL)
    return sent >= 0 ? sent : this.#why()
  }

  #why(): number {
    const errno = this.#libc.errno()
    return errno === EAGAIN || errno === EINTR ? NOT_NOW : BROKEN
  }
}

/** The descriptor of an open connection; not in Node's documentation, so that it may be none. */
export function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle')
  if (typeof handle !== 'object' || handle === null) return NO_DESCRIPTOR
  const fd: unknown = Reflect.get(handle, 'fd')
  return typeof fd === 'number' && fd >= 0 ? fd : NO_DESCRIPTOR
}
