/**
 * Reads a client's message: header, the one question, OPT (RFC 1035 4.1, RFC 6891 6.1). Strict:
 * what is read here is all that ever travels on, so nothing can hide behind the question.
 */
import {
  CLASS_ANY,
  CLASS_IN,
  OPCODE_QUERY,
  OPTION_COOKIE,
  OPTION_KEEPALIVE,
  OPTION_PADDING,
  RCODE_BADVERS,
  RCODE_FORMERR,
  RCODE_NOTAUTH,
  RCODE_NOTIMP,
  RCODE_REFUSED,
  TYPE_META_FIRST,
  TYPE_ANY,
  TYPE_OPT,
  TYPE_TSIG,
} from './codes.ts'
import {
  FLAG_AD,
  FLAG_CD,
  FLAG_QR,
  FLAG_RD,
  HEADER_OCTETS,
  MASK_OPCODE,
  OFFSET_ANCOUNT,
  OFFSET_ARCOUNT,
  OFFSET_FLAGS,
  OFFSET_NSCOUNT,
  OFFSET_QDCOUNT,
  SHIFT_OPCODE,
  readU16,
} from './header.ts'
import { MALFORMED, NAME_OCTETS_MAX, skipName, skipPlainName } from './name.ts'

/** A question that may be decided and answered. */
export const PARSE_OK = 0
/** Under twelve octets: never answered, there is no id to answer to. */
export const PARSE_SHORT = 1
/** QR is set: answering responses makes loops between servers (CVE-2024-2169). */
export const PARSE_RESPONSE = 2
export const PARSE_FORMERR = 3
export const PARSE_NOTIMP = 4
/** EDNS version above 0 (RFC 6891 6.1.3). */
export const PARSE_BADVERS = 5
/** Not class IN, a zone transfer or another meta type. */
export const PARSE_REFUSED = 6
/** No question, but a cookie: asks for a server cookie alone (RFC 7873 5.4). */
export const PARSE_COOKIE_ONLY = 8
/** Signed with a key that we do not have (RFC 8945 5.2.1). */
export const PARSE_NOTAUTH = 7

/** Additional records that a query may carry; honest clients send one or two. */
const ADDITIONAL_MAX = 16
/** Options in one OPT (CVE-2026-41292 is a flood of them); past it the message is FORMERR. */
const OPTIONS_MAX = 128
/** Fixed octets of a record behind its owner: type, class, TTL, RDLENGTH. */
const RECORD_FIXED_OCTETS = 10
/** Type and class behind the name. */
export const QUESTION_FIXED_OCTETS = 4
const OPTION_FIXED_OCTETS = 4
/** A client cookie, which comes first in the option (RFC 7873 4). */
export const COOKIE_CLIENT_OCTETS = 8
const COOKIE_OCTETS_MIN = 16
const COOKIE_OCTETS_MAX = 40
/** Flag bit DO in OPT's extended TTL (RFC 6891 6.1.4). */
const FLAG_DO = 0x8000
/** Bit of `askedOptions`: how long may the connection idle (RFC 7828 3.2.1)? */
export const ASKED_KEEPALIVE = 1
/** Bit of `askedOptions`: a cookie came (RFC 7873 4). */
export const ASKED_COOKIE = 2
/** Bit of `askedOptions`: the query is padded, the reply shall be as well (RFC 7830 4). */
export const ASKED_PADDING = 4
/** The smallest payload that a client is taken to accept (RFC 6891 6.2.3). */
export const UDP_OCTETS_MIN = 512

/**
 * What one query says, and where its octets are: all that a reply has to repeat.
 *
 * Each worker has one that `parseQuery` fills anew for every message; a query that waits for an
 * upstream keeps a copy with its own buffer, in which the question stands at the same offsets.
 */
export class ParsedQuery {
  /** Holds the question at octets 12..`questionEnd`. */
  message: Uint8Array
  /**
   * Octets that the reply may take on this transport: set by the transport, lowered by EDNS rules.
   */
  replyOctetsMax = UDP_OCTETS_MIN
  id = 0
  opcode = 0
  /**
   * RD and CD of the query, at their places in the header's flags: both are copied to the reply.
   */
  rdAndCd = 0
  /** Offset past the question; 0 when there is none that a reply could repeat. */
  questionEnd = 0
  type = 0
  class = 0
  hasEdns = false
  dnssecOk = false
  /** AD or DO of the query: the client understands AD in the reply (RFC 6840 5.7, 5.8). */
  understandsAd = false
  /** Octets of UDP payload that the client accepts: 512 without EDNS. */
  udpOctets = UDP_OCTETS_MIN
  /** Options of its OPT that a reply may answer: bits `ASKED_*`. */
  askedOptions = 0
  /** Options that the reply's OPT will carry: bits `REPLY_*` of opt.ts, set by the pipeline. */
  replyOptions = 0
  /** For `REPLY_KEEPALIVE`: tenths of a second. */
  keepaliveTenths = 0
  /** The cookie that came; for `REPLY_COOKIE` the one that goes. */
  readonly cookie = new Uint8Array(COOKIE_OCTETS_MAX)
  cookieOctets = 0
  /** The cookie is one of ours: its client reads what is sent to its address (RFC 7873 5.2.5). */
  isCookieProof = false

