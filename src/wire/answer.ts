/**
 * Walks an upstream's reply once: checks every bound, finds the TTLs, the names that the answer
 * leads through, and how long it may be kept (RFC 2181 8, RFC 2308 5, RFC 9460 2.2).
 */
import {
  CLASS_IN,
  RCODE_NOERROR,
  RCODE_NXDOMAIN,
  TYPE_A,
  TYPE_AAAA,
  TYPE_ANY,
  TYPE_CNAME,
  TYPE_DNAME,
  TYPE_HTTPS,
  TYPE_MX,
  TYPE_NS,
  TYPE_OPT,
  TYPE_PTR,
  TYPE_SOA,
  TYPE_SRV,
  TYPE_SVCB,
} from './codes.ts'
import {
  FLAG_TC,
  HEADER_OCTETS,
  MESSAGE_OCTETS_MAX,
  OFFSET_ANCOUNT,
  OFFSET_ARCOUNT,
  OFFSET_FLAGS,
  headerRcode,
  readU16,
  readU32,
  writeU16,
  writeU32,
} from './header.ts'
import { MALFORMED, NAME_OCTETS_MAX, checkName, expandName, foldedEqual } from './name.ts'

/** The smallest record takes eleven octets, so no message holds more records than this. */
const RECORDS_MAX = Math.ceil((MESSAGE_OCTETS_MAX - HEADER_OCTETS) / 11)
/**
 * Names that one answer may lead through; Unbound stops a chain at 11. More is refused as
 * malformed.
 */
const LED_THROUGH_MAX = 32
const RECORD_FIXED_OCTETS = 10
/** An owner that is a pointer to the question's name. */
const ASKED_NAME = 0xc000 | HEADER_OCTETS
/** Owner of the records in a section, by position; only these two matter to the walk. */
const SECTION_ANSWER = 0
const SECTION_AUTHORITY = 1
const SECTION_ADDITIONAL = 2
const SECTION_END = 3
/** SOA RDATA ends with five 32-bit numbers, MINIMUM last (RFC 1035 3.3.13). */
const SOA_NUMBERS_OCTETS = 20
const NO_TTL = 0xffffffff

/** RDATA of types that are not in the table is opaque (RFC 3597 3). */
const LAYOUT_OPAQUE = 0
const LAYOUT_NAMES_SHIFT = 5
const LAYOUT_NAMES_MASK = 3
const LAYOUT_TAIL_SHIFT = 7
const LAYOUTS = createLayouts()

/**
 * How the RDATA of a type is laid out: octets, then names, then octets. Those are the addresses and
 * the types whose names may be compressed (RFC 3597 4): a name that leads astray, or an address of
 * the wrong length, is not for a client's parser to find out.
 */
function createLayouts(): Uint16Array {
  const layouts = new Uint16Array(64)
  const rows = [
    [TYPE_A, 4, 0, 0],
    [TYPE_AAAA, 16, 0, 0],
    [TYPE_NS, 0, 1, 0],
    [TYPE_CNAME, 0, 1, 0],
    [TYPE_SOA, 0, 2, SOA_NUMBERS_OCTETS],
    [TYPE_PTR, 0, 1, 0],
    [TYPE_MX, 2, 1, 0],
    [TYPE_SRV, 6, 1, 0],
    [TYPE_DNAME, 0, 1, 0],
  ] as const
  for (const [type, head, names, tail] of rows) {
    layouts[type] = head | (names << LAYOUT_NAMES_SHIFT) | (tail << LAYOUT_TAIL_SHIFT)
  }
  return layouts
}

/** What a reply says; one per worker, filled anew by every `inspectAnswer`. */
export class AnswerFacts {
  rcode = 0
  truncated = false
  /** Octets of the message without OPT and what stands behind it. */
  octets = 0
  /** Seconds that the answer may be kept; 0 when it may not. */
  ttlSeconds = 0
  /** NXDOMAIN or NODATA. */
  negative = false
  ttlCount = 0
  readonly ttlOffsets = new Uint16Array(RECORDS_MAX)
  /**
   * Targets of CNAME, DNAME, SVCB and HTTPS records, and where a service was asked for, owners of
   * additional addresses: wire names, lower case, one after another.
   */
  readonly names = new Uint8Array((LED_THROUGH_MAX + 1) * NAME_OCTETS_MAX)
  namesOctets = 0
  namesCount = 0
  /** Where the last of the names begins. */
  lastName = 0
  /** Smallest TTL seen, negative TTL by the SOA, and whether a record answers the asked type. */
  lowestTtl = NO_TTL
  negativeTtl = NO_TTL
  /** Where the TTL of the authority's SOA stands; 0 when there is none. */
  soaTtlOffset = 0
  answered = false
}

