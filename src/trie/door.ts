/**
 * The door in front of the coded names: a Bloom filter over what stands first behind the suffix
 * dictionary. Most names that are not listed are turned away here by one read of a small table; who
 * passes is looked for exactly, so the door never decides.
 *
 * Each stored name sets three bits of one word, picked by a hash of its dictionary node and of the
 * label in front of it. Every listed name below `example.com` shares the bits of `example.com`.
 */

import { prependLabel } from './suffix-hash.ts'

/** Bits of the filter for each name behind the dictionary: one stranger in 20 passes. */
export const DOOR_BITS = 8
const NODE_STEP = 0x9e37_79b1
const INDEX_SHIFT = 8
const INDEX_RANGE = 0x0100_0000

/** Returns the hash of the label at `start` in front of a dictionary node. */
export function doorHash(node: number, octets: Uint8Array, start: number): number {
  return prependLabel(Math.imul(node + 1, NODE_STEP), octets, start)
}

/** Returns the word of the filter that a hash belongs to. */
export function doorWord(hash: number, words: number): number {
  return Math.floor(((hash >>> INDEX_SHIFT) * words) / INDEX_RANGE)
}

/** Returns the three bits, some of which may fall together, that a hash sets in its word. */
export function doorBits(hash: number): number {
  const mixed = Math.imul(hash, 0x85eb_ca6b)
  return (1 << (mixed >>> 27)) | (1 << ((mixed >>> 22) & 31)) | (1 << ((mixed >>> 17) & 31))
}

/** True when a stored name may have this label in front of this node. */
export function mayPass(
  door: Uint32Array,
  node: number,
  octets: Uint8Array,
  start: number,
): boolean {
  const hash = doorHash(node, octets, start)
  const bits = doorBits(hash)
  return (door[doorWord(hash, door.length)]! & bits) === bits
}
