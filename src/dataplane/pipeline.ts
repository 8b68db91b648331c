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
 *   6 upstream   one question for all who ask the same; policy looks at the names it led through
 */
import { AnswerFacts, clampTtls, inspectAnswer } from '../wire/answer.ts'
import { RCODE_NOERROR, RCODE_REFUSED, RCODE_SERVFAIL, TYPE_ANY } from '../wire/codes.ts'
import {
  FLAG_TC,
  HEADER_OCTETS,
  MESSAGE_OCTETS_MAX,
  OFFSET_FLAGS,
  headerRcode,
  readU16,
} from '../wire/header.ts'
import {
  PARSE_FORMERR,
  PARSE_OK,
  PARSE_RESPONSE,
  PARSE_SHORT,
  ParsedQuery,
  parseQuery,
  rcodeOfParse,
} from '../wire/query.ts'
import {
  NO_EXTENDED_ERROR,
  REPLY_SLACK_OCTETS,
  writeHinfo,
  writeRcode,
  writeStored,
  type ExtendedError,
} from '../wire/reply.ts'
import { HotTable } from './cache/hot-table.ts'
import { CacheEntry, createCache, type MemoryCache } from './cache/memory-cache.ts'
import {
  CACHE_HIT,
  CACHE_LOOKUPS,
  CACHE_MISS,
  DECISIONS_PASSED,
  DECISION_BLOCK,
  DECISION_EXEMPT,
  DROPPED,
  DROP_GONE,
  DROP_RESPONSE,
  DROP_SHORT,
  OUTCOME_BLOCKED,
  OUTCOME_CACHED,
  OUTCOME_ERROR,
  OUTCOME_FORWARDED,
  OUTCOME_LOCAL,
  OUTCOME_REFUSED,
  PROTO_UDP,
  TRUNCATED,
  clearUpstreams,
  count,
  countReply,
  decisionSlot,
  querySlot,
  replyCodeOf,
  type Counters,
} from './counters.ts'
import { OVERLOADED, STOPPING, UNREACHABLE } from './failures.ts'
import { writeBlocked, writeSpecial } from './policy/block-reply.ts'
import { LEADS_TO_SPECIAL, judgeNames } from './policy/judge-names.ts'
import { NOT_BLOCKED, type Policy } from './policy/policy.ts'
import { SPECIAL_NODATA, SPECIAL_NONE, SpecialNames } from './policy/special-names.ts'
import { AskedName, type ReplySink, type Waiter } from './query.ts'
import type { DataplaneSettings } from './settings.ts'
import {
  createForwarder,
  forwardsAlike,
  type ForwardEvents,
  type Forwarder,
  type SystemSockets,
} from './upstream/forwarder.ts'
import type { Pending } from './upstream/pending.ts'
import { WaitingQueries } from './upstream/waiting-queries.ts'

/** `handle` keeps the query: its answer will come through the sink. */
export const PENDING = -1
/** `handle` counted the query as dropped. */
export const DROPPED_QUERY = 0
/** TTL of the small ANY answer (RFC 8482 4.2 suggests a long one: it is a constant). */
const ANY_TTL_SECONDS = 3600

