/** What Prometheus sees of the filter in force and of the lists that it is made of. */
import {
  LOOKUP_BOUNDS_MS,
  LOOKUP_BUCKETS,
  LOOKUP_SUM_MS,
  SWAP_BOUNDS_MS,
  SWAP_BUCKETS,
  SWAP_SUM_MS,
} from '../../dataplane/counters.ts'
import { define, histogram, single, type Definition, type Sample } from './definition.ts'
import { UPDATE_RESULTS, type ServerFacts } from './server-facts.ts'

/** Stands for a pause of every category; no category may be named so. */
const ALL = 'all'

/** The end of the longest pause that concerns a category, at whichever site; 0: none. */
function pauses({ filter, pauses: known }: ServerFacts): readonly Sample[] {
  const nowMs = Date.now()
  return [ALL, ...filter.categories].map((category) => {
    const own = known.filter(
      (pause) => pause.category === (category === ALL ? '' : category) && pause.untilMs > nowMs,
    )
    const untilMs = own.reduce((latest, pause) => Math.max(latest, pause.untilMs), 0)
    return { labels: { category }, value: untilMs / 1000 }
  })
}

/** In the order of the page. */
export const LIST_METRICS: readonly Definition[] = [
  define('filter_rules', 'gauge', 'Names that the loaded lists block.', (_slots, { filter }) =>
    filter.rules.map(({ category, rules }) => ({ labels: { category }, value: rules })),
  ),
  define(
    'filter_generation',
    'gauge',
    'Generation of the state directory in force; without one, policies since the start.',
    (_slots, { filter }) => single(filter.generation),
  ),
  define(
    'filter_memory_bytes',
    'gauge',
    'Octets of the compiled lists, shared by all workers.',
    (_slots, { filter }) => single(filter.memoryOctets),
  ),
  define(
    'filter_paused_until_timestamp_seconds',
    'gauge',
    'End of the pause of a category, or of all, at any site; 0: not paused.',
    (_slots, facts) => pauses(facts),
  ),
  define(
    'filter_lookup_duration_seconds',
    'histogram',
    'Time of one look-up in the compiled lists; one in 64 is measured.',
    (slots) =>
      histogram(
        'filter_lookup_duration_seconds',
        {},
        slots,
        LOOKUP_BUCKETS,
        LOOKUP_SUM_MS,
        LOOKUP_BOUNDS_MS,
      ),
  ),
  define(
    'filter_swap_duration_seconds',
    'histogram',
    'How long a worker stood still while it took a new policy.',
    (slots) =>
      histogram(
        'filter_swap_duration_seconds',
        {},
        slots,
        SWAP_BUCKETS,
        SWAP_SUM_MS,
        SWAP_BOUNDS_MS,
      ),
  ),
  define(
    'list_entries',
    'gauge',
    'Blocking rules of each list, duplicates included.',
    (_slots, { filter }) =>
      filter.lists.map(({ list, entries }) => ({ labels: { list }, value: entries })),
  ),
  define(
    'list_invalid_lines',
    'gauge',
    'Lines of each list that gave no rule; absent for a compiled image.',
    (_slots, { filter }) =>
      filter.lists.flatMap(({ list, invalidLines }) =>
        invalidLines === undefined ? [] : [{ labels: { list }, value: invalidLines }],
      ),
  ),
  define(
    'list_last_success_timestamp_seconds',
    'gauge',
    'When each list was last fetched, confirmed or read without fault.',
    (_slots, { filter }) =>
      filter.lists.map(({ list, succeededAtSeconds }) => ({
        labels: { list },
        value: succeededAtSeconds,
      })),
  ),
  define(
    'list_last_attempt_timestamp_seconds',
    'gauge',
    'When that was last tried.',
    (_slots, { filter }) =>
      filter.lists.map(({ list, attemptedAtSeconds }) => ({
        labels: { list },
        value: attemptedAtSeconds,
      })),
  ),
  define(
    'list_updates_total',
    'counter',
    'Updates of each subscribed list, by result; refused: by a safety gate.',
    (_slots, { filter }) =>
      filter.subscriptions.flatMap(({ list, updates }) =>
        UPDATE_RESULTS.map((result) => ({ labels: { list, result }, value: updates[result] })),
      ),
  ),
  define(
    'list_update_failures',
    'gauge',
    'Updates of a subscribed list that failed or were refused, in a row.',
    (_slots, { filter }) =>
      filter.subscriptions.map(({ list, failures }) => ({ labels: { list }, value: failures })),
  ),
  define(
    'list_updates_held',
    'gauge',
    'Whether a rollback holds automatic updates.',
    (_slots, { filter }) => single(filter.isHeld ? 1 : 0),
  ),
]
