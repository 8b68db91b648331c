/** What Prometheus sees of the filter in force and of the lists that it is made of. */
import { define, single, type Definition } from './definition.ts'

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
    'list_last_success_timestamp_seconds',
    'gauge',
    'When each list was last fetched, confirmed or read without fault.',
    (_slots, { filter }) =>
      filter.lists.map(({ list, loadedAtSeconds }) => ({
        labels: { list },
        value: loadedAtSeconds,
      })),
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
