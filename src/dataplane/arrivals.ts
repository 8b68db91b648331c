/**
 * What comes back for the questions that were asked: replies of upstreams, values of Redis, or
 * nothing in time. Each is checked, judged by the policy of the moment, kept, and given to all who
 * wait.
 */
import { AnswerFacts, clampTtls, inspectAnswer } from '../wire/answer.ts'
import { RCODE_SERVFAIL } from '../wire/codes.ts'
import { CacheEntry } from './cache/cache-entry.ts'
import type { MemoryCache } from './cache/memory-cache.ts'
import type { RedisCache } from './cache/redis-cache.ts'
import type { SharedCacheEvents } from './cache/shared-events.ts'
import type { SharedValue } from './cache/shared-value.ts'
import { SOUND } from './cache/value-check.ts'
import {
  OUTCOME_CACHED,
  OUTCOME_FORWARDED,
  OUTCOME_STALE,
  clearUpstreams,
  type Counters,
} from './counters.ts'
import type { Policy } from './policy/policy.ts'
import { SITE_DEFAULT } from './client.ts'
import { REJECTED_EXPIRY, REJECTED_VERDICT } from './redis-counters.ts'
import type { QuestionKey } from './question-key.ts'
import type { Replies } from './replies.ts'
import { answersOf, forwardsAlike, type DataplaneSettings } from './settings.ts'
import { Settlement } from './settlement.ts'
import { isFailure, type FailureCache } from './upstream/failure-cache.ts'
import { createForwarder, type ForwardEvents, type Forwarder } from './upstream/forwarder.ts'
import type { Pending } from './upstream/pending.ts'
import type { SystemSockets } from './upstream/upstream.ts'
import type { WaitingQueries } from './upstream/waiting-queries.ts'
import type { Verdicts } from './verdicts.ts'

/** What is said of a question when Redis has no answer to it either. */
interface HeldFailure {
  /** What the upstream said; null: nothing. */
  readonly entry: CacheEntry | null
  readonly rcode: number
  readonly failures: FailureCache
}

function createHeldFailure(
  entry: CacheEntry | null,
  rcode: number,
  failures: FailureCache,
): HeldFailure {
  return { entry, rcode, failures }
}

/** One worker's; it owns the forwarder. */
export class Arrivals implements ForwardEvents, SharedCacheEvents<Pending> {
  readonly #facts = new AnswerFacts()
  /** The answer of the moment, over the buffer that it came in. */
  readonly #fresh = new CacheEntry()
  /** Questions whose upstreams have failed while Redis was still being read. */
  readonly #held = new Map<Pending, HeldFailure>()
  readonly #counters: Counters
  readonly #system: SystemSockets
  readonly #verdicts: Verdicts
  readonly #waiting: WaitingQueries
  readonly #cache: MemoryCache
  readonly #settlement: Settlement
  #settings: DataplaneSettings
  forwarder: Forwarder
  /** Null without a shared cache. */
  shared: RedisCache<Pending> | null = null

