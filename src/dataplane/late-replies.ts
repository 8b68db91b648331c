/**
 * Keeps datagrams that were long in coming from leaving in one burst (DNSBomb, CVE-2024-33655):
 * whoever forges a client's address could collect answers behind slow names and let them loose at
 * once. A client whose answer is not sent asks again, and finds it in the cache.
 */

/** Answers that came sooner cannot be collected; Unbound's `discard-timeout`. */
const LATE_MS = 1900
/** What leaves within this time is one burst. */
const BURST_MS = 100
const CLIENT_SLOTS = 0x10000

/** Counts late datagrams by client, in a table of keyed hashes. */
export class LateReplies {
  readonly #sent = new Uint16Array(CLIENT_SLOTS)
  #burstEndMs = 0

  /**
   * True when a reply over UDP may be sent, after so long; counts it if it is late.
   *
   * @param max late ones to one client in one burst.
   */
  maySend(clientKey: number, waitedMs: number, max: number, nowMs: number): boolean {
    if (waitedMs < LATE_MS) return true
    if (nowMs >= this.#burstEndMs) {
      this.#sent.fill(0)
      this.#burstEndMs = nowMs + BURST_MS
    }
    const slot = (clientKey ^ (clientKey >>> 16)) & (CLIENT_SLOTS - 1)
    const sent = this.#sent[slot]!
    if (sent >= max) return false
    this.#sent[slot] = sent + 1
    return true
  }
}
