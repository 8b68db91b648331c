/** Builds the door: the filter in front of the coded names. */

import { DOOR_BITS, doorBits, doorHash, doorWord } from '../../trie/door.ts'
import type { SuffixChoice } from './choose-suffixes.ts'
import type { ResolvedNames } from './resolve-rules.ts'

const WORD_BITS = 32

/** Returns the words of the filter; at least one, so that a lookup need not ask. */
export function writeDoor(resolved: ResolvedNames, choice: SuffixChoice): Uint32Array {
  // Few names share a pair, so that counting all of them costs less than telling them apart.
  const hashes = pairHashes(resolved, choice)
  const door = new Uint32Array(Math.max(1, Math.ceil((hashes.length * DOOR_BITS) / WORD_BITS)))
  for (const hash of hashes) {
    const word = doorWord(hash, door.length)
    door[word] = door[word]! | doorBits(hash)
  }
  return door
}

/** The hash of each name that has labels in front of its dictionary suffix. */
function pairHashes({ names, stored }: ResolvedNames, choice: SuffixChoice): Uint32Array {
  const hashes = new Uint32Array(stored.length)
  let count = 0
  for (let index = 0; index < stored.length; index++) {
    const rest = choice.restOctets[index]!
    if (rest === 0) continue
    const start = names.start(stored[index]!)
    let label = start
    for (let next = start; next < start + rest; next += 1 + names.arena[next]!) label = next
    hashes[count++] = doorHash(choice.nodeOf[index]!, names.arena, label)
  }
  return hashes.slice(0, count)
}
