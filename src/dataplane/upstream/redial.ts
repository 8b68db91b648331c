/**
 * When a connection may be tried again after one that could not be made: at once, then at growing
 * distances, so that a dead or wrongly certified upstream does not cost a handshake for each query.
 */
import { FAILURE_NETWORK } from '../counters.ts'

const WAIT_MS_MIN = 100
const WAIT_MS_MAX = 5000

/** The attempts of one exchange. */
export class Redial {
  #waitMs = 0
  #notBeforeMs = 0
  /** Why the last attempt failed: one of `FAILURE_*`. */
  reason = FAILURE_NETWORK

  /** True while the next attempt has to wait. */
  isTooEarly(nowMs: number): boolean {
    return nowMs < this.#notBeforeMs
  }

  /** The first attempt after a success is free: a server may just have been restarted. */
  failed(nowMs: number, reason: number): void {
    this.reason = reason
    this.#notBeforeMs = nowMs + this.#waitMs
    this.#waitMs = Math.min(WAIT_MS_MAX, Math.max(WAIT_MS_MIN, this.#waitMs * 2))
  }

  succeeded(): void {
    this.#waitMs = 0
    this.#notBeforeMs = 0
  }
}