  constructor(message: Uint8Array) {
    this.message = message
  }
}

/** Octets that hold the longest question at its place behind a header. */
export const QUESTION_END_MAX = HEADER_OCTETS + NAME_OCTETS_MAX + QUESTION_FIXED_OCTETS

/** Copies what a reply needs from `from` to `into`, whose buffer has `QUESTION_END_MAX` octets. */
export function copyQuery(from: ParsedQuery, into: ParsedQuery): void {
  into.id = from.id
  into.opcode = from.opcode
  into.rdAndCd = from.rdAndCd
  into.questionEnd = from.questionEnd
  into.type = from.type
  into.class = from.class
  into.hasEdns = from.hasEdns
  into.dnssecOk = from.dnssecOk
  into.understandsAd = from.understandsAd
  into.udpOctets = from.udpOctets
  into.replyOctetsMax = from.replyOctetsMax
  into.replyOptions = from.replyOptions
  if (from.replyOptions !== 0) {
    into.keepaliveTenths = from.keepaliveTenths
    into.cookie.set(from.cookie)
  }
  const source = from.message
  const target = into.message
  for (let at = HEADER_OCTETS; at < from.questionEnd; at++) target[at] = source[at]!
}

/** Fills `query` from the first `octets` of `message` and returns one of `PARSE_*`. */
export function parseQuery(message: Uint8Array, octets: number, query: ParsedQuery): number {
  query.message = message
  query.questionEnd = 0
  query.hasEdns = false
  query.dnssecOk = false
  query.udpOctets = UDP_OCTETS_MIN
  query.askedOptions = 0
  query.replyOptions = 0
  query.isCookieProof = false
  if (octets < HEADER_OCTETS) return PARSE_SHORT
  const flags = readU16(message, OFFSET_FLAGS)
  if ((flags & FLAG_QR) !== 0) return PARSE_RESPONSE
  query.id = readU16(message, 0)
  query.opcode = (flags & MASK_OPCODE) >>> SHIFT_OPCODE
  query.rdAndCd = flags & (FLAG_RD | FLAG_CD)
  query.understandsAd = (flags & FLAG_AD) !== 0
  if (query.opcode !== OPCODE_QUERY) return PARSE_NOTIMP
  const questions = readU16(message, OFFSET_QDCOUNT)
  if (questions === 0) return parseCookieOnly(message, octets, query)
  if (questions !== 1) return PARSE_FORMERR
  const nameEnd = skipPlainName(message, HEADER_OCTETS, octets)
  if (nameEnd === MALFORMED || nameEnd + QUESTION_FIXED_OCTETS > octets) return PARSE_FORMERR
  query.type = readU16(message, nameEnd)
  query.class = readU16(message, nameEnd + 2)
  query.questionEnd = nameEnd + QUESTION_FIXED_OCTETS
  if (readU16(message, OFFSET_ANCOUNT) !== 0 || readU16(message, OFFSET_NSCOUNT) !== 0) {
    return refusedOrFormerr(query)
  }
  const additional = parseAdditional(message, octets, query.questionEnd, query)
  if (additional !== PARSE_OK) return additional
  return isAnswerable(query.type, query.class) ? PARSE_OK : PARSE_REFUSED
}

/** IXFR carries the client's SOA in its authority section (RFC 1995 3): refused, not malformed. */
function refusedOrFormerr(query: ParsedQuery): number {
  return query.type === 251 ? PARSE_REFUSED : PARSE_FORMERR
}

function isAnswerable(type: number, questionClass: number): boolean {
  if (questionClass !== CLASS_IN || type === 0 || type === TYPE_OPT) return false
  return type < TYPE_META_FIRST || type >= TYPE_ANY
}

