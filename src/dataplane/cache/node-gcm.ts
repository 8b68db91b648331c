/** AES-256-GCM by `node:crypto`, for what is rare and where OpenSSL cannot be called directly. */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Gcm } from '../../sys/gcm.ts'

const CIPHER = 'aes-256-gcm'
const TAG_OCTETS = 16

/** The cipher; every value costs some objects. */
export class NodeGcm implements Gcm {
  readonly text: Buffer

  constructor(textOctetsMax: number) {
    this.text = Buffer.alloc(textOctetsMax)
  }

  encrypt(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    octets: number,
    out: Buffer,
    at: number,
  ): boolean {
    const cipher = createCipheriv(CIPHER, key, nonce)
    cipher.setAAD(associated)
    out.set(cipher.update(this.text.subarray(0, octets)), at)
    cipher.final()
    out.set(cipher.getAuthTag(), at + octets)
    return true
  }

  decrypt(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    sealed: Buffer,
    at: number,
  ): number {
    const tagAt = sealed.length - TAG_OCTETS
    if (tagAt < at || tagAt - at > this.text.length) return -1
    const decipher = createDecipheriv(CIPHER, key, nonce)
    decipher.setAAD(associated)
    decipher.setAuthTag(sealed.subarray(tagAt))
    try {
      this.text.set(decipher.update(sealed.subarray(at, tagAt)))
      decipher.final()
      return tagAt - at
    } catch {
      return -1
    }
  }

  close(): void {}
}
