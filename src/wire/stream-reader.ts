/** Cuts a TCP stream into DNS messages, each behind its length in two octets (RFC 1035 4.2.2). */
import { readU16 } from './header.ts'

const LENGTH_OCTETS = 2
/** The next message needs more octets. */
export const INCOMPLETE = -1
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
    this.pushStart(chunk, chunk.length)
  }

  /** `push` for the first `octets` of a buffer. */
  pushStart(chunk: Uint8Array, octets: number): void {
    if (this.#at === this.#end) {
      this.#chunk = chunk
      this.#at = 0
      this.#end = octets
      this.#isOwn = false
      return
    }
    // The room doubles, so that a message that comes octet by octet is copied twice and not at
    // every octet, and a length alone, which anybody can announce, reserves nothing.
    const rest = this.#end - this.#at
    if (!this.#isOwn || this.#end + octets > this.#chunk.length) {
      this.#grow(Math.max(rest + octets, 2 * rest))
    }
    this.#chunk.set(octets === chunk.length ? chunk : chunk.subarray(0, octets), this.#end)
    this.#end += octets
  }

  /** Copies what is left: the chunk that was pushed last may be used for something else. */
  keepRest(): void {
    if (!this.#isOwn && this.#at !== this.#end) this.#grow(this.#end - this.#at)
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

  /** Copies the next complete message to the start of `out`: its octets, or `INCOMPLETE`. */
  nextInto(out: Uint8Array): number {
    const chunk = this.#chunk
    const rest = this.#end - this.#at
    if (rest < LENGTH_OCTETS) return INCOMPLETE
    const octets = readU16(chunk, this.#at)
    if (rest < LENGTH_OCTETS + octets) return INCOMPLETE
    const start = this.#at + LENGTH_OCTETS
    for (let i = 0; i < octets; i++) out[i] = chunk[start + i]!
    this.#at = start + octets
    return octets
  }

  /** Moves what is left to a buffer of its own with `room` octets. */
  #grow(room: number): void {
    const rest = this.#end - this.#at
    const grown = new Uint8Array(room)
    grown.set(this.#chunk.subarray(this.#at, this.#end))
    this.#chunk = grown
    this.#at = 0
    this.#end = rest
    this.#isOwn = true
  }
}
