/**
 * Writes replies (RFC 1035 4.1, RFC 2308, RFC 6891, RFC 8914), over the query itself where the
 * caller gives its buffer as `out`. Every function takes the reused output buffer and returns how
 * many of its octets the reply takes.
 */
import { CLASS_IN, TYPE_A, TYPE_AAAA, TYPE_HINFO, TYPE_SOA } from './codes.ts'
import {
  FLAG_AD,
  FLAG_QR,
  FLAG_RA,
  FLAG_TC,
  HEADER_OCTETS,
  OFFSET_ANCOUNT,
  OFFSET_ARCOUNT,
  OFFSET_FLAGS,
  OFFSET_ID,
  OFFSET_NSCOUNT,
  OFFSET_QDCOUNT,
  SHIFT_OPCODE,
  headerRcode,
  readU16,
  readU32,
  writeU16,
  writeU32,
} from './header.ts'
import { MALFORMED, skipName } from './name.ts'
import { NO_EXTENDED_ERROR, appendOpt, optOctets, type ExtendedError } from './opt.ts'
import type { ParsedQuery } from './query.ts'

/** Owner, type, class, TTL and RDLENGTH of a record whose owner is a pointer. */
const POINTER_RECORD_OCTETS = 12
const POINTER = 0xc000
const RECORD_FIXED_OCTETS = 10

/** SOA fields behind MNAME and RNAME: serial, refresh, retry, expire; MINIMUM follows. */
const SOA_SERIAL = 1
const SOA_REFRESH_S = 3600
const SOA_RETRY_S = 1200
const SOA_EXPIRE_S = 604_800
/** RNAME `nobody.invalid.` (RFC 6303 3): nobody reads mail about a name that does not exist. */
const SOA_RNAME = Uint8Array.from([
  6, 0x6e, 0x6f, 0x62, 0x6f, 0x64, 0x79, 7, 0x69, 0x6e, 0x76, 0x61, 0x6c, 0x69, 0x64, 0,
])
/** HINFO for ANY questions: CPU "RFC8482", OS empty (RFC 8482 4.2). */
const HINFO_RDATA = Uint8Array.from([7, 0x52, 0x46, 0x43, 0x38, 0x34, 0x38, 0x32, 0])
/** Writes header and question; counts of the other sections are 0. Returns the question's end. */
function writeHead(out: Uint8Array, query: ParsedQuery, rcode: number, flags: number): number {
  writeU16(out, OFFSET_ID, query.id)
  const opcode = query.opcode << SHIFT_OPCODE
  writeU16(out, OFFSET_FLAGS, FLAG_QR | FLAG_RA | opcode | query.rdAndCd | flags | (rcode & 0xf))
  writeU16(out, OFFSET_QDCOUNT, query.questionEnd === 0 ? 0 : 1)
  writeU16(out, OFFSET_ANCOUNT, 0)
  writeU16(out, OFFSET_NSCOUNT, 0)
  writeU16(out, OFFSET_ARCOUNT, 0)
  return copyQuestion(out, query)
}

/** Gives the client its own question octets back, letter case included (RFC 4343 4.1). */
function copyQuestion(out: Uint8Array, query: ParsedQuery): number {
  if (query.questionEnd === 0) return HEADER_OCTETS
  const source = query.message
  const end = query.questionEnd
  // Answered in place: the question already stands where it belongs.
  if (source === out) return end
  for (let at = HEADER_OCTETS; at < end; at++) out[at] = source[at]!
  return end
}

/** Starts a record whose owner is a pointer to `ownerOffset`; returns where its RDATA begins. */
function writeRecordHead(
  out: Uint8Array,
  at: number,
  ownerOffset: number,
  type: number,
  ttlSeconds: number,
  rdataOctets: number,
): number {
  writeU16(out, at, POINTER | ownerOffset)
  writeU16(out, at + 2, type)
  writeU16(out, at + 4, CLASS_IN)
  writeU32(out, at + 6, ttlSeconds)
  writeU16(out, at + 10, rdataOctets)
  return at + POINTER_RECORD_OCTETS
}

/** A reply that carries only an rcode: FORMERR, NOTIMP, REFUSED, SERVFAIL, BADVERS, NOTAUTH. */
export function writeRcode(
  out: Uint8Array,
  query: ParsedQuery,
  rcode: number,
  error: ExtendedError,
  udpOctetsMax: number,
): number {
  const end = writeHead(out, query, rcode, 0)
  return appendOpt(out, end, query, rcode, error, udpOctetsMax)
}

