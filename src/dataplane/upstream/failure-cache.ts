/**
 * Questions that nobody could answer a moment ago (RFC 9520): they are not asked again for a
 * second, then two, then four. A direct-mapped table: what collides is asked again, which is what
 * would happen without it.
 */
import type { QuestionKey } from '../question-key.ts'
import { RCODE_FORMERR, RCODE_NOTIMP, RCODE_REFUSED, RCODE_SERVFAIL } from '../../wire/codes.ts'

const SLOTS = 4096
const SLOT_MASK = SLOTS - 1
/** RFC 9520 3.2: at least one second. */
const FAILED_MS_MIN = 1000
/** A failure counts as one of a row when it comes this soon after the last one's time. */
const ROW_MS = 10_000
/** Doubling stops mattering long before. */
const ROW_MAX = 16
/** The upstreams answered, and their answer was a failure; not a matter of reaching them. */
const ANY_EPOCH = 0

/** The question has not failed lately. */
export const NO_FAILURE = -1

/** The failures of one forwarder. */
export class FailureCache {
  readonly #msMax: number
  readonly #questions = createTexts()
  readonly #rcodes = new Uint8Array(SLOTS)
  readonly #inARow = new Uint8Array(SLOTS)
  readonly #untilMs = new Float64Array(SLOTS)
  readonly #epochs = new Uint32Array(SLOTS)
  #epoch = ANY_EPOCH + 1

  /** @param secondsMax longest time for which one question counts as failed. */
  constructor(secondsMax: number) {
    this.#msMax = Math.max(FAILED_MS_MIN, secondsMax * 1000)
  }

  /** Returns the rcode with which the question failed, or `NO_FAILURE`. */
  find(key: QuestionKey, nowMs: number): number {
    const slot = key.hash & SLOT_MASK
    if (nowMs >= this.#untilMs[slot]! || this.#questions[slot] !== key.text) return NO_FAILURE
    const epoch = this.#epochs[slot]!
    return epoch === ANY_EPOCH || epoch === this.#epoch ? this.#rcodes[slot]! : NO_FAILURE
  }

  /** @param heard an upstream said so; false: none was reached, and `recover` ends it. */
  note(key: QuestionKey, rcode: number, heard: boolean, nowMs: number): void {
    const slot = key.hash & SLOT_MASK
    const again = this.#questions[slot] === key.text && nowMs < this.#untilMs[slot]! + ROW_MS
    const inARow = again ? Math.min(ROW_MAX, this.#inARow[slot]! + 1) : 0
    this.#questions[slot] = key.text
    this.#rcodes[slot] = rcode
    this.#inARow[slot] = inARow
    this.#untilMs[slot] = nowMs + Math.min(this.#msMax, FAILED_MS_MIN * 2 ** inARow)
    this.#epochs[slot] = heard ? ANY_EPOCH : this.#epoch
  }

  /** The question was answered. */
  forget(key: QuestionKey): void {
    const slot = key.hash & SLOT_MASK
    if (this.#untilMs[slot] !== 0 && this.#questions[slot] === key.text) this.#untilMs[slot] = 0
  }

  /** An upstream is back: what failed because none was reached may be asked again. */
  recover(): void {
    this.#epoch++
  }
}

function createTexts(): string[] {
  return Array.from<string>({ length: SLOTS }).fill('')
}

/** True for rcodes that another upstream may do better than (RFC 9520 2). */
export function isFailure(rcode: number): boolean {
  return (
    rcode === RCODE_SERVFAIL ||
    rcode === RCODE_REFUSED ||
    rcode === RCODE_NOTIMP ||
    rcode === RCODE_FORMERR
  )
}
