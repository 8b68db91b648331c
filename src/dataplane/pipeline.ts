/**
 * The way of a query, in the only file that knows the order of the steps:
 *
 *   1 parse      what cannot be read is answered or dropped before anything looks at a name
 *     (rate)     who asks too much, before any name is looked at, so that a flood costs the least;
 *                behind parsing, which knows whether a cookie proves the address
 *     (hot)      questions asked a moment ago whose whole way is known under today's policy
 *   2 special    names that must never leave this machine (RFC 6761, 7686, 9462), before any list
 *   3 policy     the operator's rules, essential names, then the compiled lists; before the cache,
 *                so that after a change no answer that was cached earlier can pass a new block
 *   4 any        ANY gets its small answer only when the name is not blocked (RFC 8482)
 *   5 cache      an answer whose chain of names is still allowed by today's policy
 *   6 redis      what another worker or box has learned; behind memory, because it has to be waited
 *                for, and judged by policy like an upstream's answer, because it is trusted no more
 *     (failed)   what nobody could answer a moment ago is not asked again yet (RFC 9520)
 *   7 upstream   one question for all who ask the same; policy looks at the names it led through
 */
import { TYPE_ANY } from '../wire/codes.ts'
import { HEADER_OCTETS, MESSAGE_OCTETS_MAX } from '../wire/header.ts'
import {
  PARSE_FORMERR,
  PARSE_SHORT,
  PARSE_RESPONSE,
  PARSE_OK,
  ParsedQuery,
  QUESTION_END_MAX,
  parseQuery,
} from '../wire/query.ts'
import { Arrivals } from './arrivals.ts'
import { HotTable } from './cache/hot-table.ts'
import type { CacheEntry } from './cache/cache-entry.ts'
import { createCache, type MemoryCache } from './cache/memory-cache.ts'
import type { Client } from './client.ts'
import {
  BYPASS_SIGNALS,
  CACHE_EXPIRED,
  CACHE_FAILURE,
  CACHE_HIT,
  CACHE_LOOKUPS,
  CACHE_MISS,
  DROPPED,
  DROP_GONE,
  OUTCOME_CACHED,
  OUTCOME_STALE,
  PREFETCHED,
  PROTO_UDP,
  SIGNAL_NONE,
  SITE_QUERIES,
  clearSites,
  count,
  countReply,
  decisionSlot,
  querySlot,
  type Counters,
} from './counters.ts'
import { OVERLOADED, STOPPING, UNREACHABLE } from './failures.ts'
import type { ObservedQueries } from './observed-queries.ts'
import { NOT_BLOCKED, type Policy } from './policy/policy.ts'
import { SPECIAL_NONE, SpecialNames } from './policy/special-names.ts'
import { TimedMatch } from './policy/timed-match.ts'
import { ClientRate } from './transport/client-rate.ts'
import { Replies } from './replies.ts'
import { ReplyOptions } from './reply-options.ts'
import { AskedName, type ReplySink } from './query.ts'
import type { QuestionKey } from './question-key.ts'
import type { RecentNames } from './recent-names.ts'
import { sitesAlike, type DataplaneSettings } from './settings.ts'
import { NO_FAILURE } from './upstream/failure-cache.ts'
import { NO_WAIT } from './upstream/pending.ts'
import type { SystemSockets } from './upstream/upstream.ts'
import { WaitingQueries } from './upstream/waiting-queries.ts'
import { Verdicts } from './verdicts.ts'

/** `handle` keeps the query: its answer will come through the sink. */
export const PENDING = -1

/** Share of the open questions up to which answers are fetched before their time. */
const PREFETCH_SHARE_MAX = 0.25

/** One worker's pipeline. Everything it needs for a query is made here, once. */
export class Pipeline {
  readonly #counters: Counters
  readonly #query = new ParsedQuery(new Uint8Array(QUESTION_END_MAX))
  readonly #asked = new AskedName()
  readonly #special = new SpecialNames()
  readonly #timed: TimedMatch
  readonly #verdicts: Verdicts
  readonly #waiting: WaitingQueries
  readonly #hot = new HotTable()
  readonly #cache: MemoryCache
  readonly #replies: Replies
  readonly #rate: ClientRate
  /** What comes back later. */
  readonly arrivals: Arrivals
  readonly #options: ReplyOptions
  /** Which names were asked, hashed, for plans of updates; null: nobody wants to know. */
  recent: RecentNames | null = null
  #settings: DataplaneSettings
  #policy: Policy
  #stopping = false

