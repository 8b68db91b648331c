/** Turns the part of each name in front of its dictionary suffix into symbols. */

import { ALPHABET_MAX, LABELS_MAX, SYMBOL_BOUNDARY } from '../../trie/layout.ts'
import type { SuffixChoice } from './choose-suffixes.ts'
import type { ResolvedNames } from './resolve-rules.ts'
import type { SymbolSequences } from './train-model.ts'

/** The names that the code model takes, as symbols, and those that it does not. */
export interface CodedNames extends SymbolSequences {
  /** Octets that have symbols, the most frequent first. */
  readonly alphabet: Uint8Array
  /** Position in `stored` of each sequence. */
  readonly indexOf: Uint32Array
  /** Positions in `stored` of names with octets outside the alphabet. */
  readonly plain: readonly number[]
}

/** Takes the most frequent octets as the alphabet and writes the sequences. */
export function makeSequences(resolved: ResolvedNames, choice: SuffixChoice): CodedNames {
  const { stored } = resolved
  const alphabet = chooseAlphabet(resolved, choice)
  const symbolOf = new Uint8Array(256)
  for (const [index, octet] of alphabet.entries()) symbolOf[octet] = SYMBOL_BOUNDARY + 1 + index
  const octets = choice.restOctets.reduce((sum, rest) => sum + rest, 0)
  const flat = new Uint8Array(octets)
  const starts = new Uint32Array(stored.length + 1)
  const indexOf = new Uint32Array(stored.length)
  const plain: number[] = []
  let count = 0
  let at = 0
  for (let index = 0; index < stored.length; index++) {
    if (choice.restOctets[index] === 0) continue
    const end = writeSequence(resolved, choice, index, symbolOf, flat, at)
    if (end === UNKNOWN_OCTET) {
      plain.push(index)
      continue
    }
    indexOf[count++] = index
    starts[count] = end
    at = end
  }
  return {
    alphabet,
    symbols: alphabet.length + 1,
    flat: flat.subarray(0, at),
    starts: starts.subarray(0, count + 1),
    indexOf: indexOf.subarray(0, count),
    plain,
  }
}

const UNKNOWN_OCTET = -1
const labelStarts = new Uint32Array(LABELS_MAX)

/** Writes the labels from the right, each forwards; returns the end or `UNKNOWN_OCTET`. */
function writeSequence(
  { names, stored }: ResolvedNames,
  { restOctets }: SuffixChoice,
  index: number,
  symbolOf: Uint8Array,
  flat: Uint8Array,
  start: number,
): number {
  const { arena } = names
  const first = names.start(stored[index]!)
  const end = first + restOctets[index]!
  let labels = 0
  for (let at = first; at < end; at += arena[at]! + 1) labelStarts[labels++] = at
  let write = start
  for (let label = labels - 1; label >= 0; label--) {
    if (label < labels - 1) flat[write++] = SYMBOL_BOUNDARY
    const labelStart = labelStarts[label]!
    const length = arena[labelStart]!
    for (let i = 1; i <= length; i++) {
      const symbol = symbolOf[arena[labelStart + i]!]!
      if (symbol === SYMBOL_BOUNDARY) return UNKNOWN_OCTET
      flat[write++] = symbol
    }
  }
  return write
}

function chooseAlphabet(resolved: ResolvedNames, { restOctets }: SuffixChoice): Uint8Array {
  const { names, stored } = resolved
  const { arena } = names
  const uses = new Float64Array(256)
  for (let index = 0; index < stored.length; index++) {
    const first = names.start(stored[index]!)
    const end = first + restOctets[index]!
    for (let at = first; at < end;) {
      const labelEnd = at + arena[at]!
      while (at < labelEnd) uses[arena[++at]!]!++
      at++
    }
  }
  return Uint8Array.from({ length: 256 }, (_, octet) => octet)
    .filter((octet) => uses[octet]! > 0)
    .sort((a, b) => uses[b]! - uses[a]! || a - b)
    .slice(0, ALPHABET_MAX)
}
