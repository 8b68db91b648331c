/** Reads the workers' counters for one scrape: all blocks added up, slot by slot. */
import type { Counters } from '../../dataplane/counters.ts'

/** Writes the sum of all workers' blocks into `sum`, and returns it. */
export function sumCounters(
  blocks: readonly Counters[],
  sum: Float64Array = new Float64Array(blocks[0]?.length ?? 0),
): Float64Array {
  sum.fill(0)
  for (const block of blocks) {
    for (let slot = 0; slot < sum.length; slot++) sum[slot] = sum[slot]! + block[slot]!
  }
  return sum
}
