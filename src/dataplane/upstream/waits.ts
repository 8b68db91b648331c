/** The waits of one forwarder: a wheel, and the one timer that turns it. */
import { NEVER, TimerWheel, type Timed } from './timer-wheel.ts'

/** A timer this late slept through a jump of the clock. */
const LATE_MS = 1000

/** Calls `due` for everything whose time has come. */
export class Waits {
  readonly #wheel = new TimerWheel()
  readonly #due: (item: Timed, nowMs: number) => void
  readonly #onTimer: () => void
  #timer: NodeJS.Timeout | null = null
  #wakeMs = NEVER

  constructor(due: (item: Timed, nowMs: number) => void) {
    this.#due = due
    this.#onTimer = () => this.#turn()
  }

  /** Lets `item`, which must not wait already, wait so long. */
  add(item: Timed, nowMs: number, waitMs: number): void {
    this.#wheel.add(item, nowMs + waitMs)
    if (item.deadlineMs < this.#wakeMs || this.#wakeMs < nowMs - LATE_MS) this.#arm(nowMs)
  }

  /** Ends the wait of `item`; nothing happens when it does not wait. */
  remove(item: Timed): void {
    this.#wheel.remove(item)
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  /** Lets the timer fire when the wheel has something due. */
  #arm(nowMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#wakeMs = this.#wheel.nextMs
    if (this.#wakeMs === NEVER) return
    this.#timer = setTimeout(this.#onTimer, Math.max(1, Math.ceil(this.#wakeMs - nowMs)))
  }

  #turn(): void {
    const nowMs = performance.now()
    let item = this.#wheel.take(nowMs)
    while (item !== null) {
      this.#due(item, nowMs)
      item = this.#wheel.take(nowMs)
    }
    this.#arm(nowMs)
  }
}
