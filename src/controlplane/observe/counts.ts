/** The counters that `niveau3 top` looks at: two looks make rates. Numbers only. */
import * as z from 'zod'
import {
  DECISIONS_PRIVATE,
  DECISION_BLOCK,
  DROPPED,
  DROP_REASONS,
  DURATION_BOUNDS_MS,
  DURATION_BUCKETS,
  FAILURE_REASONS,
  IN_FLIGHT,
  OUTCOMES,
  RCODE_SLOTS,
  RESPONSES,
  SITE_BLOCKED,
  SITE_LIMITED,
  SITE_QUERIES,
  UPSTREAM_DURATION_SUM_MS,
  UPSTREAM_QUERIES,
  UPSTREAM_RESPONSES,
  UPSTREAM_UP,
  decisionSlot,
  failureSlot,
} from '../../dataplane/counters.ts'
import { DENIED_BIT } from '../../dataplane/policy/policy.ts'
import { DENIED_CATEGORY, PRIVATE_CATEGORY } from '../../dataplane/settings.ts'
import type { ServerFacts } from '../admin/server-facts.ts'
import { ObserverFacts } from './requests.ts'

const counts = z.record(z.string(), z.number())

/** The answer of `GET /v1/counts`. */
export const Counts = z.object({
  /** Milliseconds on a clock that nobody sets: only differences mean something. */
  atMs: z.number(),
  pid: z.number(),
  inFlight: z.number(),
  outcomes: counts,
  dropped: counts,
  /** Answers by the bounds of their time, all outcomes together; one more above the last bound. */
  durations: z.array(z.number()),
  /** Blocks by category. */
  blocked: counts,
  sites: z.array(
    z.object({
      site: z.string(),
      queries: z.number(),
      blocked: z.number(),
      limited: z.number(),
    }),
  ),
  upstreams: z.array(
    z.object({
      upstream: z.string(),
      up: z.boolean(),
      queries: z.number(),
      responses: z.number(),
      /** Milliseconds until the replies, added up. */
      tookMs: z.number(),
      failures: counts,
    }),
  ),
  observers: z.array(ObserverFacts),
})

export type Counts = z.output<typeof Counts>

/** Reads all workers' counters, added up. */
export function countsOf(facts: ServerFacts, observers: readonly ObserverFacts[]): Counts {
  const { filter, sites, slots, upstreams } = facts
  const at = (slot: number): number => slots[slot] ?? 0
  const sum = (from: number, count: number): number =>
    sumOf([...slots.subarray(from, from + count)])
  const buckets = DURATION_BOUNDS_MS.length + 1
  const blocks = Object.fromEntries(
    filter.categories.map((name, bit) => [name, at(decisionSlot(DECISION_BLOCK, bit))]),
  )
  return {
    atMs: performance.now(),
    pid: process.pid,
    inFlight: at(IN_FLIGHT),
    outcomes: byName(OUTCOMES, (index) => sum(RESPONSES + index * RCODE_SLOTS, RCODE_SLOTS)),
    dropped: byName(DROP_REASONS, (index) => at(DROPPED + index)),
    durations: Array.from({ length: buckets }, (_, bucket) =>
      sumOf(OUTCOMES.map((_outcome, index) => at(DURATION_BUCKETS + index * buckets + bucket))),
    ),
    blocked: {
      [DENIED_CATEGORY]: at(decisionSlot(DECISION_BLOCK, DENIED_BIT)),
      ...blocks,
      [PRIVATE_CATEGORY]: at(DECISIONS_PRIVATE),
    },
    sites: sites.map((site, index) => ({
      site,
      queries: at(SITE_QUERIES + index),
      blocked: at(SITE_BLOCKED + index),
      limited: at(SITE_LIMITED + index),
    })),
    upstreams: upstreams.map((upstream, index) => ({
      upstream,
      up: at(UPSTREAM_UP + index) > 0,
      queries: at(UPSTREAM_QUERIES + index),
      responses: at(UPSTREAM_RESPONSES + index),
      tookMs: at(UPSTREAM_DURATION_SUM_MS + index),
      failures: byName(FAILURE_REASONS, (reason) => at(failureSlot(index, reason))),
    })),
    observers: [...observers],
  }
}

function sumOf(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function byName(
  names: readonly string[],
  value: (index: number) => number,
): Record<string, number> {
  return Object.fromEntries(names.map((name, index) => [name, value(index)]))
}
