/** The checksum of an image, which is its identity as well. */

import { createHash } from 'node:crypto'

import { DIGEST_OCTETS, OFFSET_DIGEST } from './layout.ts'

/**
 * Returns the SHA-256 over every octet of the image but the digest's own.
 *
 * SHA-256 because the digest names the image in policy stamps, and because it is quick enough: 3 ms
 * for 5 MB where the processor has instructions for it, 13 ms where it has none.
 */
export function imageDigest(image: Uint8Array): Uint8Array {
  return createHash('sha256')
    .update(image.subarray(0, OFFSET_DIGEST))
    .update(image.subarray(OFFSET_DIGEST + DIGEST_OCTETS))
    .digest()
}
