/**
 * Gives results to those who waited for them: each client its own reply, blocked where today's
 * policy blocks what an earlier one let through.
 */
import { HEADER_OCTETS, MESSAGE_OCTETS_MAX } from '../wire/header.ts'
import type { ParsedQuery } from '../wire/query.ts'
import { REPLY_SLACK_OCTETS } from '../wire/reply.ts'
import {
  DROPPED,
  DROP_GONE,
  DROP_LATE,
  PROTO_UDP,
  count,
  countReply,
  type Counters,
} from './counters.ts'
import { UNREACHABLE } from './failures.ts'
import { LateReplies } from './late-replies.ts'
import { NOT_BLOCKED } from './policy/policy.ts'
import { AskedName, type Waiter } from './query.ts'
import type { KeptAnswer, Replies } from './replies.ts'

/** Where waiters come from and go back to. */
export interface WaiterPool {
  /** Takes a waiter back and returns the one behind it. */
  release(waiter: Waiter): Waiter | null
}

/** One worker's; it writes into a buffer of its own. */
export class Settlement {
  readonly reply = new Uint8Array(MESSAGE_OCTETS_MAX + REPLY_SLACK_OCTETS)
  readonly #asked = new AskedName()
  readonly #counters: Counters
  readonly #replies: Replies
  readonly #pool: WaiterPool
  readonly #late = new LateReplies()
  lateRepliesPerClientMax: number

  constructor(counters: Counters, replies: Replies, pool: WaiterPool, lateMax: number) {
    this.#counters = counters
    this.#replies = replies
    this.#pool = pool
    this.lateRepliesPerClientMax = lateMax
  }

  /**
   * Gives the answer to all of a question's waiters.
   *
   * @param stamp of the policy that let the question through.
   * @param answer null means SERVFAIL.
   * @param outcome how the answer came about.
   */
  give(
    waiters: Waiter | null,
    stamp: string,
    answer: KeptAnswer | null,
    outcome: number,
    nowMs: number,
  ): void {
    const policyChanged = stamp !== this.#replies.policy.stamp
    let waiter = waiters
    while (waiter !== null) {
      this.#settleWaiter(waiter, answer, outcome, policyChanged, nowMs)
      waiter = this.#pool.release(waiter)
    }
  }

  #settleWaiter(
    waiter: Waiter,
    answer: KeptAnswer | null,
    outcome: number,
    policyChanged: boolean,
    nowMs: number,
  ): void {
    const query = waiter.query
    const waitedMs = nowMs - waiter.receivedMs
    const burstMax = this.lateRepliesPerClientMax
    const isDatagram = waiter.proto === PROTO_UDP
    if (isDatagram && !this.#late.maySend(waiter.clientKey, waitedMs, burstMax, nowMs)) {
      count(this.#counters, DROPPED + DROP_LATE)
      return
    }
    const replies = this.#replies
    replies.out = this.reply
    if (policyChanged) waiter.site = replies.policy.siteNumber(waiter.siteName)
    replies.site = waiter.site
    const { observed } = replies
    if (observed !== null) observed.takeWaiter(waiter)
    let octets = policyChanged ? this.#blockIfNowBlocked(query, waiter.site) : 0
    if (octets === 0) {
      octets =
        answer === null
          ? replies.fail(query, UNREACHABLE)
          : replies.entry(query, answer, outcome, nowMs)
    }
    // A TCP sink may read on and answer its next queries before `send` returns.
    const code = replies.code
    if (observed !== null) observed.noteSlow(query, replies.siteName, code, nowMs)
    const sent = waiter.sink?.send(this.reply, octets, waiter) ?? false
    if (sent) countReply(this.#counters, code, waitedMs)
    else count(this.#counters, DROPPED + DROP_GONE)
  }

  /** Writes the block of a name that an earlier policy let through; 0 when it still passes. */
  #blockIfNowBlocked(query: ParsedQuery, site: number): number {
    const asked = this.#asked
    const { policy } = this.#replies
    asked.take(query.message, HEADER_OCTETS)
    const category = policy.categoryOf(policy.match(asked, site), site)
    if (category === NOT_BLOCKED) return 0
    return this.#replies.blocked(query, category, policy.ruleStart, policy.whole)
  }
}
