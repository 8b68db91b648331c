/**
 * Hashes of names, label by label from the right, so that one walk yields the hash of every suffix.
 */

/** What a hash starts from at the root of a name. */
export const ROOT_HASH = 0x811c_9dc5

/**
 * Returns the hash of a name that has the label at `start` in front of a suffix with hash `suffix`.
 *
 * `start` is the offset of the label's length octet. ASCII letters count as lower case.
 */
export function prependLabel(suffix: number, octets: Uint8Array, start: number): number {
  const length = octets[start]!
  let hash = Math.imul(suffix ^ length, 0x0100_0193)
  const end = start + length
  for (let at = start + 1; at <= end; at++) {
    const octet = octets[at]!
    const folded = (octet - 65) >>> 0 < 26 ? octet | 32 : octet
    hash = Math.imul(hash ^ folded, 0x0100_0193)
  }
  // FNV keeps its best bits high: spread them before they are used as an index.
  hash ^= hash >>> 15
  hash = Math.imul(hash, 0x2c1b_3c6d)
  return (hash ^ (hash >>> 13)) | 0
}
