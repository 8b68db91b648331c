/**
 * How much one turn of the event loop may answer over TCP before UDP, upstreams and timers get
 * theirs: one read may hold a thousand questions with large answers, and the kernel takes megabytes
 * of answers that nobody reads (DECISIONS.md, 86). Shared by the connections of one listener.
 */

/** Answers and their octets in one turn: about a millisecond of work. */
const ANSWERS_MAX = 256
const OCTETS_MAX = 256 * 1024
/** Less than this in a turn needs no new count in the next: quiet connections cost nothing. */
const ANSWERS_UNCOUNTED = 32
const OCTETS_UNCOUNTED = 32 * 1024

/** What is left of the turn, and who goes on in the next one. */
export class TurnBudget {
  #answers = 0
  #octets = 0
  #isScheduled = false
  #waiting = new Set<() => void>()
  #called = new Set<() => void>()
  readonly #onTurn: () => void

  constructor() {
    this.#onTurn = () => this.#begin()
  }

  /** True when no connection may answer more in this turn. */
  get isSpent(): boolean {
    return this.#answers >= ANSWERS_MAX || this.#octets >= OCTETS_MAX
  }

  /** Counts an answer. */
  spend(octets: number): void {
    this.#answers++
    this.#octets += octets
    if (this.#isScheduled) return
    if (this.#answers < ANSWERS_UNCOUNTED && this.#octets < OCTETS_UNCOUNTED) return
    this.#isScheduled = true
    setImmediate(this.#onTurn)
  }

  /** Calls back in the next turn, once, first come first; only while the budget is spent. */
  wait(callback: () => void): void {
    this.#waiting.add(callback)
  }

  #begin(): void {
    this.#isScheduled = false
    this.#answers = 0
    this.#octets = 0
    const called = this.#waiting
    this.#waiting = this.#called
    this.#called = called
    for (const callback of called) {
      if (this.isSpent) break
      called.delete(callback)
      callback()
    }
    if (called.size === 0) return
    // Who had nothing of this turn goes before those that had, else one could have every turn.
    for (const callback of this.#waiting) called.add(callback)
    this.#waiting.clear()
    this.#called = this.#waiting
    this.#waiting = called
  }
}
