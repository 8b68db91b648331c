/** The blocks of an opened image: name codes, sorted, two cache lines a block (see the layout). */

import { read32, readBits } from './bits.ts'
import { BLOCK_BITS, BLOCK_NAMES_MAX, BLOCK_WORDS, LEVELS_MAX, VALUE_FIELDS } from './layout.ts'

export const NOT_FOUND = -1

/** A binary search over 2^31 entries ends after this many steps. */
const SEARCH_STEPS_MAX = 32
/** Octets 1 in every octet of a word. */
const ONES = 0x0101_0101
const HIGHS = 0x8080_8080

/** What an opened image keeps of its blocks. */
export interface BlockSections {
  /** First 32 bits of each block's first name; the blocks of the first level come first. */
  readonly heads: Uint32Array
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
    const lowest = cell * 2 ** directoryShift
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
 * Returns the last block from `low` to `high` whose head is not greater than `word`; `low` else.
 */
function searchHeads(heads: Uint32Array, low: number, high: number, word: number): number {
  let first = low
  let last = high
  for (let step = 0; step < SEARCH_STEPS_MAX && first < last; step++) {
    const middle = (first + last + 1) >>> 1
    if (heads[middle]! <= word) first = middle
    else last = middle - 1
  }
  return first
}

function rootBlock(blocks: Blocks, word: number): number {
  const { directory } = blocks
  const cell = word >>> blocks.directoryShift
  return searchHeads(blocks.heads, directory[cell]!, directory[cell + 1]!, word)
}

/** Whether any stored name can begin with the 32 bits `word`; false positives are possible. */
export function reachesBlocks(blocks: Blocks, word: number): boolean {
  const block = rootBlock(blocks, word)
  const distance = word - blocks.heads[block]!
  if (!(distance >= 0)) return false
  const base = block * BLOCK_WORDS
  const head = blocks.blockWords[base]!
  const count = head >>> 26
  if (count === 0) return distance === 0
  return fingerAt(blocks.blockWords, base, count, 0, fingerOf(head, distance)) !== NOT_FOUND
}

/** The upper bits of a distance; above 255 when the distance is beyond the block. */
function fingerOf(head: number, distance: number): number {
  return distance >>> ((head >>> 20) & 31)
}

/** Returns the first name from number `from` on whose finger octet is `finger`, or `NOT_FOUND`. */
function fingerAt(
  words: Uint32Array,
  base: number,
  count: number,
  from: number,
  finger: number,
): number {
  if (finger > 255) return NOT_FOUND
  const pattern = Math.imul(finger, ONES)
  for (let index = from & ~3; index < count; index += 4) {
    const difference = words[base + 1 + (index >>> 2)]! ^ pattern
    if (((difference - ONES) & ~difference & HIGHS) === 0) continue
    for (let octet = 0; octet < 4; octet++) {
      if (((difference >>> (24 - octet * 8)) & 255) !== 0) continue
      if (index + octet >= from && index + octet < count) return index + octet
    }
  }
  return NOT_FOUND
}

/** Returns the offset of the value of the stored name whose code is `words`, or `NOT_FOUND`. */
export function findInBlocks(blocks: Blocks, words: Uint32Array, bits: number): number {
  const { heads, blockWords } = blocks
  let block = rootBlock(blocks, words[0]!)
  for (let level = 0; level < LEVELS_MAX; level++) {
    const word = level * 32 < bits ? words[level]! : 0
    const distance = word - heads[block]!
    if (!(distance >= 0)) return NOT_FOUND
    const base = block * BLOCK_WORDS
    const head = blockWords[base]!
    const count = head >>> 26
    if (count > 0) {
      const finger = fingerOf(head, distance)
      let name = fingerAt(blockWords, base, count, 0, finger)
      while (name !== NOT_FOUND) {
        const value = valueIfEqual(blocks, base, name, level, distance, words, bits)
        if (value !== NOT_FOUND) return value
        name = fingerAt(blockWords, base, count, name + 1, finger)
      }
      return NOT_FOUND
    }
    if (distance !== 0) return NOT_FOUND
    const first = blockWords[base + 1]!
    const last = first + blockWords[base + 2]! - 1
    const next = (level + 1) * 32 < bits ? words[level + 1]! : 0
    block = searchHeads(heads, first, last, next)
  }
  return NOT_FOUND
}

/**
 * Compares name number `name` of the block with the code; returns its value's offset when equal.
 */
function valueIfEqual(
  blocks: Blocks,
  base: number,
  name: number,
  level: number,
  distance: number,
  words: Uint32Array,
  bits: number,
): number {
  const { blockWords } = blocks
  const head = blockWords[base]!
  const count = head >>> 26
  const shift = (head >>> 20) & 31
  const start = base * 32
  const known = (level + 1) * 32
  let at = start + 32 + count * 8
  let length = (head >>> 10) & 1023
  let tail = at + count + (head & 1023)
  const others = (head >>> 25) & 1
  if (others === 1) tail += count
  for (let index = 0; ; index++) {
    // At most `span` zeros in all, 640 at the worst; a run of 32 is read again.
    const zeros = Math.clz32(read32(blockWords, at))
    at += zeros
    length += zeros
    if (zeros === 32) {
      if (length > 2048) return NOT_FOUND
      index--
      continue
    }
    at++
    if (index === name) break
    tail += shift + (length > known ? length - known : 0)
  }
  if (length !== bits) return NOT_FOUND
  const low = readBits(blockWords, tail, shift)
  if (low !== (distance & ((1 << shift) - 1))) return NOT_FOUND
  tail += shift
  for (let done = known, index = level + 1; done < bits; done += 32, index++) {
    const difference = read32(blockWords, tail) ^ words[index]!
    const rest = bits - done
    if ((rest >= 32 ? difference : difference >>> (32 - rest)) !== 0) return NOT_FOUND
    tail += 32
  }
  return others === 0 ? 0 : otherValue(blocks, base, count, name, head & 1023)
}

/** Reads the value of a name in a block that has other values than value 0. */
function otherValue(
  blocks: Blocks,
  base: number,
  count: number,
  name: number,
  span: number,
): number {
  const { blockWords, valueBits } = blocks
  const flags = base * 32 + 32 + count * 9 + span
  if (readBits(blockWords, flags + name, 1) === 0) return 0
  let rank = 1
  for (let index = 0; index < name && index < BLOCK_NAMES_MAX; index++) {
    rank += readBits(blockWords, flags + index, 1)
  }
  const value = readBits(blockWords, base * 32 + BLOCK_BITS - rank * valueBits, valueBits) + 1
  return value < blocks.valueCount ? value * VALUE_FIELDS : NOT_FOUND
}
