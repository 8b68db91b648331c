/**
 * Counters of one worker: one block of 64-bit floats in shared memory, one writer, read and summed
 * by the control plane when it is scraped. An increment is one indexed addition; names exist only
 * out there.
 */
import { TYPE_A, TYPE_AAAA, TYPE_ANY, TYPE_HTTPS, TYPE_MX, TYPE_NS } from '../wire/codes.ts'
import { TYPE_PTR, TYPE_SOA, TYPE_SRV, TYPE_SVCB, TYPE_TXT } from '../wire/codes.ts'
import { REDIS_SLOTS } from './redis-counters.ts'

export const PROTO_UDP = 0
export const PROTO_TCP = 1
export const PROTO_TLS = 2
export const PROTO_HTTPS = 3
export const PROTOS = ['udp', 'tcp', 'tls', 'https'] as const

export const FAMILY_IPV4 = 0
export const FAMILY_IPV6 = 1
export const FAMILIES = ['ipv4', 'ipv6'] as const

/** Question types that have a label of their own; all others count as `other`, the last slot. */
export const QUESTION_TYPES = [
  'A',
  'AAAA',
  'HTTPS',
  'SVCB',
  'PTR',
  'TXT',
  'MX',
  'NS',
  'SRV',
  'SOA',
  'ANY',
  'other',
] as const
const TYPE_OTHER = QUESTION_TYPES.length - 1
const TYPE_SLOTS = createTypeSlots()

export const OUTCOME_BLOCKED = 0
export const OUTCOME_CACHED = 1
export const OUTCOME_STALE = 2
export const OUTCOME_FORWARDED = 3
export const OUTCOME_LOCAL = 4
export const OUTCOME_REFUSED = 5
export const OUTCOME_ERROR = 6
export const OUTCOMES = [
  'blocked',
  'cached',
  'stale',
  'forwarded',
  'local',
  'refused',
  'error',
] as const

/** Rcodes 0..16 have a slot each, the last one takes whatever an upstream may invent above. */
export const RCODE_SLOTS = 18

export const DROP_ACL = 0
export const DROP_SHORT = 1
export const DROP_RESPONSE = 2
export const DROP_SOURCE_PORT = 3
/** The client went away before its answer came. */
export const DROP_GONE = 4
/** The worker stopped with the question still open. */
export const DROP_STOPPED = 5
/** It claims to come from an address and port that we listen on. */
export const DROP_LOOP = 6
/** A client had waited long, and more answers than its share were ready at once. */
export const DROP_LATE = 7
/** Over the query rate of its client or prefix. */
export const DROP_RATE = 8
export const DROP_REASONS = [
  'acl',
  'short',
  'response_bit',
  'source_port',
  'client_gone',
  'stopped',
  'loop',
  'late',
  'rate',
] as const

/** Questions open in one worker. */
export const LIMIT_PENDING = 0
/** Clients that wait for one question. */
export const LIMIT_QUESTION = 1
/** Queries of one client that wait. */
export const LIMIT_CLIENT = 2
/** Tries that one upstream has under way. */
export const LIMIT_UPSTREAM = 3
export const LIMITS = ['pending', 'question', 'client', 'upstream'] as const

export const DECISION_BLOCK = 0
/** A list would block it, an essential name says no. */
export const DECISION_EXEMPT = 1
/** A list would block it, a rule of the operator's says no. */
export const DECISION_ALLOW = 2
export const DECISION_ACTIONS = ['block', 'exempt', 'allow'] as const
export const CATEGORY_SLOTS = 32

export const CACHE_HIT = 0
export const CACHE_MISS = 1
/** An answer was there whose time is over (RFC 8767). */
export const CACHE_EXPIRED = 2
/** The question failed a moment ago (RFC 9520). */
export const CACHE_FAILURE = 3
export const CACHE_RESULTS = ['hit', 'miss', 'expired', 'failure'] as const

