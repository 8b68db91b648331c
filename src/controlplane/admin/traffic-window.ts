/**
 * The traffic of the last minutes, for `status`: the workers' counters, looked at every ten seconds
 * and kept in memory for five minutes. Numbers only: who asked what is not among them.
 */
import {
  CACHE_LOOKUPS,
  DROPPED,
  DROP_REASONS,
  DURATION_BOUNDS_MS,
  DURATION_BUCKETS,
  OUTCOMES,
  OUTCOME_BLOCKED,
  OUTCOME_CACHED,
  OUTCOME_STALE,
  RCODE_SLOTS,
  RESPONSES,
  UPSTREAM_DURATION_SUM_MS,
  UPSTREAM_RESPONSES,
} from '../../dataplane/counters.ts'
import { MINUTE_S, SECOND_MS } from '../../base/units.ts'
import { RCODE_SERVFAIL } from '../../wire/codes.ts'

const LOOK_MS = 10 * SECOND_MS
const WINDOW_MS = 5 * MINUTE_S * SECOND_MS
const BUCKETS = DURATION_BOUNDS_MS.length + 1

/** What was answered in a while; shares are of all answers, 0 to 1. */
export interface Traffic {
  /** How long the while was: five minutes, less after a start. */
  readonly seconds: number
  readonly answersPerSecond: number
  readonly blockedShare: number
  /** From memory or Redis, stale answers among them. */
  readonly cachedShare: number
  readonly servfailShare: number
  /** Of all messages received. */
  readonly droppedShare: number
  /** Null without an answer; the bound of the highest bucket where it lies above all. */
  readonly p50Ms: number | null
  readonly p99Ms: number | null
}

/** Counters at one moment: the groups before those of the sites, and those of the upstreams. */
interface Look {
  readonly atMs: number
  readonly before: Float64Array
  readonly upstreams: Float64Array
}

/** Looks at counters from `start` to `stop`. */
export class TrafficWindow {
  readonly #slots: () => Float64Array
  readonly #now: () => number
  readonly #looks: Look[] = []
  #timer: NodeJS.Timeout | undefined

  /** @param slots all workers' counters, summed anew for every look, and copied here. */
  constructor(slots: () => Float64Array, now = () => performance.now()) {
    this.#slots = slots
    this.#now = now
  }

  start(): void {
    this.look()
    this.#timer = setInterval(() => this.look(), LOOK_MS)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Takes one look, and forgets those that are older than the window needs. */
  look(): void {
    const atMs = this.#now()
    let spare: Look | undefined
    while (this.#looks.length > 1 && this.#looks[1]!.atMs <= atMs - WINDOW_MS) {
      spare = this.#looks.shift()
    }
    this.#looks.push(lookAt(this.#slots(), atMs, spare))
  }

  /** The traffic from the oldest look to now. */
  traffic(): Traffic {
    const { first, last } = this.#span()
    const sum = (from: number, count: number): number => {
      let total = 0
      for (let slot = from; slot < from + count; slot++) total += increase(first, last, slot)
      return total
    }
    const outcome = (number: number): number => sum(RESPONSES + number * RCODE_SLOTS, RCODE_SLOTS)
    const answers = sum(RESPONSES, OUTCOMES.length * RCODE_SLOTS)
    const dropped = sum(DROPPED, DROP_REASONS.length)
    let servfail = 0
    for (const number of OUTCOMES.keys()) {
      servfail += sum(RESPONSES + number * RCODE_SLOTS + RCODE_SERVFAIL, 1)
    }
    const share = (part: number, whole = answers): number => (whole > 0 ? part / whole : 0)
    const seconds = Math.max(0, last.atMs - first.atMs) / SECOND_MS
    return {
      seconds,
      answersPerSecond: seconds > 0 ? answers / seconds : 0,
      blockedShare: share(outcome(OUTCOME_BLOCKED)),
      cachedShare: share(outcome(OUTCOME_CACHED) + outcome(OUTCOME_STALE)),
      servfailShare: share(servfail),
      droppedShare: share(dropped, answers + dropped),
      p50Ms: quantile(first, last, 0.5),
      p99Ms: quantile(first, last, 0.99),
    }
  }

  /** Mean milliseconds until an upstream's reply, by its position; null without one. */
  upstreamMs(index: number): number | null {
    const { first, last } = this.#span()
    const at = (base: number): number => base - UPSTREAM_RESPONSES + index
    const grown = (slot: number): number => {
      const before = first.upstreams[slot] ?? 0
      const now = last.upstreams[slot] ?? 0
      return now < before ? now : now - before
    }
    const replies = grown(at(UPSTREAM_RESPONSES))
    return replies > 0 ? grown(at(UPSTREAM_DURATION_SUM_MS)) / replies : null
  }

  #span(): { readonly first: Look; readonly last: Look } {
    const last = lookAt(this.#slots(), this.#now())
    return { first: this.#looks[0] ?? last, last }
  }
}

/** @param spare an old look whose memory is free. */
function lookAt(slots: Float64Array, atMs: number, spare?: Look): Look {
  const before = slots.subarray(0, CACHE_LOOKUPS)
  const upstreams = slots.subarray(UPSTREAM_RESPONSES)
  if (spare?.before.length !== before.length || spare.upstreams.length !== upstreams.length) {
    return { atMs, before: before.slice(), upstreams: upstreams.slice() }
  }
  spare.before.set(before)
  spare.upstreams.set(upstreams)
  return { ...spare, atMs }
}

function increase(first: Look, last: Look, slot: number): number {
  return Math.max(0, (last.before[slot] ?? 0) - (first.before[slot] ?? 0))
}

/** A quantile of the response times of all outcomes, by a straight line through its bucket. */
function quantile(first: Look, last: Look, share: number): number | null {
  const counts = Array.from({ length: BUCKETS }, (_, bucket) => {
    let total = 0
    for (const outcome of OUTCOMES.keys()) {
      total += increase(first, last, DURATION_BUCKETS + outcome * BUCKETS + bucket)
    }
    return total
  })
  return quantileOf(counts, share)
}

/** A quantile of response times, from their number in each bucket; null without any. */
export function quantileOf(counts: readonly number[], share: number): number | null {
  const all = counts.reduce((sum, count) => sum + count, 0)
  if (all === 0) return null
  let rest = share * all
  for (const [bucket, count] of counts.entries()) {
    if (rest > count) {
      rest -= count
      continue
    }
    const below = DURATION_BOUNDS_MS[bucket - 1] ?? 0
    const above = DURATION_BOUNDS_MS[bucket] ?? below
    return count === 0 ? above : below + ((above - below) * rest) / count
  }
  return DURATION_BOUNDS_MS.at(-1) ?? null
}
