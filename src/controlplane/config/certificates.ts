/** The PEM files that a configuration names: read and looked at before anything starts. */

import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Fault } from './addresses.ts'
import { systemCode } from './plain.ts'

const CERTIFICATE =
  /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g

/** Returns the certificates of a file of authorities as PEM, or what is wrong with it. */
export function readAuthorities(file: string): string | Fault {
  try {
    const certificates = readFileSync(file, 'utf8').match(CERTIFICATE) ?? []
    if (certificates.length === 0) return { fault: `file ${file} holds no PEM certificate` }
    for (const text of certificates) void new X509Certificate(text)
    return certificates.join('\n')
  } catch (error) {
    return { fault: `file ${file} cannot be read as PEM certificates: ${systemCode(error)}` }
  }
}
