/** What one look of `niveau3 doctor` found. */
export interface Finding {
  /** Stable word for what was looked at, such as `port`. */
  readonly check: string
  readonly state: 'ok' | 'warning' | 'failed'
  readonly text: string
  /** What to do; empty when nothing is. */
  readonly remedy: string
}

/** Nothing to do. */
export function fine(check: string, text: string): Finding {
  return { check, state: 'ok', text, remedy: '' }
}

/** It works, and will not for ever or not for all. */
export function warning(check: string, text: string, remedy: string): Finding {
  return { check, state: 'warning', text, remedy }
}

/** It does not work. */
export function failed(check: string, text: string, remedy: string): Finding {
  return { check, state: 'failed', text, remedy }
}
