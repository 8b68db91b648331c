/**
 * epoll(7): which of many sockets have something to read, in one call. Level-triggered. The layout
 * of `epoll_event` is the one difference between x86-64 (packed, 12 octets) and arm64 (16).
 */
import type { DescriptorLedger } from './descriptor-ledger.ts'
import type { Libc } from './libc.ts'

/** Events of one `wait`; what does not fit comes with the next one. */
const EVENTS_MAX = 64
const EPOLLIN = 1
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
const EPOLL_CTL_MOD = 3
const EPOLL_CLOEXEC = 0x80000
const EVENT_WORDS = process.arch === 'x64' ? 3 : 4
const DATA_WORD = process.arch === 'x64' ? 1 : 2

/** One epoll instance, closed with the worker that made it. */
export class Epoll {
  readonly #libc: Libc
  readonly #ledger: DescriptorLedger
  readonly #fd: number
  readonly #events = new Uint32Array(EVENTS_MAX * EVENT_WORDS)
  readonly #eventOctets = new Uint8Array(this.#events.buffer)
  readonly #change = new Uint32Array(EVENT_WORDS)
  readonly #changeOctets = new Uint8Array(this.#change.buffer)

  constructor(libc: Libc, ledger: DescriptorLedger) {
    this.#libc = libc
    this.#ledger = ledger
    this.#fd = libc.epoll_create1(EPOLL_CLOEXEC)
    if (this.#fd >= 0) ledger.note(this.#fd)
  }

  /** False when the system had no descriptor for the instance. */
  get isOpen(): boolean {
    return this.#fd >= 0
  }

  /** Reports `fd` from now on when it can be read or has an error; false when refused. */
  add(fd: number): boolean {
    return this.#control(this.#fd, EPOLL_CTL_ADD, fd, EPOLLIN)
  }

  remove(fd: number): void {
    this.#control(this.#fd, EPOLL_CTL_DEL, fd, 0)
  }

  /**
   * Makes another epoll instance report `fd` or leave it alone; its entry for `fd` must carry the
   * descriptor as its data, as libuv's do. False when it watches no such descriptor.
   */
  listen(otherFd: number, fd: number, isHeard: boolean): boolean {
    return this.#control(otherFd, EPOLL_CTL_MOD, fd, isHeard ? EPOLLIN : 0)
  }

  /** Waits at most that long; returns how many descriptors are ready, 0 at the end of the time. */
  wait(milliseconds: number): number {
    const ready = this.#libc.epoll_wait(this.#fd, this.#eventOctets, EVENTS_MAX, milliseconds)
    return ready < 0 ? 0 : ready
  }

  /** The descriptor behind the event at `index` of the last `wait`. */
  readyAt(index: number): number {
    return this.#events[index * EVENT_WORDS + DATA_WORD]!
  }

  close(): void {
    if (this.#fd < 0) return
    this.#ledger.forget(this.#fd)
    this.#libc.close(this.#fd)
  }

  #control(epollFd: number, operation: number, fd: number, events: number): boolean {
    const change = this.#change
    change.fill(0)
    change[0] = events
    change[DATA_WORD] = fd
    return this.#libc.epoll_ctl(epollFd, operation, fd, this.#changeOctets) === 0
  }
}
