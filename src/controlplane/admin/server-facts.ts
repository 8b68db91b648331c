/** What the admin pages tell about the running server; made anew whenever somebody asks. */

import type { Refusal } from '../fleet/refusals.ts'
import type { FleetCounts } from '../redis/fleet.ts'
import type { OverlayPause } from '../../dataplane/policy/overlay.ts'
import type { OverruleCounts } from '../overrule/overrule-keeper.ts'
import type { ProbeFacts } from '../probe/probe-facts.ts'
import type { ReloadFacts } from '../reload-record.ts'

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

/** One list of the image in force. */
export interface ListFacts {
  readonly list: string
  /** Blocking rules of the list, duplicates included. */
  readonly entries: number
  /** Lines that gave no rule; undefined where an image was given, which does not tell. */
  readonly invalidLines: number | undefined
  /** Unix time at which it was last fetched, confirmed or read without fault. */
  readonly succeededAtSeconds: number
  /** Unix time at which that was last tried. */
  readonly attemptedAtSeconds: number
}

/** Updates of one subscribed list since the start of this server, by result. */
export type UpdateCounts = Readonly<Record<UpdateResult, number>>
export const UPDATE_RESULTS = ['updated', 'unchanged', 'failed', 'refused'] as const
export type UpdateResult = (typeof UPDATE_RESULTS)[number]

export interface SubscribedFacts {
  readonly list: string
  /** Failures and refusals in a row. */
  readonly failures: number
  readonly updates: UpdateCounts
}

/** The filter in force. */
export interface FilterFacts {
  /** By bit of the image. */
  readonly categories: readonly string[]
  readonly rules: readonly { readonly category: string; readonly rules: number }[]
  /** Those of the image. */
  readonly lists: readonly ListFacts[]
  /** Those that are fetched, in the image or not. */
  readonly subscriptions: readonly SubscribedFacts[]
  /** Whether a rollback holds automatic updates. */
  readonly isHeld: boolean
  /** Undefined where no image of a fleet is taken. */
  readonly fleetImage: FleetImageFacts | undefined
  readonly generation: number
  readonly memoryOctets: number
}

/** What operators have overruled. */
export interface OverruleFacts {
  /** Rules in force by action. */
  readonly rules: { readonly allow: number; readonly deny: number }
  /** Changes since the start. */
  readonly actions: OverruleCounts
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
  /** Workers that died and were replaced. */
  readonly workerDeaths: number
  /** Of each worker's cache. */
  readonly cacheOctetsMax: number
  readonly reloads: ReloadFacts
  readonly probe: ProbeFacts
  readonly probeIntervalSeconds: number
  /** Blocks that are not made for a while; those that are over may still be among them. */
  readonly pauses: readonly OverlayPause[]
  /** Undefined when no listener is encrypted. */
  readonly certificateExpiresAtSeconds: number | undefined
  readonly filter: FilterFacts
  readonly overrule: OverruleFacts
  readonly checks: readonly ReadinessCheck[]
  /** Announcements of policies, to and from other boxes. */
  readonly fleet: FleetCounts
}
