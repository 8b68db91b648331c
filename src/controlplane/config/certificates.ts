/** The PEM files that a configuration names: read and looked at before anything starts. */

import { X509Certificate, createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { SECOND_MS } from '../../base/units.ts'
import type { Fault } from './addresses.ts'
import { systemCode } from './plain.ts'

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** Returns the certificates of a file of authorities as PEM, or what is wrong with it. */
export function readAuthorities(file: string): string | Fault {
  try {
    const certificates = certificatesOf(file)
    if (certificates.length === 0) return { fault: `file ${file} holds no PEM certificate` }
    for (const text of certificates) void new X509Certificate(text)
    return certificates.join('\n')
  } catch (error) {
    return { fault: `file ${file} cannot be read as PEM certificates: ${systemCode(error)}` }
  }
}

/** A certificate of our own with its key. */
export interface Certificate {
  /** PEM, with those that lead to its authority behind it. */
  readonly certificate: string
  /** PEM. */
  readonly key: string
  readonly expiresAtSeconds: number
}

/** Returns what the two files hold, or why a server cannot use it. */
export function readIdentity(certificateFile: string, keyFile: string): Certificate | Fault {
  let own: X509Certificate
  let certificate: string
  try {
    const certificates = certificatesOf(certificateFile)
    if (certificates[0] === undefined) {
      return { fault: `file ${certificateFile} holds no PEM certificate` }
    }
    own = new X509Certificate(certificates[0])
    certificate = certificates.join('\n')
  } catch (error) {
    return { fault: `file ${certificateFile} is no PEM certificate: ${systemCode(error)}` }
  }
  try {
    const key = readFileSync(keyFile, 'utf8')
    const isPair = own.checkPrivateKey(createPrivateKey(key))
    if (!isPair) return { fault: `the key in ${keyFile} is not that of ${certificateFile}` }
    // Loaded only where there is a certificate: it takes some milliseconds of every start.
    process.getBuiltinModule('node:tls').createSecureContext({ cert: certificate, key })
    return { certificate, key, expiresAtSeconds: Date.parse(own.validTo) / SECOND_MS }
  } catch (error) {
    return { fault: `file ${keyFile} is no PEM key without a password: ${systemCode(error)}` }
  }
}

function certificatesOf(file: string): string[] {
  return readFileSync(file, 'utf8').match(CERTIFICATE) ?? []
}
