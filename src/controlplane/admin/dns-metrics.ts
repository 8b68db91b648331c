/** What Prometheus sees of messages: received, answered, dropped, and how long it took. */
import {
  BYPASS_SIGNALS,
  DROPPED,
  DROP_REASONS,
  DURATION_BOUNDS_MS,
  DURATION_BUCKETS,
  DURATION_SUM_MS,
  EDE_SLOTS,
  EXTENDED_ERRORS,
  FAMILIES,
  HTTP_REJECTED,
  HTTP_STATUSES,
  IN_FLIGHT,
  LIMITED,
  LIMITS,
  OUTCOMES,
  PROTOS,
  QUERIES,
  QUESTION_TYPES,
  RCODE_SLOTS,
  RESPONSES,
  SIGNALS,
  TLS_HANDSHAKES_FAILED,
  TRUNCATED,
  UDP_SEND_ERRORS,
} from '../../dataplane/counters.ts'
import {
  EDE_BLOCKED,
  EDE_CACHED_ERROR,
  EDE_NETWORK_ERROR,
  EDE_NOT_READY,
  EDE_NO_REACHABLE_AUTHORITY,
  EDE_STALE_ANSWER,
  EDE_STALE_NXDOMAIN,
} from '../../wire/codes.ts'
import { define, histogram, labelled, single, slotMetric } from './definition.ts'
import type { Definition, Sample, Slots } from './definition.ts'
import { RCODE_NAMES } from './rcode-names.ts'

/** Rcodes up to REFUSED are always shown, so that rates exist before the first event. */
const RCODES_ALWAYS = 6
/** The extended errors that we make ourselves: always shown. */
const ERRORS_ALWAYS: ReadonlySet<number> = new Set([
  EDE_STALE_ANSWER,
  EDE_CACHED_ERROR,
  EDE_NOT_READY,
  EDE_BLOCKED,
  EDE_STALE_NXDOMAIN,
  EDE_NO_REACHABLE_AUTHORITY,
  EDE_NETWORK_ERROR,
])

function queries(slots: Slots): readonly Sample[] {
  const samples: Sample[] = []
  let slot = QUERIES
  for (const proto of PROTOS) {
    for (const family of FAMILIES) {
      for (const type of QUESTION_TYPES) {
        samples.push({ labels: { proto, family, type }, value: slots[slot++]! })
      }
    }
  }
  return samples
}

function responses(slots: Slots): readonly Sample[] {
  const samples: Sample[] = []
  for (const [index, outcome] of OUTCOMES.entries()) {
    for (let rcode = 0; rcode < RCODE_SLOTS; rcode++) {
      const value = slots[RESPONSES + index * RCODE_SLOTS + rcode]!
      if (rcode >= RCODES_ALWAYS && value === 0) continue
      samples.push({ labels: { outcome, rcode: RCODE_NAMES[rcode]! }, value })
    }
  }
  return samples
}

function durations(slots: Slots): readonly Sample[] {
  const buckets = DURATION_BOUNDS_MS.length + 1
  return OUTCOMES.flatMap((outcome, index) =>
    histogram(
      'dns_response_duration_seconds',
      { outcome },
      slots,
      DURATION_BUCKETS + index * buckets,
      DURATION_SUM_MS + index,
      DURATION_BOUNDS_MS,
    ),
  )
}

function extendedErrors(slots: Slots): readonly Sample[] {
  const samples: Sample[] = []
  for (let code = 0; code < EDE_SLOTS; code++) {
    const value = slots[EXTENDED_ERRORS + code]!
    if (value === 0 && !ERRORS_ALWAYS.has(code)) continue
    const text = code === EDE_SLOTS - 1 ? 'other' : String(code)
    samples.push({ labels: { code: text }, value })
  }
  return samples
}

function httpRejected(slots: Slots): readonly Sample[] {
  return HTTP_STATUSES.map((status, index) => ({
    labels: { status: String(status) },
    value: slots[HTTP_REJECTED + index]!,
  }))
}

/** In the order of the page. */
export const DNS_METRICS: readonly Definition[] = [
  define('dns_queries_total', 'counter', 'Messages received.', queries),
  define('dns_responses_total', 'counter', 'Replies sent, by how they came about.', responses),
  define(
    'dns_dropped_total',
    'counter',
    'Messages that got no reply, by reason.',
    labelled(DROPPED, 'reason', DROP_REASONS),
  ),
  define(
    'dns_inflight_queries',
    'gauge',
    'Queries that wait for an upstream.',
    slotMetric(IN_FLIGHT),
  ),
  define(
    'limited_queries_total',
    'counter',
    'Queries answered SERVFAIL, and tries not made, because too many were waiting.',
    labelled(LIMITED, 'limit', LIMITS),
  ),
  define('dns_response_duration_seconds', 'histogram', 'From receiving to sending.', durations),
  define(
    'dns_extended_errors_total',
    'counter',
    'Replies with an extended error of ours, by its info code (RFC 8914).',
    extendedErrors,
  ),
  define(
    'dns_truncated_responses_total',
    'counter',
    'Replies cut to the size that the client takes, with TC set.',
    slotMetric(TRUNCATED),
  ),
  define(
    'bypass_signals_total',
    'counter',
    'Questions for special names by which programs look for a way round the resolver.',
    labelled(BYPASS_SIGNALS, 'kind', SIGNALS),
  ),
  define(
    'udp_send_errors_total',
    'counter',
    'Datagrams that the system would not send.',
    slotMetric(UDP_SEND_ERRORS),
  ),
  define(
    'udp_receive_buffer_drops_total',
    'counter',
    'Datagrams that the kernel dropped unread because too many waited (Linux).',
    (_slots, facts) => single(facts.receiveDrops()),
  ),
  define(
    'tls_handshakes_failed_total',
    'counter',
    'Connections of clients that did not become TLS connections.',
    slotMetric(TLS_HANDSHAKES_FAILED),
  ),
  define(
    'https_rejected_total',
    'counter',
    'HTTP requests that were not answered with a DNS message, by status.',
    httpRejected,
  ),
]
