/** Cuts a stream of octets into blocks of whole lines, with a bound on the length of a line. */

import { MiB } from '../../base/units.ts'

/**
 * The longest line that is read; the longest real one, a list of 51,970 names joined by commas, has
 * 933,930 octets.
 */
export const LINE_OCTETS_MAX = 1 * MiB

const LF = 0x0a
const CR = 0x0d

export interface BlockReader {
  /** Takes whole lines, each with its end; the block is reused after the call. */
  lines(block: Buffer, octets: number): void
  /** Told of a line over `LINE_OCTETS_MAX`, of which only the start is kept. */
  longLine(start: Buffer): void
}

/** Lines end at LF, CR LF or a lone CR. A last line without an end is given one. */
export class LineBlocks {
  readonly #reader: BlockReader
  #rest: Buffer = Buffer.alloc(0)
  /** True while the rest of an over-long line is thrown away. */
  #dropping = false
  /** True when a dropped line ended in a CR whose LF may follow. */
  #dropLf = false

  constructor(reader: BlockReader) {
    this.#reader = reader
  }

  push(chunk: Buffer): void {
    let fresh = chunk
    if (this.#dropping) {
      const end = firstEnd(fresh)
      if (end < 0) return
      this.#dropping = false
      this.#dropLf = fresh[end] === CR
      fresh = fresh.subarray(end + 1)
    }
    if (this.#dropLf && fresh.length > 0) {
      this.#dropLf = false
      if (fresh[0] === LF) fresh = fresh.subarray(1)
    }
    const block = this.#rest.length === 0 ? fresh : Buffer.concat([this.#rest, fresh])
    const end = endOfWholeLines(block)
    this.#rest = block.subarray(end)
    if (end > 0) this.#reader.lines(block, end)
    if (this.#rest.length <= LINE_OCTETS_MAX) return
    this.#reader.longLine(this.#rest)
    this.#dropping = true
    this.#rest = Buffer.alloc(0)
  }

  end(): void {
    if (this.#rest.length === 0) return
    const last = this.#rest.at(-1)
    const whole = last === LF || last === CR
    const block = whole ? this.#rest : Buffer.concat([this.#rest, Buffer.of(LF)])
    this.#rest = Buffer.alloc(0)
    this.#reader.lines(block, block.length)
  }
}

function firstEnd(chunk: Buffer): number {
  const lf = chunk.indexOf(LF)
  const cr = chunk.indexOf(CR)
  if (lf < 0) return cr
  return cr < 0 ? lf : Math.min(lf, cr)
}

/** The offset behind the last end of a line; a CR at the very end waits for its LF. */
function endOfWholeLines(block: Buffer): number {
  const lf = block.lastIndexOf(LF)
  const cr = block.lastIndexOf(CR, -2)
  return Math.max(lf, block.length < 2 ? -1 : cr) + 1
}
