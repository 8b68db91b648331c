/** Packs sorted name codes into blocks (see the layout for what a block is). */

import { firstFinger, secondMix } from '../../trie/blocks.ts'
import {
  BLOCK_NAMES,
  FINGER_BITS,
  FINGERS_OCTETS,
  LEVELS_MAX,
  START_DEEP_FLAG,
} from '../../trie/layout.ts'
import { BitWriter } from './bit-writer.ts'
import { wordAt } from './name-codes.ts'
import type { NameCodes } from './name-codes.ts'

export interface PackedBlocks {
  readonly sections: {
    /** Number of first-level blocks, then one head a block (highest bit inverted). */
    readonly heads: Int32Array
    readonly fingers: Uint8Array
    readonly recordStarts: Uint32Array
    readonly records: Uint32Array
  }
  /**
   * Sequence numbers of names that found no place: too many codes that are equal but for length.
   */
  readonly left: readonly number[]
}

/** A run of names, ordered by their words from `level` on. */
interface Run {
  readonly first: number
  readonly end: number
  readonly level: number
  /** First bit of the record that stands for the run. */
  readonly record: number
}

/**
 * Packs `order`, the sorted codes.
 *
 * @param valueOf number of each sequence's value.
 * @param isDeep 1 for each sequence of more than one label.
 */
export function packBlocks(
  codes: NameCodes,
  order: Uint32Array,
  valueOf: Uint16Array,
  isDeep: Uint8Array,
  valueBits: number,
): PackedBlocks {
  return new Packing(codes, order, valueOf, isDeep, valueBits).run()
}

class Packing {
  readonly #codes: NameCodes
  readonly #order: Uint32Array
  readonly #valueOf: Uint16Array
  readonly #isDeep: Uint8Array
  readonly #valueBits: number
  readonly #heads: number[] = []
  readonly #recordStarts: number[] = []
  readonly #runs: Run[] = []
  readonly #left: number[] = []
  readonly #records = new BitWriter()
  #fingers = new Uint8Array(FINGERS_OCTETS * 64)

  constructor(
    codes: NameCodes,
    order: Uint32Array,
    valueOf: Uint16Array,
    isDeep: Uint8Array,
    valueBits: number,
  ) {
    this.#codes = codes
    this.#order = order
    this.#valueOf = valueOf
    this.#isDeep = isDeep
    this.#valueBits = valueBits
  }

  run(): PackedBlocks {
    this.#pack(0, this.#order.length, 0)
    const rootBlocks = this.#heads.length
    // Runs may leave runs of their own behind: the list grows while it is walked.
    for (const { first, end, level, record } of this.#runs) {
      const firstBlock = this.#heads.length
      this.#pack(first, end, level)
      this.#records.rewrite(record + 32, firstBlock)
      this.#records.rewrite(record + 64, this.#heads.length - firstBlock)
    }
    return {
      sections: {
        heads: Int32Array.from([rootBlocks, ...this.#heads.map((head) => head ^ 0x8000_0000)]),
        fingers: this.#fingers.slice(0, this.#heads.length * FINGERS_OCTETS),
        recordStarts: Uint32Array.from(this.#recordStarts),
        records: this.#records.finish(),
      },
      left: this.#left,
    }
  }

  /**
   * Fills block after block; a group of equal words that fits into none becomes a run of its own.
   */
  #pack(first: number, end: number, level: number): void {
    let at = first
    while (at < end) {
      let blockEnd = at
      let groupEnd = this.#groupEnd(at, end, level)
      while (groupEnd - at <= BLOCK_NAMES && blockEnd < end) {
        blockEnd = groupEnd
        groupEnd = blockEnd < end ? this.#groupEnd(blockEnd, end, level) : end
      }
      if (blockEnd > at) {
        this.#writeBlock(at, blockEnd, level)
      } else {
        blockEnd = groupEnd
        this.#writeRun(at, blockEnd, level)
      }
      at = blockEnd
    }
  }

  #word(position: number, level: number): number {
    return wordAt(this.#codes, this.#order[position]!, level)
  }

  #groupEnd(first: number, end: number, level: number): number {
    const word = this.#word(first, level)
    let at = first + 1
    while (at < end && this.#word(at, level) === word) at++
    return at
  }

  /** Starts a block of the names from `first` to `end`; returns the place of its first finger. */
  #openBlock(first: number, end: number, level: number): number {
    const place = this.#heads.length * FINGERS_OCTETS
    if (place + FINGERS_OCTETS > this.#fingers.length) {
      const wider = new Uint8Array(this.#fingers.length * 2)
      wider.set(this.#fingers)
      this.#fingers = wider
    }
    this.#heads.push(this.#word(first, level))
    const isDeep = this.#order.subarray(first, end).some((name) => this.#isDeep[name] === 1)
    this.#recordStarts.push(this.#records.bits + (isDeep ? START_DEEP_FLAG : 0))
    return place
  }

  #writeRun(first: number, end: number, level: number): void {
    if (level + 1 >= LEVELS_MAX) {
      for (let at = first; at < end; at++) this.#left.push(this.#order[at]!)
      return
    }
    this.#runs.push({ first, end, level: level + 1, record: this.#records.bits })
    this.#openBlock(first, end, level)
    for (let word = 0; word < 3; word++) this.#records.write(0, 32)
  }

  #writeBlock(first: number, end: number, level: number): void {
    const { bits } = this.#codes
    const records = this.#records
    const head = this.#word(first, level)
    const shift = Math.max(0, 32 - Math.clz32(this.#word(end - 1, level) - head) - FINGER_BITS * 2)
    const names = this.#order.slice(first, end).sort((a, b) => bits[a]! - bits[b]!)
    const distances = Uint32Array.from(names, (name) => wordAt(this.#codes, name, level) - head)
    const place = this.#openBlock(first, end, level)
    for (const [index, distance] of distances.entries()) {
      const mix = this.#mixOf(names[index]!, level, distance)
      this.#fingers[place + index] = firstFinger(distance)
      this.#fingers[place + BLOCK_NAMES + index] = (distance >>> FINGER_BITS) ^ mix
    }
    const others = names.filter((name) => this.#valueOf[name]! > 0)
    const shortest = bits[names[0]!]!
    records.write(names.length, 6)
    records.write(others.length > 0 ? 1 : 0, 1)
    records.write(shift, 5)
    records.write(shortest, 10)
    records.write(bits[names.at(-1)!]! - shortest, 10)
    for (const distance of distances) records.write(distance >>> (FINGER_BITS * 2), shift)
    let length = shortest
    for (const name of names) {
      for (; length < bits[name]!; length++) records.write(0, 1)
      records.write(1, 1)
    }
    if (others.length > 0) {
      for (const name of names) records.write(this.#valueOf[name]! > 0 ? 1 : 0, 1)
      for (const name of others) records.write(this.#valueOf[name]! - 1, this.#valueBits)
    }
    for (const name of names) this.#writeTail(name, level)
  }

  #mixOf(name: number, level: number, distance: number): number {
    const { words, starts, bits } = this.#codes
    return secondMix(words, starts[name]!, level, bits[name]!, distance >>> (FINGER_BITS * 2))
  }

  #writeTail(name: number, level: number): void {
    const { words, starts, bits } = this.#codes
    for (let index = level + 1, left = bits[name]! - index * 32; left > 0; index++, left -= 32) {
      const count = Math.min(32, left)
      this.#records.write(words[starts[name]! + index]! >>> (32 - count), count)
    }
  }
}