/** An empty reply with TC: the client shall ask again over TCP (RFC 7766 5). */
export function writeTruncated(out: Uint8Array, query: ParsedQuery, udpOctetsMax: number): number {
  const end = writeHead(out, query, 0, FLAG_TC)
  return appendOpt(out, end, query, 0, NO_EXTENDED_ERROR, udpOctetsMax)
}

/**
 * NXDOMAIN or NODATA with the SOA that makes it cacheable (RFC 2308 5).
 *
 * @param ownerOffset where the SOA's owner begins in the question: a suffix of the asked name.
 * @param ttlSeconds TTL of the record and its MINIMUM.
 */
export function writeNegative(
  out: Uint8Array,
  query: ParsedQuery,
  rcode: number,
  ownerOffset: number,
  ttlSeconds: number,
  error: ExtendedError,
  udpOctetsMax: number,
): number {
  const start = writeHead(out, query, rcode, 0)
  writeU16(out, OFFSET_NSCOUNT, 1)
  const rdataOctets = 2 + SOA_RNAME.length + 20
  let at = writeRecordHead(out, start, ownerOffset, TYPE_SOA, ttlSeconds, rdataOctets)
  writeU16(out, at, POINTER | ownerOffset)
  out.set(SOA_RNAME, at + 2)
  at += 2 + SOA_RNAME.length
  writeU32(out, at, SOA_SERIAL)
  writeU32(out, at + 4, SOA_REFRESH_S)
  writeU32(out, at + 8, SOA_RETRY_S)
  writeU32(out, at + 12, SOA_EXPIRE_S)
  writeU32(out, at + 16, ttlSeconds)
  return appendOpt(out, at + 20, query, rcode, error, udpOctetsMax)
}

/** One A or AAAA record for the asked name; `address` has 4 or 16 octets. */
export function writeAddress(
  out: Uint8Array,
  query: ParsedQuery,
  address: Uint8Array,
  ttlSeconds: number,
  error: ExtendedError,
  udpOctetsMax: number,
): number {
  const type = address.length === 4 ? TYPE_A : TYPE_AAAA
  return writeSingle(out, query, type, address, ttlSeconds, error, udpOctetsMax)
}

/** The small answer to ANY (RFC 8482 4.2): one HINFO, so that nobody is hit with the large one. */
export function writeHinfo(
  out: Uint8Array,
  query: ParsedQuery,
  ttlSeconds: number,
  udpOctetsMax: number,
): number {
  const error = NO_EXTENDED_ERROR
  return writeSingle(out, query, TYPE_HINFO, HINFO_RDATA, ttlSeconds, error, udpOctetsMax)
}

/** Records of one type for the asked name; TC tells the client when not all have found room. */
export function writeRecords(
  out: Uint8Array,
  query: ParsedQuery,
  type: number,
  rdatas: readonly Uint8Array[],
  ttlSeconds: number,
  udpOctetsMax: number,
): number {
  const error = NO_EXTENDED_ERROR
  const room = query.replyOctetsMax - optOctets(query, error)
  let end = writeHead(out, query, 0, 0)
  let count = 0
  for (const rdata of rdatas) {
    if (end + POINTER_RECORD_OCTETS + rdata.length > room) {
      writeU16(out, OFFSET_FLAGS, readU16(out, OFFSET_FLAGS) | FLAG_TC)
      break
    }
    const at = writeRecordHead(out, end, HEADER_OCTETS, type, ttlSeconds, rdata.length)
    out.set(rdata, at)
    end = at + rdata.length
    count++
  }
  writeU16(out, OFFSET_ANCOUNT, count)
  return appendOpt(out, end, query, 0, error, udpOctetsMax)
}

function writeSingle(
  out: Uint8Array,
  query: ParsedQuery,
  type: number,
  rdata: Uint8Array,
  ttlSeconds: number,
  error: ExtendedError,
  udpOctetsMax: number,
): number {
  const start = writeHead(out, query, 0, 0)
  writeU16(out, OFFSET_ANCOUNT, 1)
  const at = writeRecordHead(out, start, HEADER_OCTETS, type, ttlSeconds, rdata.length)
  out.set(rdata, at)
  return appendOpt(out, at + rdata.length, query, 0, error, udpOctetsMax)
}

/**
 * A whole answer as it is kept: an upstream's message without its OPT, and where its TTLs stand.
 */
