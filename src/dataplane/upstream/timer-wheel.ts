/**
 * Waits of different lengths without a timer object each (Varghese and Lauck, 1987): a ring of
 * slots, one for each tick, each a list of what is due in it. Adding and removing is O(1).
 */

/** One slot covers this long; waits end up to one tick late, never early. */
const TICK_MS = 16
/** 32.8 s in one round, the longest wait that configuration allows; longer ones go round again. */
const SLOTS = 2048
const SLOT_MASK = SLOTS - 1
/** Nothing waits. */
export const NEVER = Number.POSITIVE_INFINITY

/** Something that waits; it may be in one wheel at a time. */
export class Timed {
  deadlineMs = 0
  /** Neighbours in the list of a slot; null while it does not wait. */
  earlier: Timed | null = null
  later: Timed | null = null
}

/** All waits of one forwarder. */
export class TimerWheel {
  /** Each slot's list is a ring that begins and ends at its head. */
  readonly #heads: readonly Timed[] = createHeads()
  /** The first tick that was not taken out yet. */
  #tick = 0
  #size = 0

  /** Things that wait. */
  get size(): number {
    return this.#size
  }

  /** Lets `item` wait until `deadlineMs`; it must not wait already. */
  add(item: Timed, deadlineMs: number): void {
    const tick = Math.max(this.#tick, Math.floor(deadlineMs / TICK_MS) + 1)
    const head = this.#heads[tick & SLOT_MASK]!
    const last = head.earlier!
    item.deadlineMs = deadlineMs
    item.earlier = last
    item.later = head
    last.later = item
    head.earlier = item
    this.#size++
  }

  /** Ends the wait of `item`; nothing happens when it does not wait. */
  remove(item: Timed): void {
    const { earlier, later } = item
    if (earlier === null || later === null) return
    earlier.later = later
    later.earlier = earlier
    item.earlier = null
    item.later = null
    this.#size--
  }

  /** Takes out one thing whose time has come; null when there is none. */
  take(nowMs: number): Timed | null {
    const end = Math.floor(nowMs / TICK_MS)
    // After a long sleep one whole round is enough to meet everything.
    if (end - this.#tick >= SLOTS) this.#tick = end - SLOT_MASK
    if (this.#size === 0) this.#tick = Math.max(this.#tick, end + 1)
    while (this.#tick <= end) {
      const head = this.#heads[this.#tick & SLOT_MASK]!
      let item = head.later!
      while (item !== head) {
        if (item.deadlineMs <= nowMs) {
          this.remove(item)
          return item
        }
        item = item.later!
      }
      this.#tick++
    }
    return null
  }

  /** Returns when `take` should be called next, or `NEVER`. */
  get nextMs(): number {
    if (this.#size === 0) return NEVER
    const first = this.#tick
    for (let tick = first; tick < first + SLOTS; tick++) {
      const head = this.#heads[tick & SLOT_MASK]!
      if (head.later !== head) return tick * TICK_MS
    }
    return NEVER
  }
}

function createHeads(): readonly Timed[] {
  const heads = []
  for (let slot = 0; slot < SLOTS; slot++) {
    const head = new Timed()
    head.earlier = head
    head.later = head
    heads.push(head)
  }
  return heads
}
