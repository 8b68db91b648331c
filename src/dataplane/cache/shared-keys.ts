/**
 * Names of values in Redis: HMAC-SHA256 of the question, cut to 128 bits, so that nobody who reads
 * Redis learns a name, and nobody without the secret can tell where an answer would stand.
 *
 * Of the 32 hexadecimal digits the first two stand in braces: `niveau3:{a7}0c…`. They are the hash
 * tag of Redis Cluster, 256 of them, so that keys spread over all masters and still come in groups
 * that share a slot.
 */
import { hash } from 'node:crypto'

/** Octets of a block of SHA-256, to which HMAC fills its key up (RFC 2104 2). */
const BLOCK_OCTETS = 64
const DIGEST_OCTETS = 32
const PAD_INNER = 0x36
const PAD_OUTER = 0x5c
/** Octets that one MAC may be taken of: a question is never longer. */
const TEXT_OCTETS_MAX = 512
/** Digits of a value's id: 128 bits. */
export const ID_DIGITS = 32

/**
 * HMAC-SHA256 under one key (RFC 2104), as two hashes over buffers laid out once: 40 % less time
 * than `createHmac`, which makes two native objects for each name.
 */
export class SharedKeys {
  readonly #inner = Buffer.alloc(BLOCK_OCTETS + TEXT_OCTETS_MAX, PAD_INNER)
  readonly #outer = Buffer.alloc(BLOCK_OCTETS + DIGEST_OCTETS, PAD_OUTER)
  readonly #prefix: string

  /** @param key at most 64 octets. */
  constructor(key: Uint8Array, prefix: string) {
    this.#prefix = prefix
    for (const [index, octet] of key.entries()) {
      this.#inner[index] = octet ^ PAD_INNER
      this.#outer[index] = octet ^ PAD_OUTER
    }
  }

  /** Returns the 32 hexadecimal digits for a text of octets, at most 512 of them. */
  id(text: string): string {
    const length = this.#inner.write(text, BLOCK_OCTETS, 'latin1')
    const digest = hash('sha256', this.#inner.subarray(0, BLOCK_OCTETS + length), 'buffer')
    this.#outer.set(digest, BLOCK_OCTETS)
    return hash('sha256', this.#outer, 'hex').slice(0, ID_DIGITS)
  }

  /** Returns the key in Redis under which the value with that id stands. */
  keyOf(id: string): string {
    return this.#prefix + '{' + id.slice(0, 2) + '}' + id.slice(2)
  }
}
