/**
 * The key that a fleet's images are signed with: Ed25519 (RFC 8032), the private half in PKCS 8 PEM
 * on the machine that builds, the public half as 32 octets in base64 in every box's configuration.
 */

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { open, readFile, stat } from 'node:fs/promises'

import { OperationalError } from '../../base/errors.ts'
import { systemCode } from '../config/plain.ts'
import { unwritable } from '../generations/state-file.ts'

/** Mode bits of everybody but the owner. */
const OTHERS = 0o077
const OWNER_ONLY = 0o600
const FILE_OCTETS_MAX = 16 * 1024
const PUBLIC_KEY_OCTETS = 32

/**
 * Makes a key in a new file and returns the public half as `fleet.publicKey` takes it.
 *
 * @throws OperationalError ERR_WRITE; a file that is there is never written over.
 */
export async function makeFleetKey(file: string): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  try {
    const handle = await open(file, 'wx', OWNER_ONLY)
    try {
      await handle.writeFile(privateKey.export({ type: 'pkcs8', format: 'pem' }))
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (cause) {
    if (systemCode(cause) !== 'EEXIST') throw unwritable(file, cause)
    const why = `${file} is there already: a key that a fleet trusts is not written over`
    throw new OperationalError('ERR_WRITE', why, { file, cause })
  }
  return publicTextOf(publicKey)
}

/**
 * Reads a private key.
 *
 * @throws OperationalError ERR_SECRET when it is missing, no Ed25519 key, or others may read it.
 */
export async function readFleetKey(file: string): Promise<KeyObject> {
  let text: string
  try {
    const { mode, size } = await stat(file)
    if ((mode & OTHERS) !== 0) {
      const why = `${file} may be read by others: chmod 600, and make a new key if others had access`
      throw new OperationalError('ERR_SECRET', why, { file })
    }
    text = size > FILE_OCTETS_MAX ? '' : await readFile(file, 'utf8')
  } catch (cause) {
    if (cause instanceof OperationalError) throw cause
    const why = `${file} cannot be read (${systemCode(cause)}); "niveau3 fleet keygen" makes a key`
    throw new OperationalError('ERR_SECRET', why, { file, cause })
  }
  try {
    const key = createPrivateKey(text)
    if (key.asymmetricKeyType === 'ed25519') return key
  } catch {
    // Said below, without what the file holds.
  }
  throw new OperationalError('ERR_SECRET', `${file} is no Ed25519 private key in PEM`, { file })
}

/** The public half of a private key, as `fleet.publicKey` takes it. */
export function publicHalfOf(privateKey: KeyObject): string {
  return publicTextOf(createPublicKey(privateKey))
}

function publicTextOf(publicKey: KeyObject): string {
  const der = publicKey.export({ type: 'spki', format: 'der' })
  return der.subarray(der.length - PUBLIC_KEY_OCTETS).toString('base64')
}
