/** Asks an opened image about a name: once per query, in place, without allocation. */

import {
  findInBlocks,
  isAtOrBehindHead,
  isDeep,
  NOT_FOUND,
  reachesBlock,
  rootBlock,
} from './blocks.ts'
import type { Blocks } from './blocks.ts'
import type { CodeModel } from './code-model.ts'
import { findChild, NO_NODE } from './dictionary.ts'
import type { Dictionary } from './dictionary.ts'
import { mayPass } from './door.ts'
import {
  CODE_BITS_MAX,
  CODE_WORDS_MAX,
  LABELS_MAX,
  ROW_TRANSITIONS_SHIFT,
  SYMBOL_BOUNDARY,
  TRANSITION_CODE_MASK,
  TRANSITION_CODE_SHIFT,
  TRANSITION_LENGTH_MASK,
  TRANSITION_ROW_SHIFT,
  VALUE_BELOW,
  VALUE_BELOW_LIST,
  VALUE_LEAF,
  VALUE_SELF,
  VALUE_SELF_LIST,
} from './layout.ts'
import type { Trie } from './open.ts'
import { findPlainName } from './plain-names.ts'
import type { PlainNames } from './plain-names.ts'
import { prependLabel, ROOT_HASH } from './suffix-hash.ts'

const NONE = -1
/** Codes shorter than a word, at two bits a label or more: a symbol and a boundary. */
const SHORT_MAX = 16
/** A binary search over 2^31 entries ends after this many steps. */
const SEARCH_STEPS_MAX = 32

/** Looks names up in one image. Holds scratch state: one per thread. */
export class Matcher {
  /** Whether some stored name covers the asked one; true as well when an exception opened it. */
  matched = false
  /** Offset in the message at which the matched stored name begins, -1 when none matched. */
  ruleStart = NONE
  /** Index into the image's lists of the list that decided, -1 when the name is not blocked. */
  list = NONE
  /** True when all names below the asked one are blocked for at least the same categories. */
  whole = false

  readonly #values: Int32Array
  readonly #openings: Uint32Array
  readonly #dictionary: Dictionary
  readonly #model: CodeModel
  readonly #blocks: Blocks
  readonly #door: Uint32Array
  readonly #plain: PlainNames
  /** The asked name's code so far, the last word filled up with zeros; one word to spare. */
  readonly #words = new Int32Array(CODE_WORDS_MAX + 2)
  /** Offset of each label, from the left, relative to the name. */
  readonly #labelStarts = new Uint8Array(LABELS_MAX)
  /**
   * Suffixes whose codes are shorter than a word, to be looked up all at once: they mostly stand in
   * the block that the longer codes lead to.
   */
  readonly #shortWords = new Int32Array(SHORT_MAX)
  readonly #shortBits = new Uint8Array(SHORT_MAX)
  readonly #shortLabels = new Uint8Array(SHORT_MAX)
  readonly #shortWord = new Int32Array(1)
  #shortCount = 0
  /** The longest stored suffix so far: offset of its value, and its first label. */
  #value = NONE
  #label = 0

  constructor(trie: Trie) {
    this.#values = trie.values
    this.#openings = trie.openings
    this.#dictionary = trie.dictionary
    this.#model = trie.model
    this.#blocks = trie.blocks
    this.#door = trie.door
    this.#plain = trie.plain
  }

