/** The monotonic clock, put forward: what would take hours in the world takes none in a test. */
import { afterEach, vi } from 'vitest'

const real = performance.now.bind(performance)
let aheadMs = 0

afterEach(() => {
  aheadMs = 0
  vi.restoreAllMocks()
})

/** From now on, until the end of the test, `performance.now()` is this much further. */
export function advanceClock(milliseconds: number): void {
  if (aheadMs === 0) vi.spyOn(performance, 'now').mockImplementation(() => real() + aheadMs)
  aheadMs += milliseconds
}
