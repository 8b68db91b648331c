/**
 * Padding (RFC 7830) in blocks (RFC 8467 4.1): on an encrypted transport the length of a message
 * shall not tell which name it is about. Never used where anybody can read the message anyway.
 */
import { OPTION_PADDING, TYPE_OPT } from './codes.ts'
import { readU16, writeU16 } from './header.ts'
import { MALFORMED } from './name.ts'
import { RECORD_FIXED_OCTETS, fixedPart, recordCount, recordEnd, skipQuestions } from './records.ts'

/** Queries fill blocks of this many octets (RFC 8467 4.1). */
export const QUERY_BLOCK_OCTETS = 128

const OPTION_FIXED_OCTETS = 4
const RDATA_OCTETS_MAX = 0xffff

/**
 * Adds the padding option to a message whose last record is OPT, so that its length becomes a
 * multiple of `blockOctets` or `octetsMax`; returns the new length. A message without OPT, or with
 * no room for the option, stays as it is. `message` must have `octetsMax` octets.
 */
export function padMessage(
  message: Uint8Array,
  octets: number,
  blockOctets: number,
  octetsMax: number,
): number {
  const fixed = lastOpt(message, octets)
  const bare = octets + OPTION_FIXED_OCTETS
  if (fixed === MALFORMED || bare > octetsMax) return octets
  const padded = Math.min(octetsMax, Math.ceil(bare / blockOctets) * blockOctets)
  const rdataOctets = padded - fixed - RECORD_FIXED_OCTETS
  if (rdataOctets > RDATA_OCTETS_MAX) return octets
  writeU16(message, fixed + RECORD_FIXED_OCTETS - 2, rdataOctets)
  writeU16(message, octets, OPTION_PADDING)
  writeU16(message, octets + 2, padded - bare)
  message.fill(0, bare, padded)
  return padded
}

/** Returns where the fixed part of the last record begins, `MALFORMED` when that is no OPT. */
function lastOpt(message: Uint8Array, octets: number): number {
  let at = skipQuestions(message, octets)
  let fixed = MALFORMED
  for (let records = recordCount(message); records > 0; records--) {
    if (at === MALFORMED) return MALFORMED
    fixed = fixedPart(message, at, octets)
    if (fixed === MALFORMED) return MALFORMED
    at = recordEnd(message, fixed)
  }
  if (fixed === MALFORMED || at !== octets) return MALFORMED
  return readU16(message, fixed) === TYPE_OPT ? fixed : MALFORMED
}