export interface StoredAnswer {
  readonly message: Uint8Array
  readonly octets: number
  /** Offsets of the TTL fields, `ttlCount` of them. */
  readonly ttlOffsets: Uint16Array
  readonly ttlCount: number
}

/**
 * Writes a kept answer for this client: its own id, flags and question, aged TTLs (RFC 2181 8), our
 * OPT; cut at a record boundary with TC where the client's size asks for it.
 *
 * Record order is the upstream's. AA is clear: we are no authority. AD is as it was kept, where
 * those of upstreams that are not believed were cleared, for clients who understand it.
 *
 * @param ttlSecondsMax no TTL is larger than this.
 */
export function writeStored(
  out: Uint8Array,
  query: ParsedQuery,
  stored: StoredAnswer,
  ageSeconds: number,
  error: ExtendedError,
  udpOctetsMax: number,
  ttlSecondsMax = TTL_SECONDS_MAX,
): number {
  const room = Math.max(query.questionEnd, query.replyOctetsMax - optOctets(query, error))
  const octets = Math.min(stored.octets, room)
  const start = copyQuestion(out, query)
  copyBody(out, stored.message, start, octets)
  const rcode = headerRcode(stored.message)
  writeU16(out, OFFSET_ID, query.id)
  const ad = query.understandsAd ? readU16(stored.message, OFFSET_FLAGS) & FLAG_AD : 0
  writeU16(out, OFFSET_FLAGS, FLAG_QR | FLAG_RA | query.rdAndCd | ad | rcode)
  const offsets = stored.ttlOffsets
  const count = stored.ttlCount
  for (let i = 0; i < count; i++) {
    const at = offsets[i]!
    if (at + 4 > octets) break
    writeU32(out, at, Math.min(ttlSecondsMax, Math.max(0, readU32(out, at) - ageSeconds)))
  }
  const end = stored.octets === octets ? octets : truncate(out, octets, start)
  return appendOpt(out, end, query, rcode, error, udpOctetsMax)
}

/** The largest TTL that a record may carry (RFC 2181 8). */
const TTL_SECONDS_MAX = 0x7fffffff

/** Octets from which on the engine's block copy beats a loop, its view included. */
const BLOCK_COPY_OCTETS = 256

/** Copies the section counts and everything behind the question. */
function copyBody(out: Uint8Array, message: Uint8Array, start: number, octets: number): void {
  for (let at = OFFSET_QDCOUNT; at < HEADER_OCTETS; at++) out[at] = message[at]!
  if (octets - start > BLOCK_COPY_OCTETS) out.set(message.subarray(start, octets), start)
  else for (let at = start; at < octets; at++) out[at] = message[at]!
}

/** Octets that OPT and an extended error may need behind a stored answer. */
export const REPLY_SLACK_OCTETS = 1024

/**
 * Cuts a message of which only the first `octets` were copied at its last whole record and corrects
 * the counts; TC tells the client when anything of the answer or authority section is missing (RFC
 * 2181 9).
 */
function truncate(out: Uint8Array, octets: number, questionEnd: number): number {
  let at = questionEnd
  for (let count = OFFSET_ANCOUNT; count <= OFFSET_ARCOUNT; count += 2) {
    const records = readU16(out, count)
    for (let index = 0; index < records; index++) {
      const end = recordEnd(out, at, octets)
      if (end === MALFORMED) return closeSection(out, at, count, index)
      at = end
    }
  }
  return at
}

/** Returns where the record at `at` ends, or `MALFORMED` when it does not end within `octets`. */
function recordEnd(out: Uint8Array, at: number, octets: number): number {
  const fixed = skipName(out, at, octets)
  if (fixed === MALFORMED || fixed + RECORD_FIXED_OCTETS > octets) return MALFORMED
  const end = fixed + RECORD_FIXED_OCTETS + readU16(out, fixed + 8)
  return end > octets ? MALFORMED : end
}

function closeSection(out: Uint8Array, at: number, countOffset: number, kept: number): number {
  writeU16(out, countOffset, kept)
  for (let rest = countOffset + 2; rest <= OFFSET_ARCOUNT; rest += 2) writeU16(out, rest, 0)
  if (countOffset !== OFFSET_ARCOUNT) {
    writeU16(out, OFFSET_FLAGS, readU16(out, OFFSET_FLAGS) | FLAG_TC)
  }
  return at
}
