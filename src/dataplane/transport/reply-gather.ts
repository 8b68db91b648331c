/**
 * Replies to one read of a TCP connection, framed one behind another (RFC 1035 4.2.2), so that they
 * leave in one write. One per listener: it is empty between two reads.
 */
import type { Socket } from 'node:net'
import { MESSAGE_OCTETS_MAX } from '../../wire/header.ts'

const LENGTH_OCTETS = 2
/** Room for the largest reply, and for those of an ordinary read. */
const GATHER_OCTETS = LENGTH_OCTETS + MESSAGE_OCTETS_MAX
/**
 * From so many octets on the socket gets the buffer itself, not a copy: copies of that size leave
 * the collector of garbage tens of megabytes behind, which pass for memory in use.
 */
const LEND_OCTETS = GATHER_OCTETS >>> 1
/** Buffers kept for the next loan. */
const SPARES_MAX = 8
/** Replies kept before they are written: more than a read of small queries brings. */
const REPLIES_MAX = 1024

/** A buffer that a socket may have for a while. */
class Loan {
  readonly octets = Buffer.allocUnsafeSlow(GATHER_OCTETS)
  readonly onReturn: () => void
  /** Who wants to know that it is back. */
  onWritten: () => void = toNobody

  constructor(spares: Loan[]) {
    this.onReturn = () => {
      const { onWritten } = this
      this.onWritten = toNobody
      if (spares.length < SPARES_MAX) spares.push(this)
      onWritten()
    }
  }
}

function toNobody(): void {}

/** Framed replies and how each is counted once it is written. */
export class ReplyGather {
  readonly #spares: Loan[] = []
  #loan = new Loan(this.#spares)
  readonly #codes = new Uint16Array(REPLIES_MAX)
  #length = 0
  #replies = 0

  /** Holds the gathered octets, from the start on. */
  get octets(): Uint8Array {
    return this.#loan.octets
  }

  /** How many are gathered, lengths included. */
  get length(): number {
    return this.#length
  }

  get replies(): number {
    return this.#replies
  }

  /** True when a reply of that many octets needs the others to be written first. */
  isFullFor(octets: number): boolean {
    return this.#replies === REPLIES_MAX || this.#length + LENGTH_OCTETS + octets > GATHER_OCTETS
  }

  /** Takes a copy of the first `octets` of `reply`; `isFullFor` has to be false. */
  add(reply: Uint8Array, octets: number, code: number): void {
    const into = this.#loan.octets
    const at = this.#length
    into[at] = octets >>> 8
    into[at + 1] = octets
    const start = at + LENGTH_OCTETS
    for (let i = 0; i < octets; i++) into[start + i] = reply[i]!
    this.#length = start + octets
    this.#codes[this.#replies++] = code
  }

  /** What `add` was told of the reply at `index`. */
  codeOf(index: number): number {
    return this.#codes[index]!
  }

  /**
   * Writes the gathered octets from `start` on; `onWritten` is called when the socket has no more
   * use for them.
   */
  writeTo(socket: Socket, start: number, onWritten: () => void): void {
    const length = this.#length
    const loan = this.#loan
    if (length - start < LEND_OCTETS) {
      const copied = Buffer.allocUnsafe(length - start)
      loan.octets.copy(copied, 0, start, length)
      socket.write(copied, onWritten)
      return
    }
    this.#loan = this.#spares.pop() ?? new Loan(this.#spares)
    loan.onWritten = onWritten
    socket.write(loan.octets.subarray(start, length), loan.onReturn)
  }

  clear(): void {
    this.#length = 0
    this.#replies = 0
  }
}
