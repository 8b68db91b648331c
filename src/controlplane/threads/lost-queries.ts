/** Accounts for what a worker had in hand when it died: every message is answered or counted. */
import {
  DROPPED,
  DROP_REASONS,
  DROP_STOPPED,
  FAMILIES,
  IN_FLIGHT,
  OUTCOMES,
  PROTOS,
  PROTO_UDP,
  QUERIES,
  QUESTION_TYPES,
  RCODE_SLOTS,
  REDIS,
  RESPONSES,
  TCP_CONNECTIONS,
  UDP_READ,
  type Counters,
} from '../../dataplane/counters.ts'
import { REDIS_GAUGES } from '../../dataplane/redis-counters.ts'

/**
 * Counts as dropped what the dead worker had received and neither answered nor dropped: queries
 * that waited for an upstream, and those of the burst that it died in.
 */
export function countLost(counters: Counters): void {
  countUnhandled(counters)
  const received = sumOf(counters, QUERIES, PROTOS.length * FAMILIES.length * QUESTION_TYPES.length)
  const answered = sumOf(counters, RESPONSES, OUTCOMES.length * RCODE_SLOTS)
  const dropped = sumOf(counters, DROPPED, DROP_REASONS.length)
  const slot = DROPPED + DROP_STOPPED
  counters[slot] = counters[slot]! + received - answered - dropped
  counters[IN_FLIGHT] = 0
  counters[TCP_CONNECTIONS] = 0
  for (const gauge of REDIS_GAUGES) counters[REDIS + gauge] = 0
}

/** The rest of a burst was read and never looked at: its types are not known. */
function countUnhandled(counters: Counters): void {
  for (const [family] of FAMILIES.entries()) {
    const other = QUERIES + (PROTO_UDP * FAMILIES.length + family + 1) * QUESTION_TYPES.length - 1
    const first = other - QUESTION_TYPES.length + 1
    const unhandled = counters[UDP_READ + family]! - sumOf(counters, first, QUESTION_TYPES.length)
    counters[other] = counters[other]! + Math.max(0, unhandled)
  }
}

function sumOf(counters: Counters, from: number, slots: number): number {
  return counters.subarray(from, from + slots).reduce((sum, value) => sum + value, 0)
}
