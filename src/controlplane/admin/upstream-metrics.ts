/** What Prometheus sees of the upstreams. Labels are what the operator wrote. */
import {
  COALESCED,
  FAILURE_REASONS,
  UPSTREAM_BOUNDS_MS,
  UPSTREAM_DURATION_SUM_MS,
  UPSTREAM_FAILURES,
  UPSTREAM_QUERIES,
  UPSTREAM_RESPONSES,
  UPSTREAM_UP,
  upstreamBuckets,
} from '../../dataplane/counters.ts'
import { define, histogram, slotMetric } from './definition.ts'
import type { Definition, Sample, Slots } from './definition.ts'
import type { ServerFacts } from './server-facts.ts'

function perUpstream(offset: number) {
  return (slots: Slots, facts: ServerFacts): readonly Sample[] =>
    facts.upstreams.map((upstream, index) => ({
      labels: { upstream },
      value: slots[offset + index]!,
    }))
}

function failures(slots: Slots, facts: ServerFacts): readonly Sample[] {
  return facts.upstreams.flatMap((upstream, index) =>
    FAILURE_REASONS.map((reason, code) => ({
      labels: { upstream, reason },
      value: slots[UPSTREAM_FAILURES + index * FAILURE_REASONS.length + code]!,
    })),
  )
}

/** Up when any worker can reach it. */
function up(slots: Slots, facts: ServerFacts): readonly Sample[] {
  return facts.upstreams.map((upstream, index) => ({
    labels: { upstream },
    value: slots[UPSTREAM_UP + index]! > 0 ? 1 : 0,
  }))
}

function durations(slots: Slots, facts: ServerFacts): readonly Sample[] {
  return facts.upstreams.flatMap((upstream, index) =>
    histogram(
      'upstream_response_duration_seconds',
      { upstream },
      slots,
      upstreamBuckets(index),
      UPSTREAM_DURATION_SUM_MS + index,
      UPSTREAM_BOUNDS_MS,
    ),
  )
}

/** In the order of the page. */
export const UPSTREAM_METRICS: readonly Definition[] = [
  define('upstream_up', 'gauge', '0 while an upstream is passed over.', up),
  define('upstream_queries_total', 'counter', 'Tries.', perUpstream(UPSTREAM_QUERIES)),
  define('upstream_responses_total', 'counter', 'Replies.', perUpstream(UPSTREAM_RESPONSES)),
  define('upstream_failures_total', 'counter', 'Tries that failed, by reason.', failures),
  define(
    'upstream_response_duration_seconds',
    'histogram',
    'From asking an upstream to its reply.',
    durations,
  ),
  define(
    'upstream_coalesced_total',
    'counter',
    'Queries that joined one already on its way.',
    slotMetric(COALESCED),
  ),
]