/** One worker's pipeline. Everything it needs for a query is made here, once. */
export class Pipeline implements ForwardEvents {
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
  #settings: DataplaneSettings
  #policy: Policy
  #forwarder: Forwarder
  /** Where the reply of the moment is written. */
  #out: Uint8Array = this.#reply
  #stopping = false
  /** Outcome and rcode of the reply that was written last, for `countSent`. */
  replyCode = 0

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
    this.#waiting = new WaitingQueries(counters)
    this.#forwarder = createForwarder(settings, counters, this, system)
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
    proto: number,
    family: number,
    sink: ReplySink,
    receivedMs: number,
  ): number {
    this.#out = out
    const query = this.#query
    const parsed = parseQuery(message, octets, query)
    const hasType = parsed === PARSE_OK || (parsed >= PARSE_FORMERR && query.questionEnd !== 0)
    count(this.#counters, querySlot(proto, family, hasType ? query.type : 0))
    query.replyOctetsMax =
      proto === PROTO_UDP
        ? Math.min(query.udpOctets, this.#settings.udpOctetsMax)
        : MESSAGE_OCTETS_MAX
    if (parsed !== PARSE_OK) return this.#refuse(parsed, query)
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
      return this.#answerBlocked(query, known.category, known.ruleStart, known.whole)
    }
    const special = this.#special.find(asked)
    if (special !== SPECIAL_NONE) {
      const { rcode, zoneLabel } = this.#special
      return this.#answerSpecial(query, special, rcode, asked.labelStarts[zoneLabel]!)
    }
    const category = this.#policy.decide(asked)
    if (category !== NOT_BLOCKED) {
      const { ruleStart, whole } = this.#policy
      this.#hot.noteBlock(asked, category, ruleStart, whole, stamp)
      return this.#answerBlocked(query, category, ruleStart, whole)
    }
    if (this.#policy.exempted !== NOT_BLOCKED) {
      count(this.#counters, decisionSlot(DECISION_EXEMPT, this.#policy.exempted))
    }
    if (query.type === TYPE_ANY) {
      const end = writeHinfo(this.#out, query, ANY_TTL_SECONDS, this.#settings.udpOctetsMax)
      return this.#finish(end, OUTCOME_LOCAL, headerRcode(this.#out))
    }
    const key = asked.key(query)
    const entry = this.#cache.get(key, receivedMs)
    if (entry !== undefined) {
      if (this.#policy.exempted === NOT_BLOCKED) this.#hot.putAnswer(asked, query, entry)
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
  }

  /** An upstream's reply: checked, judged by policy, kept, and given to all who wait. */
  answered(pending: Pending, message: Uint8Array, octets: number): boolean {
    const facts = this.#facts
    if (!inspectAnswer(message, octets, pending.questionEnd, pending.type, facts)) return false
    // Over TCP nothing is too long, so TC there leaves a part of unknown size (RFC 2181 9).
    if (facts.rcode > 0xf || facts.truncated) return false
    const limits = this.#settings.cache
    const secondsMax = facts.negative ? limits.negativeTtlSecondsMax : limits.ttlSecondsMax
    clampTtls(message, facts, Math.min(limits.ttlSecondsMin, secondsMax), secondsMax)
    const entry = new CacheEntry(message, facts, pending, performance.now())
    this.#judge(entry)
    if (facts.ttlSeconds > 0) this.#cache.set(pending.key, entry)
    this.#settle(pending, entry)
    return true
  }

  /** No upstream answered: SERVFAIL says so to all who wait (RFC 8914 4.23). */
  unanswered(pending: Pending): void {
    this.#settle(pending, null)
  }

  #refuse(parsed: number, query: ParsedQuery): number {
    if (parsed === PARSE_SHORT || parsed === PARSE_RESPONSE) {
      count(this.#counters, DROPPED + (parsed === PARSE_SHORT ? DROP_SHORT : DROP_RESPONSE))
      return DROPPED_QUERY
    }
    const rcode = rcodeOfParse(parsed)
    const outcome = rcode === RCODE_REFUSED ? OUTCOME_REFUSED : OUTCOME_ERROR
    return this.#answerRcode(query, rcode, outcome, NO_EXTENDED_ERROR)
  }

  #answerSpecial(query: ParsedQuery, kind: number, rcode: number, zoneStart: number): number {
    const octetsMax = this.#settings.udpOctetsMax
    const end = writeSpecial(this.#out, query, kind, rcode, zoneStart, octetsMax)
    return this.#finish(end, OUTCOME_LOCAL, headerRcode(this.#out))
  }

  #answerBlocked(query: ParsedQuery, category: number, ruleStart: number, whole: boolean): number {
    count(this.#counters, decisionSlot(DECISION_BLOCK, category))
    const end = writeBlocked(
      this.#out,
      query,
      this.#policy.answers[category]!,
      ruleStart,
      whole,
      this.#settings.blockTtlSeconds,
      this.#settings.udpOctetsMax,
    )
    return this.#finish(end, OUTCOME_BLOCKED, headerRcode(this.#out))
  }

  #answerCached(query: ParsedQuery, entry: CacheEntry, nowMs: number): number {
    count(this.#counters, CACHE_LOOKUPS + CACHE_HIT)
    if (entry.stamp !== this.#policy.stamp) this.#judge(entry)
    return this.#answerEntry(query, entry, OUTCOME_CACHED, nowMs)
  }

  /** Writes what an entry means to one client: its answer, or the block of a name it led to. */
  #answerEntry(query: ParsedQuery, entry: CacheEntry, outcome: number, nowMs: number): number {
    if (entry.category === LEADS_TO_SPECIAL) {
      return this.#answerSpecial(query, SPECIAL_NODATA, RCODE_NOERROR, 0)
    }
    if (entry.category !== NOT_BLOCKED) {
      return this.#answerBlocked(query, entry.category, 0, false)
    }
    count(this.#counters, DECISIONS_PASSED)
    const ageSeconds = Math.max(0, Math.floor((nowMs - entry.storedMs) / 1000))
    const octetsMax = this.#settings.udpOctetsMax
    const reply = this.#out
    const end = writeStored(reply, query, entry, ageSeconds, NO_EXTENDED_ERROR, octetsMax)
    if ((readU16(reply, OFFSET_FLAGS) & FLAG_TC) !== 0) count(this.#counters, TRUNCATED)
    return this.#finish(end, outcome, headerRcode(reply))
  }

  /** Derives the verdict over the names an answer led through, under the policy of this moment. */
  #judge(entry: CacheEntry): void {
    entry.stamp = this.#policy.stamp
    entry.category = judgeNames(entry, this.#alias, this.#special, this.#policy)
  }

  #forward(key: string, query: ParsedQuery, sink: ReplySink, receivedMs: number): number {
    const settings = this.#settings
    if (this.#stopping) return this.#fail(query, STOPPING)
    if (settings.upstreams.length === 0) return this.#fail(query, UNREACHABLE)
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
    if (pending === null) return this.#fail(query, OVERLOADED)
    if (waiting.isNew) {
      pending.stamp = this.#policy.stamp
      this.#forwarder.ask(pending)
    }
    return PENDING
  }

  #fail(query: ParsedQuery, error: ExtendedError): number {
    return this.#answerRcode(query, RCODE_SERVFAIL, OUTCOME_ERROR, error)
  }

  #answerRcode(query: ParsedQuery, rcode: number, outcome: number, error: ExtendedError): number {
    const end = writeRcode(this.#out, query, rcode, error, this.#settings.udpOctetsMax)
    return this.#finish(end, outcome, rcode)
  }

  /** Answers all who wait for one question; `entry` is null when no upstream answered. */
  #settle(pending: Pending, entry: CacheEntry | null): void {
    const nowMs = performance.now()
    const policyChanged = pending.stamp !== this.#policy.stamp
    let waiter = this.#waiting.take(pending)
    while (waiter !== null) {
      this.#settleWaiter(waiter, entry, policyChanged, nowMs)
      waiter = this.#waiting.release(waiter)
    }
  }

  #settleWaiter(
    waiter: Waiter,
    entry: CacheEntry | null,
    policyChanged: boolean,
    nowMs: number,
  ): void {
    const query = waiter.query
    this.#out = this.#reply
    let octets = policyChanged ? this.#blockIfNowBlocked(query) : 0
    if (octets === 0) {
      octets =
        entry === null
          ? this.#fail(query, UNREACHABLE)
          : this.#answerEntry(query, entry, OUTCOME_FORWARDED, nowMs)
    }
    // A TCP sink may read on and answer its next queries before `send` returns.
    const code = this.replyCode
    const sent = waiter.sink?.send(this.#reply, octets, waiter) ?? false
    if (sent) this.countSent(code, nowMs - waiter.receivedMs)
    else this.countUnsent()
  }

  /** Writes the block of a name that an earlier policy let through; 0 when it still passes. */
  #blockIfNowBlocked(query: ParsedQuery): number {
    const asked = this.#alias
    asked.take(query.message, HEADER_OCTETS)
    const category = this.#policy.decide(asked)
    if (category === NOT_BLOCKED) return 0
    return this.#answerBlocked(query, category, this.#policy.ruleStart, this.#policy.whole)
  }

  #finish(octets: number, outcome: number, rcode: number): number {
    this.replyCode = replyCodeOf(outcome, rcode)
    return octets
  }
}
