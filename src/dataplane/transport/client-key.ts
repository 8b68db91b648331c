/** What stands for a client where limits are kept: a keyed hash of its address or prefix. */
import { randomInt } from 'node:crypto'
import { wordAt } from '../address-table.ts'

const WORD_BITS = 32
/** Nobody outside can choose addresses whose keys fall together. */
const SEED = randomInt(0x1_0000_0000)

/** Hashes the first bits of an address, at most 64, with a seed of this process (MurmurHash3). */
export function hashPrefix(octets: Uint8Array, at: number, bits: number): number {
  const hash = mix(SEED ^ (wordAt(octets, at) & maskOf(bits)))
  if (bits <= WORD_BITS) return hash
  return mix(hash ^ (wordAt(octets, at + 4) & maskOf(bits - WORD_BITS)))
}

function maskOf(bits: number): number {
  return bits >= WORD_BITS ? -1 : ~(-1 >>> bits)
}

function mix(word: number): number {
  let hash = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
