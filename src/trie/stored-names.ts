/** All names of an image, one by one: for people, statistics and tests, never for a query. */

import { BLOCK_NAMES, NAME_OCTETS_MAX } from './layout.ts'
import type { Trie } from './open.ts'

/** One stored name; the generator uses the same object again for the next. */
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

/** Yields every stored name, in the order of the image. */
export function* storedNames(trie: Trie): Generator<StoredName> {
  const { blocks, verdicts } = trie
  const key = new Uint8Array(NAME_OCTETS_MAX * 2)
  for (const blockStart of trie.blockStarts) {
    let at = blockStart
    for (let index = 0; index < BLOCK_NAMES && at < blocks.length; index++) {
      const verdict = 4 * (blocks[at]! | (blocks[at + 1]! << 8))
      const shared = blocks[at + 2]!
      const own = blocks[at + 3]!
      key.set(blocks.subarray(at + 4, at + 4 + own), shared)
      at += 4 + own
      yield {
        name: wireName(key, shared + own),
        self: verdicts[verdict]!,
        selfList: verdicts[verdict + 1]!,
        below: verdicts[verdict + 2]!,
        belowList: verdicts[verdict + 3]!,
      }
    }
  }
}

function wireName(key: Uint8Array, octets: number): Uint8Array {
  const name = new Uint8Array(octets + 1)
  let end = octets
  for (let at = 0; at < octets; at += key[at]! + 1) {
    end -= key[at]! + 1
    name.set(key.subarray(at, at + key[at]! + 1), end)
  }
  return name
}
