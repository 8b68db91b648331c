/**
 * The way of a query, in the only file that knows the order of the steps:
 *
 *   1 parse      what cannot be read is answered or dropped before anything looks at a name
 *     (hot)      questions asked a moment ago whose whole way is known under today's policy
 *   2 special    names that must never leave this machine (RFC 6761, 7686, 9462), before any list
 *   3 policy     essential names, then the compiled lists; before the cache, so that
 *                after a reload no answer that was cached earlier can pass a new block
 *   4 any        ANY gets its small answer only when the name is not blocked (RFC 8482)
 *   5 cache      an answer whose chain of names is still allowed by today's policy
 *   6 redis      what another worker or box has learned; behind memory, because it has to be waited
 *                for, and judged by policy like an upstream's answer, because it is trusted no more
 *   7 upstream   one question for all who ask the same; policy looks at the names it led through
 */
import { AnswerFacts, clampTtls, inspectAnswer } from '../wire/answer.ts'
import { TYPE_ANY } from '../wire/codes.ts'
import { HEADER_OCTETS, MESSAGE_OCTETS_MAX } from '../wire/header.ts'
import { PARSE_FORMERR, PARSE_OK, ParsedQuery, parseQuery } from '../wire/query.ts'
import { REPLY_SLACK_OCTETS } from '../wire/reply.ts'
import { HotTable } from './cache/hot-table.ts'
import {
  CacheEntry,
  createCache,
  type AskedQuestion,
  type MemoryCache,
} from './cache/memory-cache.ts'
import type { RedisCache, SharedCacheEvents } from './cache/redis-cache.ts'
import type { SharedValue } from './cache/shared-value.ts'
import { SOUND } from './cache/value-check.ts'
import type { Client } from './client.ts'
import {
  CACHE_HIT,
  CACHE_LOOKUPS,
  CACHE_MISS,
  DECISION_EXEMPT,
  DROPPED,
  DROP_GONE,
  OUTCOME_CACHED,
  OUTCOME_ERROR,
  OUTCOME_FORWARDED,
  PROTO_UDP,
  SITE_QUERIES,
  clearSites,
  clearUpstreams,
  count,
  countReply,
  decisionSlot,
  querySlot,
  type Counters,
} from './counters.ts'
import { OVERLOADED, STOPPING, UNREACHABLE } from './failures.ts'
import { judgeAnswer } from './policy/judge-answer.ts'
import { NOT_BLOCKED, type Policy } from './policy/policy.ts'
import { SPECIAL_NONE, SpecialNames } from './policy/special-names.ts'
import { REJECTED_EXPIRY, REJECTED_VERDICT } from './redis-counters.ts'
import { Replies } from './replies.ts'
import { ReplyOptions } from './reply-options.ts'
import { AskedName, type ReplySink, type Waiter } from './query.ts'
import { sitesAlike, type DataplaneSettings } from './settings.ts'
import {
  createForwarder,
  forwardsAlike,
  type ForwardEvents,
  type Forwarder,
} from './upstream/forwarder.ts'
import type { Pending } from './upstream/pending.ts'
import type { SystemSockets } from './upstream/upstream.ts'
import { WaitingQueries } from './upstream/waiting-queries.ts'

/** `handle` keeps the query: its answer will come through the sink. */
export const PENDING = -1

/** One worker's pipeline. Everything it needs for a query is made here, once. */
export class Pipeline implements ForwardEvents, SharedCacheEvents<Pending> {
  /** Where answers are written that had to be waited for. */
  readonly #reply = new Uint8Array(MESSAGE_OCTETS_MAX + REPLY_SLACK_OCTETS)
  readonly #counters: Counters
  readonly #system: SystemSockets
  readonly #query = new ParsedQuery(this.#reply)
  readonly #asked = new AskedName()
  readonly #alias = new AskedName()
  readonly #facts = new AnswerFacts()
  readonly #special = new SpecialNames()
  readonly #waiting: WaitingQueries
  readonly #hot = new HotTable()
  readonly #cache: MemoryCache
  readonly #replies: Replies
  readonly #options: ReplyOptions
  #settings: DataplaneSettings
  #policy: Policy
  #forwarder: Forwarder
  #stopping = false
  /** Null without a shared cache. */
  #shared: RedisCache<Pending> | null = null

