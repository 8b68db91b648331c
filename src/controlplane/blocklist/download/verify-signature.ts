/**
 * Signatures of list files: minisign, plain (`Ed`) and prehashed (`ED`), and bare Ed25519
 * signatures of 64 octets. Keys are minisign public keys or the 32 octets in base64.
 */

import { createPublicKey, verify, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import { OperationalError } from '../../../base/errors.ts'
import { fileDigest } from './file-digest.ts'

/** DER head of an Ed25519 public key (RFC 8410 4). */
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex')
const KEY_OCTETS = 32
const KEY_ID_OCTETS = 8
const SIGNATURE_OCTETS = 64
const MINISIGN_KEY_OCTETS = 2 + KEY_ID_OCTETS + KEY_OCTETS
const MINISIGN_OCTETS = 2 + KEY_ID_OCTETS + SIGNATURE_OCTETS

/** A public key that lists are signed with. */
export interface SigningKey {
  readonly key: KeyObject
  /** What minisign calls the key; undefined for a bare key. */
  readonly id: Buffer | undefined
}

/** Reads a public key; undefined when the text is none. */
export function parseSigningKey(text: string): SigningKey | undefined {
  const octets = Buffer.from(text.trim(), 'base64')
  if (octets.length === KEY_OCTETS) return { key: keyOf(octets), id: undefined }
  if (octets.length !== MINISIGN_KEY_OCTETS || octets.toString('latin1', 0, 2) !== 'Ed') {
    return undefined
  }
  const id = octets.subarray(2, 2 + KEY_ID_OCTETS)
  return { key: keyOf(octets.subarray(2 + KEY_ID_OCTETS)), id }
}

function keyOf(octets: Buffer): KeyObject {
  return createPublicKey({
    key: Buffer.concat([SPKI_HEAD, octets]),
    format: 'der',
    type: 'spki',
  })
}

/**
 * Checks that `signature` is the key's signature of `file`.
 *
 * @throws OperationalError ERR_SIGNATURE when it is not, or is no signature at all.
 */
export async function requireSignature(
  file: string,
  signature: Buffer,
  { key, id }: SigningKey,
): Promise<void> {
  if (signature.length === SIGNATURE_OCTETS) {
    if (!verify(null, await readFile(file), key, signature)) throw wrong(file, 'does not match')
    return
  }
  const [, encoded, trusted, global] = signature.toString('utf8').split(/\r?\n/)
  const octets = Buffer.from(encoded ?? '', 'base64')
  if (octets.length !== MINISIGN_OCTETS) throw wrong(file, 'is neither minisign nor 64 octets')
  const algorithm = octets.toString('latin1', 0, 2)
  const keyId = octets.subarray(2, 2 + KEY_ID_OCTETS)
  const own = octets.subarray(2 + KEY_ID_OCTETS)
  if (id !== undefined && !keyId.equals(id)) throw wrong(file, 'was made with another key')
  if (algorithm !== 'Ed' && algorithm !== 'ED') throw wrong(file, `has algorithm "${algorithm}"`)
  const signed = algorithm === 'ED' ? await fileDigest(file, 'blake2b512') : await readFile(file)
  if (!verify(null, signed, key, own)) throw wrong(file, 'does not match')
  const comment = /^trusted comment: (.*)$/.exec(trusted ?? '')?.[1] ?? ''
  const commented = Buffer.concat([own, Buffer.from(comment)])
  if (!verify(null, commented, key, Buffer.from(global ?? '', 'base64'))) {
    throw wrong(file, 'has a trusted comment that is not signed')
  }
}

function wrong(file: string, why: string): OperationalError {
  return new OperationalError(
    'ERR_SIGNATURE',
    `the signature of ${file} ${why}; the list is not taken`,
    { file },
  )
}
