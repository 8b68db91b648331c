/**
 * Looks at a value from Redis as at a message from a stranger: seal, layout, question, the answer
 * itself, its lifetime. What passes is a sound answer to the very question; what it means is for
 * the policy of this moment to decide.
 */
import { AnswerFacts, inspectAnswer } from '../../wire/answer.ts'
import { CLASS_IN } from '../../wire/codes.ts'
import { FLAG_QR, OFFSET_FLAGS, OFFSET_QDCOUNT, readU16 } from '../../wire/header.ts'
import {
  REJECTED_ANSWER,
  REJECTED_EXPIRY,
  REJECTED_LAYOUT,
  REJECTED_QUESTION,
  REJECTED_SEAL,
  REJECTED_SIZE,
  REJECTED_VERSION,
} from '../redis-counters.ts'
import { NO_VERSION, OPENED, SEAL_OCTETS, type Seal } from './seal.ts'
import { KEY_OCTETS_MIN, OFFSET_NAME, questionEndOf, typeOf } from './shared-question.ts'
import { SharedValue, VALUE_OCTETS_MAX, readValue } from './shared-value.ts'

/** The value passed. */
export const SOUND = -1

/** Clocks of two boxes may differ by this much before their values seem to come from the future. */
const SKEW_MS_MAX = 60_000
/** Name, type and flags. */
const KEY_OCTETS_MAX = 255 + 3

/** Checks values; its fields speak of the one that `check` was called with last. */
export class ValueCheck {
  readonly value = new SharedValue()
  readonly facts = new AnswerFacts()
  /** When the answer came, by this box's monotonic clock; the age of its TTLs counts from here. */
  storedMs = 0
  readonly #seal: Seal

  constructor(seal: Seal) {
    this.#seal = seal
  }

  /**
   * Returns `SOUND`, or why the value is rejected.
   *
   * @param question the cache key that was asked for; empty: whatever the value says (warm start).
   * @param nowMs monotonic, `wallMs` wall clock of the same moment.
   */
  check(sealed: Buffer, id: Uint8Array, question: string, nowMs: number, wallMs: number): number {
    if (sealed.length < SEAL_OCTETS || sealed.length > SEAL_OCTETS + VALUE_OCTETS_MAX) {
      return REJECTED_SIZE
    }
    const opened = this.#seal.unseal(sealed, id)
    if (opened !== OPENED) return opened === NO_VERSION ? REJECTED_VERSION : REJECTED_SEAL
    const { value, facts } = this
    if (!readValue(this.#seal.opened, value)) return REJECTED_LAYOUT
    if (question !== '' && value.question !== question) return REJECTED_QUESTION
    if (!isQuestionOf(value)) return REJECTED_QUESTION
    const key = value.question
    const isSound = inspectAnswer(
      value.message,
      value.octets,
      questionEndOf(key),
      typeOf(key),
      facts,
    )
    if (!isSound || facts.ttlSeconds <= 0 || !hasSameFacts(value, facts)) return REJECTED_ANSWER
    const lifetimeMs = value.expiresAtMs - wallMs
    const ttlMs = facts.ttlSeconds * 1000
    // Written so that NaN fails.
    if (!(lifetimeMs > 0 && lifetimeMs <= ttlMs + SKEW_MS_MAX)) return REJECTED_EXPIRY
    this.storedMs = nowMs - (ttlMs - Math.min(ttlMs, lifetimeMs))
    return SOUND
  }
}

/** True when the message is a response to exactly the question that the value names. */
function isQuestionOf(value: SharedValue): boolean {
  const { message, octets, question } = value
  if (question.length < KEY_OCTETS_MIN || question.length > KEY_OCTETS_MAX) return false
  const end = questionEndOf(question)
  if (octets < end || (readU16(message, OFFSET_FLAGS) & FLAG_QR) === 0) return false
  if (readU16(message, OFFSET_QDCOUNT) !== 1) return false
  if (readU16(message, end - 4) !== typeOf(question)) return false
  if (readU16(message, end - 2) !== CLASS_IN) return false
  const nameOctets = end - 4 - OFFSET_NAME
  for (let i = 0; i < nameOctets; i++) {
    if (message[OFFSET_NAME + i] !== question.charCodeAt(i)) return false
  }
  return isPlainName(message, nameOctets)
}

/** True when the labels end exactly where the name does. */
function isPlainName(message: Uint8Array, nameOctets: number): boolean {
  let at = 0
  while (at < nameOctets) {
    const labelOctets = message[OFFSET_NAME + at]!
    if (labelOctets === 0) return at + 1 === nameOctets
    if (labelOctets > 63) return false
    at += 1 + labelOctets
  }
  return false
}

/** True when the answer says what was noted when it was stored. */
function hasSameFacts(value: SharedValue, facts: AnswerFacts): boolean {
  if (facts.octets !== value.octets || facts.ttlCount !== value.ttlCount) return false
  if (facts.namesOctets !== value.namesOctets) return false
  for (let i = 0; i < facts.ttlCount; i++) {
    if (facts.ttlOffsets[i] !== value.ttlOffsets[i]) return false
  }
  for (let i = 0; i < facts.namesOctets; i++) {
    if (facts.names[i] !== value.names[i]) return false
  }
  return true
}
