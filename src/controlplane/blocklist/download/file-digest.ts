/** The digest of a file of any size. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'

/** Returns the digest of a file's octets; the failures of reading are the system's. */
export async function fileDigest(
  file: string,
  algorithm: 'sha256' | 'blake2b512' = 'sha256',
): Promise<Buffer> {
  const hash = createHash(algorithm)
  for await (const chunk of createReadStream(file)) if (Buffer.isBuffer(chunk)) hash.update(chunk)
  return hash.digest()
}
