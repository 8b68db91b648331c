/**
 * One try of a question at one upstream. A question may have several: one whose time is over stays
 * valid until the question is closed, so that a late reply still counts.
 */
import { HEADER_OCTETS, OFFSET_ARCOUNT, OFFSET_ID, writeU16 } from '../../wire/header.ts'
import { QUESTION_FIXED_OCTETS } from '../../wire/query.ts'
import type { Exchange } from './exchange.ts'
import { mixCase, sameOctets } from './letter-case.ts'
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
  /** It carries OPT. */
  hasEdns = true
  /** Its letters are random, and the reply has to have them. */
  isMixed = false
  /** It asks without OPT what was refused with it. */
  isEdnsRetry = false
  /** A message of its own, where it differs from the question's. */
  #own: Uint8Array | null = null
  /** The question's try before this one. */
  next: Attempt | null = null

  constructor(pending: Pending, upstream: Upstream, exchange: Exchange) {
    super()
    this.pending = pending
    this.upstream = upstream
    this.exchange = exchange
    this.message = pending.message
  }

  /**
   * Makes it a new try of the question.
   *
   * @param hasEdns whether it carries OPT.
   * @param isMixed whether its letters are random.
   */
  begin(
    pending: Pending,
    upstream: Upstream,
    exchange: Exchange,
    hasEdns: boolean,
    isMixed: boolean,
    nowMs: number,
  ): void {
    this.pending = pending
    this.upstream = upstream
    this.exchange = exchange
    this.questionEnd = pending.questionEnd
    this.sentMs = nowMs
    this.port = null
    this.overdue = false
    this.hasEdns = hasEdns
    this.isMixed = isMixed
    this.isEdnsRetry = false
    this.message = hasEdns && !isMixed ? pending.message : this.#copyOf(pending)
    if (hasEdns) {
      this.octets = upstream.finishQuery(this.message, pending.octets)
    } else {
      this.octets = pending.questionEnd
      writeU16(this.message, OFFSET_ARCOUNT, 0)
    }
    if (isMixed) mixCase(this.message, HEADER_OCTETS, pending.questionEnd - QUESTION_FIXED_OCTETS)
    this.next = pending.attempts
    pending.attempts = this
    pending.attemptCount++
    upstream.health.inFlight++
  }

  /** True when the reply has the very letters that were asked; it has the same name by then. */
  isCaseKept(reply: Uint8Array): boolean {
    return sameOctets(reply, this.message, HEADER_OCTETS, this.questionEnd)
  }

  #copyOf(pending: Pending): Uint8Array {
    const own = (this.#own ??= createMessage(pending.message.length))
    for (let at = 0; at < pending.octets; at++) own[at] = pending.message[at]!
    return own
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
        this.upstream.health.inFlight--
        break
      }
      before = at
    }
    this.next = null
    this.port = null
  }
}

function createMessage(octets: number): Uint8Array {
  return new Uint8Array(octets)
}

/** Makes one, for lack of a spare one. */
export function createAttempt(pending: Pending, upstream: Upstream, exchange: Exchange): Attempt {
  return new Attempt(pending, upstream, exchange)
}