/** A message without a question is FORMERR (RFC 9619 4), but for a cookie's sake. */
function parseCookieOnly(message: Uint8Array, octets: number, query: ParsedQuery): number {
  if (readU16(message, OFFSET_ANCOUNT) !== 0 || readU16(message, OFFSET_NSCOUNT) !== 0) {
    return PARSE_FORMERR
  }
  const parsed = parseAdditional(message, octets, HEADER_OCTETS, query)
  if (parsed !== PARSE_OK) return parsed === PARSE_BADVERS ? parsed : PARSE_FORMERR
  return (query.askedOptions & ASKED_COOKIE) === 0 ? PARSE_FORMERR : PARSE_COOKIE_ONLY
}

function parseAdditional(
  message: Uint8Array,
  octets: number,
  start: number,
  query: ParsedQuery,
): number {
  const count = readU16(message, OFFSET_ARCOUNT)
  if (count > ADDITIONAL_MAX) return PARSE_FORMERR
  let at = start
  let result = PARSE_OK
  for (let index = 0; index < count; index++) {
    const fixed = skipName(message, at, octets)
    if (fixed === MALFORMED || fixed + RECORD_FIXED_OCTETS > octets) return PARSE_FORMERR
    const type = readU16(message, fixed)
    const recordClass = readU16(message, fixed + 2)
    const end = fixed + RECORD_FIXED_OCTETS + readU16(message, fixed + 8)
    if (end > octets) return PARSE_FORMERR
    if (type === TYPE_OPT) {
      if (query.hasEdns || fixed !== at + 1) return PARSE_FORMERR
      result = parseOpt(message, fixed, end, query)
      if (result === PARSE_FORMERR) return result
    } else if (type === TYPE_TSIG) {
      if (index !== count - 1 || recordClass !== CLASS_ANY) return PARSE_FORMERR
      result = PARSE_NOTAUTH
    } else if (recordClass !== CLASS_IN && recordClass !== CLASS_ANY) {
      return PARSE_FORMERR
    }
    at = end
  }
  return at === octets ? result : PARSE_FORMERR
}

/** Reads OPT, whose fixed part begins at `fixed` (RFC 6891 6.1.2), and walks its options. */
function parseOpt(message: Uint8Array, fixed: number, end: number, query: ParsedQuery): number {
  // First of all: the FORMERR to a bad option carries OPT as well (RFC 6891 6.1.1).
  query.hasEdns = true
  query.udpOctets = Math.max(UDP_OCTETS_MIN, readU16(message, fixed + 2))
  query.dnssecOk = (readU16(message, fixed + 6) & FLAG_DO) !== 0
  if (query.dnssecOk) query.understandsAd = true
  let at = fixed + RECORD_FIXED_OCTETS
  for (let options = 0; at < end; options++) {
    if (options === OPTIONS_MAX || at + OPTION_FIXED_OCTETS > end) return PARSE_FORMERR
    const option = readU16(message, at)
    const optionOctets = readU16(message, at + 2)
    const data = at + OPTION_FIXED_OCTETS
    at = data + optionOctets
    if (at > end) return PARSE_FORMERR
    if (option === OPTION_COOKIE) {
      if (!isCookieLength(optionOctets)) return PARSE_FORMERR
      takeCookie(message, data, optionOctets, query)
    } else if (option === OPTION_KEEPALIVE) {
      query.askedOptions |= ASKED_KEEPALIVE
    } else if (option === OPTION_PADDING) {
      query.askedOptions |= ASKED_PADDING
    }
  }
  return message[fixed + 5] === 0 ? PARSE_OK : PARSE_BADVERS
}

/** A client cookie alone, or with a server cookie of 8..32 octets (RFC 7873 4). */
function isCookieLength(octets: number): boolean {
  return (
    octets === COOKIE_CLIENT_OCTETS || (octets >= COOKIE_OCTETS_MIN && octets <= COOKIE_OCTETS_MAX)
  )
}

/** Keeps the first cookie of a query; the buffer of the message may become the reply's. */
function takeCookie(message: Uint8Array, at: number, octets: number, query: ParsedQuery): void {
  if ((query.askedOptions & ASKED_COOKIE) !== 0) return
  query.askedOptions |= ASKED_COOKIE
  query.cookieOctets = octets
  for (let i = 0; i < octets; i++) query.cookie[i] = message[at + i]!
}

/** Returns the rcode that answers a query which `parseQuery` did not take. */
export function rcodeOfParse(parsed: number): number {
  switch (parsed) {
    case PARSE_NOTIMP:
      return RCODE_NOTIMP
    case PARSE_BADVERS:
      return RCODE_BADVERS
    case PARSE_NOTAUTH:
      return RCODE_NOTAUTH
    case PARSE_FORMERR:
    case PARSE_COOKIE_ONLY:
      return RCODE_FORMERR
    default:
      return RCODE_REFUSED
  }
}
