/** Which upstream is asked next. */
import { LIMITED, LIMIT_UPSTREAM, count, type Counters } from '../counters.ts'
import type { ForwardSettings } from '../settings.ts'
import { NO_UPSTREAM, type Pending } from './pending.ts'
import type { Upstream } from './upstream.ts'

/** The upstreams of one forwarder, and the order in which questions go to them. */
export class Selection {
  readonly #upstreams: readonly Upstream[]
  readonly #isFastest: boolean
  readonly #inFlightMax: number

  constructor(upstreams: readonly Upstream[], settings: ForwardSettings) {
    this.#upstreams = upstreams
    this.#isFastest = settings.strategy === 'fastest'
    this.#inFlightMax = settings.pendingPerUpstreamMax
  }

  /**
   * Returns one that is not passed over; when all are, one that may still answer; null when all are
   * gone or have too many questions. The same one comes twice in a row only when it is alone.
   */
  next(pending: Pending, nowMs: number, counters: Counters): Upstream | null {
    const upstreams = this.#upstreams
    const amount = upstreams.length
    const first = pending.upstream === NO_UPSTREAM ? 0 : pending.upstream + 1
    let best: Upstream | null = null
    let lastHope: Upstream | null = null
    for (let step = 0; step < amount; step++) {
      const upstream = upstreams[(first + step) % amount]!
      const { health } = upstream
      if (health.inFlight >= this.#inFlightMax) {
        count(counters, LIMITED + LIMIT_UPSTREAM)
      } else if (!health.isUp) {
        if (lastHope === null && !health.isGone(nowMs)) lastHope = upstream
      } else if (!this.#isFastest) {
        return upstream
      } else if (
        best === null ||
        (upstream.index !== pending.upstream && isFaster(upstream, best))
      ) {
        best = upstream
      }
    }
    return best ?? lastHope
  }

  /**
   * Returns one that is due for a probe, to see whether it answers again, or how fast it is, unless
   * it is `asked` a client's question now. Null when none is due.
   */
  nextProbe(asked: Upstream | null, nowMs: number): Upstream | null {
    for (const upstream of this.#upstreams) {
      const { health, probe } = upstream
      if (probe.hasTimelyTry) continue
      if (health.mayProbe(nowMs)) {
        health.noteProbe(nowMs)
        return upstream
      }
      const isMeasured = upstream === asked || !health.isUp || !health.isUnmeasured(nowMs)
      if (this.#isFastest && !isMeasured) return upstream
    }
    return null
  }

  /** True when none is worth asking. */
  isGone(nowMs: number): boolean {
    for (const { health } of this.#upstreams) if (!health.isGone(nowMs)) return false
    return true
  }
}

/** One that was never asked counts as fast, so that it is asked. */
function isFaster(left: Upstream, right: Upstream): boolean {
  return left.health.replyMs < right.health.replyMs
}
