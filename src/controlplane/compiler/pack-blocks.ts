/** Packs sorted name codes into blocks (see the layout for what a block is). */

import {
  BLOCK_BITS,
  BLOCK_NAMES_MAX,
  BLOCK_WORDS,
  FINGER_BITS,
  LEVELS_MAX,
} from '../../trie/layout.ts'
import { wordAt } from './name-codes.ts'
import type { NameCodes } from './name-codes.ts'

export interface PackedBlocks {
  /** Number of first-level blocks, then one head a block (highest bit inverted). */
  readonly heads: Int32Array
  readonly words: Uint32Array
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
  /** The block that stands for the run, -1 for all names. */
  readonly parent: number
}

/** Packs `order`, the sorted codes; `valueOf` gives the number of each sequence's value. */
export function packBlocks(
  codes: NameCodes,
  order: Uint32Array,
  valueOf: Uint16Array,
  valueBits: number,
): PackedBlocks {
  return new Packing(codes, order, valueOf, valueBits).run()
}

class Packing {
  readonly #codes: NameCodes
  readonly #order: Uint32Array
  readonly #valueOf: Uint16Array
  readonly #valueBits: number
  readonly #heads: number[] = []
  readonly #runs: Run[] = []
  readonly #left: number[] = []
  #words = new Uint32Array(BLOCK_WORDS * 64)

  constructor(codes: NameCodes, order: Uint32Array, valueOf: Uint16Array, valueBits: number) {
    this.#codes = codes
    this.#order = order
    this.#valueOf = valueOf
    this.#valueBits = valueBits
  }

