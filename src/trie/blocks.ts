/** The blocks of an opened image: name codes, sorted, two cache lines a block (see the layout). */

import { read32, readBits } from './bits.ts'
import {
  BLOCK_BITS,
  BLOCK_NAMES_MAX,
  BLOCK_WORDS,
  LEVELS_MAX,
  VALUE_FIELDS,
  FINGER_BITS,
} from './layout.ts'

export const NOT_FOUND = -1

/** A binary search over 2^31 entries ends after this many steps. */
const SEARCH_STEPS_MAX = 32
/** Octets 1 in every octet of a word. */
const ONES = 0x0101_0101
const HIGHS = 0x8080_8080
const FINGER_MASK = 255
/** Of a block's first word: some name has another value than value 0. */
const OTHERS_FLAG = 1 << 25

/** What an opened image keeps of its blocks. */
export interface BlockSections {
  /**
   * First 32 bits of each block's first name, the highest one inverted: signed integers in the
   * order of the bits. The blocks of the first level come first.
   */
  readonly heads: Int32Array
  readonly blockWords: Uint32Array
  /** Blocks of the first level. */
  readonly rootBlocks: number
  /** Bits of a value number, for the names whose value is not value 0. */
  readonly valueBits: number
  readonly valueCount: number
}

/** Views and tables for lookups. */
export interface Blocks extends BlockSections {
  /** By the upper bits of a word: the last block of the first level whose head is not greater. */
  readonly directory: Uint32Array
  readonly directoryShift: number
}

/** Makes the directory: one entry a block, roughly, so that a search ends after a step or two. */
export function openBlocks(sections: BlockSections): Blocks {
  const { heads, blockWords, rootBlocks, valueBits, valueCount } = sections
  const bits = Math.min(20, Math.ceil(Math.log2(rootBlocks + 2)))
  const directoryShift = 32 - bits
  const directory = new Uint32Array(2 ** bits + 1)
  let block = 0
  for (let cell = 0; cell < directory.length - 1; cell++) {
    const lowest = orderOf(cell << directoryShift)
    while (block + 1 < rootBlocks && heads[block + 1]! <= lowest) block++
    directory[cell] = block
  }
  directory[directory.length - 1] = Math.max(0, rootBlocks - 1)
  return {
    heads,
    blockWords,
    rootBlocks,
    valueBits,
    valueCount,
    directory,
    directoryShift,
  }
}

/**
 * The signed integer that orders as the bits of `word` do. Signed, because V8 boxes larger ones.
 */
function orderOf(word: number): number {
  return word ^ 0x8000_0000
}

/**
 * Returns the last block from `low` to `high` whose head is not greater than `order`; `low` else.
 */
function searchHeads(heads: Int32Array, low: number, high: number, order: number): number {
  let first = low
  let last = high
  for (let step = 0; step < SEARCH_STEPS_MAX && first < last; step++) {
    const middle = (first + last + 1) >>> 1
    if (heads[middle]! <= order) first = middle
    else last = middle - 1
  }
  return first
}

/** Returns the first-level block in which a name beginning with `word` would stand. */
export function rootBlock(blocks: Blocks, word: number): number {
  const { directory } = blocks
  const cell = word >>> blocks.directoryShift
  return searchHeads(blocks.heads, directory[cell]!, directory[cell + 1]!, orderOf(word))
}

/** Whether the block's first name comes at or before names beginning with `word`. */
export function isAtOrBehindHead(blocks: Blocks, block: number, word: number): boolean {
  return blocks.heads[block]! <= orderOf(word)
}

/** Whether a name of its root block can begin with the 32 bits `word`; "yes" may be wrong. */
export function reachesBlock(blocks: Blocks, block: number, word: number): boolean {
  const order = orderOf(word)
  const head = blocks.heads[block]!
  if (!(head <= order)) return false
  const base = block * BLOCK_WORDS
  const count = blocks.blockWords[base]! >>> 26
  if (count === 0) return head === order
  return hasFinger(blocks.blockWords, base, count, (order - head) | 0)
}

/** Whether some name of the block has the finger octet of `distance`. */
function hasFinger(words: Uint32Array, base: number, count: number, distance: number): boolean {
  const pattern = Math.imul(distance & FINGER_MASK, ONES)
  for (let index = 0; index < count; index += 4) {
    const difference = words[base + 1 + (index >>> 2)]! ^ pattern
    // Not 0 when some octet of `difference` is 0; octets past `count` may show as well.
    if (((difference - ONES) & ~difference & HIGHS) !== 0) return true
  }
  return false
}

