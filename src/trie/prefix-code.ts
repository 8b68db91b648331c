/** Canonical prefix codes: the lengths say everything, the codes follow from them. */

const LENGTH_LIMIT = 24
/** Used again by each call: an opened image makes thousands of codes. */
const perLength = new Uint32Array(LENGTH_LIMIT + 1)
const next = new Uint32Array(LENGTH_LIMIT + 1)

/**
 * Fills `codes` with the canonical codes for `lengths`, right-aligned; length 0 means no code.
 *
 * The shortest code is all ones, not all zeros as elsewhere: codes are filled up with zeros, and
 * those of `x`, `xx`, `xxx` would differ in nothing but their length.
 *
 * Returns false when no prefix code has these lengths.
 *
 * @param lengthMax no length may be greater; at most 24.
 */
export function assignCodes(
  lengths: Uint8Array,
  first: number,
  count: number,
  lengthMax: number,
  codes: Uint32Array,
): boolean {
  perLength.fill(0)
  for (let index = first; index < first + count; index++) {
    const length = lengths[index]!
    if (length > lengthMax) return false
    if (length > 0) perLength[length]!++
  }
  let code = 0
  for (let length = 1; length <= lengthMax; length++) {
    code = (code + perLength[length - 1]!) * 2
    next[length] = code
    if (code + perLength[length]! > 2 ** length) return false
  }
  for (let index = first; index < first + count; index++) {
    const length = lengths[index]!
    codes[index - first] = length === 0 ? 0 : 2 ** length - 1 - next[length]!++
  }
  return true
}
