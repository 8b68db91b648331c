/** The blocks of an opened image: name codes, sorted, 32 names a block (see the layout). */

import { countBits, read32, readBits } from './bits.ts'
import {
  BLOCK_NAMES,
  FINGER_BITS,
  LEVELS_MAX,
  RECORD_COUNT_SHIFT,
  RECORD_HEAD_BITS,
  RECORD_LENGTH_MASK,
  RECORD_OTHERS_FLAG,
  RECORD_SHIFT_MASK,
  RECORD_SHIFT_SHIFT,
  RECORD_SHORTEST_SHIFT,
  START_DEEP_FLAG,
  START_MASK,
  VALUE_FIELDS,
} from './layout.ts'
import { createWords } from './shared.ts'

export const NOT_FOUND = -1

/** A binary search over 2^31 entries ends after this many steps. */
const SEARCH_STEPS_MAX = 32
/** Words of the first, and of the second, fingers of a block. */
const FINGER_WORDS = BLOCK_NAMES / 4
const FINGER_MASK = 255
/** The lowest and the highest bit of every octet of a word. */
const ONES = 0x0101_0101
const HIGHS = 0x8080_8080

/** What an opened image keeps of its blocks. */
export interface BlockSections {
  /**
   * First 32 bits of each block's first name, the highest one inverted: signed integers in the
   * order of the bits. The blocks of the first level come first.
   */
  readonly heads: Int32Array
  /** Blocks of the first level. */
  readonly rootBlocks: number
  /** Four fingers a word, 8 words of first ones and 8 of second ones a block. */
  readonly fingers: Uint32Array
  /** First bit of each block's record, and `START_DEEP_FLAG`. */
  readonly recordStarts: Uint32Array
  readonly records: Uint32Array
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

/**
 * Makes the directory: one entry for two blocks, roughly, so that a search ends after few steps.
 */
export function openBlocks(sections: BlockSections): Blocks {
  const { heads, rootBlocks } = sections
  const bits = Math.max(1, Math.ceil(Math.log2(rootBlocks + 2)) - 1)
  const directoryShift = 32 - bits
  const directory = createWords(2 ** bits + 1)
  let block = 0
  for (let cell = 0; cell < directory.length - 1; cell++) {
    const lowest = orderOf(cell << directoryShift)
    while (block + 1 < rootBlocks && heads[block + 1]! <= lowest) block++
    directory[cell] = block
  }
  directory[directory.length - 1] = Math.max(0, rootBlocks - 1)
  return { ...sections, directory, directoryShift }
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

/**
 * Whether a name of the block has more than one label in front of its dictionary suffix: when none
 * has, there is no need to code the labels farther left.
 */
export function isDeep(blocks: Blocks, block: number): boolean {
  return (blocks.recordStarts[block]! & START_DEEP_FLAG) !== 0
}

/** Whether a name of its root block can begin with the 32 bits `word`; "yes" may be wrong. */
export function reachesBlock(blocks: Blocks, block: number, word: number): boolean {
  const order = orderOf(word)
  const head = blocks.heads[block]!
  if (!(head <= order)) return false
  const pattern = Math.imul(firstFinger((order - head) | 0), ONES)
  const first = block * FINGER_WORDS * 2
  const { fingers } = blocks
  let found = 0
  // Without a branch: not 0 when some octet of a difference is 0.
  for (let index = 0; index < FINGER_WORDS; index++) {
    const difference = fingers[first + index]! ^ pattern
    found |= (difference - ONES) & ~difference & HIGHS
  }
  return found !== 0
}

/** The lowest 8 bits of a distance, mixed with those above. */
export function firstFinger(distance: number): number {
  return (distance & FINGER_MASK) ^ firstMix(distance >>> FINGER_BITS)
}

/** What the lowest 8 bits of a distance are mixed with, from the bits above. */
export function firstMix(above: number): number {
  return Math.imul(above, 0x9e37_79b1) >>> 24
}

/**
 * What the next 8 bits of a distance are mixed with, from the rest of the code.
 *
 * @param upper the distance without its lower 16 bits.
 */
export function secondMix(
  words: Int32Array | Uint32Array,
  start: number,
  level: number,
  bits: number,
  upper: number,
): number {
  let hash = Math.imul(upper ^ Math.imul(bits, 0x85eb_ca6b), 0x9e37_79b1)
  const last = (bits - 1) >>> 5
  for (let index = level + 1; index <= last; index++) {
    hash = Math.imul(hash ^ (hash >>> 15) ^ words[start + index]!, 0x2c1b_3c6d)
  }
  return hash >>> 24
}

/** Returns the first name from number `from` on that has both fingers, or `NOT_FOUND`. */
function matchFingers(
  fingers: Uint32Array,
  block: number,
  from: number,
  one: number,
  two: number,
): number {
  const onePattern = Math.imul(one, ONES)
  const twoPattern = Math.imul(two, ONES)
  const first = block * FINGER_WORDS * 2
  for (let index = from >>> 2; index < FINGER_WORDS; index++) {
    const difference = fingers[first + index]! ^ onePattern
    const marks = (difference - ONES) & ~difference & HIGHS
    if (marks === 0) continue
    const other = fingers[first + FINGER_WORDS + index]! ^ twoPattern
    if ((marks & (other - ONES) & ~other) === 0) continue
    for (let octet = 0; octet < 4; octet++) {
      const both = ((difference | other) >>> (octet * 8)) & FINGER_MASK
      if (both === 0 && index * 4 + octet >= from) return index * 4 + octet
    }
  }
  return NOT_FOUND
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
  const { heads, fingers, records, recordStarts } = blocks
  let block = root
  for (let level = 0; level < LEVELS_MAX; level++) {
    const order = orderOf(level * 32 < bits ? words[level]! : 0)
    const head = heads[block]!
    if (!(head <= order)) return NOT_FOUND
    const distance = (order - head) | 0
    const record = recordStarts[block]! & START_MASK
    if (distance === 0 && read32(records, record) === 0) {
      const first = readBits(records, record + 32, 32)
      const last = first + readBits(records, record + 64, 32) - 1
      const next = (level + 1) * 32 < bits ? words[level + 1]! : 0
      block = searchHeads(heads, first, last, orderOf(next))
      continue
    }
    const one = firstFinger(distance)
    const mix = secondMix(words, 0, level, bits, distance >>> (FINGER_BITS * 2))
    const two = ((distance >>> FINGER_BITS) & FINGER_MASK) ^ mix
    let name = matchFingers(fingers, block, 0, one, two)
    while (name !== NOT_FOUND) {
      const value = findInRecord(blocks, block, name, level, distance, words, bits)
      if (value !== NOT_FOUND) return value
      name = matchFingers(fingers, block, name + 1, one, two)
    }
    return NOT_FOUND
  }
  return NOT_FOUND
}

/** Compares one name of a block with the code; returns its value's offset when they are equal. */
function findInRecord(
  blocks: Blocks,
  block: number,
  name: number,
  level: number,
  distance: number,
  words: Int32Array,
  bits: number,
): number {
  const { records } = blocks
  const start = blocks.recordStarts[block]! & START_MASK
  const head = read32(records, start)
  const count = head >>> RECORD_COUNT_SHIFT
  const shift = (head >>> RECORD_SHIFT_SHIFT) & RECORD_SHIFT_MASK
  const uppers = start + RECORD_HEAD_BITS
  const upper = distance >>> (FINGER_BITS * 2)
  if (name >= count || readBits(records, uppers + name * shift, shift) !== upper) return NOT_FOUND
  const known = (level + 1) * 32
  let length = (head >>> RECORD_SHORTEST_SHIFT) & RECORD_LENGTH_MASK
  let at = uppers + count * shift
  const flags = at + count + (head & RECORD_LENGTH_MASK)
  let tail = 0
  // Each turn passes a run of zeros and a run of ones: the names of one length.
  for (let left = name; left >= 0 && at < flags;) {
    const window = read32(records, at)
    const zeros = Math.clz32(window)
    const names = Math.clz32(~(window << zeros))
    length += zeros
    if (length > known) tail += Math.min(names, left) * (length - known)
    at += zeros + names
    left -= names
  }
  if (length !== bits) return NOT_FOUND
  return valueIfEqual(blocks, head, flags, name, tail, known, words, bits)
}

/** Compares the tail of one name of a record; returns its value's offset when equal. */
function valueIfEqual(
  blocks: Blocks,
  head: number,
  flags: number,
  name: number,
  tail: number,
  known: number,
  words: Int32Array,
  bits: number,
): number {
  const { records, valueBits } = blocks
  if ((head & RECORD_OTHERS_FLAG) === 0) {
    return isTail(records, flags + tail, known, words, bits) ? 0 : NOT_FOUND
  }
  const count = head >>> RECORD_COUNT_SHIFT
  const marks = readBits(records, flags, count)
  const values = flags + count
  if (!isTail(records, values + countBits(marks) * valueBits + tail, known, words, bits)) {
    return NOT_FOUND
  }
  const upToName = marks >>> (count - 1 - name)
  if ((upToName & 1) === 0) return 0
  const value = readBits(records, values + (countBits(upToName) - 1) * valueBits, valueBits) + 1
  return value < blocks.valueCount ? value * VALUE_FIELDS : NOT_FOUND
}

/** Compares a code from bit `known` on. */
function isTail(
  records: Uint32Array,
  start: number,
  known: number,
  words: Int32Array,
  bits: number,
): boolean {
  let tail = start
  let rest = bits - known
  for (let index = known >>> 5; rest > 0; index++) {
    const difference = read32(records, tail) ^ words[index]!
    if ((rest >= 32 ? difference : difference >>> (32 - rest)) !== 0) return false
    tail += 32
    rest -= 32
  }
  return true
}
