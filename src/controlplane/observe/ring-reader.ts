/** Reads the ring of one worker, record by record, while the worker writes it. */
import { ObservedRing, RECORD_OCTETS } from '../../dataplane/observed-ring.ts'

/** The place of one reader in one ring, from its first record on. */
export class RingReader {
  readonly memory: SharedArrayBuffer
  readonly #ring: ObservedRing
  readonly #record = Buffer.alloc(RECORD_OCTETS)
  #next = 0

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory
    this.#ring = new ObservedRing(memory)
  }

  /**
   * Gives all records that are new, oldest first; the buffer is reused after each call.
   *
   * @returns how many were overwritten before they could be read.
   */
  take(visit: (record: Buffer) => void): number {
    const { records, written } = this.#ring
    let missed = Math.max(0, written - records - this.#next)
    this.#next += missed
    for (; this.#next < written; this.#next++) {
      if (this.#ring.read(this.#next, this.#record)) visit(this.#record)
      else missed++
    }
    this.#record.fill(0)
    return missed
  }
}
