/** What the admin pages tell about the running server; made anew whenever somebody asks. */

import type { Refusal } from '../fleet/refusals.ts'

/** One readiness check; `why` says what is missing and how to mend it. */
export interface ReadinessCheck {
  readonly check: string
  readonly ok: boolean
  readonly why: string
}

/** How taking the fleet's image goes; undefined what has not happened yet. */
export interface FleetImageFacts {
  /** Number of the image on the machine that built it. */
  readonly generation: number | undefined
  readonly builtAtSeconds: number | undefined
  /** When the source was last asked with success. */
  readonly succeededAtSeconds: number | undefined
  /** Looks in a row that failed or ended in a refusal. */
  readonly failures: number
  readonly refusals: Readonly<Partial<Record<Refusal, number>>>
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
  /** Undefined where no image of a fleet is taken. */
  readonly fleetImage: FleetImageFacts | undefined
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
