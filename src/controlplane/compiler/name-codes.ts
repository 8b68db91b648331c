/** The bit strings of all names, and their order. */

import type { CodeModel } from '../../trie/code-model.ts'
import type { Dictionary } from '../../trie/dictionary.ts'
import {
  CODE_BITS_MAX,
  ROW_TRANSITIONS_SHIFT,
  TRANSITION_CODE_MASK,
  TRANSITION_CODE_SHIFT,
  TRANSITION_LENGTH_MASK,
  TRANSITION_ROW_SHIFT,
} from '../../trie/layout.ts'
import type { SuffixChoice } from './choose-suffixes.ts'
import type { CodedNames } from './symbol-sequences.ts'

/** The codes, by sequence number. */
export interface NameCodes {
  /** Words of all codes, each code's last one filled up with zeros. */
  readonly words: Uint32Array
  /** First word of each code. */
  readonly starts: Uint32Array
  /** Bits of each code; 0 for a code that is too long to be kept. */
  readonly bits: Uint16Array
}

/** Codes every sequence, by the same tables that a lookup uses. */
export function codeNames(
  coded: CodedNames,
  choice: SuffixChoice,
  model: CodeModel,
  dictionary: Dictionary,
): NameCodes {
  const count = coded.indexOf.length
  const starts = new Uint32Array(count)
  const bits = new Uint16Array(count)
  let words = new Uint32Array(1024 + count * 2)
  let at = 0
  for (let sequence = 0; sequence < count; sequence++) {
    const first = coded.starts[sequence]!
    const end = coded.starts[sequence + 1]!
    if (at + (end - first) / 2 + 8 > words.length) {
      const wider = new Uint32Array(words.length * 2)
      wider.set(words)
      words = wider
    }
    starts[sequence] = at
    const node = choice.nodeOf[coded.indexOf[sequence]!]!
    const length = codeName(coded.flat, first, end, node, model, dictionary, words, at)
    if (length > CODE_BITS_MAX) continue
    bits[sequence] = length
    at += (length + 31) >>> 5
  }
  return { words, starts, bits }
}

/** Writes one code at `at`; returns its bits. */
function codeName(
  flat: Uint8Array,
  first: number,
  end: number,
  node: number,
  { transitions, startRow }: CodeModel,
  dictionary: Dictionary,
  words: Uint32Array,
  at: number,
): number {
  let bits = dictionary.codeBits[node]!
  let word = dictionary.codes[node]! << (32 - bits)
  let write = at
  let row = startRow
  for (let index = first; index < end; index++) {
    const transition = transitions[row + flat[index]!]!
    const length = transition & TRANSITION_LENGTH_MASK
    const code = (transition >>> TRANSITION_CODE_SHIFT) & TRANSITION_CODE_MASK
    row = (transition >>> TRANSITION_ROW_SHIFT) << ROW_TRANSITIONS_SHIFT
    const free = 32 - (bits & 31)
    bits += length
    if (length < free) {
      word |= code << (free - length)
    } else {
      words[write++] = word | (code >>> (length - free))
      word = length === free ? 0 : code << (32 - (length - free))
    }
  }
  words[write] = word
  return bits
}

/** Returns the numbers of the kept codes in order: by bits, a prefix before what it begins. */
export function sortCodes(codes: NameCodes): Uint32Array {
  const { words, starts, bits } = codes
  let order = new Uint32Array(bits.length)
  let count = 0
  for (let sequence = 0; sequence < bits.length; sequence++) {
    if (bits[sequence]! > 0) order[count++] = sequence
  }
  order = order.subarray(0, count)
  // By the first word: two passes of counting sort, 16 bits each.
  for (const shift of [0, 16]) {
    const places = new Uint32Array(0x1_0001)
    for (const sequence of order) places[((words[starts[sequence]!]! >>> shift) & 0xffff) + 1]!++
    for (let key = 0; key < 0x1_0000; key++) places[key + 1]! += places[key]!
    const sorted = new Uint32Array(count)
    for (const sequence of order) {
      sorted[places[(words[starts[sequence]!]! >>> shift) & 0xffff]!++] = sequence
    }
    order = sorted
  }
  let first = 0
  for (let end = 1; end <= count; end++) {
    if (end < count && words[starts[order[end]!]!] === words[starts[order[first]!]!]) continue
    if (end - first > 1) order.subarray(first, end).sort((a, b) => compareCodes(codes, a, b))
    first = end
  }
  return order
}

function compareCodes({ words, starts, bits }: NameCodes, a: number, b: number): number {
  const shared = (Math.min(bits[a]!, bits[b]!) + 31) >>> 5
  for (let index = 1; index < shared; index++) {
    const difference = words[starts[a]! + index]! - words[starts[b]! + index]!
    if (difference !== 0) return difference
  }
  return compareRest({ words, starts, bits }, a, b, shared) || bits[a]! - bits[b]!
}

/** Words past the shorter code count as 0 for it. */
function compareRest(
  { words, starts, bits }: NameCodes,
  a: number,
  b: number,
  shared: number,
): number {
  const longer = bits[a]! > bits[b]! ? a : b
  const end = (bits[longer]! + 31) >>> 5
  for (let index = shared; index < end; index++) {
    if (words[starts[longer]! + index] !== 0) return longer === a ? 1 : -1
  }
  return 0
}

/** The word of a code at `level`, 0 past its end. */
export function wordAt({ words, starts, bits }: NameCodes, name: number, level: number): number {
  return level * 32 < bits[name]! ? words[starts[name]! + level]! : 0
}
