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
import type { Pending } from './pending.ts'

const TYPE_AND_CLASS_OCTETS = 4

/** One protocol to one upstream. Not async: results come through `ExchangeEvents`. */
export interface Exchange {
  /** Sends the pending question under a fresh random id. */
  send(pending: Pending): void
  /** Forgets the pending question's current try; its late reply counts as a mismatch. */
  cancel(pending: Pending): void
  /** Closes what has been idle; called now and then. */
  sweep(nowMs: number): void
  close(): void
}

/** What an exchange reports. */
export interface ExchangeEvents {
  /** A reply that passed `matchesQuestion`; the buffer is free after the call. */
  replied(pending: Pending, message: Uint8Array, octets: number): void
  /** The try cannot succeed any more; `reason` is one of `FAILURE_*`. */
  failed(pending: Pending, reason: number): void
  /** A message that answers nothing that we asked: ignored, the wait goes on. */
  mismatched(): void
}

/** True when the message is a reply to exactly the question that `pending` asked. */
export function matchesQuestion(message: Uint8Array, octets: number, pending: Pending): boolean {
  if (octets < pending.questionEnd) return false
  const flags = readU16(message, OFFSET_FLAGS)
  if ((flags & FLAG_QR) === 0 || (flags & MASK_OPCODE) !== 0) return false
  if (readU16(message, OFFSET_QDCOUNT) !== 1) return false
  const nameEnd = pending.questionEnd - TYPE_AND_CLASS_OCTETS
  if (readU32(message, nameEnd) !== readU32(pending.message, nameEnd)) return false
  const nameOctets = nameEnd - HEADER_OCTETS
  return foldedEqual(message, HEADER_OCTETS, pending.message, HEADER_OCTETS, nameOctets)
}
