/** What the admin pages tell of the probe. */
import type { Verdict } from './ask-one.ts'

/** What the metrics tell of the probe. */
export interface ProbeFacts {
  /** Of the last run, by category and `essential`; what was not asked is not among them. */
  readonly success: ReadonlyMap<string, boolean>
  /** Answers since the start, by category and `essential`. */
  readonly answers: ReadonlyMap<string, Readonly<Record<Verdict, number>>>
  /** Unix time of the last run; 0 before the first. */
  readonly ranAtSeconds: number
  readonly runSeconds: number
}

/** No run yet, and none to come where the probe is off. */
export const NO_PROBE: ProbeFacts = {
  success: new Map(),
  answers: new Map(),
  ranAtSeconds: 0,
  runSeconds: 0,
}
