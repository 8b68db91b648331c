/** How the reloads of one server went; its start counts as the first success. */
import { SECOND_MS } from '../base/units.ts'

/** What the metrics tell of reloads. */
export interface ReloadFacts {
  readonly succeeded: number
  readonly failed: number
  readonly isLastSuccessful: boolean
  /** Unix time of the last success. */
  readonly succeededAtSeconds: number
}

/** Counts, from the start on. */
export class ReloadRecord implements ReloadFacts {
  succeeded = 0
  failed = 0
  isLastSuccessful = true
  succeededAtSeconds = now()

  succeed(): void {
    this.succeeded += 1
    this.isLastSuccessful = true
    this.succeededAtSeconds = now()
  }

  fail(): void {
    this.failed += 1
    this.isLastSuccessful = false
  }
}

function now(): number {
  return Math.floor(Date.now() / SECOND_MS)
}
