/** What Prometheus sees of the shared cache. All stand at 0 where none is configured. */
import { REDIS } from '../../dataplane/counters.ts'
import {
  REDIS_BOUNDS_MS,
  REDIS_BUCKETS,
  REDIS_CONNECTIONS,
  REDIS_ERRORS,
  REDIS_FAILURES,
  REDIS_HEDGED,
  REDIS_LOOKUPS,
  REDIS_READS_OPEN,
  REDIS_REJECTED_VALUES,
  REDIS_REJECTIONS,
  REDIS_RESULTS,
  REDIS_SUM_MS,
  REDIS_UP,
  REDIS_WARMED,
  REDIS_WRITES,
  REDIS_WRITES_OPEN,
  REDIS_WRITE_OCTETS_OPEN,
  REDIS_WRITTEN,
} from '../../dataplane/redis-counters.ts'
import {
  define,
  histogram,
  labelled,
  single,
  slotMetric,
  type Definition,
  type Sample,
  type Slots,
} from './definition.ts'

/** The shared tier's part of `cache_lookups_total`. */
export function redisLookups(slots: Slots): readonly Sample[] {
  return REDIS_RESULTS.map((result, index) => ({
    labels: { tier: 'redis', result },
    value: slots[REDIS + REDIS_LOOKUPS + index]!,
  }))
}

function lookupSeconds(slots: Slots): readonly Sample[] {
  const [buckets, sum] = [REDIS + REDIS_BUCKETS, REDIS + REDIS_SUM_MS]
  return histogram('redis_lookup_duration_seconds', {}, slots, buckets, sum, REDIS_BOUNDS_MS)
}

/** In the order of the page. */
export const REDIS_METRICS: readonly Definition[] = [
  define('redis_up', 'gauge', '1 when a shared cache is configured and answers.', (slots) =>
    single(slots[REDIS + REDIS_UP]! > 0 ? 1 : 0),
  ),
  define(
    'redis_connections_total',
    'counter',
    'Connections to Redis that came to answer.',
    slotMetric(REDIS + REDIS_CONNECTIONS),
  ),
  define(
    'redis_errors_total',
    'counter',
    'Errors of Redis and of the connections to it, by kind.',
    labelled(REDIS + REDIS_FAILURES, 'reason', REDIS_ERRORS),
  ),
  define(
    'redis_rejected_values_total',
    'counter',
    'Values from Redis that were not believed, by reason.',
    labelled(REDIS + REDIS_REJECTED_VALUES, 'reason', REDIS_REJECTIONS),
  ),
  define(
    'redis_writes_total',
    'counter',
    'Answers to be shared, by what became of them.',
    labelled(REDIS + REDIS_WRITTEN, 'result', REDIS_WRITES),
  ),
  define(
    'redis_hedged_total',
    'counter',
    'Look-ups whose upstream query started before Redis had answered.',
    slotMetric(REDIS + REDIS_HEDGED),
  ),
  define(
    'redis_lookup_duration_seconds',
    'histogram',
    'From sending a look-up to its reply.',
    lookupSeconds,
  ),
  define(
    'redis_open_lookups',
    'gauge',
    'Look-ups that Redis has not answered yet, timed-out ones too.',
    slotMetric(REDIS + REDIS_READS_OPEN),
  ),
  define(
    'redis_open_writes',
    'gauge',
    'Writes that Redis has not acknowledged yet.',
    slotMetric(REDIS + REDIS_WRITES_OPEN),
  ),
  define(
    'redis_open_write_bytes',
    'gauge',
    'Octets of those writes.',
    slotMetric(REDIS + REDIS_WRITE_OCTETS_OPEN),
  ),
  define(
    'fleet_announcements_total',
    'counter',
    'Announcements of policies between boxes.',
    (_slots, { fleet }) => [
      { labels: { direction: 'sent' }, value: fleet.sent },
      { labels: { direction: 'received' }, value: fleet.received },
    ],
  ),
  define(
    'redis_warmed_answers_total',
    'counter',
    'Answers that came back into memory at the start.',
    slotMetric(REDIS + REDIS_WARMED),
  ),
]
