/** All names of an image, one by one: for people, statistics and tests, never for a query. */

import { countBits, read32, readBits } from './bits.ts'
import { firstMix, secondMix } from './blocks.ts'
import type { CodeModel } from './code-model.ts'
import type { Dictionary } from './dictionary.ts'
import {
  BLOCK_NAMES,
  CODE_WORDS_MAX,
  FINGER_BITS,
  FINGERS_OCTETS,
  LEVELS_MAX,
  RECORD_HEAD_BITS,
  ROW_TRANSITIONS_SHIFT,
  START_MASK,
  SYMBOL_BOUNDARY,
  TRANSITION_CODE_MASK,
  TRANSITION_CODE_SHIFT,
  TRANSITION_LENGTH_MASK,
  TRANSITION_ROW_SHIFT,
  VALUE_BELOW,
  VALUE_BELOW_LIST,
  VALUE_FIELDS,
  VALUE_SELF,
  VALUE_SELF_LIST,
} from './layout.ts'
import type { Trie } from './open.ts'

/** One stored name. */
export interface StoredName {
  /** The wire name, lower case, root octet included. */
  readonly name: Uint8Array
  /** Category bits and winning list (index into `trie.lists`, -1 for none) of the name itself. */
  readonly self: number
  readonly selfList: number
  /** The same for all names below it that no longer stored name covers. */
  readonly below: number
  readonly belowList: number
}

/** Yields every stored name: dictionary, blocks, plain names; the same order for the same image. */
export function* storedNames(trie: Trie): Generator<StoredName> {
  const { dictionary, plain } = trie
  for (let node = 1; node < dictionary.nodes; node++) {
    const value = dictionary.values[node]!
    if (value >= 0) yield storedName(trie, suffixOf(dictionary, node), value)
  }
  yield* namesInBlocks(trie)
  for (const start of plain.starts) {
    const value = (plain.octets[start]! | (plain.octets[start + 1]! << 8)) * VALUE_FIELDS
    let end = start + 2
    while (plain.octets[end]! !== 0) end += plain.octets[end]! + 1
    yield storedName(trie, plain.octets.slice(start + 2, end + 1), value)
  }
}

function storedName({ values }: Trie, name: Uint8Array, value: number): StoredName {
  return {
    name,
    self: values[value + VALUE_SELF]!,
    selfList: values[value + VALUE_SELF_LIST]!,
    below: values[value + VALUE_BELOW]!,
    belowList: values[value + VALUE_BELOW_LIST]!,
  }
}

/** The wire name of a dictionary node. */
function suffixOf({ labels, octets, parents }: Dictionary, node: number): Uint8Array {
  const parts: Uint8Array[] = []
  for (let at = node; at !== 0; at = parents[at]!) {
    const start = labels[at]!
    parts.push(octets.subarray(start, start + 1 + octets[start]!))
  }
  return Buffer.concat([...parts, Uint8Array.of(0)])
}

/** Blocks still to be read: they share `level` words, which a code begins with. */
interface BlockRun {
  readonly first: number
  readonly end: number
  readonly level: number
  readonly prefix: readonly number[]
}

function* namesInBlocks(trie: Trie): Generator<StoredName> {
  const { heads, records, recordStarts, rootBlocks } = trie.blocks
  const decoder = new CodeDecoder(trie.dictionary, trie.model)
  const runs: BlockRun[] = [{ first: 0, end: rootBlocks, level: 0, prefix: [] }]
  for (let run = runs.pop(); run !== undefined; run = runs.pop()) {
    const { first, end, level, prefix } = run
    for (let block = first; block < end && block < heads.length; block++) {
      const record = recordStarts[block]! & START_MASK
      if (read32(records, record) !== 0) {
        yield* namesInBlock(trie, decoder, block, level, prefix)
      } else if (level + 1 < LEVELS_MAX) {
        const below = readBits(records, record + 32, 32)
        const last = below + readBits(records, record + 64, 32)
        // Runs lie behind the block that stands for them, so the walk ends.
        if (below <= block) continue
        const word = heads[block]! ^ 0x8000_0000
        runs.push({ first: below, end: last, level: level + 1, prefix: [...prefix, word] })
      }
    }
  }
}

