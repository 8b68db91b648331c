/** What `niveau3 top` shows: rates between two looks at the server's counters. */
import { SECOND_MS } from '../../base/units.ts'
import { SLOW_MS } from '../../dataplane/observed-queries.ts'
import { quantileOf } from '../admin/traffic-window.ts'
import type { Counts } from '../observe/counts.ts'
import type { ObserveEvent, ObserverFacts } from '../observe/requests.ts'

/** Zones that are remembered; those with the fewest slow questions are forgotten first. */
const ZONES_MAX = 200

/** Slow questions of one zone. */
export interface SlowZone {
  readonly zone: string
  readonly questions: number
  readonly worstMs: number
  /** Outcome and rcode of the last one. */
  readonly outcome: string
  readonly rcode: string
}

/** Slow questions since this command looks; null: it does not. */
export interface SlowView {
  readonly thresholdMs: number
  /** Null before the look has begun. */
  readonly until: string | null
  readonly ended: boolean
  readonly missed: number
  /** Most questions first. */
  readonly zones: readonly SlowZone[]
}

/** One look at the server; rates are per second, over `seconds`. */
export interface TopView {
  readonly seconds: number
  readonly answersPerSecond: number
  readonly droppedPerSecond: number
  readonly inFlight: number
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  readonly outcomes: readonly {
    readonly outcome: string
    readonly perSecond: number
    /** Of all answers, 0 to 1. */
    readonly share: number
  }[]
  /** Most first; `total` is since the start of the server. */
  readonly blocked: readonly {
    readonly category: string
    readonly perSecond: number
    readonly total: number
  }[]
  /** Most queries first. */
  readonly sites: readonly {
    readonly site: string
    readonly queriesPerSecond: number
    readonly blockedPerSecond: number
    readonly limitedPerSecond: number
  }[]
  readonly upstreams: readonly {
    readonly upstream: string
    readonly up: boolean
    readonly queriesPerSecond: number
    /** Mean time until a reply; null without one. */
    readonly responseMs: number | null
    /** Failures in the while, by reason, those that there were. */
    readonly failures: Readonly<Record<string, number>>
  }[]
  readonly observers: readonly ObserverFacts[]
  readonly slow: SlowView | null
}

/** Makes rates of two looks. */
export function viewOf(first: Counts, last: Counts, slow: SlowView | null): TopView {
  const seconds = Math.max(0, last.atMs - first.atMs) / SECOND_MS
  const rate = (before: number | undefined, now: number): number =>
    seconds > 0 ? grown(before, now) / seconds : 0
  const outcomes = rates(first.outcomes, last.outcomes, rate)
  const answers = sum(outcomes.map(({ perSecond }) => perSecond))
  const durations = last.durations.map((now, bucket) => grown(first.durations[bucket], now))
  const upstreamBefore = new Map(first.upstreams.map((known) => [known.upstream, known]))
  const siteBefore = new Map(first.sites.map((known) => [known.site, known]))
  return {
    seconds,
    answersPerSecond: answers,
    droppedPerSecond: sum(rates(first.dropped, last.dropped, rate).map((row) => row.perSecond)),
    inFlight: last.inFlight,
    p50Ms: quantileOf(durations, 0.5),
    p99Ms: quantileOf(durations, 0.99),
    outcomes: outcomes.map(({ name, perSecond }) => {
      return { outcome: name, perSecond, share: answers > 0 ? perSecond / answers : 0 }
    }),
    blocked: rates(first.blocked, last.blocked, rate)
      .map(({ name, perSecond, total }) => ({ category: name, perSecond, total }))
      .toSorted((a, b) => b.perSecond - a.perSecond || b.total - a.total),
    sites: last.sites
      .map(({ blocked, limited, queries, site }) => {
        const before = siteBefore.get(site)
        return {
          site,
          queriesPerSecond: rate(before?.queries, queries),
          blockedPerSecond: rate(before?.blocked, blocked),
          limitedPerSecond: rate(before?.limited, limited),
        }
      })
      .toSorted((a, b) => b.queriesPerSecond - a.queriesPerSecond),
    upstreams: last.upstreams.map((now) => {
      const before = upstreamBefore.get(now.upstream)
      const replies = grown(before?.responses, now.responses)
      const failures = Object.entries(now.failures)
        .map(([reason, count]) => [reason, grown(before?.failures[reason], count)] as const)
        .filter(([, count]) => count > 0)
      return {
        upstream: now.upstream,
        up: now.up,
        queriesPerSecond: rate(before?.queries, now.queries),
        responseMs: replies > 0 ? grown(before?.tookMs, now.tookMs) / replies : null,
        failures: Object.fromEntries(failures),
      }
    }),
    observers: last.observers,
    slow,
  }
}

/** Counters of sites and upstreams begin anew when these change. */
function grown(before = 0, now = 0): number {
  return now < before ? now : now - before
}

function rates(
  first: Readonly<Record<string, number>>,
  last: Readonly<Record<string, number>>,
  rate: (before: number | undefined, now: number) => number,
): readonly { readonly name: string; readonly perSecond: number; readonly total: number }[] {
  return Object.entries(last).map(([name, total]) => {
    return { name, perSecond: rate(first[name], total), total }
  })
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** Adds up slow questions by zone, as they come. */
export class SlowZones {
  readonly #zones = new Map<string, SlowZone>()
  #until: string | null = null
  #missed = 0
  ended = false

  take(event: ObserveEvent): void {
    if (event.event === 'started') this.#until = event.until
    else if (event.event === 'missed') this.#missed += event.count
    else {
      const { name, outcome, rcode, tookMs } = event
      const { questions = 0, worstMs = 0 } = this.#zones.get(name) ?? {}
      const worst = Math.max(worstMs, tookMs)
      this.#zones.set(name, {
        zone: name,
        questions: questions + 1,
        worstMs: worst,
        outcome,
        rcode,
      })
      if (this.#zones.size > ZONES_MAX) this.#zones.delete(this.#sorted().at(-1)?.zone ?? '')
    }
  }

  get view(): SlowView {
    const state = { until: this.#until, ended: this.ended, missed: this.#missed }
    return { thresholdMs: SLOW_MS, ...state, zones: this.#sorted() }
  }

  #sorted(): readonly SlowZone[] {
    return [...this.#zones.values()].toSorted(
      (a, b) => b.questions - a.questions || b.worstMs - a.worstMs,
    )
  }
}
