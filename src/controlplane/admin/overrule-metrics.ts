/** What Prometheus sees of what operators have overruled: how much, never which names. */
import { define, type Definition, type Sample } from './definition.ts'

function byAction(counts: Readonly<Record<string, number>>): readonly Sample[] {
  return Object.entries(counts).map(([action, value]) => ({ labels: { action }, value }))
}

/** In the order of the page. */
export const OVERRULE_METRICS: readonly Definition[] = [
  define(
    'filter_operator_rules',
    'gauge',
    'Names that operators allow or deny whatever the lists say.',
    (_slots, { overrule }) => byAction(overrule.rules),
  ),
  define(
    'admin_actions_total',
    'counter',
    'Rules and pauses made and ended by operators since the start.',
    (_slots, { overrule }) => byAction(overrule.actions),
  ),
]