/**
 * Fills `facts` from a reply whose header and question the caller has matched to its query; false
 * when any octet is out of place. Removes OPT from the message by correcting ARCOUNT.
 */
export function inspectAnswer(
  message: Uint8Array,
  octets: number,
  questionEnd: number,
  type: number,
  facts: AnswerFacts,
): boolean {
  facts.rcode = headerRcode(message)
  facts.truncated = (readU16(message, OFFSET_FLAGS) & FLAG_TC) !== 0
  facts.octets = octets
  facts.ttlCount = 0
  facts.namesOctets = 0
  facts.namesCount = 0
  facts.lastName = 0
  facts.lowestTtl = NO_TTL
  facts.negativeTtl = NO_TTL
  facts.soaTtlOffset = 0
  facts.answered = false
  let at = questionEnd
  for (let section = SECTION_ANSWER; section < SECTION_END; section++) {
    at = walkSection(message, octets, at, section, type, facts)
    if (at === MALFORMED) return false
  }
  facts.octets = at
  conclude(facts)
  return true
}

/** Walks one section from `start`; returns its end, or `MALFORMED`. */
function walkSection(
  message: Uint8Array,
  octets: number,
  start: number,
  section: number,
  type: number,
  facts: AnswerFacts,
): number {
  const countOffset = OFFSET_ANCOUNT + 2 * section
  const records = readU16(message, countOffset)
  let at = start
  for (let index = 0; index < records; index++) {
    const fixed = checkName(message, at, octets)
    if (fixed === MALFORMED || fixed + RECORD_FIXED_OCTETS > octets) return MALFORMED
    const rdata = fixed + RECORD_FIXED_OCTETS
    const end = rdata + readU16(message, fixed + 8)
    if (end > octets) return MALFORMED
    const recordType = readU16(message, fixed)
    if (recordType === TYPE_OPT) {
      if (section !== SECTION_ADDITIONAL) return MALFORMED
      facts.rcode |= message[fixed + 4]! << 4
      writeU16(message, OFFSET_ARCOUNT, index)
      return at
    }
    const isIn = readU16(message, fixed + 2) === CLASS_IN
    if (isIn && !isLaidOut(message, rdata, end, recordType)) return MALFORMED
    noteTtl(message, fixed + 4, facts)
    if (section === SECTION_ANSWER) {
      if (!noteAnswer(message, octets, rdata, end, recordType, type, facts)) return MALFORMED
    } else if (section === SECTION_AUTHORITY && recordType === TYPE_SOA) {
      if (end - rdata < SOA_NUMBERS_OCTETS + 2) return MALFORMED
      const soaTtl = readTtl(message, fixed + 4)
      facts.negativeTtl = Math.min(soaTtl, readTtl(message, end - 4))
      facts.soaTtlOffset = fixed + 4
    } else if (section === SECTION_ADDITIONAL && (type === TYPE_SVCB || type === TYPE_HTTPS)) {
      if (!noteAdditional(message, octets, at, rdata, end, recordType, facts)) return MALFORMED
    }
    at = end
  }
  return at
}

/** True when the RDATA is whole and its names are sound, as far as the type's layout is known. */
function isLaidOut(message: Uint8Array, rdata: number, end: number, type: number): boolean {
  const layout = type < LAYOUTS.length ? LAYOUTS[type]! : LAYOUT_OPAQUE
  if (layout === LAYOUT_OPAQUE) return true
  let at = rdata + (layout & ((1 << LAYOUT_NAMES_SHIFT) - 1))
  const names = (layout >>> LAYOUT_NAMES_SHIFT) & LAYOUT_NAMES_MASK
  for (let index = 0; index < names; index++) {
    at = checkName(message, at, end)
    if (at === MALFORMED) return false
  }
  return at + (layout >>> LAYOUT_TAIL_SHIFT) === end
}

/** A TTL with its top bit set counts as 0 (RFC 2181 8). */
function readTtl(message: Uint8Array, at: number): number {
  const ttl = readU32(message, at)
  return ttl > 0x7fffffff ? 0 : ttl
}

function noteTtl(message: Uint8Array, at: number, facts: AnswerFacts): void {
  const ttl = readTtl(message, at)
  if (ttl < facts.lowestTtl) facts.lowestTtl = ttl
  facts.ttlOffsets[facts.ttlCount++] = at
}