  run(): PackedBlocks {
    this.#pack({ first: 0, end: this.#order.length, level: 0, parent: -1 })
    const rootBlocks = this.#heads.length
    for (let next = this.#runs.shift(); next !== undefined; next = this.#runs.shift()) {
      const firstBlock = this.#heads.length
      this.#pack(next)
      this.#words[next.parent * BLOCK_WORDS + 1] = firstBlock
      this.#words[next.parent * BLOCK_WORDS + 2] = this.#heads.length - firstBlock
    }
    return {
      heads: Int32Array.from([rootBlocks, ...this.#heads.map((head) => head ^ 0x8000_0000)]),
      words: this.#words.slice(0, this.#heads.length * BLOCK_WORDS),
      left: this.#left,
    }
  }

  /**
   * Fills block after block; a group of equal words that fits into none becomes a run of its own.
   */
  #pack({ first, end, level }: Run): void {
    let at = first
    while (at < end) {
      const head = this.#word(at, level)
      const size = new BlockSize(level, head, this.#valueBits)
      let blockEnd = at
      while (blockEnd < end) {
        const groupEnd = this.#groupEnd(blockEnd, end, level)
        if (!this.#fits(size, blockEnd, groupEnd)) break
        blockEnd = groupEnd
      }
      if (blockEnd > at) {
        this.#writeBlock(at, blockEnd, level, head)
      } else {
        blockEnd = this.#groupEnd(at, end, level)
        this.#writeRun(at, blockEnd, level, head)
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

  /** Adds the group to `size` when the block can still take it. */
  #fits(size: BlockSize, first: number, end: number): boolean {
    if (end - first > BLOCK_NAMES_MAX) return false
    const distance = this.#word(first, size.level) - size.head
    const grown = size.copy()
    for (let at = first; at < end; at++) {
      const name = this.#order[at]!
      grown.add(this.#codes.bits[name]!, distance, this.#valueOf[name]! > 0)
    }
    if (!grown.isWithinBlock()) return false
    size.assign(grown)
    return true
  }

  #openBlock(head: number): number {
    const base = this.#heads.length * BLOCK_WORDS
    if (base + BLOCK_WORDS > this.#words.length) {
      const wider = new Uint32Array(this.#words.length * 2)
      wider.set(this.#words)
      this.#words = wider
    }
    this.#heads.push(head)
    return base
  }

  #writeRun(first: number, end: number, level: number, head: number): void {
    if (level + 1 >= LEVELS_MAX) {
      for (let at = first; at < end; at++) this.#left.push(this.#order[at]!)
      return
    }
    this.#openBlock(head)
    this.#runs.push({ first, end, level: level + 1, parent: this.#heads.length - 1 })
  }

  #writeBlock(first: number, end: number, level: number, head: number): void {
    const { bits } = this.#codes
    const names = this.#order.slice(first, end).sort((a, b) => bits[a]! - bits[b]!)
    const distanceMax = this.#word(end - 1, level) - head
    const shift = Math.max(0, 32 - Math.clz32(distanceMax) - FINGER_BITS)
    const hasOthers = names.some((name) => this.#valueOf[name]! > 0)
    const shortest = bits[names[0]!]!
    const span = bits[names.at(-1)!]! - shortest
    const base = this.#openBlock(head)
    const pen = new BlockPen(this.#words, base * 32)
    pen.write(names.length, 6)
    pen.write(hasOthers ? 1 : 0, 1)
    pen.write(shift, 5)
    pen.write(shortest, 10)
    pen.write(span, 10)
    for (const name of names) {
      pen.write((wordAt(this.#codes, name, level) - head) & 255, FINGER_BITS)
    }
    let length = shortest
    for (const name of names) {
      for (; length < bits[name]!; length++) pen.write(0, 1)
      pen.write(1, 1)
    }
    if (hasOthers) for (const name of names) pen.write(this.#valueOf[name]! > 0 ? 1 : 0, 1)
    for (const name of names) this.#writeTail(pen, name, level, head, shift)
    let place = base * 32 + BLOCK_BITS
    for (const name of names) {
      if (this.#valueOf[name] === 0) continue
      place -= this.#valueBits
      new BlockPen(this.#words, place).write(this.#valueOf[name]! - 1, this.#valueBits)
    }
  }

  #writeTail(pen: BlockPen, name: number, level: number, head: number, shift: number): void {
    const { words, starts, bits } = this.#codes
    pen.write((wordAt(this.#codes, name, level) - head) >>> FINGER_BITS, shift)
    for (let index = level + 1, left = bits[name]! - index * 32; left > 0; index++, left -= 32) {
      const count = Math.min(32, left)
      pen.write(words[starts[name]! + index]! >>> (32 - count), count)
    }
  }
}

/** Writes bits at a place of the block words; what it writes over must be 0. */
class BlockPen {
  readonly #words: Uint32Array
  #at: number

  constructor(words: Uint32Array, at: number) {
    this.#words = words
    this.#at = at
  }

  write(value: number, count: number): void {
    if (count === 0) return
    const index = this.#at >>> 5
    const free = 32 - (this.#at & 31)
    if (count <= free) {
      this.#words[index]! |= value << (free - count)
    } else {
      this.#words[index]! |= value >>> (count - free)
      this.#words[index + 1]! |= value << (32 - (count - free))
    }
    this.#at += count
  }
}

/** How many bits a block would take. */
class BlockSize {
  readonly level: number
  readonly head: number
  readonly #valueBits: number
  #names = 0
  #others = 0
  #shortest = 0x7fff_ffff
  #longest = 0
  #tailBits = 0
  #distance = 0

  constructor(level: number, head: number, valueBits: number) {
    this.level = level
    this.head = head
    this.#valueBits = valueBits
  }

  copy(): BlockSize {
    const copy = new BlockSize(this.level, this.head, this.#valueBits)
    copy.assign(this)
    return copy
  }

  assign(other: BlockSize): void {
    this.#names = other.#names
    this.#others = other.#others
    this.#shortest = other.#shortest
    this.#longest = other.#longest
    this.#tailBits = other.#tailBits
    this.#distance = other.#distance
  }

  add(bits: number, distance: number, isOther: boolean): void {
    this.#names++
    if (isOther) this.#others++
    this.#shortest = Math.min(this.#shortest, bits)
    this.#longest = Math.max(this.#longest, bits)
    this.#tailBits += Math.max(0, bits - (this.level + 1) * 32)
    this.#distance = distance
  }

  isWithinBlock(): boolean {
    if (this.#names > BLOCK_NAMES_MAX) return false
    const shift = Math.max(0, 32 - Math.clz32(this.#distance) - FINGER_BITS)
    const columns = 32 + this.#names * (FINGER_BITS + 1 + shift) + this.#longest - this.#shortest
    const others = this.#others === 0 ? 0 : this.#names + this.#others * this.#valueBits
    return columns + others + this.#tailBits <= BLOCK_BITS
  }
}