export const FAILURE_TIMEOUT = 0
export const FAILURE_NETWORK = 1
/** A datagram that answers no open question: wrong id or wrong question. */
export const FAILURE_MISMATCH = 2
export const FAILURE_FORMAT = 3
/** SERVFAIL, REFUSED, NOTIMP or FORMERR from the upstream. */
export const FAILURE_RCODE = 4
/** The handshake failed: certificate, name or protocol (RFC 8310 5, strict). */
export const FAILURE_TLS = 5
/** DNS over HTTPS: another status than 200, or no DNS message in the body (RFC 8484 4.2.1). */
export const FAILURE_HTTP = 6
/** Other letters than asked, where they were random. */
export const FAILURE_CASE = 7
/** OPT was not understood. */
export const FAILURE_EDNS = 8
export const FAILURE_REASONS = [
  'timeout',
  'network',
  'mismatch',
  'format',
  'rcode',
  'tls',
  'http',
  'case',
  'edns',
] as const
/** Upstreams with counters of their own; configuration allows no more. */
export const UPSTREAMS_MAX = 16

/** Sites with counters of their own, besides the default; configuration allows no more. */
export const SITES_MAX = 1000

/** Upper bounds of the latency buckets in milliseconds; one more slot takes what is above. */
export const DURATION_BOUNDS_MS = [
  0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000,
] as const
const DURATION_SLOTS = DURATION_BOUNDS_MS.length + 1

/** Upper bounds of the time that an upstream takes for one reply, in milliseconds. */
export const UPSTREAM_BOUNDS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000] as const
const UPSTREAM_DURATION_SLOTS = UPSTREAM_BOUNDS_MS.length + 1

/** Upper bounds of the time of one look-up in the compiled lists, in milliseconds. */
export const LOOKUP_BOUNDS_MS = [
  0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 1,
] as const

/** Upper bounds of how long a worker stands still while it takes a new policy, in milliseconds. */
export const SWAP_BOUNDS_MS = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000] as const

/** Info codes of extended errors that have a label (RFC 8914 5.2, registry); the last: others. */
export const EDE_SLOTS = 31

/** Names by which somebody goes round the resolver, or a program asks whether it may. */
export const SIGNAL_NONE = -1
export const SIGNAL_ONION = 0
export const SIGNAL_I2P = 1
/** `use-application-dns.net`: may the browser use its own DNS over HTTPS? */
export const SIGNAL_BROWSER = 2
/** `mask.icloud.com`, `mask-h2.icloud.com`. */
export const SIGNAL_PRIVATE_RELAY = 3
/** `resolver.arpa` (RFC 9462): is there an encrypted way to this resolver? */
export const SIGNAL_DISCOVERY = 4
export const SIGNALS = [
  'onion',
  'i2p',
  'browser_canary',
  'private_relay',
  'resolver_discovery',
] as const

const OUTCOME_COUNT = OUTCOMES.length
const TYPE_COUNT = QUESTION_TYPES.length

/** HTTP requests that carried no DNS query, or one that was not taken, by their response. */
export const HTTP_BAD_REQUEST = 0
export const HTTP_NOT_FOUND = 1
export const HTTP_METHOD = 2
export const HTTP_TOO_LARGE = 3
export const HTTP_TYPE = 4
/** The client has to read its responses first, or to wait for them. */
export const HTTP_BUSY = 5
export const HTTP_STATUSES = [400, 404, 405, 413, 415, 503] as const

/** Offsets of the groups within a block. */
export const QUERIES = 0
export const RESPONSES = QUERIES + PROTOS.length * FAMILIES.length * TYPE_COUNT
export const DURATION_BUCKETS = RESPONSES + OUTCOME_COUNT * RCODE_SLOTS
export const DURATION_SUM_MS = DURATION_BUCKETS + OUTCOME_COUNT * DURATION_SLOTS
export const DROPPED = DURATION_SUM_MS + OUTCOME_COUNT
export const DECISIONS = DROPPED + DROP_REASONS.length
export const DECISIONS_PASSED = DECISIONS + DECISION_ACTIONS.length * CATEGORY_SLOTS
/** Answers withheld because they led into a private network. */
export const DECISIONS_PRIVATE = DECISIONS_PASSED + 1
export const CACHE_LOOKUPS = DECISIONS_PRIVATE + 1
export const CACHE_ENTRIES = CACHE_LOOKUPS + CACHE_RESULTS.length
export const CACHE_OCTETS = CACHE_ENTRIES + 1
export const CACHE_EVICTIONS = CACHE_OCTETS + 1
export const IN_FLIGHT = CACHE_EVICTIONS + 1
export const COALESCED = IN_FLIGHT + 1
export const PREFETCHED = COALESCED + 1
export const LIMITED = PREFETCHED + 1
export const TRUNCATED = LIMITED + LIMITS.length
export const TCP_CONNECTIONS = TRUNCATED + 1
export const TCP_ACCEPTED = TCP_CONNECTIONS + 1
export const TCP_REJECTED = TCP_ACCEPTED + 1
export const TCP_CLOSED_IDLE = TCP_REJECTED + 1
export const UDP_SEND_ERRORS = TCP_CLOSED_IDLE + 1
/**
 * Two slots, by family: datagrams that a batch has read. What a worker had read and not yet counted
 * as received is lost with it when it dies, and counted then.
 */