function noteAnswer(
  message: Uint8Array,
  octets: number,
  rdata: number,
  end: number,
  recordType: number,
  type: number,
  facts: AnswerFacts,
): boolean {
  if (recordType === type || type === TYPE_ANY) facts.answered = true
  return noteTarget(message, octets, rdata, end, recordType, facts)
}

/**
 * A client that asked for a service may follow the additional records without a question of its own
 * (RFC 9460 4.1), so what they lead to counts: targets, and the names whose addresses they are.
 */
function noteAdditional(
  message: Uint8Array,
  octets: number,
  owner: number,
  rdata: number,
  end: number,
  recordType: number,
  facts: AnswerFacts,
): boolean {
  if (recordType === TYPE_A || recordType === TYPE_AAAA) {
    // The asked name has its verdict.
    if (readU16(message, owner) === ASKED_NAME) return true
    return noteName(message, octets, owner, octets, facts)
  }
  return noteTarget(message, octets, rdata, end, recordType, facts)
}

function noteTarget(
  message: Uint8Array,
  octets: number,
  rdata: number,
  end: number,
  recordType: number,
  facts: AnswerFacts,
): boolean {
  switch (recordType) {
    case TYPE_CNAME:
    case TYPE_DNAME:
      return noteName(message, octets, rdata, end, facts)
    case TYPE_SVCB:
    case TYPE_HTTPS:
      if (end - rdata < 3 || !areParamsWhole(message, rdata + 2, end)) return false
      return noteName(message, octets, rdata + 2, end, facts)
    default:
      return true
  }
}

/**
 * True when the service parameters behind the target at `at` fill the RDATA to its end (RFC 9460
 * 2.2): what one reader skips as broken, another might still use.
 */
function areParamsWhole(message: Uint8Array, at: number, end: number): boolean {
  let param = checkName(message, at, end)
  if (param === MALFORMED) return false
  while (param + 4 <= end) param += 4 + readU16(message, param + 2)
  return param === end
}

/**
 * Keeps a name, once for records in a row; the root (`.` in SVCB: "the owner itself") needs no
 * verdict of its own.
 */
function noteName(
  message: Uint8Array,
  octets: number,
  at: number,
  rdataEnd: number,
  facts: AnswerFacts,
): boolean {
  if (checkName(message, at, rdataEnd) === MALFORMED) return false
  if (message[at] === 0) return true
  const start = facts.namesOctets
  const taken = expandName(message, at, octets, facts.names, start)
  if (taken === MALFORMED) return false
  const isSame = taken === start - facts.lastName
  if (isSame && foldedEqual(facts.names, facts.lastName, facts.names, start, taken)) return true
  if (facts.namesCount === LED_THROUGH_MAX) return false
  facts.lastName = start
  facts.namesOctets = start + taken
  facts.namesCount++
  return true
}

/**
 * How long the whole may be kept: the lowest TTL; a negative answer only with its SOA (RFC 2308 5).
 */
function conclude(facts: AnswerFacts): void {
  const nodata = facts.rcode === RCODE_NOERROR && !facts.answered
  facts.negative = facts.rcode === RCODE_NXDOMAIN || nodata
  facts.ttlSeconds = 0
  if (facts.truncated) return
  if (facts.negative) {
    if (facts.negativeTtl !== NO_TTL) {
      facts.ttlSeconds = Math.min(facts.negativeTtl, facts.lowestTtl)
    }
  } else if (facts.rcode === RCODE_NOERROR && facts.lowestTtl !== NO_TTL) {
    facts.ttlSeconds = facts.lowestTtl
  }
}

/**
 * Brings every TTL of the message between a floor and a ceiling; the facts follow. The SOA of a
 * negative answer gets the TTL that counts, so that a cache behind us does not start it anew
 * (RFC 2308 5).
 */
export function clampTtls(
  message: Uint8Array,
  facts: AnswerFacts,
  secondsMin: number,
  secondsMax: number,
): void {
  for (let i = 0; i < facts.ttlCount; i++) {
    const at = facts.ttlOffsets[i]!
    const ttl = readTtl(message, at)
    writeU32(message, at, Math.min(secondsMax, Math.max(secondsMin, ttl)))
  }
  if (facts.ttlSeconds > 0) {
    facts.ttlSeconds = Math.min(secondsMax, Math.max(secondsMin, facts.ttlSeconds))
    if (facts.negative) writeU32(message, facts.soaTtlOffset, facts.ttlSeconds)
  }
}
