/**
 * Names of values in Redis: HMAC-SHA256 of the question, cut to 128 bits, so that nobody who reads
 * Redis learns a name, and nobody without the secret can tell where an answer would stand.
 *
 * Of the 32 hexadecimal digits the first two stand in braces: `niveau3:{a7}0c…`. They are the hash
 * tag of Redis Cluster, 256 of them, so that keys spread over all masters and still come in groups
 * that share a slot.
 */
import { createHmac } from 'node:crypto'
import { HmacSha256 } from '../../wire/hmac-sha256.ts'

/** Digits of a value's id: 128 bits. */
export const ID_DIGITS = 32
const DIGITS_PER_WORD = 8
const TAG_DIGITS = 2
const BRACE_OPEN = 0x7b
const BRACE_CLOSE = 0x7d
const DIGITS = Buffer.from('0123456789abcdef', 'latin1')

/** The names under one key and one prefix. */
export class SharedKeys {
  #hmac: HmacSha256
  readonly #prefix: Buffer
  /** Octets of every key in Redis. */
  readonly octets: number

  /** @param key at most 64 octets. */
  constructor(key: Uint8Array, prefix: string) {
    this.#hmac = new HmacSha256(key)
    this.#prefix = Buffer.from(prefix, 'utf8')
    this.octets = this.#prefix.length + ID_DIGITS + 2
  }

  /** From now on names are made under another key. */
  setKey(key: Uint8Array): void {
    this.#hmac = createHmacOf(key)
  }

  /** Writes the 32 hexadecimal digits for a text of octets, as ASCII, to the start of `id`. */
  writeId(text: string, id: Uint8Array): void {
    const words = this.#hmac.digest(text)
    for (let at = 0; at < ID_DIGITS; at++) {
      const shift = 28 - 4 * (at % DIGITS_PER_WORD)
      id[at] = DIGITS[(words[(at / DIGITS_PER_WORD) | 0]! >>> shift) & 0xf]!
    }
  }

  /** Writes the key in Redis of the value with that id to `out` at `at`; `octets` are written. */
  writeKey(id: Uint8Array, out: Uint8Array, at: number): void {
    const prefix = this.#prefix
    let to = at
    for (let from = 0; from < prefix.length; from++) out[to++] = prefix[from]!
    out[to++] = BRACE_OPEN
    for (let digit = 0; digit < TAG_DIGITS; digit++) out[to++] = id[digit]!
    out[to++] = BRACE_CLOSE
    for (let digit = TAG_DIGITS; digit < ID_DIGITS; digit++) out[to++] = id[digit]!
  }
}

function createHmacOf(key: Uint8Array): HmacSha256 {
  return new HmacSha256(key)
}

/**
 * Returns the key for the names of answers that came from certain upstreams: boxes that ask others
 * do not find them.
 *
 * @param view all that tells apart what upstreams may answer.
 */
export function createViewKey(keyOfKeys: Uint8Array, view: string): Uint8Array {
  return createHmac('sha256', keyOfKeys).update(view, 'utf8').digest()
}

/** Returns the id for a text of octets, in octets of its own. */
export function createId(keys: SharedKeys, text: string): Uint8Array {
  const id = Buffer.alloc(ID_DIGITS)
  keys.writeId(text, id)
  return id
}

/** Returns the key in Redis of the value with that id. */
export function createKey(keys: SharedKeys, id: Uint8Array): string {
  const key = Buffer.alloc(keys.octets)
  keys.writeKey(id, key, 0)
  return key.toString('utf8')
}
