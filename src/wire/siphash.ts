/**
 * SipHash-2-4 (Aumasson and Bernstein 2012), the keyed hash of server cookies (RFC 9018 4.4). Words
 * of 64 bits are pairs of 32-bit halves, because numbers here have no more.
 */

/** Octets of the key. */
export const SIPHASH_KEY_OCTETS = 16
/** Octets of the result. */
export const SIPHASH_OCTETS = 8

const COMPRESSION_ROUNDS = 2
const FINAL_ROUNDS = 4

/** v0 to v3, each as low half, high half. */
const state = new Int32Array(8)

/** Writes the hash of the first `octets` of `input` to `out` at `at`, least octet first. */
export function sipHash(
  key: Uint8Array,
  input: Uint8Array,
  octets: number,
  out: Uint8Array,
  at: number,
): void {
  start(key)
  const whole = octets & ~7
  for (let word = 0; word < whole; word += 8) {
    compress(readLittle(input, word, 4), readLittle(input, word + 4, 4))
  }
  const rest = octets - whole
  const low = readLittle(input, whole, Math.min(4, rest))
  const high = readLittle(input, whole + 4, Math.max(0, rest - 4))
  compress(low, high | (octets << 24))
  state[4] = state[4]! ^ 0xff
  for (let round = 0; round < FINAL_ROUNDS; round++) mix()
  writeLittle(out, at, state[0]! ^ state[2]! ^ state[4] ^ state[6]!)
  writeLittle(out, at + 4, state[1]! ^ state[3]! ^ state[5]! ^ state[7]!)
}

function start(key: Uint8Array): void {
  const k0Low = readLittle(key, 0, 4)
  const k0High = readLittle(key, 4, 4)
  const k1Low = readLittle(key, 8, 4)
  const k1High = readLittle(key, 12, 4)
  state[0] = k0Low ^ 0x70736575
  state[1] = k0High ^ 0x736f6d65
  state[2] = k1Low ^ 0x6e646f6d
  state[3] = k1High ^ 0x646f7261
  state[4] = k0Low ^ 0x6e657261
  state[5] = k0High ^ 0x6c796765
  state[6] = k1Low ^ 0x79746573
  state[7] = k1High ^ 0x74656462
}

function compress(low: number, high: number): void {
  state[6] = state[6]! ^ low
  state[7] = state[7]! ^ high
  for (let round = 0; round < COMPRESSION_ROUNDS; round++) mix()
  state[0] = state[0]! ^ low
  state[1] = state[1]! ^ high
}

/** One SipRound; words by the index of their low half. */
function mix(): void {
  add(0, 2)
  turn(2, 13, 0)
  swap(0)
  add(4, 6)
  turn(6, 16, 4)
  add(0, 6)
  turn(6, 21, 0)
  add(4, 2)
  turn(2, 17, 4)
  swap(4)
}

/** Adds the second word to the first. */
function add(into: number, from: number): void {
  const low = (state[into]! >>> 0) + (state[from]! >>> 0)
  state[into + 1] = state[into + 1]! + state[from + 1]! + (low > 0xffff_ffff ? 1 : 0)
  state[into] = low
}

/** Rotates the word left by less than 32 bits, then folds another one in. */
function turn(word: number, bits: number, other: number): void {
  const low = state[word]!
  const high = state[word + 1]!
  state[word] = ((low << bits) | (high >>> (32 - bits))) ^ state[other]!
  state[word + 1] = ((high << bits) | (low >>> (32 - bits))) ^ state[other + 1]!
}

/** Rotates the word by 32 bits. */
function swap(word: number): void {
  const low = state[word]!
  state[word] = state[word + 1]!
  state[word + 1] = low
}

function readLittle(octets: Uint8Array, at: number, count: number): number {
  let word = 0
  for (let i = 0; i < count; i++) word |= octets[at + i]! << (8 * i)
  return word
}

function writeLittle(out: Uint8Array, at: number, word: number): void {
  for (let i = 0; i < 4; i++) out[at + i] = word >>> (8 * i)
}
