/**
 * The suffix dictionary of an opened image: frequent suffixes, each one symbol of the name code.
 */

import {
  DICTIONARY_CODE_BITS_MAX,
  DICTIONARY_NODES_MAX,
  NODE_STORED,
  VALUE_FIELDS,
} from './layout.ts'
import { assignCodes } from './prefix-code.ts'
import { createHalves, createIntegers, createOctets, createWords } from './shared.ts'
import { prependLabel, ROOT_HASH } from './suffix-hash.ts'

/** No child of that label. */
export const NO_NODE = -1
/** The node itself is no stored name. */
export const NOT_STORED = -1

/** 16 KiB: stays in the nearest cache, and spares most labels the hash of all their octets. */
const QUICK_SLOTS = 1 << 13
const MANY = 0xffff

/** A tree of labels from the right; node 0 is the root of all names. */
export interface Dictionary {
  readonly nodes: number
  readonly parents: Uint16Array
  readonly hashes: Int32Array
  /** Offset in `octets` of each node's label (length octet first). */
  readonly labels: Uint32Array
  readonly octets: Uint8Array
  /** Code of "this suffix, and labels in front of it": bits and length; length 0 when unused. */
  readonly codes: Uint32Array
  readonly codeBits: Uint8Array
  /** Offset into the image's values of the node as a stored name, `NOT_STORED` when it is none. */
  readonly values: Int32Array
  /** Node number + 1 by hash, open addressing; a power of two. */
  readonly slots: Uint16Array
  /** By `quickKey`: 0 for no node, number + 1 for one node, `MANY` for more. */
  readonly quick: Uint16Array
}

/**
 * Opens the section: per node, parents first, its code length and flags, number of children (two
 * octets), value (two octets, when stored) and label (none for the root).
 *
 * @param valueCount values of the image, for the check of references.
 */
export function openDictionary(
  octets: Uint8Array,
  valueCount: number,
  damaged: (what: string) => Error,
): Dictionary {
  const nodes = octets[0]! | (octets[1]! << 8)
  if (octets.length < 2 || nodes === 0 || nodes > DICTIONARY_NODES_MAX) {
    throw damaged('its suffix dictionary has no root')
  }
  const dictionary = emptyDictionary(octets, nodes)
  let at = 2
  let parent = 0
  let childrenLeft = 1
  const childCounts = new Uint16Array(nodes)
  for (let node = 0; node < nodes; node++) {
    if (node > 0) {
      while (childrenLeft === 0 && parent < node) childrenLeft = childCounts[++parent]!
      if (parent >= node) throw damaged('its suffix dictionary has a node too many')
    }
    childrenLeft--
    at = readNode(dictionary, node, parent, at)
    if (at > octets.length) throw damaged('its suffix dictionary ends early')
    if (dictionary.values[node]! >= valueCount * VALUE_FIELDS) {
      throw damaged('its suffix dictionary names a value that is not there')
    }
    childCounts[node] = octets[at - 2]! | (octets[at - 1]! << 8)
    if (node === 0) childrenLeft = childCounts[0]!
  }
  const { codeBits, codes } = dictionary
  if (!assignCodes(codeBits, 0, nodes, DICTIONARY_CODE_BITS_MAX, codes)) {
    throw damaged('its suffix dictionary has an impossible code')
  }
  return dictionary
}

function emptyDictionary(octets: Uint8Array, nodes: number): Dictionary {
  return {
    nodes,
    parents: createHalves(nodes),
    hashes: createIntegers(nodes),
    labels: createWords(nodes),
    octets,
    codes: createWords(nodes),
    codeBits: createOctets(nodes),
    values: createIntegers(nodes).fill(NOT_STORED),
    slots: createHalves(2 ** Math.ceil(Math.log2(nodes * 3))),
    quick: createHalves(QUICK_SLOTS),
  }
}

/** Reads one node and enters it into the hash table; returns the offset past its child count. */
function readNode(dictionary: Dictionary, node: number, parent: number, start: number): number {
  const { octets } = dictionary
  const flags = octets[start]! | 0
  let at = start + 1
  dictionary.parents[node] = parent
  dictionary.codeBits[node] = flags & ~NODE_STORED
  if ((flags & NODE_STORED) !== 0) {
    dictionary.values[node] = (octets[at]! | (octets[at + 1]! << 8)) * VALUE_FIELDS
    at += 2
  }
  dictionary.labels[node] = at
  if (node === 0) {
    dictionary.hashes[0] = ROOT_HASH
    return at + 2
  }
  const hash = prependLabel(dictionary.hashes[parent]!, octets, at)
  dictionary.hashes[node] = hash
  const mask = dictionary.slots.length - 1
  let slot = hash & mask
  while (dictionary.slots[slot] !== 0) slot = (slot + 1) & mask
  dictionary.slots[slot] = node + 1
  const key = quickKey(dictionary.hashes[parent]!, octets, at)
  dictionary.quick[key] = dictionary.quick[key] === 0 ? node + 1 : MANY
  return at + 1 + octets[at]! + 2
}

/**
 * Returns the child of `parent` whose label is the one at `start` in any letter case, or `NO_NODE`.
 */
export function findChild(
  dictionary: Dictionary,
  parent: number,
  message: Uint8Array,
  start: number,
): number {
  const { slots, hashes } = dictionary
  const quick = dictionary.quick[quickKey(hashes[parent]!, message, start)]!
  if (quick === 0) return NO_NODE
  if (quick !== MANY) {
    const node = quick - 1
    if (dictionary.parents[node] !== parent) return NO_NODE
    const label = dictionary.labels[node]!
    return equalLabels(dictionary.octets, label, message, start) ? node : NO_NODE
  }
  const hash = prependLabel(hashes[parent]!, message, start)
  const mask = slots.length - 1
  let slot = hash & mask
  // Ends at a free slot: at most one slot in three is taken.
  for (let held = slots[slot]!; held !== 0; held = slots[slot]!) {
    const node = held - 1
    if (hashes[node] === hash && dictionary.parents[node] === parent) {
      if (equalLabels(dictionary.octets, dictionary.labels[node]!, message, start)) return node
    }
    slot = (slot + 1) & mask
  }
  return NO_NODE
}

/** A hash of the parent and of a label's length, first and last octet, in any letter case. */
function quickKey(parentHash: number, octets: Uint8Array, start: number): number {
  const length = octets[start]!
  const ends = octets[start + 1]! | 32 | ((octets[start + length]! | 32) << 8)
  return Math.imul(parentHash ^ ends ^ (length << 16), 0x9e37_79b1) >>> 19
}

/** Compares a lower-case label with one in any letter case; both start at their length octet. */
function equalLabels(lower: Uint8Array, at: number, any: Uint8Array, start: number): boolean {
  const length = any[start]!
  if (lower[at] !== length) return false
  for (let i = 1; i <= length; i++) {
    const octet = any[start + i]!
    const folded = (octet - 65) >>> 0 < 26 ? octet | 32 : octet
    if (lower[at + i] !== folded) return false
  }
  return true
}
