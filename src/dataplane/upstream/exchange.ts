/**
 * What every way of talking to an upstream offers, and the check that each reply has to pass
 * (RFC 5452 9.1): its own id, QR, opcode QUERY and exactly the question that was asked.
 */
import {
  FLAG_QR,
  HEADER_OCTETS,
  MASK_OPCODE,
  OFFSET_FLAGS,
  OFFSET_QDCOUNT,
  readU16,
  readU32,
} from '../../wire/header.ts'
import { foldedEqual } from '../../wire/name.ts'
import type { Attempt } from './attempt.ts'

const TYPE_AND_CLASS_OCTETS = 4

/** One protocol to one upstream. Not async: results come through `ExchangeEvents`. */
export interface Exchange {
  /**
   * Sends the try under a fresh random id (`attempt.setId`), from when on its reply is awaited:
   * until it has come, until it is reported as failed, or until `cancel`.
   */
  send(attempt: Attempt): void
  /** The question is closed: forgets the try, whose late reply counts as a mismatch. */
  cancel(attempt: Attempt): void
  /** The time of the try is over. Its reply stays welcome; the way to the upstream may be stale. */
  overdue(attempt: Attempt): void
  /** Closes what has been idle; called now and then. */
  sweep(nowMs: number): void
  close(): void
}

/** What an exchange reports. */
export interface ExchangeEvents {
  /**
   * Asked by ways over which anybody may send, about a reply that passed `matchesQuestion`: true
   * when `replied` shall have it; false when it is malformed, and the wait for the right one goes
   * on.
   *
   * @param nowMs as for `replied`.
   */
  accepts(attempt: Attempt, message: Uint8Array, octets: number, nowMs: number): boolean
  /**
   * A reply that passed `matchesQuestion`, which the exchange awaits no more; the buffer is free
   * after the call.
   *
   * @param nowMs the monotonic clock, read once for all replies of a burst.
   */
  replied(attempt: Attempt, message: Uint8Array, octets: number, nowMs: number): void
  /** The try cannot succeed any more; it is awaited no more. `reason` is one of `FAILURE_*`. */
  failed(attempt: Attempt, reason: number): void
  /** A message that answers nothing that we asked: ignored, the wait goes on. */
  mismatched(): void
}

/** True when the message is a reply to exactly the question of the try. */
export function matchesQuestion(message: Uint8Array, octets: number, attempt: Attempt): boolean {
  if (octets < attempt.questionEnd) return false
  const flags = readU16(message, OFFSET_FLAGS)
  if ((flags & FLAG_QR) === 0 || (flags & MASK_OPCODE) !== 0) return false
  if (readU16(message, OFFSET_QDCOUNT) !== 1) return false
  const nameEnd = attempt.questionEnd - TYPE_AND_CLASS_OCTETS
  if (readU32(message, nameEnd) !== readU32(attempt.message, nameEnd)) return false
  const nameOctets = nameEnd - HEADER_OCTETS
  return foldedEqual(message, HEADER_OCTETS, attempt.message, HEADER_OCTETS, nameOctets)
}
