/** What Prometheus sees of the probe: whether what must be blocked is, and what must not is not. */
import { VERDICTS } from '../probe/ask-one.ts'
import { ESSENTIAL, NO_ANSWERS } from '../probe/probe-run.ts'
import { define, single, type Definition, type Sample } from './definition.ts'
import type { ServerFacts } from './server-facts.ts'

function answers({ filter, probe }: ServerFacts): readonly Sample[] {
  const categories = new Set([...filter.categories, ESSENTIAL, ...probe.answers.keys()])
  return [...categories].flatMap((category) => {
    const counts = probe.answers.get(category) ?? NO_ANSWERS
    return VERDICTS.map((result) => ({ labels: { category, result }, value: counts[result] }))
  })
}

/** In the order of the page. */
export const PROBE_METRICS: readonly Definition[] = [
  define(
    'probe_success',
    'gauge',
    'Whether names of a category were blocked and essential ones not; absent while it is not asked.',
    (_slots, { probe }) =>
      [...probe.success].map(([category, ok]) => ({ labels: { category }, value: ok ? 1 : 0 })),
  ),
  define(
    'probe_answers_total',
    'counter',
    'Answers that the probe got; its questions count as queries too.',
    (_slots, facts) => answers(facts),
  ),
  define(
    'probe_last_run_timestamp_seconds',
    'gauge',
    'When the server last asked itself; 0 before the first time.',
    (_slots, { probe }) => single(probe.ranAtSeconds),
  ),
  define(
    'probe_duration_seconds',
    'gauge',
    'How long the last run of the probe took.',
    (_slots, { probe }) => single(probe.runSeconds),
  ),
  define(
    'probe_interval_seconds',
    'gauge',
    'How often the server asks itself; 0: never.',
    (_slots, { probeIntervalSeconds }) => single(probeIntervalSeconds),
  ),
]
