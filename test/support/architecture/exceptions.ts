/**
 * Where the hot-path rules do not hold, and why. Each entry names one function of one file; an
 * entry that excuses nothing fails the test.
 */
export interface Exception {
  readonly path: string
  /** The innermost named function. */
  readonly within: string
  readonly rules: readonly string[]
  readonly reason: string
}

export const HOT_PATH_EXCEPTIONS: readonly Exception[] = []
