/** How a metric is described: its name, and how its samples are read from the counters. */
import type { ServerFacts } from './server-facts.ts'

/** Labels of one sample. */
type Labels = Readonly<Record<string, string>>

/** One number of a metric. */
export interface Sample {
  readonly labels: Labels
  readonly value: number
  readonly metricName?: string
}

/** All workers' counters, added up. */
export type Slots = Float64Array

/** One metric; its name has no prefix yet. */
export interface Definition {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  samples(slots: Slots, facts: ServerFacts): readonly Sample[]
}

/** A metric of one number without labels. */
export function single(value: number): readonly Sample[] {
  return [{ labels: {}, value }]
}

/** The number in one slot. */
export function slotMetric(offset: number) {
  return (slots: Slots): readonly Sample[] => single(slots[offset]!)
}

/** Numbers in slots that follow one another, by the values of one label. */
export function labelled(offset: number, label: string, values: readonly string[]) {
  return (slots: Slots): readonly Sample[] =>
    values.map((value, index) => ({ labels: { [label]: value }, value: slots[offset + index]! }))
}

/** Describes a metric. */
export function define(
  name: string,
  type: Definition['type'],
  help: string,
  samples: Definition['samples'],
): Definition {
  return { name, type, help, samples }
}
