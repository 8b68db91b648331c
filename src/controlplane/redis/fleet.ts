/** This box's part in the fleet: tells its policy, and logs what other boxes tell. */
import type { Logger } from 'pino'
import type { FleetEvents } from '../../dataplane/cache/redis-events.ts'
import type { RedisSettings } from '../../dataplane/settings.ts'
import type { SharedRules, SharedRulesCounts } from '../fleet/shared-rules.ts'
import type { OverruleStore } from '../overrule/overrule-store.ts'

/** Announcements so far. */
export interface FleetCounts {
  readonly sent: number
  readonly received: number
  /** Undefined where no rules are shared. */
  readonly rules: SharedRulesCounts | undefined
}

/** Without a shared cache it does nothing: there is no fleet then. */
export class Fleet {
  readonly #log: Logger
  readonly #mayDiffer: () => void
  #events: FleetEvents | undefined
  #rules: SharedRules | undefined
  #stamp = ''

  /** @param mayDiffer told when other boxes may have, or decide by, something that we have not. */
  constructor(log: Logger, mayDiffer: () => void) {
    this.#log = log
    this.#mayDiffer = mayDiffer
  }

  get counts(): FleetCounts {
    const { sent = 0, received = 0 } = this.#events ?? {}
    return { sent, received, rules: this.#rules?.counts }
  }

  /**
   * Begins to listen; ioredis takes memory, so it is loaded only where it is used.
   *
   * @param rules undefined where they are this box's own.
   */
  async join(redis: RedisSettings | undefined, rules: OverruleStore | undefined): Promise<void> {
    if (redis === undefined) return
    if (rules !== undefined) {
      const { SharedRules: Rules } = await import('../fleet/shared-rules.ts')
      this.#rules = new Rules(redis, rules, this.#log)
    }
    const module = await import('../../dataplane/cache/redis-events.ts')
    const log = this.#log
    this.#events = new module.FleetEvents(redis, {
      policy: ({ box, stamp, generation }) => {
        const same = stamp === this.#stamp
        log.info(
          { event: 'fleet_policy', box, stamp, generation, same },
          same ? 'another box decides as this one' : 'another box decides by another policy',
        )
        if (!same) this.#mayDiffer()
      },
      up: () => {
        log.info({ event: 'redis_up' }, 'the shared cache answers')
        this.#mayDiffer()
      },
      down: () => {
        log.warn({ event: 'redis_down' }, 'the shared cache is gone; everything goes on without it')
      },
    })
  }

  /** A policy is in force here from now on. */
  announce(stamp: string, generation: number): void {
    this.#stamp = stamp
    this.#events?.announce(stamp, generation)
  }

  leave(): void {
    this.#rules?.stop()
    this.#events?.close()
  }
}
