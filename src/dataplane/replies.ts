/**
 * Writes the replies of one pipeline and says how each has to be counted: outcome and rcode. Knows
 * nothing of the order of the steps, only what each result looks like to a client.
 */
import {
  EDE_BLOCKED,
  EDE_NONE,
  RCODE_NOERROR,
  RCODE_NXDOMAIN,
  RCODE_REFUSED,
  RCODE_SERVFAIL,
} from '../wire/codes.ts'
import { FLAG_TC, HEADER_OCTETS, OFFSET_FLAGS, headerRcode, readU16 } from '../wire/header.ts'
import {
  PARSE_COOKIE_ONLY,
  PARSE_RESPONSE,
  PARSE_SHORT,
  rcodeOfParse,
  type ParsedQuery,
} from '../wire/query.ts'
import { REPLY_COOKIE, NO_EXTENDED_ERROR, type ExtendedError } from '../wire/opt.ts'
import {
  writeHinfo,
  writeNegative,
  writeRcode,
  writeStored,
  writeTruncated,
  type StoredAnswer,
} from '../wire/reply.ts'
import { SITE_DEFAULT, SITE_DEFAULT_NAME, type Client } from './client.ts'
import {
  DECISIONS_PASSED,
  DECISIONS_PRIVATE,
  DECISION_BLOCK,
  DROPPED,
  DROP_RATE,
  DROP_RESPONSE,
  DROP_SHORT,
  OUTCOME_BLOCKED,
  OUTCOME_ERROR,
  OUTCOME_LOCAL,
  OUTCOME_REFUSED,
  OUTCOME_STALE,
  SITE_BLOCKED,
  SITE_LIMITED,
  TRUNCATED,
  count,
  countExtendedError,
  decisionSlot,
  replyCodeOf,
  type Counters,
} from './counters.ts'
import { FAILED_BEFORE, STALE, STALE_NXDOMAIN } from './failures.ts'
import { writeBlocked, writeSpecial } from './policy/block-reply.ts'
import type { ObservedQueries } from './observed-queries.ts'
import { LEADS_TO_PRIVATE, NO_BAR } from './policy/judge-answer.ts'
import { NOT_BLOCKED, type Policy } from './policy/policy.ts'
import { asksDesignation, writeDesignations } from './policy/designation.ts'
import { SPECIAL_NODATA } from './policy/special-names.ts'
import { PRIVATE_CATEGORY, type DataplaneSettings } from './settings.ts'
import type { StampedAnswer, Verdicts } from './verdicts.ts'

/** The query was counted as dropped, nothing is sent. */
export const DROPPED_QUERY = 0
/** TTL of the small ANY answer (RFC 8482 4.2 suggests a long one: it is a constant). */
const ANY_TTL_SECONDS = 3600

/** Why a private address is withheld (RFC 8914 4.16). */
const PRIVATE_ERROR: ExtendedError = {
  code: EDE_BLOCKED,
  text: Buffer.from('private address', 'utf8'),
}

const PRIVATE_CATEGORY_OCTETS = Buffer.from(PRIVATE_CATEGORY, 'latin1')

/** An answer that is kept, with its verdict. */
export interface KeptAnswer extends StoredAnswer, StampedAnswer {
  readonly storedMs: number
  readonly ttlOffsets: Uint16Array
}

/** One pipeline's replies. Every method returns the octets that it wrote into `out`. */
export class Replies {
  readonly #counters: Counters
  readonly #verdicts: Verdicts
  /** Where the reply of the moment is written. */
  out: Uint8Array
  settings: DataplaneSettings
  /** RDATA of what leads clients to our encrypted listeners (RFC 9462). */
  designations: readonly Uint8Array[] = []
  /** Number of the site of the client that is answered. */
  site = SITE_DEFAULT
  /** Outcome and rcode of the reply that was written last, for `countSent`. */
  code = 0
  /** Null, as it nearly always is: no operator looks. */
  observed: ObservedQueries | null = null

