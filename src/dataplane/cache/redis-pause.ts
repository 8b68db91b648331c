/**
 * When Redis is left alone: after a read that had no reply in time, until Redis is heard again, and
 * then a little longer each time that it happens in a row. Questions go to the upstream meanwhile.
 */
const PAUSE_MS_MIN = 50
const PAUSE_DOUBLINGS_MAX = 6

/** The pause of one link. */
export class Pause {
  #silent = false
  #untilMs = 0
  #inRow = 0

  isOn(): boolean {
    if (this.#silent) return true
    if (this.#untilMs === 0) return false
    if (performance.now() < this.#untilMs) return true
    this.#untilMs = 0
    return false
  }

  /** A read had no reply in time. */
  begin(nowMs: number): void {
    this.#silent = true
    const doublings = Math.min(this.#inRow++, PAUSE_DOUBLINGS_MAX)
    this.#untilMs = nowMs + PAUSE_MS_MIN * 2 ** doublings * (0.5 + Math.random() / 2)
  }

  /** The late reply has come: Redis is slow, not silent. */
  heard(): void {
    this.#silent = false
  }

  /** A reply came in time, or the connection is another one. */
  end(): void {
    this.#silent = false
    this.#untilMs = 0
    this.#inRow = 0
  }
}
