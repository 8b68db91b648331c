/** Bits in 32-bit words, the first bit being the highest of the first word. */

/** Returns the 32 bits from bit `at` on; words past the end count as 0. */
export function read32(words: Uint32Array, at: number): number {
  const index = at >>> 5
  const shift = at & 31
  const high = words[index]! << shift
  return shift === 0 ? high : high | (words[index + 1]! >>> (32 - shift))
}

/** Returns the `count` (0 to 32) bits from bit `at` on, as an unsigned number. */
export function readBits(words: Uint32Array, at: number, count: number): number {
  return count === 0 ? 0 : read32(words, at) >>> (32 - count)
}

/** Returns how many bits of `word` are set. */
export function countBits(word: number): number {
  const pairs = word - ((word >>> 1) & 0x5555_5555)
  const fours = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333)
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
}
