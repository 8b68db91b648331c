/**
 * One try of a question at one upstream. A question may have several: one whose time is over stays
 * valid until the question is closed, so that a late reply still counts.
 */
import { OFFSET_ID, writeU16 } from '../../wire/header.ts'
import type { Exchange } from './exchange.ts'
import type { Pending } from './pending.ts'
import { Timed } from './timer-wheel.ts'
import type { Upstream } from './upstream.ts'

/** Reused. It waits in the wheel until its time is over. */
export class Attempt extends Timed {
  pending: Pending
  upstream: Upstream
  exchange: Exchange
  /** The query that goes out; the id in it is the one of the try that was sent last. */
  message: Uint8Array
  octets = 0
  questionEnd = 0
  id = 0
  sentMs = 0
  /** The exchange's own record of where it left from. */
  port: object | null = null
  /** Its time is over; its reply is still welcome. */
  overdue = false
  /** The question's try before this one. */
  next: Attempt | null = null

  constructor(pending: Pending, upstream: Upstream, exchange: Exchange) {
    super()
    this.pending = pending
    this.upstream = upstream
    this.exchange = exchange
    this.message = pending.message
  }

  /** Makes it a new try of the question. */
  begin(pending: Pending, upstream: Upstream, exchange: Exchange, nowMs: number): void {
    this.pending = pending
    this.upstream = upstream
    this.exchange = exchange
    this.message = pending.message
    this.octets = upstream.finishQuery(pending.message, pending.octets)
    this.questionEnd = pending.questionEnd
    this.sentMs = nowMs
    this.port = null
    this.overdue = false
    this.next = pending.attempts
    pending.attempts = this
    pending.attemptCount++
  }

  /** Writes the id; the exchange copies the message before anything else is done. */
  setId(id: number): void {
    this.id = id
    writeU16(this.message, OFFSET_ID, id)
  }

  /** Takes it out of its question's list. */
  unlink(): void {
    const pending = this.pending
    let before: Attempt | null = null
    for (let at = pending.attempts; at !== null; at = at.next) {
      if (at === this) {
        if (before === null) pending.attempts = this.next
        else before.next = this.next
        pending.attemptCount--
        break
      }
      before = at
    }
    this.next = null
    this.port = null
  }
}