  /**
   * Returns the categories that block the name at `nameStart`, 0 when none does.
   *
   * The name stands uncompressed and already validated, in any letter case: labels of 1 to 63
   * octets, 255 octets in all, ended by the root octet (RFC 1035 3.1).
   */
  find(message: Uint8Array, nameStart: number): number {
    this.matched = false
    this.ruleStart = NONE
    this.list = NONE
    this.whole = false
    this.#value = NONE
    const labelStarts = this.#labelStarts
    let labels = 0
    let at = nameStart
    for (let octet = message[at]!; octet !== 0 && labels < LABELS_MAX; octet = message[at]!) {
      labelStarts[labels++] = at - nameStart
      at += octet + 1
    }
    let node = 0
    let label = labels - 1
    for (; label >= 0; label--) {
      const child = findChild(this.#dictionary, node, message, nameStart + labelStarts[label]!)
      if (child === NO_NODE) break
      node = child
      const value = this.#dictionary.values[node]!
      if (value !== NONE && this.#isLastMatch(value, label)) {
        return this.#conclude(message, nameStart, labels)
      }
    }
    if (label >= 0 && mayPass(this.#door, node, message, nameStart + labelStarts[label]!)) {
      this.#shortCount = 0
      this.#walk(message, nameStart, label, node)
      if (this.#shortCount > 0) this.#findShort(NONE)
    }
    const plainMin = this.#plain.octetsMin
    if (this.#plain.count > 0 && at + 1 - nameStart >= plainMin) {
      this.#findPlain(message, nameStart, at + 1 - plainMin)
    }
    return this.#value === NONE ? 0 : this.#conclude(message, nameStart, labels)
  }

  /** Notes a match; returns true when no stored name lies below it. */
  #isLastMatch(value: number, label: number): boolean {
    this.#value = value
    this.#label = label
    return this.#values[value + VALUE_LEAF] === 1
  }

  /**
   * Codes the labels from `first` leftwards behind the dictionary's `node` and looks for a stored
   * name at each label's end, until no stored name starts with the bits so far.
   */
  #walk(message: Uint8Array, nameStart: number, first: number, node: number): void {
    const { transitions, symbolOf } = this.#model
    const words = this.#words
    let bits = this.#dictionary.codeBits[node]!
    if (bits === 0) return
    let word = this.#dictionary.codes[node]! << (32 - bits)
    let row = this.#model.startRow
    let fullWords = 0
    let root = 0
    for (let label = first; label >= 0; label--) {
      const start = nameStart + this.#labelStarts[label]!
      const end = start + message[start]!
      for (let at = label === first ? start + 1 : start; at <= end; at++) {
        const symbol = at === start ? SYMBOL_BOUNDARY : symbolOf[message[at]!]!
        const transition = transitions[row + symbol]!
        if (transition === 0) return
        const length = transition & TRANSITION_LENGTH_MASK
        const code = (transition >>> TRANSITION_CODE_SHIFT) & TRANSITION_CODE_MASK
        row = (transition >>> TRANSITION_ROW_SHIFT) << ROW_TRANSITIONS_SHIFT
        const free = 32 - (bits & 31)
        bits += length
        if (length < free) {
          word |= code << (free - length)
          continue
        }
        words[fullWords++] = word | (code >>> (length - free))
        word = length === free ? 0 : code << (32 - (length - free))
        if (bits > CODE_BITS_MAX) return
        if (fullWords === 1) {
          root = rootBlock(this.#blocks, words[0]!)
          if (this.#shortCount > 0 && this.#findShort(root)) return
          if (!reachesBlock(this.#blocks, root, words[0]!)) return
        }
      }
      if (fullWords === 0) {
        this.#noteShort(word, bits, label)
      } else {
        words[fullWords] = word
        const value = findInBlocks(this.#blocks, root, words, bits)
        if (value !== NOT_FOUND && this.#isLastMatch(value, label)) return
        if (label === first && !isDeep(this.#blocks, root)) return
      }
    }
  }

  #noteShort(word: number, bits: number, label: number): void {
    const index = this.#shortCount++
    this.#shortWords[index] = word
    this.#shortBits[index] = bits
    this.#shortLabels[index] = label
  }

  /**
   * Looks the noted suffixes up, shortest first; returns true when no longer one can be stored.
   *
   * @param rootHint root block of a word that they all are prefixes of, `NONE` when not known.
   */
  #findShort(rootHint: number): boolean {
    const blocks = this.#blocks
    const count = this.#shortCount
    this.#shortCount = 0
    for (let index = 0; index < count; index++) {
      const word = this.#shortWords[index]!
      const isInHinted = rootHint !== NONE && isAtOrBehindHead(blocks, rootHint, word)
      const root = isInHinted ? rootHint : rootBlock(blocks, word)
      this.#shortWord[0] = word
      const value = findInBlocks(blocks, root, this.#shortWord, this.#shortBits[index]!)
      if (value !== NOT_FOUND && this.#isLastMatch(value, this.#shortLabels[index]!)) return true
    }
    return false
  }

  /**
   * Tries the suffixes that begin at or before `startMax` against the plain names, longest first.
   */
  #findPlain(message: Uint8Array, nameStart: number, startMax: number): void {
    let start = nameStart
    for (let label = 0; label < LABELS_MAX && start <= startMax; label++) {
      if (this.#value !== NONE && label >= this.#label) return
      const value = findPlainName(this.#plain, message, start)
      if (value !== NONE) {
        this.#value = value
        this.#label = label
        return
      }
      start += message[start]! + 1
    }
  }

  #conclude(message: Uint8Array, nameStart: number, labels: number): number {
    const values = this.#values
    const value = this.#value
    const isWholeName = this.#label === 0
    this.matched = true
    this.ruleStart = nameStart + this.#labelStarts[this.#label]!
    const below = values[value + VALUE_BELOW]! | 0
    const bits = isWholeName ? values[value + VALUE_SELF]! | 0 : below
    if (bits === 0) return 0
    this.list = values[value + (isWholeName ? VALUE_SELF_LIST : VALUE_BELOW_LIST)]! | 0
    this.whole =
      (below & bits) === bits &&
      (values[value + VALUE_LEAF] === 1 || !this.#hasOpening(message, nameStart, labels))
    return bits
  }

  #hasOpening(message: Uint8Array, nameStart: number, labels: number): boolean {
    const openings = this.#openings
    if (openings.length === 0) return false
    let hash = ROOT_HASH
    for (let label = labels - 1; label >= 0; label--) {
      hash = prependLabel(hash, message, nameStart + this.#labelStarts[label]!)
    }
    const wanted = hash >>> 0
    let low = 0
    let high = openings.length
    for (let step = 0; step < SEARCH_STEPS_MAX && low < high; step++) {
      const middle = (low + high) >>> 1
      if (openings[middle]! < wanted) low = middle + 1
      else high = middle
    }
    return openings[low] === wanted
  }
}