function* namesInBlock(
  trie: Trie,
  decoder: CodeDecoder,
  block: number,
  level: number,
  prefix: readonly number[],
): Generator<StoredName> {
  const { heads, fingers, records, recordStarts, valueBits, valueCount } = trie.blocks
  const start = recordStarts[block]! & START_MASK
  const count = readBits(records, start, 6)
  const hasOthers = readBits(records, start + 6, 1) === 1
  const shift = readBits(records, start + 7, 5)
  let length = readBits(records, start + 12, 10)
  const span = readBits(records, start + 22, 10)
  const lengthMax = length + span
  const uppers = start + RECORD_HEAD_BITS
  let walk = uppers + count * shift
  const flags = walk + count + span
  const marks = hasOthers ? readBits(records, flags, count) : 0
  let valueAt = flags + (hasOthers ? count : 0)
  let tail = valueAt + countBits(marks) * valueBits
  const words = new Uint32Array(CODE_WORDS_MAX + 2)
  words.set(prefix)
  for (let index = 0; index < count; index++) {
    while (readBits(records, walk, 1) === 0 && length < lengthMax) {
      walk++
      length++
    }
    walk++
    words.fill(0, level)
    for (let at = level + 1, left = length - at * 32; left > 0 && at < words.length; left -= 32) {
      const bits = Math.min(32, left)
      words[at++] = readBits(records, tail, bits) << (32 - bits)
      tail += bits
    }
    const upper = readBits(records, uppers + index * shift, shift)
    const mix = secondMix(words, 0, level, length, upper)
    const second = fingerAt(fingers, block * FINGERS_OCTETS + BLOCK_NAMES + index) ^ mix
    const above = upper * 2 ** FINGER_BITS + second
    const first = fingerAt(fingers, block * FINGERS_OCTETS + index) ^ firstMix(above)
    words[level] = (heads[block]! ^ 0x8000_0000) + above * 2 ** FINGER_BITS + first
    let value = 0
    if (((marks >>> (count - 1 - index)) & 1) === 1) {
      value = readBits(records, valueAt, valueBits) + 1
      valueAt += valueBits
    }
    yield storedName(trie, decoder.decode(words, length), (value % valueCount) * VALUE_FIELDS)
  }
}

function fingerAt(fingers: Uint32Array, place: number): number {
  return (fingers[place >>> 2]! >>> ((place & 3) * FINGER_BITS)) & 255
}

/** Turns codes back into names. */
class CodeDecoder {
  readonly #dictionary: Dictionary
  readonly #model: CodeModel
  /** Node by code, the code marked by a 1 in front of it. */
  readonly #nodes = new Map<number, number>()

  constructor(dictionary: Dictionary, model: CodeModel) {
    this.#dictionary = dictionary
    this.#model = model
    for (let node = 0; node < dictionary.nodes; node++) {
      const bits = dictionary.codeBits[node]!
      if (bits > 0) this.#nodes.set(2 ** bits + dictionary.codes[node]!, node)
    }
  }

  decode(words: Uint32Array, bits: number): Uint8Array {
    let marked = 1
    let at = 0
    while (at < bits && !this.#nodes.has(marked)) {
      marked = marked * 2 + readBits(words, at++, 1)
    }
    const suffix = suffixOf(this.#dictionary, this.#nodes.get(marked) ?? 0)
    const labels: Uint8Array[] = []
    let label: number[] = []
    let row = this.#model.startRow
    while (at < bits) {
      const symbol = this.#symbolAt(row, words, at)
      if (symbol < 0) break
      const transition = this.#model.transitions[row + symbol]!
      at += transition & TRANSITION_LENGTH_MASK
      row = (transition >>> TRANSITION_ROW_SHIFT) << ROW_TRANSITIONS_SHIFT
      if (symbol === SYMBOL_BOUNDARY) {
        labels.unshift(Uint8Array.of(label.length, ...label))
        label = []
      } else {
        label.push(this.#model.alphabet[symbol - 1]!)
      }
    }
    labels.unshift(Uint8Array.of(label.length, ...label))
    return Buffer.concat([...labels, suffix])
  }

  /** Returns the symbol whose code stands at bit `at`, -1 when there is none. */
  #symbolAt(row: number, words: Uint32Array, at: number): number {
    const { transitions, symbols } = this.#model
    for (let symbol = 0; symbol < symbols; symbol++) {
      const transition = transitions[row + symbol]!
      if (transition === 0) continue
      const code = (transition >>> TRANSITION_CODE_SHIFT) & TRANSITION_CODE_MASK
      if (readBits(words, at, transition & TRANSITION_LENGTH_MASK) === code) return symbol
    }
    return -1
  }
}
