/**
 * How an upstream has been doing, and what was learned about it: whether to ask it, whether to
 * probe it, and how.
 */

/** Tries in a row without a reply after which an upstream is passed over for others. */
const FAILURES_UNTIL_DOWN = 3
/**
 * When it is taken to be gone: so many failures in a row and silence for so long. A zone whose own
 * servers are silent makes a few tries fail, but not the tries for all other names as well.
 */
const FAILURES_UNTIL_GONE = 16
const SILENT_MS_UNTIL_GONE = 3000
/** Time between two probes of one that is passed over: doubling (RFC 9520 3.2). */
const PROBE_MS_MIN = 1000
const PROBE_MS_MAX = 4000
/** Tries whose times the smoothed time mostly consists of. */
const SMOOTHED_TRIES = 4
/** After so long without a question its smoothed time is old. */
const MEASURED_MS_MAX = 10_000
/** Replies in a row with other letters than asked after which letters are left as they are. */
const MISCASED_UNTIL_OFF = 3
/** How long a trait that was learned holds before it is tried anew. */
const LEARNED_MS = 3_600_000

/** One upstream's. */
export class Health {
  /** Smoothed time to a reply; 0 before the first one. */
  replyMs = 0
  /** Tries under way, those that are overdue included. */
  inFlight = 0
  #failures = 0
  #heardMs: number
  #askedMs = 0
  #probeMs = 0
  #pauseMs = PROBE_MS_MIN
  #miscased = 0
  #casePlainUntilMs = 0
  #ednsOffUntilMs = 0

  constructor(nowMs: number) {
    this.#heardMs = nowMs
  }

  /** False while it is passed over. */
  get isUp(): boolean {
    return this.#failures < FAILURES_UNTIL_DOWN
  }

  /** True when it does not answer at all: nothing but a probe is worth sending. */
  isGone(nowMs: number): boolean {
    return this.#failures >= FAILURES_UNTIL_GONE && nowMs - this.#heardMs >= SILENT_MS_UNTIL_GONE
  }

  /** True when it is passed over and its time for a probe has come. */
  mayProbe(nowMs: number): boolean {
    return !this.isUp && nowMs >= this.#probeMs
  }

  /** True when it is long since it was asked: its smoothed time says little. */
  isUnmeasured(nowMs: number): boolean {
    return nowMs - this.#askedMs >= MEASURED_MS_MAX
  }

  noteAsked(nowMs: number): void {
    this.#askedMs = nowMs
  }

  noteProbe(nowMs: number): void {
    this.#probeMs = nowMs + this.#pauseMs
    this.#pauseMs = Math.min(PROBE_MS_MAX, this.#pauseMs * 2)
  }

  /** Any reply; true when it was passed over until then. */
  noteReply(nowMs: number, tookMs: number): boolean {
    const wasDown = !this.isUp
    this.#failures = 0
    this.#heardMs = nowMs
    this.#pauseMs = PROBE_MS_MIN
    // What was measured while it was silent says nothing about how fast it is now.
    if (wasDown) this.replyMs = 0
    this.#smooth(tookMs)
    return wasDown
  }

  /** A try that ended without a reply, after so long; true when it is passed over from here on. */
  noteFailure(nowMs: number, tookMs: number): boolean {
    this.#failures++
    this.#smooth(tookMs)
    if (this.#failures !== FAILURES_UNTIL_DOWN) return false
    this.#probeMs = nowMs + this.#pauseMs
    return true
  }

  #smooth(tookMs: number): void {
    this.replyMs += this.replyMs === 0 ? tookMs : (tookMs - this.replyMs) / SMOOTHED_TRIES
  }

  /** True while its replies are known not to keep the letters of the question. */
  isCasePlain(nowMs: number): boolean {
    return nowMs < this.#casePlainUntilMs
  }

  /** A reply to a question of random letters kept them, or did not. */
  noteCase(kept: boolean, nowMs: number): void {
    this.#miscased = kept ? 0 : this.#miscased + 1
    if (this.#miscased < MISCASED_UNTIL_OFF) return
    this.#miscased = 0
    this.#casePlainUntilMs = nowMs + LEARNED_MS
  }

  /** True while it is known to answer nothing that carries OPT. */
  isEdnsOff(nowMs: number): boolean {
    return nowMs < this.#ednsOffUntilMs
  }

  /** It answered without OPT what it had refused with it (RFC 6891 6.2.2). */
  noteEdnsOff(nowMs: number): void {
    this.#ednsOffUntilMs = nowMs + LEARNED_MS
  }
}
