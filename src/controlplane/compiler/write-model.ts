/**
 * Writes the two sections that say how names are coded: the suffix dictionary and the code model.
 */

import { DICTIONARY_CODE_BITS_MAX, NODE_STORED, SYMBOL_CODE_BITS_MAX } from '../../trie/layout.ts'
import { assignCodes } from '../../trie/prefix-code.ts'
import { BitWriter } from './bit-writer.ts'
import type { SuffixChoice } from './choose-suffixes.ts'
import { codeLengths } from './code-lengths.ts'
import type { TrainedModel } from './train-model.ts'

/** No value: the node is not itself a stored name. */
export const NO_VALUE = -1

/**
 * Writes the dictionary.
 *
 * @param uses names that hang below each node as their longest suffix.
 * @param values number of each node's value, `NO_VALUE` for a node that is no stored name.
 */
export function writeDictionary(
  choice: SuffixChoice,
  uses: Uint32Array,
  values: Int32Array,
): Uint8Array {
  const nodes = choice.parents.length
  const lengths = new Uint8Array(nodes)
  codeLengths(uses, 0, nodes, DICTIONARY_CODE_BITS_MAX, lengths)
  const children = new Uint16Array(nodes)
  for (let node = 1; node < nodes; node++) children[choice.parents[node]!]!++
  const octets: number[] = [nodes & 255, nodes >>> 8]
  for (let node = 0; node < nodes; node++) {
    const value = values[node]!
    octets.push(lengths[node]! | (value === NO_VALUE ? 0 : NODE_STORED))
    if (value !== NO_VALUE) octets.push(value & 255, value >>> 8)
    for (const octet of choice.labels[node]!) octets.push(octet)
    octets.push(children[node]! & 255, children[node]! >>> 8)
  }
  return Uint8Array.from(octets)
}

/** Writes the model as `openModel` reads it. */
export function writeModel(alphabet: Uint8Array, { tree, counts }: TrainedModel): Uint8Array {
  const { symbols, parents, olders } = tree
  const writer = new BitWriter()
  writer.write(alphabet.length, 8)
  writer.write(parents.length, 16)
  for (const octet of alphabet) writer.write(octet, 8)
  let child = 1
  for (let state = 0; state < parents.length; state++) {
    let end = child
    while (end < parents.length && parents[end] === state) end++
    writer.write(end - child, 7)
    for (; child < end; child++) writer.write(olders[child]!, 7)
  }
  const lengths = new Uint8Array(counts.length)
  for (let state = 0; state < parents.length; state++) {
    codeLengths(counts, state * symbols, symbols, SYMBOL_CODE_BITS_MAX, lengths)
  }
  writeLengths(writer, tree, lengths)
  const words = writer.finish()
  return new Uint8Array(words.buffer, 0, words.byteLength)
}

function writeLengths(writer: BitWriter, tree: TrainedModel['tree'], lengths: Uint8Array): void {
  const { symbols, parents } = tree
  const rows = 16
  const uses = new Uint32Array(rows * 16)
  const rowOf = (index: number): number => {
    const state = Math.floor(index / symbols)
    return state === 0 ? 0 : lengths[parents[state]! * symbols + (index % symbols)]!
  }
  for (let index = 0; index < lengths.length; index++) {
    uses[rowOf(index) * 16 + lengths[index]!]!++
  }
  const lengthsOfLengths = new Uint8Array(rows * 16)
  const codes = Array.from({ length: rows }, (_, row) => {
    codeLengths(uses, row * 16, 16, SYMBOL_CODE_BITS_MAX, lengthsOfLengths)
    const rowCodes = new Uint32Array(16)
    assignCodes(lengthsOfLengths, row * 16, 16, SYMBOL_CODE_BITS_MAX, rowCodes)
    return rowCodes
  })
  for (const length of lengthsOfLengths) writer.write(length, 4)
  for (let index = 0; index < lengths.length; index++) {
    const row = rowOf(index)
    const length = lengths[index]!
    writer.write(codes[row]![length]!, lengthsOfLengths[row * 16 + length]!)
  }
}
