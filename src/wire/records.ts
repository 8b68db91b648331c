/** Walks over the records of a message that we or a checked upstream wrote. */
import { TYPE_OPT, TYPE_SOA } from './codes.ts'
import {
  HEADER_OCTETS,
  OFFSET_ANCOUNT,
  OFFSET_ARCOUNT,
  OFFSET_NSCOUNT,
  OFFSET_QDCOUNT,
  readU16,
  readU32,
  writeU32,
} from './header.ts'
import { MALFORMED, skipName } from './name.ts'
import { QUESTION_FIXED_OCTETS } from './query.ts'

/** Type, class, TTL and RDLENGTH behind a record's owner (RFC 1035 3.2.1). */
export const RECORD_FIXED_OCTETS = 10
/** Where TTL and RDLENGTH stand within those. */
const TTL_AT = 4
const RDLENGTH_AT = 8

/** Returns where the first record begins, or `MALFORMED`. */
export function skipQuestions(message: Uint8Array, octets: number): number {
  let at = HEADER_OCTETS
  for (let question = readU16(message, OFFSET_QDCOUNT); question > 0; question--) {
    at = skipName(message, at, octets)
    if (at === MALFORMED) return MALFORMED
    at += QUESTION_FIXED_OCTETS
  }
  return at
}

/** Returns how many records the header announces. */
export function recordCount(message: Uint8Array): number {
  const answers = readU16(message, OFFSET_ANCOUNT)
  return answers + readU16(message, OFFSET_NSCOUNT) + readU16(message, OFFSET_ARCOUNT)
}

/** Returns where the fixed part of the record at `at` begins; `MALFORMED` past the end. */
export function fixedPart(message: Uint8Array, at: number, octets: number): number {
  const fixed = skipName(message, at, octets)
  return fixed === MALFORMED || fixed + RECORD_FIXED_OCTETS > octets ? MALFORMED : fixed
}

/** Returns where the record ends whose fixed part begins at `fixed`. */
export function recordEnd(message: Uint8Array, fixed: number): number {
  return fixed + RECORD_FIXED_OCTETS + readU16(message, fixed + RDLENGTH_AT)
}

/**
 * Returns how many seconds a cache may keep the message: the lowest TTL of its records, OPT left
 * out, and the SOA's MINIMUM where nothing is answered (RFC 8484 5.1, RFC 2308 5); 0 without any.
 */
export function freshSeconds(message: Uint8Array, octets: number): number {
  const negative = readU16(message, OFFSET_ANCOUNT) === 0
  let lowest = -1
  let at = skipQuestions(message, octets)
  for (let records = recordCount(message); records > 0 && at !== MALFORMED; records--) {
    const fixed = fixedPart(message, at, octets)
    if (fixed === MALFORMED) return 0
    at = recordEnd(message, fixed)
    const type = readU16(message, fixed)
    if (type === TYPE_OPT) continue
    let seconds = readU32(message, fixed + TTL_AT)
    if (negative && type === TYPE_SOA && at <= octets) {
      seconds = Math.min(seconds, readU32(message, at - 4))
    }
    if (lowest < 0 || seconds < lowest) lowest = seconds
  }
  return Math.max(0, lowest)
}

/** Takes the time that a reply has spent in an HTTP cache off its TTLs (RFC 8484 5.1). */
export function ageTtls(message: Uint8Array, octets: number, seconds: number): void {
  let at = skipQuestions(message, octets)
  for (let records = recordCount(message); records > 0 && at !== MALFORMED; records--) {
    const fixed = fixedPart(message, at, octets)
    if (fixed === MALFORMED) return
    at = recordEnd(message, fixed)
    if (readU16(message, fixed) === TYPE_OPT) continue
    const left = readU32(message, fixed + TTL_AT) - seconds
    writeU32(message, fixed + TTL_AT, Math.max(0, left))
  }
}
