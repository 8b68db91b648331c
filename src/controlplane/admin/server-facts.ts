/** What the admin pages tell about the running server; made anew whenever somebody asks. */

/** One readiness check; `why` says what is missing and how to mend it. */
export interface ReadinessCheck {
  readonly check: string
  readonly ok: boolean
  readonly why: string
}

/** The filter in force. */
export interface FilterFacts {
  /** By bit of the image. */
  readonly categories: readonly string[]
  readonly rules: readonly { readonly category: string; readonly rules: number }[]
  readonly lists: readonly { readonly list: string; readonly loadedAtSeconds: number }[]
  /** Subscribed lists, with failures and refusals in a row. */
  readonly subscriptions: readonly { readonly list: string; readonly failures: number }[]
  /** Whether a rollback holds automatic updates. */
  readonly isHeld: boolean
  readonly generation: number
  readonly memoryOctets: number
}

export interface ServerFacts {
  readonly version: string
  /** All workers' counters, added up. */
  readonly slots: Float64Array
  /** Labels by position, as the operator wrote them. */
  readonly upstreams: readonly string[]
  /** Names of the sites by number, the default first. */
  readonly sites: readonly string[]
  readonly workersAlive: number
  /** Asks the kernel, so only for those who want to know. */
  readonly receiveDrops: () => number
  readonly lastReloadOk: boolean
  /** Undefined when no listener is encrypted. */
  readonly certificateExpiresAtSeconds: number | undefined
  readonly filter: FilterFacts
  readonly checks: readonly ReadinessCheck[]
  /** Announcements of policies, to and from other boxes. */
  readonly fleet: { readonly sent: number; readonly received: number }
}
