/**
 * The rings that workers note observed queries in: one for each worker and kind, made when somebody
 * begins to look. Of a worker that dies nothing is kept, its successor notes into a new ring.
 */
import type { ToWorker } from '../../dataplane/messages.ts'
import type { ObservedKind, ObservedStart } from '../../dataplane/observed-queries.ts'
import { RING_WORD_OPEN, createObservedRing } from '../../dataplane/observed-ring.ts'

/** Records of a ring: what comes between two looks of a tenth of a second, with room for bursts. */
export const RING_RECORDS: Readonly<Record<ObservedKind, number>> = { blocked: 1024, slow: 256 }

/** Closes a ring for its writer, and overwrites all that is in it. */
export function wipeObservedRing(memory: SharedArrayBuffer): void {
  const words = new Int32Array(memory)
  Atomics.store(words, RING_WORD_OPEN, 0)
  words.fill(0)
}

/** Gives every worker the message for its place; resolves when all have answered. */
type TellWorkers = (messageFor: (slot: number) => ToWorker) => Promise<unknown>

/** What is noted of queries, by the place of the worker. */
export class ObservedSlots {
  readonly #tell: TellWorkers
  /** When each kind ends, on the monotonic clock; none: off. */
  readonly #endsMs = new Map<ObservedKind, number>()
  readonly #rings = new Map<ObservedKind, Map<number, SharedArrayBuffer>>()

  constructor(tell: TellWorkers) {
    this.#tell = tell
  }

  /** Lets every worker note queries of a kind, until `observeNoMore` or that time at the latest. */
  async observe(kind: ObservedKind, endsMs: number): Promise<void> {
    this.#endsMs.set(kind, endsMs)
    this.#rings.set(kind, new Map())
    await this.#tell((slot) => ({ kind: 'observe', start: this.#startOf(slot, kind, endsMs) }))
  }

  /** What was noted is gone at once; resolves when nobody notes any more. */
  async observeNoMore(kind: ObservedKind): Promise<void> {
    const rings = [...this.observedRings(kind).values()]
    this.#endsMs.delete(kind)
    this.#rings.delete(kind)
    for (const ring of rings) wipeObservedRing(ring)
    await this.#tell(() => ({ kind: 'observe-end', what: kind }))
    // A worker may have been in the middle of a record.
    for (const ring of rings) wipeObservedRing(ring)
  }

  /** The rings of a kind as they are now, by worker. */
  observedRings(kind: ObservedKind): ReadonlyMap<number, SharedArrayBuffer> {
    return this.#rings.get(kind) ?? new Map<number, SharedArrayBuffer>()
  }

  /** What a worker has to be told at its start: new rings, whatever its forerunner had. */
  startsOf(slot: number): readonly ObservedStart[] {
    return [...this.#endsMs].map(([kind, endsMs]) => this.#startOf(slot, kind, endsMs))
  }

  #startOf(slot: number, kind: ObservedKind, endsMs: number): ObservedStart {
    const rings = this.#rings.get(kind)
    const before = rings?.get(slot)
    if (before !== undefined) wipeObservedRing(before)
    const ring = createObservedRing(RING_RECORDS[kind])
    rings?.set(slot, ring)
    return { kind, ring, remainingMs: Math.max(0, endsMs - performance.now()) }
  }
}