  constructor(
    settings: DataplaneSettings,
    policy: Policy,
    counters: Counters,
    system: SystemSockets,
  ) {
    this.#settings = settings
    this.#policy = policy
    this.#counters = counters
    this.#cache = createCache(settings, counters, this.#hot)
    this.#cache.staleMs = settings.cache.staleSecondsMax * 1000
    this.#rate = new ClientRate(settings)
    this.#timed = new TimedMatch(counters)
    this.#verdicts = new Verdicts(policy, this.#special)
    this.#replies = new Replies(settings, this.#verdicts, counters, this.#query.message)
    this.#options = new ReplyOptions(settings)
    this.#waiting = new WaitingQueries(counters)
    this.arrivals = new Arrivals(
      settings,
      this.#verdicts,
      counters,
      this.#cache,
      this.#waiting,
      this.#replies,
      system,
    )
  }

  /** Outcome and rcode of the reply that was written last, for `countSent`. */
  get replyCode(): number {
    return this.#replies.code
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
    this.#replies.begin(out, client, receivedMs)
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
    // Before any name is looked at: what is too much shall cost the least.
    const isProven = client.proto !== PROTO_UDP || query.isCookieProof
    if (
      parsed !== PARSE_SHORT &&
      parsed !== PARSE_RESPONSE &&
      this.#rate.isOver(client, isProven, receivedMs)
    ) {
      const isSlip = !isProven && parsed === PARSE_OK && this.#rate.isSlipDue()
      return this.#replies.limited(query, isProven, isSlip)
    }
    if (parsed !== PARSE_OK) return this.#replies.refuse(parsed, query)
    const asked = this.#asked
    asked.take(message, HEADER_OCTETS)
    // Before the ways part: what is asked all the time counts as well.
    if (this.recent !== null) this.recent.note(asked, receivedMs)

    if (receivedMs >= this.#policy.endsMs) this.overrule(this.#policy.createSuccessor(receivedMs))
    const stamp = this.#policy.stamp
    const hot = this.#hot.answer(asked, query)
    if (hot !== null && hot.hotStamp === stamp && receivedMs < hot.expiresMs) {
      if (this.#hot.isTouchDue(hot, receivedMs)) this.#cache.get(asked.key(query), receivedMs)
      if (receivedMs >= hot.refreshMs) this.#prefetch(asked.key(query), hot, receivedMs)
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
    if (special !== SPECIAL_NONE) return this.#answerSpecial(query, special)
    const matched = this.#timed.match(this.#policy, asked, client.site)
    if (matched !== 0) {
      const { ruleStart, whole, isCommon } = this.#policy
      if (known === null && isCommon) this.#hot.noteBlock(asked, matched, ruleStart, whole, stamp)
      const category = this.#policy.categoryOf(matched, client.site)
      if (category !== NOT_BLOCKED) {
        return this.#replies.blocked(query, category, ruleStart, whole)
      }
    }
    const exempted = this.#policy.categoryOf(this.#policy.exempted, client.site)
    if (exempted !== NOT_BLOCKED) {
      count(this.#counters, decisionSlot(this.#policy.exemption, exempted))
    }
    if (query.type === TYPE_ANY) return this.#replies.any(query)
    return this.#lookUp(query, matched, client, sink, receivedMs)
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
    this.#rate.reload(settings)
    if (!sitesAlike(this.#settings, settings)) clearSites(this.#counters)
    this.#settings = settings
    this.#policy = policy
    this.#cache.staleMs = settings.cache.staleSecondsMax * 1000
    this.#replies.settings = settings
    this.#options.reload(settings)
    this.arrivals.reload(settings, policy)
  }

  /** Takes another policy under the same settings: what an operator overrules counts at once. */
  overrule(policy: Policy): void {
    this.#policy = policy
    this.arrivals.overrule(policy)
  }

  /** Notes queries for an operator who looks; null: for nobody. */
  observe(observed: ObservedQueries | null): void {
    this.#replies.observed = observed
  }

  /** Tells clients where our encrypted listeners are; none: that there are none. */
  designate(designations: readonly Uint8Array[]): void {
    this.#replies.designations = designations
  }

  /** Asks no new questions: what is in flight is answered, what would join it is SERVFAIL. */
  stopForwarding(): void {
    this.#stopping = true
  }

  /** Drops, and counts, every question that is still open; closes the upstream sockets. */
  close(): void {
    this.#waiting.close()
    this.arrivals.forwarder.close()
    this.arrivals.shared?.close()
  }

  /** From the cache on; `matched` are the categories that cover the name, though none blocks it. */
  #lookUp(
    query: ParsedQuery,
    matched: number,
    client: Client,
    sink: ReplySink,
    receivedMs: number,
  ): number {
    const asked = this.#asked
    const key = asked.key(query)
    const entry = this.#cache.get(key, receivedMs)
    if (entry !== undefined && receivedMs < entry.expiresMs) {
      // What somebody blocks, or is counted as exempted, or differs by site, is decided every time.
      const { exempted, isCommon } = this.#policy
      if ((matched | exempted) !== 0 || !isCommon) this.#hot.forget(entry)
      else this.#hot.putAnswer(asked, query, entry, this.#policy.stamp)
      if (receivedMs >= entry.refreshMs) this.#prefetch(key, entry, receivedMs)
      return this.#answerCached(query, entry, receivedMs)
    }
    if (entry !== undefined) {
      return this.#answerExpired(key, query, entry, client, sink, receivedMs)
    }
    const rcode = this.arrivals.forwarder.failures.find(key, receivedMs)
    if (rcode !== NO_FAILURE) {
      count(this.#counters, CACHE_LOOKUPS + CACHE_FAILURE)
      return this.#replies.failedBefore(query, rcode)
    }
    count(this.#counters, CACHE_LOOKUPS + CACHE_MISS)
    if (this.#stopping) return this.#replies.fail(query, STOPPING)
    if (this.#settings.upstreams.length === 0) return this.#replies.fail(query, UNREACHABLE)
    const waits = this.#wait(key, query, client, sink, receivedMs, false)
    return waits ? PENDING : this.#replies.fail(query, OVERLOADED)
  }

  #answerSpecial(query: ParsedQuery, special: number): number {
    const { rcode, signal, zoneLabel } = this.#special
    if (signal !== SIGNAL_NONE) count(this.#counters, BYPASS_SIGNALS + signal)
    return this.#replies.special(query, special, rcode, this.#asked.labelStarts[zoneLabel]!)
  }

  #answerCached(query: ParsedQuery, entry: CacheEntry, nowMs: number): number {
    count(this.#counters, CACHE_LOOKUPS + CACHE_HIT)
    this.arrivals.shared?.noteUse(this.#asked, query)
    return this.#replies.entry(query, entry, OUTCOME_CACHED, nowMs)
  }

  /**
   * The answer's time is over: a fresh one is asked for, unless that was tried a moment ago. Then,
   * and where nothing can be asked, the stale one has to do.
   */
  #answerExpired(
    key: QuestionKey,
    query: ParsedQuery,
    entry: CacheEntry,
    client: Client,
    sink: ReplySink,
    receivedMs: number,
  ): number {
    count(this.#counters, CACHE_LOOKUPS + CACHE_EXPIRED)
    const open = this.#waiting.find(key)
    const tried = open === null ? receivedMs < entry.refreshMs : open.servedStale
    if (!tried && this.#mayForward) {
      if (this.#settings.cache.staleWaitMs === 0) this.#refresh(key, entry, receivedMs)
      else if (this.#wait(key, query, client, sink, receivedMs, true)) return PENDING
    }
    return this.#replies.entry(query, entry, OUTCOME_STALE, receivedMs)
  }

  /** A hit near the end of an answer's life asks for the next one before it is needed. */
  #prefetch(key: QuestionKey, entry: CacheEntry, nowMs: number): void {
    const { cache, limits } = this.#settings
    const crowded = this.#waiting.questions >= limits.pendingMax * PREFETCH_SHARE_MAX
    if (cache.prefetch && !crowded && this.#mayForward) this.#refresh(key, entry, nowMs)
    else entry.refreshMs = entry.expiresMs
  }

  /** Asks a question for which nobody waits, unless it is open already. */
  #refresh(key: QuestionKey, entry: CacheEntry, nowMs: number): void {
    const settings = this.#settings
    entry.refreshMs = nowMs + settings.cache.staleRefreshSeconds * 1000
    if (this.#waiting.find(key) !== null) return
    const pending = this.#waiting.open(key, this.#query, settings)
    if (pending === null) return
    count(this.#counters, PREFETCHED)
    pending.stamp = this.#policy.stamp
    pending.servedStale = nowMs >= entry.expiresMs
    this.arrivals.forwarder.askLater(pending, nowMs)
  }

  get #mayForward(): boolean {
    return !this.#stopping && this.#settings.upstreams.length > 0
  }

  /**
   * Lets the client wait for an upstream; false when a limit is reached.
   *
   * @param expired a stale answer is there for clients who wait too long.
   */
  #wait(
    key: QuestionKey,
    query: ParsedQuery,
    client: Client,
    sink: ReplySink,
    receivedMs: number,
    expired: boolean,
  ): boolean {
    const settings = this.#settings
    const waiting = this.#waiting
    const pending = waiting.join(key, query, client, sink, receivedMs, settings)
    if (pending === null) return false
    const { observed } = this.#replies
    if (observed !== null) observed.hold(pending.waiters!)
    if (waiting.isNew) {
      pending.stamp = this.#policy.stamp
      pending.waitMs = expired ? settings.cache.staleWaitMs : NO_WAIT
      this.arrivals.ask(pending, receivedMs)
    }
    return true
  }
}