export const UDP_READ = UDP_SEND_ERRORS + 1
export const TLS_HANDSHAKES_FAILED = UDP_READ + FAMILIES.length
export const HTTP_REJECTED = TLS_HANDSHAKES_FAILED + 1
export const EXTENDED_ERRORS = HTTP_REJECTED + HTTP_STATUSES.length
export const BYPASS_SIGNALS = EXTENDED_ERRORS + EDE_SLOTS
export const LOOKUP_BUCKETS = BYPASS_SIGNALS + SIGNALS.length
export const LOOKUP_SUM_MS = LOOKUP_BUCKETS + LOOKUP_BOUNDS_MS.length + 1
export const SWAP_BUCKETS = LOOKUP_SUM_MS + 1
export const SWAP_SUM_MS = SWAP_BUCKETS + SWAP_BOUNDS_MS.length + 1
/** By number of the site, the default first; they start anew with other sites. */
export const SITE_QUERIES = SWAP_SUM_MS + 1
export const SITE_BLOCKED = SITE_QUERIES + SITES_MAX + 1
export const SITE_LIMITED = SITE_BLOCKED + SITES_MAX + 1
const SITE_END = SITE_LIMITED + SITES_MAX + 1
export const UPSTREAM_QUERIES = SITE_END
export const UPSTREAM_RESPONSES = UPSTREAM_QUERIES + UPSTREAMS_MAX
export const UPSTREAM_FAILURES = UPSTREAM_RESPONSES + UPSTREAMS_MAX
export const UPSTREAM_UP = UPSTREAM_FAILURES + UPSTREAMS_MAX * FAILURE_REASONS.length
export const UPSTREAM_DURATION_SUM_MS = UPSTREAM_UP + UPSTREAMS_MAX
const UPSTREAM_BUCKETS = UPSTREAM_DURATION_SUM_MS + UPSTREAMS_MAX
/**
 * Just past the upstreams' slots, which begin at `UPSTREAM_QUERIES`: they start anew with new
 * upstreams.
 */
export const UPSTREAM_END = UPSTREAM_BUCKETS + UPSTREAMS_MAX * UPSTREAM_DURATION_SLOTS
/** The shared cache's group (`redis-counters.ts`). */
export const REDIS = UPSTREAM_BUCKETS + UPSTREAMS_MAX * UPSTREAM_DURATION_SLOTS
const SLOTS = REDIS + REDIS_SLOTS

/** One worker's counters: `block[QUERIES + …]`. */
export type Counters = Float64Array

/** Makes a zeroed block that can be posted to a worker. */
export function createCounters(): Counters {
  return new Float64Array(new SharedArrayBuffer(SLOTS * Float64Array.BYTES_PER_ELEMENT))
}

function createTypeSlots(): Uint8Array {
  const slots = new Uint8Array(256).fill(TYPE_OTHER)
  const types = [TYPE_A, TYPE_AAAA, TYPE_HTTPS, TYPE_SVCB, TYPE_PTR, TYPE_TXT, TYPE_MX]
  types.push(TYPE_NS, TYPE_SRV, TYPE_SOA, TYPE_ANY)
  for (const [slot, type] of types.entries()) slots[type] = slot
  return slots
}