  constructor(
    settings: DataplaneSettings,
    verdicts: Verdicts,
    counters: Counters,
    cache: MemoryCache,
    waiting: WaitingQueries,
    replies: Replies,
    system: SystemSockets,
  ) {
    this.#settings = settings
    this.#verdicts = verdicts
    this.#counters = counters
    this.#cache = cache
    this.#waiting = waiting
    this.#settlement = new Settlement(
      counters,
      replies,
      waiting,
      settings.limits.lateRepliesPerClientMax,
    )
    this.#system = system
    this.forwarder = createForwarder(settings, counters, this, system)
  }

  /** Other upstreams get a forwarder of their own; what the old one was asked, it ends. */
  reload(settings: DataplaneSettings, policy: Policy): void {
    const before = this.#settings
    this.#settings = settings
    this.overrule(policy)
    this.#settlement.lateRepliesPerClientMax = settings.limits.lateRepliesPerClientMax
    if (forwardsAlike(before, settings)) return
    this.forwarder.retire()
    clearUpstreams(this.#counters)
    this.forwarder = createForwarder(settings, this.#counters, this, this.#system)
    this.shared?.setView(answersOf(settings))
  }

  /** Takes another policy under the same settings. */
  overrule(policy: Policy): void {
    this.#verdicts.policy = policy
  }

  /** Begins to answer a question: Redis is read first, where there is one, then an upstream. */
  ask(pending: Pending, nowMs: number): void {
    const { shared } = this
    if (shared !== null && shared.read(pending)) return
    this.forwarder.ask(pending, nowMs)
  }

  /** An upstream's reply is walked once: false when any octet is out of place. */
  readable(pending: Pending, message: Uint8Array, octets: number): boolean {
    const facts = this.#facts
    if (!inspectAnswer(message, octets, pending.questionEnd, pending.key.type, facts)) return false
    // Over TCP nothing is too long, so TC there leaves a part of unknown size (RFC 2181 9).
    return facts.rcode <= 0xf && !facts.truncated
  }

  /** The reply that was just found readable: judged, kept, shared, and given to all who wait. */
  answered(pending: Pending, message: Uint8Array, nowMs: number, failures: FailureCache): void {
    const facts = this.#facts
    const entry = this.#createEntry(message, facts, pending.key, nowMs)
    if (isFailure(facts.rcode)) {
      if (pending.sharedRead === 0) this.#fail(pending, entry, facts.rcode, nowMs, failures)
      else this.#hold(pending, entry.kept(), facts.rcode, failures)
      return
    }
    failures.forget(pending.key)
    if (facts.ttlSeconds > 0) {
      this.#cache.set(pending.key, entry)
      const { asked, policy } = this.#verdicts
      const { ruleStart, list } = policy
      // What upstreams of before a reload say is not what today's would.
      const isOurs = failures === this.forwarder.failures
      if (isOurs) this.shared?.write(pending, message, facts, entry, asked, ruleStart, list)
    }
    this.#settle(pending, entry, OUTCOME_FORWARDED, nowMs)
  }

  /** No upstream answered: what is stale, else SERVFAIL, says so to all who wait. */
  unanswered(pending: Pending, nowMs: number, failures: FailureCache): void {
    if (pending.sharedRead === 0) this.#fail(pending, null, RCODE_SERVFAIL, nowMs, failures)
    else this.#hold(pending, null, RCODE_SERVFAIL, failures)
  }

  /** The first valid answer wins, and Redis may still have one: it is waited for. */
  #hold(pending: Pending, entry: CacheEntry | null, rcode: number, failures: FailureCache): void {
    // So that Redis tells when it has none.
    pending.isAsked = false
    this.#held.set(pending, createHeldFailure(entry, rcode, failures))
  }

  /**
   * Nobody has an answer: what is stale, else the upstream's failure, else SERVFAIL, says so.
   *
   * @param entry what the upstream said; null: nothing.
   */
  #fail(
    pending: Pending,
    entry: CacheEntry | null,
    rcode: number,
    nowMs: number,
    failures: FailureCache,
  ): void {
    failures.note(pending.key, rcode, entry !== null, nowMs)
    const stale = this.#staleFor(pending, nowMs)
    if (stale !== null || entry === null) this.#settle(pending, stale, OUTCOME_STALE, nowMs)
    else this.#settle(pending, entry, OUTCOME_FORWARDED, nowMs)
  }

  /** Clients have waited long enough: they get what is stale, the question goes on (RFC 8767). */
  outwaited(pending: Pending, nowMs: number): void {
    const stale = this.#staleFor(pending, nowMs)
    if (stale === null || nowMs < stale.expiresMs) return
    pending.servedStale = true
    const waiters = this.#waiting.takeWaiters(pending)
    this.#settlement.give(waiters, pending.stamp, stale, OUTCOME_STALE, nowMs)
  }

  /** Redis has an answer: it counts as an upstream's would that came when it was stored. */
  sharedFound(pending: Pending, value: SharedValue, facts: AnswerFacts, storedMs: number): number {
    const entry = this.#createEntry(value.message, facts, pending.key, storedMs)
    const nowMs = performance.now()
    if (nowMs >= entry.expiresMs) return REJECTED_EXPIRY
    const isOurPolicy = value.stamp === this.#verdicts.policy.stamp
    if (isOurPolicy && value.category !== entry.category) return REJECTED_VERDICT
    this.#cache.set(pending.key, entry)
    this.#settle(pending, entry, OUTCOME_CACHED, nowMs)
    return SOUND
  }

  /** Redis has no answer: the upstream is asked, unless it was, and had none either. */
  sharedMissed(pending: Pending): void {
    const nowMs = performance.now()
    const held = this.#held.get(pending)
    if (held === undefined) this.forwarder.ask(pending, nowMs)
    else this.#fail(pending, held.entry, held.rcode, nowMs, held.failures)
  }

  /** Redis takes long: the upstream is asked besides, and the first answer wins. */
  sharedLate(pending: Pending): void {
    const nowMs = performance.now()
    // Late is better than never.
    if (!this.forwarder.isGone(nowMs)) this.forwarder.ask(pending, nowMs)
  }

  /** An answer that was hot before the start: into memory, unless it is there already. */
  sharedWarm(
    asked: QuestionKey,
    value: SharedValue,
    facts: AnswerFacts,
    storedMs: number,
  ): boolean {
    const nowMs = performance.now()
    const known = this.#cache.get(asked, nowMs)
    if (known !== undefined && nowMs < known.expiresMs) return false
    const entry = this.#createEntry(value.message, facts, asked, storedMs)
    if (nowMs >= entry.expiresMs) return false
    this.#cache.set(asked, entry)
    return true
  }

  /** Makes a sound answer the entry of the moment: TTLs within our limits, judged by policy. */
  #createEntry(
    message: Uint8Array,
    facts: AnswerFacts,
    asked: QuestionKey,
    storedMs: number,
  ): CacheEntry {
    const limits = this.#settings.cache
    const secondsMax = facts.negative ? limits.negativeTtlSecondsMax : limits.ttlSecondsMax
    clampTtls(message, facts, Math.min(limits.ttlSecondsMin, secondsMax), secondsMax)
    const entry = this.#fresh
    entry.take(message, facts, asked, storedMs)
    this.#verdicts.judge(entry, SITE_DEFAULT)
    return entry
  }

  /** The stale answer to a question that finds no fresh one now, or null. */
  #staleFor(pending: Pending, nowMs: number): CacheEntry | null {
    const entry = this.#cache.get(pending.key, nowMs)
    if (entry === undefined) return null
    entry.refreshMs = nowMs + this.#settings.cache.staleRefreshSeconds * 1000
    return entry
  }

  /** Closes a question; `entry` is null when nothing can be given to those who wait. */
  #settle(pending: Pending, entry: CacheEntry | null, outcome: number, nowMs: number): void {
    const { stamp } = pending
    this.shared?.forget(pending)
    const isHeld = this.#held.delete(pending)
    // An upstream that was asked besides still works on it: its record stays until it is done.
    const isAsked = outcome === OUTCOME_CACHED && pending.tries > 0 && !isHeld
    const waiters = isAsked ? this.#waiting.takeWaiters(pending) : this.#waiting.take(pending)
    this.#settlement.give(waiters, stamp, entry, outcome, nowMs)
  }
}
