/** The names of an image that the code model does not take: very long ones, or with rare octets. */

import { NAME_OCTETS_MAX, VALUE_FIELDS } from './layout.ts'
import { createWords } from './shared.ts'

/** Where a plain name is not found. */
export const NO_PLAIN_NAME = -1
/** A binary search over 2^31 entries ends after this many steps. */
const SEARCH_STEPS_MAX = 32
const ENTRY_HEAD_OCTETS = 2

/** Plain names in octet order of their wire form. */
export interface PlainNames {
  readonly count: number
  /** Octets of the shortest one: no shorter name can match. */
  readonly octetsMin: number
  /** Offset in `octets` of each entry: value (two octets), then the wire name. */
  readonly starts: Uint32Array
  readonly octets: Uint8Array
}

/** Opens the section: count (four octets), then the entries. */
export function openPlainNames(
  octets: Uint8Array,
  valueCount: number,
  damaged: (what: string) => Error,
): PlainNames {
  if (octets.length < 4) throw damaged('its plain names lack their count')
  const count = octets[0]! | (octets[1]! << 8) | (octets[2]! << 16) | (octets[3]! << 24)
  if (count < 0 || count > octets.length) throw damaged('it claims more plain names than fit')
  const starts = createWords(count)
  let octetsMin = NAME_OCTETS_MAX
  let at = 4
  for (let index = 0; index < count; index++) {
    starts[index] = at
    const value = octets[at]! | (octets[at + 1]! << 8)
    const start = at + ENTRY_HEAD_OCTETS
    at = nameEnd(octets, start)
    if (at > octets.length || at - start > NAME_OCTETS_MAX || value >= valueCount) {
      throw damaged('its plain names are cut')
    }
    octetsMin = Math.min(octetsMin, at - start)
  }
  return { count, octetsMin, starts, octets }
}

/**
 * Returns the offset past the name's root octet, or past the end of `octets` when there is none.
 */
function nameEnd(octets: Uint8Array, start: number): number {
  let at = start
  while (at < octets.length && octets[at]! !== 0) at += octets[at]! + 1
  return at + 1
}

/** Returns the offset into the image's values of the name at `start`, or `NO_PLAIN_NAME`. */
export function findPlainName(plain: PlainNames, message: Uint8Array, start: number): number {
  let low = 0
  let high = plain.count
  for (let step = 0; step < SEARCH_STEPS_MAX && low < high; step++) {
    const middle = (low + high) >>> 1
    const entry = plain.starts[middle]!
    const order = compareNames(plain.octets, entry + ENTRY_HEAD_OCTETS, message, start)
    if (order === 0) return (plain.octets[entry]! | (plain.octets[entry + 1]! << 8)) * VALUE_FIELDS
    if (order < 0) low = middle + 1
    else high = middle
  }
  return NO_PLAIN_NAME
}

/** Octet order of wire names, the second in any letter case. */
function compareNames(lower: Uint8Array, at: number, any: Uint8Array, start: number): number {
  let labelLeft = 0
  for (let i = 0; i < NAME_OCTETS_MAX; i++) {
    const octet = any[start + i]!
    const isLength = labelLeft === 0
    if (isLength) labelLeft = octet
    else labelLeft--
    // A length octet is below 64, so folding leaves it as it is.
    const folded = (octet - 65) >>> 0 < 26 ? octet | 32 : octet
    const difference = lower[at + i]! - folded
    if (difference !== 0) return difference
    if (isLength && octet === 0) return 0
  }
  return 0
}
