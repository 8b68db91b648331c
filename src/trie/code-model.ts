/** The code model of an opened image: which bits stand for a symbol after the symbols before it. */

import { readBits } from './bits.ts'
import {
  ALPHABET_MAX,
  STATES_MAX,
  SYMBOL_BOUNDARY,
  SYMBOL_CODE_BITS_MAX,
  ROW_TRANSITIONS_SHIFT,
  TRANSITION_CODE_SHIFT,
  TRANSITION_ROW_SHIFT,
} from './layout.ts'
import { assignCodes } from './prefix-code.ts'
import { createWords } from './shared.ts'

/**
 * A finite automaton over symbols. Its states are contexts: the last few symbols, as many as were
 * worth telling apart. Symbol 0 is the boundary between labels, the others are the octets of
 * `alphabet`.
 */
export interface CodeModel {
  /** Octets that have symbols, the most frequent first; symbol `i + 1` is `alphabet[i]`. */
  readonly alphabet: Uint8Array
  /** Symbols, the boundary included; also the symbol that stands for every other octet. */
  readonly symbols: number
  /** Symbol of each octet, upper case as lower case. */
  readonly symbolOf: Uint8Array
  readonly states: number
  /** Place in `transitions` of the row of the state before the first symbol. */
  readonly startRow: number
  /**
   * By place of a state's row + symbol; see the layout for the fields. A row is whole cache lines,
   * with the frequent symbols in the first.
   */
  readonly transitions: Uint32Array
}

/** The contexts as a tree: a child's context is its parent's with one older symbol in front. */
export interface ContextTree {
  readonly symbols: number
  /** Parents come before children; state 0 is the empty context. */
  readonly parents: readonly number[]
  /** The older symbol; `symbols` itself stands for the start of a name. */
  readonly olders: readonly number[]
}

/**
 * Returns the state that follows each state and symbol, by state * symbols + symbol: the longest
 * context that is a suffix of the state's context and the symbol.
 */
export function followContexts(tree: ContextTree): Uint16Array {
  const { symbols, parents, olders } = tree
  const states = parents.length
  const olderSymbols = symbols + 1
  const children = new Uint16Array(states * olderSymbols)
  for (let state = 1; state < states; state++) {
    children[parents[state]! * olderSymbols + olders[state]!] = state
  }
  const depths = new Uint8Array(states)
  /** The oldest symbols of each context, oldest last, are its path from the root. */
  const next = new Uint16Array(states * symbols)
  for (let symbol = 0; symbol < symbols; symbol++) next[symbol] = children[symbol]!
  for (let state = 1; state < states; state++) {
    const parent = parents[state]!
    depths[state] = depths[parent]! + 1
    for (let symbol = 0; symbol < symbols; symbol++) {
      const shorter = next[parent * symbols + symbol]!
      const whole = depths[shorter] === depths[state]
      const longer = whole ? children[shorter * olderSymbols + olders[state]!]! : 0
      next[state * symbols + symbol] = longer === 0 ? shorter : longer
    }
  }
  return next
}

/** Opens the section: alphabet, number of states, tree, code lengths. */
export function openModel(octets: Uint8Array, damaged: (what: string) => Error): CodeModel {
  const words = new Uint32Array(octets.slice().buffer, 0, octets.length >>> 2)
  const reader = new BitReader(words)
  const octetCount = reader.read(8)
  const states = reader.read(16)
  if (octetCount > ALPHABET_MAX || states < 2 || states > STATES_MAX) {
    throw damaged('its code model has an impossible size')
  }
  const alphabet = Uint8Array.from({ length: octetCount }, () => reader.read(8))
  const symbols = octetCount + 1
  const tree = readTree(reader, states, symbols)
  if (tree === undefined) throw damaged('its code model has an impossible context')
  const lengths = readLengths(reader, tree)
  const transitions = lengths === undefined ? undefined : makeTransitions(tree, lengths)
  if (transitions === undefined || reader.isPastEnd) {
    throw damaged('its code model has an impossible code')
  }
  const startState = tree.olders.indexOf(symbols)
  return {
    alphabet,
    symbols,
    symbolOf: symbolTable(alphabet),
    states,
    startRow: Math.max(0, startState) * strideOf(symbols),
    transitions,
  }
}

/** Reads bits one field after the other. */
class BitReader {
  readonly #words: Uint32Array
  #at = 0

  constructor(words: Uint32Array) {
    this.#words = words
  }

