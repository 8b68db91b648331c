/** Cuts a TCP stream into DNS messages, each behind its length in two octets (RFC 1035 4.2.2). */
import { readU16 } from './header.ts'

const LENGTH_OCTETS = 2
const EMPTY = new Uint8Array(0)

/** Reads one connection. Messages that lie whole within a chunk are returned without copying. */
export class StreamReader {
  #chunk: Uint8Array = EMPTY
  #at = 0

  /** Octets of a message that has begun but is not complete. */
  get partialOctets(): number {
    return this.#chunk.length - this.#at
  }

  /** Takes what the socket read. Call `next` until it returns null before the following push. */
  push(chunk: Uint8Array): void {
    const rest = this.#chunk.length - this.#at
    if (rest === 0) {
      this.#chunk = chunk
    } else {
      const joined = new Uint8Array(rest + chunk.length)
      joined.set(this.#chunk.subarray(this.#at))
      joined.set(chunk, rest)
      this.#chunk = joined
    }
    this.#at = 0
  }

  /** Returns the next complete message, or null when more octets are needed. */
  next(): Uint8Array | null {
    const rest = this.#chunk.length - this.#at
    if (rest < LENGTH_OCTETS) return null
    const octets = readU16(this.#chunk, this.#at)
    if (rest < LENGTH_OCTETS + octets) return null
    const start = this.#at + LENGTH_OCTETS
    this.#at = start + octets
    return this.#chunk.subarray(start, start + octets)
  }
}
