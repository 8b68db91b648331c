/**
 * Seals octets for a place that is not trusted: AES-256-GCM, with the place's own id as associated
 * data, so that a value counts only where it was put.
 *
 *   0  1  format version
 *   1 16  salt of the writer's session
 *  17  8  number of the value within the session
 *  25  …  ciphertext
 *   … 16  tag
 *
 * Every writer makes a random salt when it starts and derives a key of its own from it; its values
 * are numbered, and the number is the nonce. So no nonce is used twice under one key, however many
 * values a fleet writes in years: random nonces under one key would be used up after 2^32 of them
 * (NIST SP 800-38D 8.3).
 */
import { hkdfSync, randomBytes } from 'node:crypto'
import type { Gcm } from '../../sys/gcm.ts'
import { writeU32 } from '../../wire/header.ts'

/** Format of the seal and of what it holds: raised with every change of either. */
export const FORMAT_VERSION = 1
const KEY_OCTETS = 32
const SALT_OCTETS = 16
const AT_SALT = 1
const AT_NUMBER = AT_SALT + SALT_OCTETS
const AT_CIPHERTEXT = AT_NUMBER + 8
const NONCE_OCTETS = 12
const TAG_OCTETS = 16
/** What a seal adds. */
export const SEAL_OCTETS = AT_CIPHERTEXT + TAG_OCTETS
/** Keys of other writers that are kept; each costs one derivation, some 10 us. */
const SESSIONS_MAX = 256
/** Values under one salt; far below what the mode allows. */
const SESSION_VALUES_MAX = 0xffff_ffff

/** Makes a cipher that takes texts of so many octets. */
export type CreateGcm = (textOctetsMax: number) => Gcm

export const OPENED = 0
export const NO_VERSION = 1
export const NO_SEAL = 2

/** Both directions under one secret. */
export class Seal {
  readonly #secret: Uint8Array
  readonly #purpose: string
  readonly #gcm: Gcm
  readonly #sessions = new Map<string, Buffer>()
  readonly #nonce = Buffer.alloc(NONCE_OCTETS)
  readonly #openNonce = Buffer.alloc(NONCE_OCTETS)
  #salt: Buffer
  #key: Buffer
  #number = 0
  /** Octets of `text` after `unseal` returned `OPENED`. */
  openedOctets = 0

  /**
   * @param purpose keeps the keys of different uses of one secret apart.
   * @param gcm a cipher of its own.
   */
  constructor(secret: Uint8Array, purpose: string, gcm: Gcm) {
    this.#secret = secret
    this.#purpose = purpose
    this.#gcm = gcm
    this.#salt = randomBytes(SALT_OCTETS)
    this.#key = createSessionKey(secret, this.#salt, purpose)
  }

  /** What `sealTo` seals, and what `unseal` has opened; reused. */
  get text(): Buffer {
    return this.#gcm.text
  }

  /** What `unseal` has opened: a view on `text`. */
  get opened(): Buffer {
    return this.text.subarray(0, this.openedOctets)
  }

  /**
   * Seals the first `octets` of `text` into `out` at `at`, where there is room for `SEAL_OCTETS`
   * more; false when the cipher refuses.
   */
  sealTo(out: Buffer, at: number, octets: number, id: Uint8Array): boolean {
    if (this.#number >= SESSION_VALUES_MAX) this.#renew()
    const number = ++this.#number
    const nonce = this.#nonce
    writeU32(nonce, NONCE_OCTETS - 4, number)
    out[at] = FORMAT_VERSION
    const salt = this.#salt
    for (let index = 0; index < SALT_OCTETS; index++) out[at + AT_SALT + index] = salt[index]!
    writeU32(out, at + AT_NUMBER, 0)
    writeU32(out, at + AT_NUMBER + 4, number)
    return this.#gcm.encrypt(this.#key, nonce, id, octets, out, at + AT_CIPHERTEXT)
  }

  /** Opens a value into `text`; `OPENED`, or what is wrong with it. */
  unseal(sealed: Buffer, id: Uint8Array): number {
    this.openedOctets = 0
    if (sealed.length < SEAL_OCTETS) return NO_SEAL
    if (sealed[0] !== FORMAT_VERSION) return NO_VERSION
    const key = this.#sessionKey(sealed)
    const nonce = this.#openNonce
    for (let at = 0; at < 8; at++) nonce[NONCE_OCTETS - 8 + at] = sealed[AT_NUMBER + at]!
    const octets = this.#gcm.decrypt(key, nonce, id, sealed, AT_CIPHERTEXT)
    if (octets < 0) return NO_SEAL
    this.openedOctets = octets
    return OPENED
  }

  close(): void {
    this.#gcm.close()
  }

  #renew(): void {
    this.#salt = randomBytes(SALT_OCTETS)
    this.#key = createSessionKey(this.#secret, this.#salt, this.#purpose)
    this.#number = 0
  }

  #sessionKey(sealed: Buffer): Buffer {
    const name = sealed.toString('latin1', AT_SALT, AT_NUMBER)
    const known = this.#sessions.get(name)
    if (known !== undefined) return known
    if (this.#sessions.size >= SESSIONS_MAX) this.#sessions.clear()
    const salt = sealed.subarray(AT_SALT, AT_NUMBER)
    const key = createSessionKey(this.#secret, salt, this.#purpose)
    this.#sessions.set(name, key)
    return key
  }
}

/** Returns octets sealed in a buffer of their own; null when they are more than the seal takes. */
export function createSealed(seal: Seal, octets: Uint8Array, id: Uint8Array): Buffer | null {
  if (octets.length > seal.text.length) return null
  seal.text.set(octets)
  const sealed = Buffer.alloc(octets.length + SEAL_OCTETS)
  return seal.sealTo(sealed, 0, octets.length, id) ? sealed : null
}

function createSessionKey(secret: Uint8Array, salt: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, purpose, KEY_OCTETS))
}
