/** What the routes of the admin socket may see and do of the server that they belong to. */
import type { Counters } from '../../dataplane/counters.ts'
import type { ObservedKind } from '../../dataplane/observed-queries.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { LoadedFilter } from '../filter.ts'
import type { RecordedNames } from '../generations/changed-verdicts.ts'
import type { SubscriptionKeeper } from '../generations/subscription-keeper.ts'
import type { OverruleKeeper } from '../overrule/overrule-keeper.ts'
import type { ServerFacts } from './server-facts.ts'

/** How a reload went. */
export interface ReloadOutcome {
  /** Keys that take effect at the next start only. */
  readonly needsRestart: readonly string[]
  /** Why the running filter stayed; undefined when the reload was taken. */
  readonly failure: Error | undefined
}

/** What workers note of queries while an operator looks. */
export interface ObservedWorkers {
  /** @param endsMs on the monotonic clock: it ends by itself then. */
  observe(kind: ObservedKind, endsMs: number): Promise<void>
  /** By worker. */
  observedRings(kind: ObservedKind): ReadonlyMap<number, SharedArrayBuffer>
  observeNoMore(kind: ObservedKind): Promise<void>
}

/** The running server as its routes know it; each call tells the state of that moment. */
export interface AdministeredServer {
  facts(): ServerFacts
  /** Of each worker. */
  counters(): readonly Counters[]
  /** The configuration in force. */
  config(): LoadedConfig
  /** The filter in force. */
  filter(): LoadedFilter
  /** The names that were asked lately, hashed. */
  recentNames(): RecordedNames
  /** Undefined where the server follows no generations. */
  keeper(): SubscriptionKeeper | undefined
  readonly workers: ObservedWorkers
  /** Looks at the state directory, and takes the generation that is in force there. */
  follow(): Promise<void>
  /** Rules and pauses; undefined without a state directory. */
  overrule(): OverruleKeeper | undefined
  /** Takes lists and configuration anew, all or nothing. */
  reload(): Promise<ReloadOutcome>
}