/** Returns the slot of a received query. */
export function querySlot(proto: number, family: number, type: number): number {
  const typeSlot = type < 256 ? TYPE_SLOTS[type]! : TYPE_OTHER
  return QUERIES + (proto * FAMILIES.length + family) * TYPE_COUNT + typeSlot
}

/** Returns the slot of a sent response. */
export function responseSlot(outcome: number, rcode: number): number {
  return RESPONSES + outcome * RCODE_SLOTS + Math.min(rcode, RCODE_SLOTS - 1)
}

/** Returns the slot of a verdict on a listed name: one of `DECISION_*`. */
export function decisionSlot(action: number, category: number): number {
  return DECISIONS + action * CATEGORY_SLOTS + category
}

/** Lets the upstreams' counts begin anew: their positions mean other upstreams from here on. */
export function clearUpstreams(counters: Counters): void {
  counters.fill(0, UPSTREAM_QUERIES, UPSTREAM_END)
}

/** Lets the sites' counts begin anew: their numbers mean other sites from here on. */
export function clearSites(counters: Counters): void {
  counters.fill(0, SITE_QUERIES, SITE_END)
}

/** Returns the slot of an upstream's failures. */
export function failureSlot(upstream: number, reason: number): number {
  return UPSTREAM_FAILURES + upstream * FAILURE_REASONS.length + reason
}

/** Returns the first bucket of an upstream's reply times. */
export function upstreamBuckets(upstream: number): number {
  return UPSTREAM_BUCKETS + upstream * UPSTREAM_DURATION_SLOTS
}

/** Counts an extended error that goes into a reply. */
export function countExtendedError(counters: Counters, code: number): void {
  count(counters, EXTENDED_ERRORS + Math.min(code, EDE_SLOTS - 1))
}

/** Counts one duration: a bucket for each bound from `buckets` on, one above all, and the sum. */
export function countInHistogram(
  counters: Counters,
  buckets: number,
  sum: number,
  boundsMs: readonly number[],
  milliseconds: number,
): void {
  let bucket = 0
  while (bucket < boundsMs.length && milliseconds > boundsMs[bucket]!) bucket++
  counters[buckets + bucket] = counters[buckets + bucket]! + 1
  counters[sum] = counters[sum]! + milliseconds
}

/** Counts a reply of an upstream. */
export function countUpstreamReply(counters: Counters, upstream: number, tookMs: number): void {
  count(counters, UPSTREAM_RESPONSES + upstream)
  const sum = UPSTREAM_DURATION_SUM_MS + upstream
  countInHistogram(counters, upstreamBuckets(upstream), sum, UPSTREAM_BOUNDS_MS, tookMs)
}

const REPLY_CODE_SHIFT = 5
const REPLY_CODE_RCODE = 31

/** Outcome and rcode of a reply as one number, to be counted once it is sent. */
export function replyCodeOf(outcome: number, rcode: number): number {
  return (outcome << REPLY_CODE_SHIFT) | rcode
}

/** Returns the outcome that `replyCodeOf` was given. */
export function outcomeOfCode(code: number): number {
  return code >>> REPLY_CODE_SHIFT
}

/** Returns the rcode that `replyCodeOf` was given. */
export function rcodeOfCode(code: number): number {
  return code & REPLY_CODE_RCODE
}

/** Counts a reply as sent, so long after its query came. */
export function countReply(counters: Counters, code: number, milliseconds: number): void {
  const outcome = outcomeOfCode(code)
  count(counters, responseSlot(outcome, rcodeOfCode(code)))
  countDuration(counters, outcome, milliseconds)
}

/** Counts one response time in its bucket. */
function countDuration(counters: Counters, outcome: number, milliseconds: number): void {
  let bucket = 0
  while (bucket < DURATION_SLOTS - 1 && milliseconds > DURATION_BOUNDS_MS[bucket]!) bucket++
  const slot = DURATION_BUCKETS + outcome * DURATION_SLOTS + bucket
  counters[slot] = counters[slot]! + 1
  const sum = DURATION_SUM_MS + outcome
  counters[sum] = counters[sum]! + milliseconds
}

/** Adds one. */
export function count(counters: Counters, slot: number): void {
  counters[slot] = counters[slot]! + 1
}