  get isPastEnd(): boolean {
    return this.#at > this.#words.length * 32
  }

  read(count: number): number {
    const value = readBits(this.#words, this.#at, count)
    this.#at += count
    return value
  }

  peek(count: number): number {
    return readBits(this.#words, this.#at, count)
  }

  skip(count: number): void {
    this.#at += count
  }
}

/** Per state: the number of children (7 bits), their older symbols (7 bits each). */
function readTree(reader: BitReader, states: number, symbols: number): ContextTree | undefined {
  const parents = [0]
  const olders = [0]
  for (let state = 0; state < states && !reader.isPastEnd; state++) {
    const children = reader.read(7)
    for (let child = 0; child < children; child++) {
      const older = reader.read(7)
      if (older > symbols || parents.length >= states) return undefined
      parents.push(state)
      olders.push(older)
    }
  }
  return parents.length === states ? { symbols, parents, olders } : undefined
}

/**
 * Reads the code lengths, states in order: each length is itself coded, after the length that the
 * symbol has in the parent's context. 16 codes of 16 code lengths (4 bits each) come first.
 */
function readLengths(reader: BitReader, tree: ContextTree): Uint8Array | undefined {
  const rows = 16
  const lengthsOfLengths = Uint8Array.from({ length: rows * 16 }, () => reader.read(4))
  const codes = new Uint32Array(16)
  const decoders = new Uint8Array(rows << SYMBOL_CODE_BITS_MAX)
  for (let row = 0; row < rows; row++) {
    if (!assignCodes(lengthsOfLengths, row * 16, 16, SYMBOL_CODE_BITS_MAX, codes)) return undefined
    for (let length = 0; length < 16; length++) {
      const bits = lengthsOfLengths[row * 16 + length]!
      if (bits === 0) continue
      const spare = SYMBOL_CODE_BITS_MAX - bits
      const first = (row << SYMBOL_CODE_BITS_MAX) | (codes[length]! << spare)
      decoders.fill((length << 4) | bits, first, first + 2 ** spare)
    }
  }
  return decodeLengths(reader, tree, decoders)
}

function decodeLengths(
  reader: BitReader,
  tree: ContextTree,
  decoders: Uint8Array,
): Uint8Array | undefined {
  const { symbols, parents } = tree
  const lengths = new Uint8Array(parents.length * symbols)
  for (let state = 0; state < parents.length && !reader.isPastEnd; state++) {
    for (let symbol = 0; symbol < symbols; symbol++) {
      const row = state === 0 ? 0 : lengths[parents[state]! * symbols + symbol]!
      const found = decoders[(row << SYMBOL_CODE_BITS_MAX) | reader.peek(SYMBOL_CODE_BITS_MAX)]!
      if (found === 0) return undefined
      reader.skip(found & 15)
      lengths[state * symbols + symbol] = found >>> 4
    }
  }
  return lengths
}

/** Room for all symbols and the unknown one, in whole cache lines of 16 entries. */
function strideOf(symbols: number): number {
  return Math.ceil((symbols + 1) / 16) * 16
}

function makeTransitions(tree: ContextTree, lengths: Uint8Array): Uint32Array | undefined {
  const { symbols, parents } = tree
  const stride = strideOf(symbols)
  const lines = stride >>> ROW_TRANSITIONS_SHIFT
  const next = followContexts(tree)
  const transitions = createWords(parents.length * stride)
  const codes = new Uint32Array(symbols)
  for (let state = 0; state < parents.length; state++) {
    const first = state * symbols
    if (!assignCodes(lengths, first, symbols, SYMBOL_CODE_BITS_MAX, codes)) return undefined
    for (let symbol = 0; symbol < symbols; symbol++) {
      const length = lengths[first + symbol]!
      if (length === 0) continue
      transitions[state * stride + symbol] =
        ((next[first + symbol]! * lines) << TRANSITION_ROW_SHIFT) |
        (codes[symbol]! << TRANSITION_CODE_SHIFT) |
        length
    }
  }
  return transitions
}

function symbolTable(alphabet: Uint8Array): Uint8Array {
  const unknown = alphabet.length + 1
  const table = new Uint8Array(256).fill(unknown)
  for (const [index, octet] of alphabet.entries()) table[octet] = SYMBOL_BOUNDARY + 1 + index
  for (let octet = 65; octet < 91; octet++) table[octet] = table[octet | 32]!
  return table
}
