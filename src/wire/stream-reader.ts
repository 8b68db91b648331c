/** Cuts a TCP stream into DNS messages, each behind its length in two octets (RFC 1035 4.2.2). */
import { readU16 } from './header.ts'

const LENGTH_OCTETS = 2
const EMPTY = new Uint8Array(0)

/** Reads one connection. Messages that lie whole within a chunk are returned without copying. */
export class StreamReader {
  #chunk: Uint8Array = EMPTY
  #at = 0
  #end = 0
  /** The chunk is a buffer of this reader, which may be written to behind its end. */
  #isOwn = false

  /** Octets of a message that has begun but is not complete. */
  get partialOctets(): number {
    return this.#end - this.#at
  }

  /** Takes what the socket read. Call `next` until it returns null before the following push. */
  push(chunk: Uint8Array): void {
    if (this.#at === this.#end) {
      this.#chunk = chunk
      this.#at = 0
      this.#end = chunk.length
      this.#isOwn = false
      return
    }
    if (!this.#isOwn || this.#end + chunk.length > this.#chunk.length) this.#grow(chunk.length)
    this.#chunk.set(chunk, this.#end)
    this.#end += chunk.length
  }

  /** Returns the next complete message, or null when more octets are needed. */
  next(): Uint8Array | null {
    const rest = this.#end - this.#at
    if (rest < LENGTH_OCTETS) return null
    const octets = readU16(this.#chunk, this.#at)
    if (rest < LENGTH_OCTETS + octets) return null
    const start = this.#at + LENGTH_OCTETS
    this.#at = start + octets
    return this.#chunk.subarray(start, start + octets)
  }

  /**
   * Moves what is left to a buffer with room for more. It doubles, so that a message that comes
   * octet by octet is copied twice and not at every octet, and a length alone, which anybody can
   * announce, reserves nothing.
   */
  #grow(octets: number): void {
    const rest = this.#end - this.#at
    const grown = new Uint8Array(Math.max(rest + octets, 2 * rest))
    grown.set(this.#chunk.subarray(this.#at, this.#end))
    this.#chunk = grown
    this.#at = 0
    this.#end = rest
    this.#isOwn = true
  }
}
