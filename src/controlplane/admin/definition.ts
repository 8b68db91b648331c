/** What one metric is to Prometheus, and the commonest ways to read it from the counters. */
import type { ServerFacts } from './server-facts.ts'

type Labels = Readonly<Record<string, string>>

export interface Sample {
  readonly labels: Labels
  readonly value: number
  readonly metricName?: string
}

export type Slots = Float64Array

export interface Definition {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  samples(slots: Slots, facts: ServerFacts): readonly Sample[]
}

/** The one sample of a metric without labels. */
export function single(value: number): readonly Sample[] {
  return [{ labels: {}, value }]
}

/** A counter that stands in one slot. */
export function slotMetric(offset: number) {
  return (slots: Slots): readonly Sample[] => single(slots[offset]!)
}

/** A row of slots with a label each. */
export function labelled(offset: number, label: string, values: readonly string[]) {
  return (slots: Slots): readonly Sample[] =>
    values.map((value, index) => ({ labels: { [label]: value }, value: slots[offset + index]! }))
}

/** A metric by its parts. */
export function define(
  name: string,
  type: Definition['type'],
  help: string,
  samples: Definition['samples'],
): Definition {
  return { name, type, help, samples }
}
