/**
 * Front coding: names sorted by their labels from the right, in blocks whose first name is whole.
 */

import { BLOCK_NAMES } from '../../trie/layout.ts'
import type { ResolvedNames } from './resolve-rules.ts'

/** The sections that hold the names. */
export interface EncodedNames {
  readonly blockStarts: Uint32Array
  readonly blocks: Uint8Array
}

/**
 * Encodes the stored names: verdict (2 octets), shared octets, own octets, the octets themselves.
 */
export function encodeNames(resolved: ResolvedNames): EncodedNames {
  const keys = Array.from<{ key: Buffer; verdict: number }>({
    length: resolved.stored.length,
  })
  for (const [index, name] of resolved.stored.entries()) {
    keys[index] = { key: keyOf(resolved, name), verdict: resolved.verdictOf[index]! }
  }
  keys.sort((a, b) => Buffer.compare(a.key, b.key))
  const blockStarts = new Uint32Array(Math.ceil(keys.length / BLOCK_NAMES))
  const octetsMax = keys.reduce((sum, { key }) => sum + key.length + 4, 0)
  const blocks = new Uint8Array(octetsMax)
  let at = 0
  let previous: Buffer = Buffer.alloc(0)
  for (const [index, { key, verdict }] of keys.entries()) {
    const first = index % BLOCK_NAMES === 0
    if (first) blockStarts[index / BLOCK_NAMES] = at
    let shared = 0
    const sharedMax = first ? 0 : Math.min(previous.length, key.length)
    while (shared < sharedMax && previous[shared] === key[shared]) shared++
    blocks[at++] = verdict & 255
    blocks[at++] = verdict >>> 8
    blocks[at++] = shared
    blocks[at++] = key.length - shared
    blocks.set(key.subarray(shared), at)
    at += key.length - shared
    previous = key
  }
  return { blockStarts, blocks: blocks.slice(0, at) }
}

function keyOf(resolved: ResolvedNames, name: number): Buffer {
  const { arena } = resolved.names
  const start = resolved.names.start(name)
  const key = Buffer.alloc(resolved.names.octets(name) - 1)
  let end = key.length
  for (let at = start; arena[at]! !== 0; at += arena[at]! + 1) {
    end -= arena[at]! + 1
    key.set(arena.subarray(at, at + arena[at]! + 1), end)
  }
  return key
}
