/**
 * The clients that wait for upstream answers, merged by question: one pending question, many
 * waiters. Records are pooled; what is in flight is counted here and nowhere else.
 */
import { COALESCED, DROPPED, DROP_STOPPED, IN_FLIGHT, count, type Counters } from '../counters.ts'
import { Waiter, type AskedName, type ReplySink } from '../query.ts'
import type { LimitSettings } from '../settings.ts'
import { copyQuery, type ParsedQuery } from '../../wire/query.ts'
import { Pending } from './pending.ts'

/** The table of open questions of one worker. */
export class WaitingQueries {
  readonly #counters: Counters
  readonly #pending = new Map<string, Pending>()
  readonly #sparePending: Pending[] = []
  readonly #spareWaiters: Waiter[] = []
  /** After `join`: the question was not open before, somebody has to ask it. */
  isNew = false

  constructor(counters: Counters) {
    this.#counters = counters
  }

  /** Questions that wait for an upstream. */
  get questions(): number {
    return this.#pending.size
  }

  /** Lets the client wait for the question; null when a limit is reached. */
  join(
    key: string,
    asked: AskedName,
    query: ParsedQuery,
    sink: ReplySink,
    receivedMs: number,
    limits: LimitSettings,
    udpOctetsMax: number,
  ): Pending | null {
    let pending = this.#pending.get(key)
    this.isNew = pending === undefined
    if (pending === undefined) {
      if (this.#pending.size >= limits.pendingMax) return null
      pending = this.#sparePending.pop() ?? createPending()
      pending.fill(key, asked, query, udpOctetsMax)
      this.#pending.set(key, pending)
    } else {
      if (pending.waiterCount >= limits.waitersPerQuestionMax) return null
      count(this.#counters, COALESCED)
    }
    const waiter = this.#spareWaiters.pop() ?? createWaiter()
    copyQuery(query, waiter.query)
    waiter.sink = sink
    sink.hold(waiter)
    waiter.receivedMs = receivedMs
    pending.addWaiter(waiter)
    this.#counters[IN_FLIGHT] = this.#counters[IN_FLIGHT]! + 1
    return pending
  }

  /** Closes the question: from here on it would be asked anew. Its waiters stay linked to it. */
  take(pending: Pending): Waiter | null {
    this.#pending.delete(pending.key)
    const waiters = this.takeWaiters(pending)
    this.#sparePending.push(pending)
    return waiters
  }

  /** Takes the waiters of a question that an upstream still works on: the question stays open. */
  takeWaiters(pending: Pending): Waiter | null {
    const waiters = pending.waiters
    this.#counters[IN_FLIGHT] = this.#counters[IN_FLIGHT]! - pending.waiterCount
    pending.waiters = null
    pending.waiterCount = 0
    return waiters
  }

  /** Takes a waiter back and returns the one behind it. */
  release(waiter: Waiter): Waiter | null {
    const next = waiter.next
    waiter.sink = null
    waiter.next = null
    this.#spareWaiters.push(waiter)
    return next
  }

  /** Drops all that is open, and counts it. */
  close(): void {
    for (const pending of this.#pending.values()) {
      const dropped = DROPPED + DROP_STOPPED
      this.#counters[dropped] = this.#counters[dropped]! + pending.waiterCount
      this.#counters[IN_FLIGHT] = this.#counters[IN_FLIGHT]! - pending.waiterCount
      // A late reply over a retired forwarder must find nobody left to answer.
      pending.waiters = null
      pending.waiterCount = 0
    }
    this.#pending.clear()
  }
}

function createPending(): Pending {
  return new Pending()
}

function createWaiter(): Waiter {
  return new Waiter()
}
