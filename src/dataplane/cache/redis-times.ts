/** How long look-ups took, in buckets. */
import { REDIS, type Counters } from '../counters.ts'
import { REDIS_BOUNDS_MS, REDIS_BUCKETS, REDIS_SUM_MS } from '../redis-counters.ts'

const BUCKETS = REDIS_BOUNDS_MS.length + 1

/** Counts look-ups that travelled together and took equally long. */
export function countLookups(counters: Counters, lookups: number, milliseconds: number): void {
  let bucket = 0
  while (bucket < BUCKETS - 1 && milliseconds > REDIS_BOUNDS_MS[bucket]!) bucket++
  const slot = REDIS + REDIS_BUCKETS + bucket
  counters[slot] = counters[slot]! + lookups
  const sum = REDIS + REDIS_SUM_MS
  counters[sum] = counters[sum]! + lookups * milliseconds
}
