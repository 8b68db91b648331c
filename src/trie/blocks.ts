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
  VALUE_FIELDS,
} from './layout.ts'

export const NOT_FOUND = -1

/** A binary search over 2^31 entries ends after this many steps. */
const SEARCH_STEPS_MAX = 32
const FINGER_WORDS = BLOCK_NAMES / 4
const FINGER_MASK = 255
/** Bits that the walk over the code lengths of a record takes at most. */
const LENGTHS_BITS_MAX = RECORD_LENGTH_MASK + BLOCK_NAMES
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
  /** Four fingers a word; a block's unused places hold copies of its first finger. */
  readonly fingers: Uint32Array
  /** First bit of each block's record. */
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
  const directory = new Uint32Array(2 ** bits + 1)
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

/** Whether a name of its root block can begin with the 32 bits `word`; "yes" may be wrong. */
export function reachesBlock(blocks: Blocks, block: number, word: number): boolean {
  const order = orderOf(word)
  const head = blocks.heads[block]!
  return head <= order && hasFinger(blocks.fingers, block, fingerOf(order - head, 0))
}

/**
 * What a finger's distance octet is mixed with: a hash of all that stands elsewhere in the record,
 * so that the fingers of names that are alike differ.
 *
 * @param upper the distance without its lower 8 bits.
 * @param endedBits the code's length when it ends in this word, else 0.
 */
export function fingerMix(upper: number, endedBits: number): number {
  return Math.imul(upper ^ Math.imul(endedBits, 0x85eb_ca6b), 0x9e37_79b1) >>> 24
}

/** The finger of a code at some distance from the head. */
function fingerOf(distance: number, endedBits: number): number {
  return (distance & FINGER_MASK) ^ fingerMix(distance >>> FINGER_BITS, endedBits)
}

/** Whether some name of the block has the finger. */
function hasFinger(fingers: Uint32Array, block: number, finger: number): boolean {
  const pattern = Math.imul(finger, ONES)
  const first = block * FINGER_WORDS
  let found = 0
  // Without a branch: not 0 when some octet of a difference is 0.
  for (let index = 0; index < FINGER_WORDS; index++) {
    const difference = fingers[first + index]! ^ pattern
    found |= (difference - ONES) & ~difference & HIGHS
  }
  return found !== 0
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
    const finger = fingerOf(distance, bits < (level + 1) * 32 ? bits : 0)
    // A block that stands for a run has the same fingers as a code that goes on: distance 0.
    if (!hasFinger(fingers, block, finger) && distance !== 0) return NOT_FOUND
    const record = recordStarts[block]!
    if (read32(records, record) !== 0) {
      return findInRecord(blocks, block, finger, level, distance, words, bits)
    }
    if (distance !== 0) return NOT_FOUND
    const first = readBits(records, record + 32, 32)
    const last = first + readBits(records, record + 64, 32) - 1
    const next = (level + 1) * 32 < bits ? words[level + 1]! : 0
    block = searchHeads(heads, first, last, orderOf(next))
  }
  return NOT_FOUND
}

/** Compares the code with the names of one block that have its length. */
function findInRecord(
  blocks: Blocks,
  block: number,
  finger: number,
  level: number,
  distance: number,
  words: Int32Array,
  bits: number,
): number {
  const { fingers, records } = blocks
  const start = blocks.recordStarts[block]!
  const head = read32(records, start)
  const shortest = (head >>> RECORD_SHORTEST_SHIFT) & RECORD_LENGTH_MASK
  const span = head & RECORD_LENGTH_MASK
  if (bits < shortest || bits > shortest + span) return NOT_FOUND
  const count = head >>> RECORD_COUNT_SHIFT
  const shift = (head >>> RECORD_SHIFT_SHIFT) & RECORD_SHIFT_MASK
  const uppers = start + RECORD_HEAD_BITS
  const lengths = uppers + count * shift
  const at = skipZeros(records, lengths, bits - shortest)
  // The names of this length; those before it are the ones passed on the way.
  const sameLength = Math.clz32(~read32(records, at))
  const first = at - lengths - (bits - shortest)
  const end = Math.min(count, first + sameLength)
  for (let name = first; name < end; name++) {
    const held = fingers[block * FINGER_WORDS + (name >>> 2)]! >>> ((name & 3) * FINGER_BITS)
    if ((held & FINGER_MASK) !== finger) continue
    if (readBits(records, uppers + name * shift, shift) !== distance >>> FINGER_BITS) continue
    const known = (level + 1) * 32
    const own = (name - first) * Math.max(0, bits - known)
    const tail = own + tailBits(records, lengths, shortest - known, bits - shortest)
    const value = valueIfEqual(blocks, start, name, tail, known, words, bits)
    if (value !== NOT_FOUND) return value
  }
  return NOT_FOUND
}

/** Returns the place behind the first `zeros` zeros from bit `start` on. */
function skipZeros(records: Uint32Array, start: number, zeros: number): number {
  let at = start
  let left = zeros
  // Whole words first.
  while (left > 0 && at < start + LENGTHS_BITS_MAX) {
    const window = read32(records, at)
    const inWindow = 32 - countBits(window)
    if (inWindow >= left) return at + placeOfZero(window, left)
    left -= inWindow
    at += 32
  }
  return at
}

/** Returns the place behind zero number `zeros` (from 1) of a window that has as many. */
function placeOfZero(window: number, zeros: number): number {
  let place = 0
  let left = zeros
  let run = Math.clz32(window)
  while (run < left && place < 32) {
    left -= run
    place += run
    place += Math.clz32(~(window << place))
    run = Math.clz32(window << place)
  }
  return place + left
}

/**
 * Returns the bits of the tails of all names shorter than the asked one.
 *
 * @param lengths where the walk over the lengths begins.
 * @param shortestTail bits of the shortest code less those known from head and finger, maybe below
 *   0.
 * @param zeros how much longer the asked code is than the shortest.
 */
function tailBits(
  records: Uint32Array,
  lengths: number,
  shortestTail: number,
  zeros: number,
): number {
  let at = lengths
  let own = shortestTail
  let sum = 0
  for (let left = zeros; left > 0;) {
    const window = read32(records, at)
    // Ones, then the zeros behind them: names of one length, and how much longer the next ones are.
    const names = Math.clz32(~window)
    const run = names === 32 ? 0 : Math.clz32(window << names)
    const longer = Math.min(run, 32 - names)
    if (own > 0) sum += names * own
    own += longer
    left -= longer
    at += names + longer
  }
  return sum
}

/** Compares the tail of one name of a record; returns its value's offset when equal. */
function valueIfEqual(
  blocks: Blocks,
  start: number,
  name: number,
  tail: number,
  known: number,
  words: Int32Array,
  bits: number,
): number {
  const { records, valueBits } = blocks
  const head = read32(records, start)
  const count = head >>> RECORD_COUNT_SHIFT
  const shift = (head >>> RECORD_SHIFT_SHIFT) & RECORD_SHIFT_MASK
  const flags = start + RECORD_HEAD_BITS + count * (shift + 1) + (head & RECORD_LENGTH_MASK)
  if ((head & RECORD_OTHERS_FLAG) === 0) {
    return isTail(records, flags + tail, known, words, bits) ? 0 : NOT_FOUND
  }
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