  constructor(
    settings: DataplaneSettings,
    policy: Policy,
    counters: Counters,
    system: SystemSockets,
  ) {
    this.#system = system
    this.#settings = settings
    this.#policy = policy
    this.#counters = counters
    this.#cache = createCache(settings, counters, this.#hot)
    this.#replies = new Replies(settings, policy, counters, this.#reply)
    this.#options = new ReplyOptions(settings)
    this.#waiting = new WaitingQueries(counters)
    this.#forwarder = createForwarder(settings, counters, this, system)
  }

  /** Outcome and rcode of the reply that was written last, for `countSent`. */
  get replyCode(): number {
    return this.#replies.code
  }

  /** Puts a shared cache between memory and upstream; before the first query. */
  set shared(shared: RedisCache<Pending>) {
    this.#shared = shared
  }

  /** Questions that wait for an upstream. */
  get questionsInFlight(): number {
    return this.#waiting.questions
  }

  /**
   * Answers one message: returns the octets of the reply in `out`, `DROPPED_QUERY` or `PENDING`.
   * `out` may be the message's own buffer if it has room for the largest reply. Every message is
   * counted once as received, and once as answered, dropped or in flight.
   */
  handle(
    message: Uint8Array,
    octets: number,
    out: Uint8Array,
    client: Client,
    sink: ReplySink,
    receivedMs: number,
  ): number {
    this.#replies.out = out
    this.#replies.site = client.site
    count(this.#counters, SITE_QUERIES + client.site)
    const query = this.#query
    const parsed = parseQuery(message, octets, query)
    const hasType = parsed === PARSE_OK || (parsed >= PARSE_FORMERR && query.questionEnd !== 0)
    count(this.#counters, querySlot(client.proto, client.family, hasType ? query.type : 0))
    query.replyOctetsMax =
      client.proto === PROTO_UDP
        ? Math.min(query.udpOctets, this.#settings.udpOctetsMax)
        : MESSAGE_OCTETS_MAX
    if (query.askedOptions !== 0) this.#options.set(query, client)
    if (parsed !== PARSE_OK) return this.#replies.refuse(parsed, query)
    const asked = this.#asked
    asked.take(message, HEADER_OCTETS)

    const stamp = this.#policy.stamp
    const hot = this.#hot.answer(asked, query)
    if (hot !== null && hot.stamp === stamp && receivedMs < hot.expiresMs) {
      if (this.#hot.isTouchDue(hot)) this.#cache.get(asked.key(query), receivedMs)
      return this.#answerCached(query, hot, receivedMs)
    }
    const known = this.#hot.block(asked, stamp)
    if (known !== null) {
      const category = this.#policy.categoryOf(known.matched, client.site)
      if (category !== NOT_BLOCKED) {
        return this.#replies.blocked(query, category, known.ruleStart, known.whole)
      }
    }
    const special = this.#special.find(asked)
    if (special !== SPECIAL_NONE) {
      const { rcode, zoneLabel } = this.#special
      return this.#replies.special(query, special, rcode, asked.labelStarts[zoneLabel]!)
    }
    const matched = this.#policy.match(asked)
    if (matched !== 0) {
      const { ruleStart, whole } = this.#policy
      if (known === null) this.#hot.noteBlock(asked, matched, ruleStart, whole, stamp)
      const category = this.#policy.categoryOf(matched, client.site)
      if (category !== NOT_BLOCKED) {
        return this.#replies.blocked(query, category, ruleStart, whole)
      }
    }
    const exempted = this.#policy.categoryOf(this.#policy.exempted, client.site)
    if (exempted !== NOT_BLOCKED) {
      count(this.#counters, decisionSlot(DECISION_EXEMPT, exempted))
    }
    if (query.type === TYPE_ANY) return this.#replies.any(query)
    const key = asked.key(query)
    const entry = this.#cache.get(key, receivedMs)
    if (entry !== undefined) {
      // What somebody blocks, or what is counted as exempted, is decided anew every time.
      if ((matched | this.#policy.exempted) === 0) this.#hot.putAnswer(asked, query, entry)
      else this.#hot.forget(entry)
      return this.#answerCached(query, entry, receivedMs)
    }
    count(this.#counters, CACHE_LOOKUPS + CACHE_MISS)
    return this.#forward(key, query, sink, receivedMs)
  }

  /** Counts a reply as sent; `code` is what `replyCode` was when it was written. */
  countSent(code: number, milliseconds: number): void {
    countReply(this.#counters, code, milliseconds)
  }

  /** Counts a reply as dropped: the client is gone or the socket refused it. */
  countUnsent(): void {
    count(this.#counters, DROPPED + DROP_GONE)
  }

  /** Takes new settings and a new policy between two queries: cached verdicts are derived again. */
  reload(settings: DataplaneSettings, policy: Policy): void {
    const before = this.#settings
    this.#settings = settings
    this.#policy = policy
    this.#replies.settings = settings
    this.#replies.policy = policy
    this.#options.reload(settings)
    if (!sitesAlike(before, settings)) clearSites(this.#counters)
    if (forwardsAlike(before, settings)) return
    this.#forwarder.retire()
    clearUpstreams(this.#counters)
    this.#forwarder = createForwarder(settings, this.#counters, this, this.#system)
  }

  /** Asks no new questions: what is in flight is answered, what would join it is SERVFAIL. */
  stopForwarding(): void {
    this.#stopping = true
  }

  /** Drops, and counts, every question that is still open; closes the upstream sockets. */
  close(): void {
    this.#waiting.close()
    this.#forwarder.close()
    this.#shared?.close()
  }

  /** An upstream's reply is walked once: false when any octet is out of place. */
  readable(pending: Pending, message: Uint8Array, octets: number): boolean {
    const facts = this.#facts
    if (!inspectAnswer(message, octets, pending.questionEnd, pending.type, facts)) return false
    // Over TCP nothing is too long, so TC there leaves a part of unknown size (RFC 2181 9).
    return facts.rcode <= 0xf && !facts.truncated
  }

  /** The reply that was just found readable: judged, kept, shared, and given to all who wait. */
  answered(pending: Pending, message: Uint8Array, nowMs: number): void {
    const facts = this.#facts
    const entry = this.#createEntry(message, facts, pending, nowMs)
    if (facts.ttlSeconds > 0) {
      this.#cache.set(pending.key, entry)
      const { ruleStart, list } = this.#policy
      this.#shared?.write(pending, message, facts, entry, this.#alias, ruleStart, list)
    }
    this.#settle(pending, entry, OUTCOME_FORWARDED, nowMs)
  }

  /** No upstream answered: SERVFAIL says so to all who wait (RFC 8914 4.23). */
  unanswered(pending: Pending): void {
    this.#settle(pending, null, OUTCOME_ERROR, performance.now())
  }

  /** Redis has an answer: it counts as an upstream's would that came when it was stored. */
  sharedFound(pending: Pending, value: SharedValue, facts: AnswerFacts, storedMs: number): number {
    const entry = this.#createEntry(value.message, facts, pending, storedMs)
    const nowMs = performance.now()
    if (nowMs >= entry.expiresMs) return REJECTED_EXPIRY
    const isOurPolicy = value.stamp === this.#policy.stamp
    if (isOurPolicy && value.category !== entry.category) return REJECTED_VERDICT
    this.#cache.set(pending.key, entry)
    this.#settle(pending, entry, OUTCOME_CACHED, nowMs)
    return SOUND
  }

  /** Redis has no answer: the upstream is asked. */
  sharedMissed(pending: Pending): void {
    this.#forwarder.ask(pending, performance.now())
  }

  /** Redis takes long: the upstream is asked besides, and the first answer wins. */
  sharedLate(pending: Pending): void {
    this.#forwarder.ask(pending, performance.now())
  }

  /** Makes an entry of a sound answer: TTLs within our limits, judged by today's policy. */
  #createEntry(
    message: Uint8Array,
    facts: AnswerFacts,
    asked: AskedQuestion,
    storedMs: number,
  ): CacheEntry {
    const limits = this.#settings.cache
    const secondsMax = facts.negative ? limits.negativeTtlSecondsMax : limits.ttlSecondsMax
    clampTtls(message, facts, Math.min(limits.ttlSecondsMin, secondsMax), secondsMax)
    const entry = new CacheEntry(message, facts, asked, storedMs)
    this.#judge(entry)
    return entry
  }

  #answerCached(query: ParsedQuery, entry: CacheEntry, nowMs: number): number {
    count(this.#counters, CACHE_LOOKUPS + CACHE_HIT)
    if (entry.stamp !== this.#policy.stamp) this.#judge(entry)
    return this.#replies.entry(query, entry, OUTCOME_CACHED, nowMs)
  }

  /** Derives the verdict over the names an answer led through, under the policy of this moment. */
  #judge(entry: CacheEntry): void {
    entry.stamp = this.#policy.stamp
    judgeAnswer(entry, this.#alias, this.#special, this.#policy)
  }

  #forward(key: string, query: ParsedQuery, sink: ReplySink, receivedMs: number): number {
    const settings = this.#settings
    if (this.#stopping) return this.#replies.fail(query, STOPPING)
    if (settings.upstreams.length === 0) return this.#replies.fail(query, UNREACHABLE)
    const waiting = this.#waiting
    const pending = waiting.join(
      key,
      this.#asked,
      query,
      sink,
      receivedMs,
      settings.limits,
      settings.udpOctetsMax,
    )
    if (pending === null) return this.#replies.fail(query, OVERLOADED)
    if (waiting.isNew) {
      pending.stamp = this.#policy.stamp
      const isReading = this.#shared !== null && this.#shared.read(pending)
      if (!isReading) this.#forwarder.ask(pending, receivedMs)
    }
    return PENDING
  }

  /** Answers all who wait for one question; `entry` is null when no upstream answered. */
  #settle(pending: Pending, entry: CacheEntry | null, outcome: number, nowMs: number): void {
    const policyChanged = pending.stamp !== this.#policy.stamp
    this.#shared?.forget(pending)
    // An upstream that was asked besides still works on it: its record stays until it is done.
    const isAsked = outcome === OUTCOME_CACHED && pending.tries > 0
    let waiter = isAsked ? this.#waiting.takeWaiters(pending) : this.#waiting.take(pending)
    while (waiter !== null) {
      this.#settleWaiter(waiter, entry, outcome, policyChanged, nowMs)
      waiter = this.#waiting.release(waiter)
    }
  }

  #settleWaiter(
    waiter: Waiter,
    entry: CacheEntry | null,
    outcome: number,
    policyChanged: boolean,
    nowMs: number,
  ): void {
    const query = waiter.query
    this.#replies.out = this.#reply
    if (policyChanged) waiter.site = this.#policy.siteNumber(waiter.siteName)
    this.#replies.site = waiter.site
    let octets = policyChanged ? this.#blockIfNowBlocked(query, waiter.site) : 0
    if (octets === 0) {
      octets =
        entry === null
          ? this.#replies.fail(query, UNREACHABLE)
          : this.#replies.entry(query, entry, outcome, nowMs)
    }
    // A TCP sink may read on and answer its next queries before `send` returns.
    const code = this.#replies.code
    const sent = waiter.sink?.send(this.#reply, octets, waiter) ?? false
    if (sent) this.countSent(code, nowMs - waiter.receivedMs)
    else this.countUnsent()
  }

  /** Writes the block of a name that an earlier policy let through; 0 when it still passes. */
  #blockIfNowBlocked(query: ParsedQuery, site: number): number {
    const asked = this.#alias
    asked.take(query.message, HEADER_OCTETS)
    const category = this.#policy.categoryOf(this.#policy.match(asked), site)
    if (category === NOT_BLOCKED) return 0
    return this.#replies.blocked(query, category, this.#policy.ruleStart, this.#policy.whole)
  }
}
