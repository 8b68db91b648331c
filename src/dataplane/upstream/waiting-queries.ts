/**
 * The clients that wait for upstream answers, merged by question: one pending question, many
 * waiters. Records are pooled; what is in flight is counted here and nowhere else.
 */
import { createSlots } from '../../base/slots.ts'
import {
  COALESCED,
  DROPPED,
  DROP_STOPPED,
  IN_FLIGHT,
  LIMITED,
  LIMIT_CLIENT,
  LIMIT_PENDING,
  LIMIT_QUESTION,
  count,
  type Counters,
} from '../counters.ts'
import type { Client } from '../client.ts'
import { Waiter, type ReplySink } from '../query.ts'
import type { QuestionKey } from '../question-key.ts'
import type { DataplaneSettings } from '../settings.ts'
import { copyQuery, type ParsedQuery } from '../../wire/query.ts'
import { Pending } from './pending.ts'

const CLIENT_SLOTS = 0x10000
/** Chains of open questions, a power of two: as many as questions may be open by default. */
const CHAINS = 8192
const CHAIN_MASK = CHAINS - 1

/** The table of open questions of one worker. */
export class WaitingQueries {
  readonly #counters: Counters
  /** By hash: the first of a chain of open questions. */
  readonly #open = createSlots<Pending>(CHAINS)
  readonly #sparePending: Pending[] = []
  readonly #spareWaiters: Waiter[] = []
  /** How many queries of each client wait, by its key; clients that share a slot share a limit. */
  readonly #perClient = new Uint32Array(CLIENT_SLOTS)
  /** After `join`: the question was not open before, somebody has to ask it. */
  isNew = false
  /** Questions that wait for an upstream. */
  questions = 0

  constructor(counters: Counters) {
    this.#counters = counters
  }

  /** Lets the client wait for the question; null when a limit is reached, which is counted. */
  join(
    key: QuestionKey,
    query: ParsedQuery,
    client: Client,
    sink: ReplySink,
    receivedMs: number,
    settings: DataplaneSettings,
  ): Pending | null {
    const { limits } = settings
    let pending = this.find(key)
    this.isNew = pending === null
    const slot = clientSlot(client.key)
    if (this.#perClient[slot]! >= limits.pendingPerClientMax) return this.#refuse(LIMIT_CLIENT)
    if (pending === null) {
      pending = this.open(key, query, settings)
      if (pending === null) return null
    } else {
      if (pending.waiterCount >= limits.waitersPerQuestionMax) return this.#refuse(LIMIT_QUESTION)
      count(this.#counters, COALESCED)
    }
    const waiter = this.#spareWaiters.pop() ?? createWaiter()
    copyQuery(query, waiter.query)
    waiter.sink = sink
    sink.hold(waiter)
    waiter.receivedMs = receivedMs
    pending.addWaiter(waiter)
    this.#perClient[slot] = this.#perClient[slot]! + 1
    this.#counters[IN_FLIGHT] = this.#counters[IN_FLIGHT]! + 1
    return pending
  }

  /** Opens the question, for which nobody waits yet; null when too many are open. */
  open(
    key: QuestionKey,
    query: ParsedQuery,
    { limits, udpOctetsMax }: DataplaneSettings,
  ): Pending | null {
    if (this.questions >= limits.pendingMax) return this.#refuse(LIMIT_PENDING)
    const pending = this.#sparePending.pop() ?? createPending()
    pending.fill(key, query, udpOctetsMax)
    const chain = key.hash & CHAIN_MASK
    pending.nextOpen = this.#open[chain]!
    this.#open[chain] = pending
    this.questions++
    return pending
  }

  /** Returns the open question of this key, or null. */
  find(key: QuestionKey): Pending | null {
    let pending = this.#open[key.hash & CHAIN_MASK] ?? null
    while (pending !== null && !pending.key.equals(key)) pending = pending.nextOpen
    return pending
  }

  /** Takes those who wait out of a question that stays open. */
  takeWaiters(pending: Pending): Waiter | null {
    const waiters = pending.waiters
    this.#counters[IN_FLIGHT] = this.#counters[IN_FLIGHT]! - pending.waiterCount
    pending.waiters = null
    pending.waiterCount = 0
    return waiters
  }

  /** Closes the question: from here on it would be asked anew. Its waiters stay linked to it. */
  take(pending: Pending): Waiter | null {
    this.#unlink(pending)
    this.#sparePending.push(pending)
    return this.takeWaiters(pending)
  }

  /** Takes a waiter back and returns the one behind it. */
  release(waiter: Waiter): Waiter | null {
    const next = waiter.next
    const slot = clientSlot(waiter.clientKey)
    this.#perClient[slot] = this.#perClient[slot]! - 1
    waiter.sink = null
    waiter.next = null
    this.#spareWaiters.push(waiter)
    return next
  }

  #refuse(limit: number): null {
    count(this.#counters, LIMITED + limit)
    return null
  }

  /** Drops all that is open, and counts it. */
  close(): void {
    for (const first of this.#open) {
      for (let pending: Pending | null = first; pending !== null; pending = pending.nextOpen) {
        const dropped = DROPPED + DROP_STOPPED
        this.#counters[dropped] = this.#counters[dropped]! + pending.waiterCount
        // A late reply over a retired forwarder must find nobody left to answer.
        this.takeWaiters(pending)
      }
    }
    this.#open.fill(null)
    this.questions = 0
  }

  #unlink(pending: Pending): void {
    const chain = pending.key.hash & CHAIN_MASK
    let before: Pending | null = null
    let at = this.#open[chain] ?? null
    while (at !== null && at !== pending) {
      before = at
      at = at.nextOpen
    }
    // It is not there when everything was dropped in the meantime.
    if (at === null) return
    if (before === null) this.#open[chain] = pending.nextOpen
    else before.nextOpen = pending.nextOpen
    pending.nextOpen = null
    this.questions--
  }
}

function createPending(): Pending {
  return new Pending()
}

function createWaiter(): Waiter {
  return new Waiter()
}

/** Folds a client's key to a place in the table. */
function clientSlot(key: number): number {
  return (key ^ (key >>> 16)) & (CLIENT_SLOTS - 1)
}