/**
 * Returns the offset of the value of the stored name whose code is `words`, or `NOT_FOUND`.
 *
 * @param root the root block of `words[0]`.
 */
export function findInBlocks(
  blocks: Blocks,
  root: number,
  words: Int32Array,
  bits: number,
): number {
  const { heads, blockWords } = blocks
  let block = root
  for (let level = 0; level < LEVELS_MAX; level++) {
    const order = orderOf(level * 32 < bits ? words[level]! : 0)
    const head = heads[block]!
    if (!(head <= order)) return NOT_FOUND
    const distance = (order - head) | 0
    const base = block * BLOCK_WORDS
    const count = blockWords[base]! >>> 26
    if (count > 0) {
      if (!hasFinger(blockWords, base, count, distance)) return NOT_FOUND
      return findInBlock(blocks, base, level, distance, words, bits)
    }
    if (distance !== 0) return NOT_FOUND
    const first = blockWords[base + 1]!
    const last = first + blockWords[base + 2]! - 1
    const next = (level + 1) * 32 < bits ? words[level + 1]! : 0
    block = searchHeads(heads, first, last, orderOf(next))
  }
  return NOT_FOUND
}

/** Compares the code with the names of one block that have its length. */
function findInBlock(
  blocks: Blocks,
  base: number,
  level: number,
  distance: number,
  words: Int32Array,
  bits: number,
): number {
  const { blockWords } = blocks
  const head = blockWords[base]!
  const count = head >>> 26
  const shift = (head >>> 20) & 31
  const span = head & 1023
  let length = (head >>> 10) & 1023
  if (bits < length || bits > length + span) return NOT_FOUND
  const known = (level + 1) * 32
  let walk = base * 32 + 32 + count * FINGER_BITS
  const flags = walk + count + span
  let tail = (head & OTHERS_FLAG) === 0 ? flags : flags + count
  let name = 0
  // Each turn passes a run of zeros and a run of ones, names of one length; names or bits run out.
  while (name < count) {
    const window = read32(blockWords, walk)
    const zeros = Math.clz32(window)
    length += zeros
    if (length > bits) return NOT_FOUND
    const names = Math.clz32(~(window << zeros))
    const tailBits = shift + (length > known ? length - known : 0)
    if (length === bits) {
      const end = Math.min(count, name + names)
      for (; name < end; name++) {
        if (isEqual(blockWords, base, name, tail, shift, level, distance, words, bits)) {
          return (head & OTHERS_FLAG) === 0 ? 0 : otherValue(blocks, base, flags, name)
        }
        tail += tailBits
      }
    } else {
      name += names
      tail += names * tailBits
    }
    walk += zeros + names
  }
  return NOT_FOUND
}

function fingerAt(words: Uint32Array, base: number, name: number): number {
  return (words[base + 1 + (name >>> 2)]! >>> (24 - (name & 3) * 8)) & FINGER_MASK
}

/**
 * Compares finger and tail: the upper bits of the distance, then the code from the next word on.
 */
function isEqual(
  blockWords: Uint32Array,
  base: number,
  name: number,
  start: number,
  shift: number,
  level: number,
  distance: number,
  words: Int32Array,
  bits: number,
): boolean {
  if (fingerAt(blockWords, base, name) !== (distance & FINGER_MASK)) return false
  if (readBits(blockWords, start, shift) !== distance >>> FINGER_BITS) return false
  let tail = start + shift
  let rest = bits - (level + 1) * 32
  for (let index = level + 1; rest > 0; index++) {
    const difference = read32(blockWords, tail) ^ words[index]!
    if ((rest >= 32 ? difference : difference >>> (32 - rest)) !== 0) return false
    tail += 32
    rest -= 32
  }
  return true
}

/** Reads the value of a name in a block that has other values than value 0. */
function otherValue(blocks: Blocks, base: number, flags: number, name: number): number {
  const { blockWords, valueBits } = blocks
  if (readBits(blockWords, flags + name, 1) === 0) return 0
  let rank = 1
  for (let index = 0; index < name && index < BLOCK_NAMES_MAX; index++) {
    rank += readBits(blockWords, flags + index, 1)
  }
  const value = readBits(blockWords, base * 32 + BLOCK_BITS - rank * valueBits, valueBits) + 1
  return value < blocks.valueCount ? value * VALUE_FIELDS : NOT_FOUND
}
