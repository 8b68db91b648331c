/** What one metric is to Prometheus, and the commonest ways to read it from the counters. */
import type { ServerFacts } from './server-facts.ts'

/** Every metric of ours begins so. */
export const PREFIX = 'niveau3_'

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

/**
 * The samples of one histogram: a bucket for each bound from `buckets` on, one for what is above
 * all of them, and the sum in milliseconds at `sum`.
 */
export function histogram(
  name: string,
  labels: Labels,
  slots: Slots,
  buckets: number,
  sum: number,
  boundsMs: readonly number[],
): readonly Sample[] {
  const samples: Sample[] = []
  const metric = PREFIX + name
  let total = 0
  const texts = boundTexts(boundsMs)
  for (let bucket = 0; bucket <= boundsMs.length; bucket++) {
    total += slots[buckets + bucket]!
    const le = texts[bucket]!
    samples.push({ labels: { le, ...labels }, value: total, metricName: `${metric}_bucket` })
  }
  samples.push({ labels, value: slots[sum]! / 1000, metricName: `${metric}_sum` })
  samples.push({ labels, value: total, metricName: `${metric}_count` })
  return samples
}

const boundTextsKnown = new WeakMap<readonly number[], readonly string[]>()

/** The bounds in seconds; dividing by 1000 alone leaves digits of its own. */
function boundTexts(boundsMs: readonly number[]): readonly string[] {
  const known = boundTextsKnown.get(boundsMs)
  if (known !== undefined) return known
  const seconds = boundsMs.map((bound) => String(Number((bound / 1000).toPrecision(12))))
  const texts = [...seconds, '+Inf']
  boundTextsKnown.set(boundsMs, texts)
  return texts
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
