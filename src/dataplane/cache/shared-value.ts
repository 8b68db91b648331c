/**
 * A verdict as octets, before it is sealed: all that another box needs to answer, and to decide
 * again by a policy of its own.
 *
 *   0  1  decision: 0 passed, 1 blocked behind an alias, 2 leads to a special name
 *   1  1  category, as the bit of the image under that policy stamp
 *   2  2  list, as its place in that image; 0xffff for none
 *   4  8  absolute expiry, milliseconds of wall clock (IEEE 754)
 *  12  1  octets of the policy stamp
 *  13  1  octets of the rule's name
 *  14  2  octets of the question: name, type, DO and CD, as the cache key has them
 *  16  2  octets of the names that the answer led through
 *  18  2  offsets of TTLs
 *  20  2  octets of the answer, without OPT
 *  22  …  these parts in this order, the offsets as two octets each; then zeros to a multiple of 64
 *
 * The zeros keep the length of a value from telling what was asked (RFC 8467 does so for messages).
 */
import { readU16, writeU16 } from '../../wire/header.ts'
import { OFFSET_NAME } from './shared-question.ts'

const DECISION_PASSED = 0
const DECISION_BLOCKED = 1
const DECISION_SPECIAL = 2
/** As the policy has them. */
const PASSED = -1
const SPECIAL = -2
const NO_LIST = 0xffff

const AT_CATEGORY = 1
const AT_LIST = 2
const AT_EXPIRY = 4
const AT_STAMP_OCTETS = 12
const AT_RULE_OCTETS = 13
const AT_QUESTION_OCTETS = 14
const AT_NAMES_OCTETS = 16
const AT_TTL_COUNT = 18
const AT_ANSWER_OCTETS = 20
const FIXED_OCTETS = 22
const PADDING_OCTETS = 64
const STAMP_OCTETS_MAX = 255

/** Octets of the largest value: what is longer is not shared. */
export const VALUE_OCTETS_MAX = 96 * 1024

/** One verdict; a reused record that `read` fills and `write` reads. */
export class SharedValue {
  /** Bit of the category that blocks a name it led through, -1 when none does, -2 when special. */
  category = PASSED
  /** Place of the list in the image, or -1. */
  list = -1
  expiresAtMs = 0
  stamp = ''
  /** Wire name of the rule that blocked; empty when none did. */
  rule: Uint8Array = NOTHING
  /** The cache key: name, type, DO and CD. */
  question = ''
  /** Wire names, lower case, one after another. */
  names: Uint8Array = NOTHING
  namesOctets = 0
  ttlOffsets = new Uint16Array(0)
  ttlCount = 0
  /** Without OPT; the question stands in it at octet 12, in lower case. */
  message: Uint8Array = NOTHING
  octets = 0
}

const NOTHING = new Uint8Array(0)

/** The value was not written. */
export const TOO_LARGE = -1

/** Writes a value to the start of `out`, which takes the largest; returns its octets. */
export function writeValue(value: SharedValue, out: Buffer): number {
  const { stamp, rule, question, namesOctets, ttlCount, octets } = value
  const parts = stamp.length + rule.length + question.length + namesOctets + 2 * ttlCount + octets
  const end = FIXED_OCTETS + parts
  const padded = end + ((PADDING_OCTETS - (end % PADDING_OCTETS)) % PADDING_OCTETS)
  if (padded > VALUE_OCTETS_MAX || stamp.length > STAMP_OCTETS_MAX) return TOO_LARGE
  const { category } = value
  const refused = category === SPECIAL ? DECISION_SPECIAL : DECISION_BLOCKED
  out[0] = category === PASSED ? DECISION_PASSED : refused
  out[AT_CATEGORY] = Math.max(0, category)
  writeU16(out, AT_LIST, value.list < 0 ? NO_LIST : value.list)
  out.writeDoubleBE(value.expiresAtMs, AT_EXPIRY)
  out[AT_STAMP_OCTETS] = stamp.length
  out[AT_RULE_OCTETS] = rule.length
  writeU16(out, AT_QUESTION_OCTETS, question.length)
  writeU16(out, AT_NAMES_OCTETS, namesOctets)
  writeU16(out, AT_TTL_COUNT, ttlCount)
  writeU16(out, AT_ANSWER_OCTETS, octets)
  let at = writeText(stamp, stamp.length, out, FIXED_OCTETS)
  at = writeOctets(rule, rule.length, out, at)
  at = writeText(question, question.length, out, at)
  at = writeOctets(value.names, namesOctets, out, at)
  for (let i = 0; i < ttlCount; i++) writeU16(out, at + 2 * i, value.ttlOffsets[i]!)
  at += 2 * ttlCount
  writeOctets(value.message, octets, out, at)
  writeText(question, question.length - 3, out, at + OFFSET_NAME)
  for (let zero = end; zero < padded; zero++) out[zero] = 0
  return padded
}

/** Loops: for parts of some dozen octets each call of Node's own costs more than the copy. */
function writeOctets(from: Uint8Array, octets: number, out: Buffer, at: number): number {
  for (let index = 0; index < octets; index++) out[at + index] = from[index]!
  return at + octets
}

function writeText(from: string, octets: number, out: Buffer, at: number): number {
  for (let index = 0; index < octets; index++) out[at + index] = from.charCodeAt(index)
  return at + octets
}

/** Fills `value` with views on the octets; false when the parts do not fit into them. */
export function readValue(octets: Buffer, value: SharedValue): boolean {
  if (octets.length < FIXED_OCTETS || octets.length > VALUE_OCTETS_MAX) return false
  const decision = octets[0]!
  if (decision > DECISION_SPECIAL) return false
  const stampOctets = octets[AT_STAMP_OCTETS]!
  const ruleOctets = octets[AT_RULE_OCTETS]!
  const questionOctets = readU16(octets, AT_QUESTION_OCTETS)
  const namesOctets = readU16(octets, AT_NAMES_OCTETS)
  const ttlCount = readU16(octets, AT_TTL_COUNT)
  const answerOctets = readU16(octets, AT_ANSWER_OCTETS)
  const stampAt = FIXED_OCTETS
  const ruleAt = stampAt + stampOctets
  const questionAt = ruleAt + ruleOctets
  const namesAt = questionAt + questionOctets
  const offsetsAt = namesAt + namesOctets
  const answerAt = offsetsAt + 2 * ttlCount
  const end = answerAt + answerOctets
  if (end > octets.length || octets.length - end >= PADDING_OCTETS) return false
  const refused = decision === DECISION_SPECIAL ? SPECIAL : octets[AT_CATEGORY]!
  value.category = decision === DECISION_PASSED ? PASSED : refused
  const list = readU16(octets, AT_LIST)
  value.list = list === NO_LIST ? -1 : list
  value.expiresAtMs = octets.readDoubleBE(AT_EXPIRY)
  value.stamp = octets.toString('latin1', stampAt, ruleAt)
  value.rule = octets.subarray(ruleAt, questionAt)
  value.question = octets.toString('latin1', questionAt, namesAt)
  value.names = octets.subarray(namesAt, offsetsAt)
  value.namesOctets = namesOctets
  if (value.ttlOffsets.length < ttlCount) value.ttlOffsets = createOffsets(ttlCount)
  for (let i = 0; i < ttlCount; i++) value.ttlOffsets[i] = readU16(octets, offsetsAt + 2 * i)
  value.ttlCount = ttlCount
  value.message = octets.subarray(answerAt, end)
  value.octets = answerOctets
  return true
}

function createOffsets(count: number): Uint16Array<ArrayBuffer> {
  return new Uint16Array(count)
}