  constructor(
    settings: DataplaneSettings,
    verdicts: Verdicts,
    counters: Counters,
    out: Uint8Array,
  ) {
    this.settings = settings
    this.#verdicts = verdicts
    this.#counters = counters
    this.out = out
  }

  /** The policy of the moment. */
  get policy(): Policy {
    return this.#verdicts.policy
  }

  /** Name of the site of the client that is answered. */
  get siteName(): string {
    const { site } = this
    return site === SITE_DEFAULT ? SITE_DEFAULT_NAME : (this.settings.sites[site - 1]?.name ?? '')
  }

  /** What is written from here on goes to this client, into `out`. */
  begin(out: Uint8Array, client: Client, receivedMs: number): void {
    this.out = out
    this.site = client.site
    const { observed } = this
    if (observed !== null) observed.takeClient(client, receivedMs)
  }

  /** A message that `parseQuery` did not take; `DROPPED_QUERY` where nothing may be answered. */
  refuse(parsed: number, query: ParsedQuery): number {
    if (parsed === PARSE_SHORT || parsed === PARSE_RESPONSE) {
      count(this.#counters, DROPPED + (parsed === PARSE_SHORT ? DROP_SHORT : DROP_RESPONSE))
      return DROPPED_QUERY
    }
    if (parsed === PARSE_COOKIE_ONLY && (query.replyOptions & REPLY_COOKIE) !== 0) {
      return this.#rcode(query, RCODE_NOERROR, OUTCOME_LOCAL, NO_EXTENDED_ERROR)
    }
    const rcode = rcodeOfParse(parsed)
    const outcome = rcode === RCODE_REFUSED ? OUTCOME_REFUSED : OUTCOME_ERROR
    return this.#rcode(query, rcode, outcome, NO_EXTENDED_ERROR)
  }

  special(query: ParsedQuery, kind: number, rcode: number, zoneStart: number): number {
    const octetsMax = this.settings.udpOctetsMax
    const designations = this.designations
    if (designations.length > 0 && asksDesignation(query, zoneStart) && kind === SPECIAL_NODATA) {
      const octets = writeDesignations(this.out, query, designations, octetsMax)
      return this.#finish(octets, OUTCOME_LOCAL, RCODE_NOERROR)
    }
    const end = writeSpecial(this.out, query, kind, rcode, zoneStart, octetsMax)
    return this.#finish(end, OUTCOME_LOCAL, headerRcode(this.out))
  }

  /** The small answer to ANY (RFC 8482 4.2). */
  any(query: ParsedQuery): number {
    const end = writeHinfo(this.out, query, ANY_TTL_SECONDS, this.settings.udpOctetsMax)
    return this.#finish(end, OUTCOME_LOCAL, headerRcode(this.out))
  }

  blocked(query: ParsedQuery, category: number, ruleStart: number, whole: boolean): number {
    count(this.#counters, decisionSlot(DECISION_BLOCK, category))
    count(this.#counters, SITE_BLOCKED + this.site)
    this.#noteError(query, EDE_BLOCKED)
    const answer = this.policy.answerOf(category, this.site)
    const end = writeBlocked(
      this.out,
      query,
      answer,
      ruleStart,
      whole,
      this.settings.blockTtlSeconds,
      this.settings.udpOctetsMax,
    )
    this.#finish(end, OUTCOME_BLOCKED, headerRcode(this.out))
    const { observed } = this
    if (observed !== null) observed.noteBlocked(query, answer.category, this.siteName, this.code)
    return end
  }

  /**
   * Writes what an entry means to one client: its answer, or the block of a name it led to. No
   * answer leaves without a verdict of the policy of this moment.
   */
  entry(query: ParsedQuery, entry: KeptAnswer, outcome: number, nowMs: number): number {
    this.#verdicts.refresh(entry, this.site)
    if (entry.matched !== 0) {
      const category = this.policy.categoryOf(entry.matched, this.site)
      if (category !== NOT_BLOCKED) return this.blocked(query, category, 0, false)
    }
    if (entry.bar === LEADS_TO_PRIVATE) return this.#private(query)
    if (entry.bar !== NO_BAR) return this.special(query, SPECIAL_NODATA, RCODE_NOERROR, 0)
    count(this.#counters, DECISIONS_PASSED)
    const octetsMax = this.settings.udpOctetsMax
    let end: number
    if (outcome === OUTCOME_STALE) {
      const error = headerRcode(entry.message) === RCODE_NXDOMAIN ? STALE_NXDOMAIN : STALE
      const ttlSeconds = this.settings.cache.staleTtlSeconds
      this.#noteError(query, error.code)
      end = writeStored(this.out, query, entry, 0, error, octetsMax, ttlSeconds)
    } else {
      const ageSeconds = Math.max(0, Math.floor((nowMs - entry.storedMs) / 1000))
      end = writeStored(this.out, query, entry, ageSeconds, NO_EXTENDED_ERROR, octetsMax)
    }
    if ((readU16(this.out, OFFSET_FLAGS) & FLAG_TC) !== 0) count(this.#counters, TRUNCATED)
    return this.#finish(end, outcome, headerRcode(this.out))
  }

  /** A public name that leads into a private network has no data here. */
  #private(query: ParsedQuery): number {
    count(this.#counters, DECISIONS_PRIVATE)
    count(this.#counters, SITE_BLOCKED + this.site)
    const { blockTtlSeconds, udpOctetsMax } = this.settings
    const error = PRIVATE_ERROR
    this.#noteError(query, error.code)
    const out = this.out
    const owner = HEADER_OCTETS
    const end = writeNegative(
      out,
      query,
      RCODE_NOERROR,
      owner,
      blockTtlSeconds,
      error,
      udpOctetsMax,
    )
    this.#finish(end, OUTCOME_BLOCKED, RCODE_NOERROR)
    const { observed } = this
    if (observed !== null) {
      observed.noteBlocked(query, PRIVATE_CATEGORY_OCTETS, this.siteName, this.code)
    }
    return end
  }

  /**
   * A query over its client's rate: over UDP TC, which sends honest clients to TCP and is no larger
   * than the question, or nothing; where the address is proven, by TCP or by a cookie, REFUSED.
   */
  limited(query: ParsedQuery, isProven: boolean, isSlip: boolean): number {
    count(this.#counters, SITE_LIMITED + this.site)
    if (isProven) {
      return this.#rcode(query, RCODE_REFUSED, OUTCOME_REFUSED, NO_EXTENDED_ERROR)
    }
    if (!isSlip) {
      count(this.#counters, DROPPED + DROP_RATE)
      return DROPPED_QUERY
    }
    count(this.#counters, TRUNCATED)
    const end = writeTruncated(this.out, query, this.settings.udpOctetsMax)
    return this.#finish(end, OUTCOME_REFUSED, RCODE_NOERROR)
  }

  /** SERVFAIL, and why. */
  fail(query: ParsedQuery, error: ExtendedError): number {
    return this.#rcode(query, RCODE_SERVFAIL, OUTCOME_ERROR, error)
  }

  /** The rcode with which the question failed a moment ago (RFC 9520). */
  failedBefore(query: ParsedQuery, rcode: number): number {
    return this.#rcode(query, rcode, OUTCOME_ERROR, FAILED_BEFORE)
  }

  #rcode(query: ParsedQuery, rcode: number, outcome: number, error: ExtendedError): number {
    if (error.code !== EDE_NONE) this.#noteError(query, error.code)
    const end = writeRcode(this.out, query, rcode, error, this.settings.udpOctetsMax)
    return this.#finish(end, outcome, rcode)
  }

  /** Only those with EDNS get to see an extended error. */
  #noteError(query: ParsedQuery, code: number): void {
    if (query.hasEdns) countExtendedError(this.#counters, code)
  }

  #finish(octets: number, outcome: number, rcode: number): number {
    this.code = replyCodeOf(outcome, rcode)
    return octets
  }
}
