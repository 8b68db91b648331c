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
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

const CIPHER = 'aes-256-gcm'
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

export const OPENED = 0
export const NO_VERSION = 1
export const NO_SEAL = 2

/** Both directions under one secret; one per worker. */
export class Seal {
  readonly #secret: Uint8Array
  readonly #purpose: string
  readonly #sessions = new Map<string, Buffer>()
  readonly #nonce = Buffer.alloc(NONCE_OCTETS)
  readonly #openNonce = Buffer.alloc(NONCE_OCTETS)
  #salt: Buffer
  #key: Buffer
  #number = 0
  /** After `unseal` returned `OPENED`: the octets. */
  opened: Buffer = NOTHING

  /** @param purpose keeps the keys of different uses of one secret apart. */
  constructor(secret: Uint8Array, purpose: string) {
    this.#secret = secret
    this.#purpose = purpose
    this.#salt = randomBytes(SALT_OCTETS)
    this.#key = createSessionKey(secret, this.#salt, purpose)
  }

  /** Returns a new buffer with the sealed octets. */
  seal(octets: Uint8Array, id: string): Buffer {
    if (this.#number >= SESSION_VALUES_MAX) this.#renew()
    const number = ++this.#number
    const nonce = this.#nonce
    nonce.writeUInt32BE(number, NONCE_OCTETS - 4)
    const cipher = createCipheriv(CIPHER, this.#key, nonce)
    cipher.setAAD(Buffer.from(id, 'latin1'))
    const sealed = Buffer.allocUnsafe(octets.length + SEAL_OCTETS)
    sealed[0] = FORMAT_VERSION
    sealed.set(this.#salt, AT_SALT)
    sealed.writeUInt32BE(0, AT_NUMBER)
    sealed.writeUInt32BE(number, AT_NUMBER + 4)
    sealed.set(cipher.update(octets), AT_CIPHERTEXT)
    cipher.final()
    sealed.set(cipher.getAuthTag(), AT_CIPHERTEXT + octets.length)
    return sealed
  }

  /** Opens a value; `OPENED`, or what is wrong with it. */
  unseal(sealed: Buffer, id: string): number {
    if (sealed.length < SEAL_OCTETS) return NO_SEAL
    if (sealed[0] !== FORMAT_VERSION) return NO_VERSION
    const tagAt = sealed.length - TAG_OCTETS
    const key = this.#sessionKey(sealed.subarray(AT_SALT, AT_NUMBER))
    sealed.copy(this.#openNonce, NONCE_OCTETS - 8, AT_NUMBER, AT_CIPHERTEXT)
    const decipher = createDecipheriv(CIPHER, key, this.#openNonce)
    decipher.setAAD(Buffer.from(id, 'latin1'))
    decipher.setAuthTag(sealed.subarray(tagAt))
    try {
      this.opened = decipher.update(sealed.subarray(AT_CIPHERTEXT, tagAt))
      decipher.final()
      return OPENED
    } catch {
      this.opened = NOTHING
      return NO_SEAL
    }
  }

  #renew(): void {
    this.#salt = randomBytes(SALT_OCTETS)
    this.#key = createSessionKey(this.#secret, this.#salt, this.#purpose)
    this.#number = 0
  }

  #sessionKey(salt: Buffer): Buffer {
    const name = salt.toString('latin1')
    const known = this.#sessions.get(name)
    if (known !== undefined) return known
    if (this.#sessions.size >= SESSIONS_MAX) this.#sessions.clear()
    const key = createSessionKey(this.#secret, salt, this.#purpose)
    this.#sessions.set(name, key)
    return key
  }
}

const NOTHING = Buffer.alloc(0)

function createSessionKey(secret: Uint8Array, salt: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, purpose, KEY_OCTETS))
}
