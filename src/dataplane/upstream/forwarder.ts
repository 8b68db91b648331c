/**
 * Brings a question to the upstreams: which one, how long to wait, when to try the next. A question
 * may have several tries under way; the first good reply to any of them closes it. One timer serves
 * all waits.
 */
import { NODE_TURN_END, type SocketLoop } from '../../sys/socket-loop.ts'
import { RCODE_FORMERR, RCODE_NOTIMP } from '../../wire/codes.ts'
import {
  FLAG_AD,
  FLAG_TC,
  OFFSET_ARCOUNT,
  OFFSET_FLAGS,
  headerRcode,
  readU16,
  writeU16,
} from '../../wire/header.ts'
import {
  FAILURE_CASE,
  FAILURE_EDNS,
  FAILURE_FORMAT,
  FAILURE_MISMATCH,
  FAILURE_RCODE,
  FAILURE_TIMEOUT,
  UPSTREAM_QUERIES,
  UPSTREAM_UP,
  count,
  countUpstreamReply,
  createCounters,
  failureSlot,
  type Counters,
} from '../counters.ts'
import type { DataplaneSettings, ForwardSettings } from '../settings.ts'
import { Attempt, createAttempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import { FailureCache, isFailure } from './failure-cache.ts'
import { NO_WAIT, Pending } from './pending.ts'
import { Selection } from './selection.ts'
import { NEVER, type Timed } from './timer-wheel.ts'
import { Upstream, type SystemSockets, type UpstreamEvents } from './upstream.ts'
import { Waits } from './waits.ts'

/** Time between two questions that only measure. */
const MEASURE_MS = 1000
const SWEEP_MS = 5000
/** Timers fire late, never early: three tries of 1.5 s have to fit into 4.5 s. */
const TIMER_SLACK_MS = 250
/** Ports of an upstream: fewer would be guessed; such a machine has to raise its limit. */
const PORTS_MIN = 16

/**
 * Who asked: gets every question back exactly once, by `answered` or `unanswered`, with the
 * failures of the upstreams that were asked.
 */
export interface ForwardEvents {
  /**
   * Reads a reply, once; false when it is malformed: another try may do better. `answered` may
   * follow, with no other reply read between.
   */
  readable(pending: Pending, message: Uint8Array, octets: number): boolean
  /** Takes the reply that was found readable just before; the buffer is free after the call. */
  answered(pending: Pending, message: Uint8Array, nowMs: number, failures: FailureCache): void
  /** No upstream gave an answer within the time and the tries. */
  unanswered(pending: Pending, nowMs: number, failures: FailureCache): void
  /** The question has taken longer than its clients want to wait; it stays open. */
  outwaited(pending: Pending, nowMs: number): void
}

/** All upstreams of one worker, and the questions that are on their way to them. */
export class Forwarder implements UpstreamEvents {
  /** What could not be answered lately; it goes with the upstreams that could not. */
  readonly failures: FailureCache
  readonly #upstreams: Upstream[] = []
  readonly #settings: ForwardSettings
  #counters: Counters
  readonly #events: ForwardEvents
  readonly #waits: Waits
  readonly #spare: Attempt[] = []
  /** Asked at the end of the turn: the first `#laterCount`. */
  readonly #later: Pending[] = []
  #laterCount = 0
  readonly #onTick: () => void
  readonly #sweepTimer: NodeJS.Timeout
  readonly #loop: SocketLoop | undefined
  readonly #selection: Selection
  readonly #parallel: number
  /** Whether questions go to the upstream that answers soonest. */
  readonly #isFastest: boolean
  /** Upstreams that are passed over. */
  #down = 0
  /** When the next upstream may be asked to see how fast it is. */
  #measureMs: number
  /** Questions that were asked and are not closed. */
  #open = 0
  #closed = false
  #retired = false

  constructor(
    { upstreams, forward, upstreamAuthorities, cache }: DataplaneSettings,
    counters: Counters,
    events: ForwardEvents,
    system: SystemSockets,
  ) {
    const portsMax = Math.floor(system.upstreamPortsMax / Math.max(1, upstreams.length))
    const share = { ...system, upstreamPortsMax: Math.max(PORTS_MIN, portsMax) }
    this.#settings = forward
    this.#counters = counters
    this.#events = events
    for (const [index, upstream] of upstreams.entries()) {
      this.#upstreams.push(new Upstream(upstream, index, this, share, upstreamAuthorities, forward))
      counters[UPSTREAM_UP + index] = 1
    }
    this.#loop = system.loop
    this.#selection = new Selection(this.#upstreams, forward)
    this.#parallel = forward.strategy === 'parallel' ? forward.parallelMax : 1
    this.#isFastest = forward.strategy === 'fastest'
    this.#measureMs = this.#isFastest ? 0 : NEVER
    this.failures = new FailureCache(cache.failureSecondsMax)
    this.#waits = new Waits((item, nowMs) => this.#expire(item, nowMs))
    this.#onTick = () => this.#askDeferred()
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_MS)
    this.#sweepTimer.unref()
  }

  /** Starts the first try, or several at once. The events may fire before this returns. */
  ask(pending: Pending, nowMs: number): void {
    pending.startedMs = nowMs
    pending.isAsked = true
    this.#open++
    if (pending.waitMs !== NO_WAIT) this.#waits.add(pending, nowMs, pending.waitMs)
    this.#begin(pending, nowMs)
  }

  /** As `ask`, but not before the end of this turn: the query of the moment is answered first. */
  askLater(pending: Pending, nowMs: number): void {
    pending.startedMs = nowMs
    pending.isAsked = true
    this.#open++
    if (this.#laterCount === 0) (this.#loop ?? NODE_TURN_END).atTurnEnd(this.#onTick)
    this.#later[this.#laterCount++] = pending
  }

  /** Behind a malformed datagram the right one may come: it is read before its try ends. */
  accepts(attempt: Attempt, message: Uint8Array, octets: number, nowMs: number): boolean {
    const { pending, upstream, sentMs } = attempt
    // What is cut is fetched over TCP, and any reply to a probe will do.
    const isCut = (readU16(message, OFFSET_FLAGS) & FLAG_TC) !== 0
    if (isCut || pending.isProbe || this.#events.readable(pending, message, octets)) return true
    count(this.#counters, failureSlot(upstream.index, FAILURE_FORMAT))
    // It was heard: names that it answers badly are no reason to pass it over.
    this.#noteHeard(upstream, nowMs - sentMs, nowMs)
    return false
  }

  /** An exchange's reply that has passed the question check. */
  replied(attempt: Attempt, message: Uint8Array, octets: number, nowMs: number): void {
    const { pending, upstream, exchange, sentMs, hasEdns, isEdnsRetry, isMixed } = attempt
    const isCaseKept = !isMixed || attempt.isCaseKept(message)
    this.#release(attempt)
    if (isMixed) upstream.health.noteCase(isCaseKept, nowMs)
    if (!isCaseKept && upstream.stream !== null) {
      // Forged, or of an upstream that changes letters: nobody can forge what TCP brings.
      count(this.#counters, failureSlot(upstream.index, FAILURE_CASE))
      this.#start(upstream, pending, upstream.stream, nowMs)
      return
    }
    this.#noteReply(upstream, nowMs - sentMs, nowMs)
    if (pending.isProbe) return
    const rcode = headerRcode(message)
    const isUnknown = rcode === RCODE_FORMERR || rcode === RCODE_NOTIMP
    if (isUnknown && hasEdns && upstream.mayLackEdns && readU16(message, OFFSET_ARCOUNT) === 0) {
      count(this.#counters, failureSlot(upstream.index, FAILURE_EDNS))
      this.#startWithoutEdns(upstream, pending, exchange, nowMs)
      return
    }
    if (isEdnsRetry && !isUnknown) upstream.health.noteEdnsOff(nowMs)
    const counters = this.#counters
    const flags = readU16(message, OFFSET_FLAGS)
    const truncated = (flags & FLAG_TC) !== 0
    if (!upstream.trustsAd) writeU16(message, OFFSET_FLAGS, flags & ~FLAG_AD)
    if (truncated && upstream.stream !== null && exchange !== upstream.stream) {
      this.#start(upstream, pending, upstream.stream, nowMs)
      return
    }
    if (isFailure(rcode) && this.#mayDoBetter(pending, nowMs)) {
      count(counters, failureSlot(upstream.index, FAILURE_RCODE))
      this.#tryNext(pending, nowMs)
      return
    }
    if (upstream.isDatagrams(exchange) || this.#events.readable(pending, message, octets)) {
      this.#close(pending)
      this.#events.answered(pending, message, nowMs, this.failures)
      return
    }
    count(counters, failureSlot(upstream.index, FAILURE_FORMAT))
    this.#tryNext(pending, nowMs)
  }

  /** A try that an exchange gave up. */
  failed(attempt: Attempt, reason: number): void {
    if (this.#closed) return
    const { pending, upstream, overdue, sentMs } = attempt
    this.#release(attempt)
    if (overdue) return
    const nowMs = performance.now()
    this.#noteFailure(upstream, reason, nowMs - sentMs, nowMs)
    if (!pending.isProbe) this.#tryNext(pending, nowMs)
  }

  /** True when no upstream is worth asking: all a question would get is its failure. */
  isGone(nowMs: number): boolean {
    return this.#down === this.#upstreams.length && this.#selection.isGone(nowMs)
  }

  mismatched(upstream: Upstream): void {
    count(this.#counters, failureSlot(upstream.index, FAILURE_MISMATCH))
  }

  /** Lets the open questions end, asks no new ones, then closes; its counts no longer matter. */
  retire(): void {
    this.#retired = true
    this.#counters = createCounters()
    this.#closeIfDone()
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#sweepTimer)
    this.#waits.close()
    for (const upstream of this.#upstreams) upstream.close()
  }

  #begin(pending: Pending, nowMs: number): void {
    if (this.#down > 0 || nowMs >= this.#measureMs) this.#probeOne(pending, nowMs)
    const { serial } = pending
    this.#tryNext(pending, nowMs)
    let more = this.#parallel - 1
    // What failed at once may have closed the question, and its record may be another's by now.
    while (more-- > 0 && pending.open && pending.serial === serial) {
      const upstream = this.#selection.next(pending, nowMs, this.#counters)
      if (upstream === null || pending.hasTryAt(upstream.index)) return
      this.#try(upstream, pending, nowMs)
    }
  }

  /** The next try, unless another is within its time; none is left: the question is closed. */
  #tryNext(pending: Pending, nowMs: number): void {
    if (pending.hasTimelyTry) return
    const upstream = this.#mayTry(pending, nowMs)
      ? this.#selection.next(pending, nowMs, this.#counters)
      : null
    if (upstream !== null) {
      this.#try(upstream, pending, nowMs)
    } else {
      this.#close(pending)
      this.#events.unanswered(pending, nowMs, this.failures)
    }
  }

  #try(upstream: Upstream, pending: Pending, nowMs: number): void {
    pending.tries++
    pending.upstream = upstream.index
    this.#start(upstream, pending, upstream.primary, nowMs)
  }

  #start(upstream: Upstream, pending: Pending, exchange: Exchange, nowMs: number): void {
    const attempt = this.#spare.pop() ?? createAttempt(pending, upstream, exchange)
    const hasEdns = !upstream.health.isEdnsOff(nowMs)
    const isMixed = !pending.isProbe && upstream.mixesCaseOver(exchange, nowMs)
    attempt.begin(pending, upstream, exchange, hasEdns, isMixed, nowMs)
    this.#send(attempt, nowMs)
  }

  /** Asks anew what was refused together with OPT (RFC 6891 6.2.2). */
  #startWithoutEdns(upstream: Upstream, pending: Pending, exchange: Exchange, nowMs: number): void {
    const attempt = this.#spare.pop() ?? createAttempt(pending, upstream, exchange)
    attempt.begin(pending, upstream, exchange, false, false, nowMs)
    attempt.isEdnsRetry = true
    this.#send(attempt, nowMs)
  }

  #send(attempt: Attempt, nowMs: number): void {
    const { exchange, upstream } = attempt
    upstream.health.noteAsked(nowMs)
    count(this.#counters, UPSTREAM_QUERIES + upstream.index)
    this.#waits.add(attempt, nowMs, this.#settings.tryTimeoutMs)
    exchange.send(attempt)
    // Streams write when Node gets its turn.
    if (!upstream.isDatagrams(exchange)) this.#loop?.yieldSoon()
  }

  /** Probes one upstream for which it is time. Nobody waits for that. */
  #probeOne(pending: Pending, nowMs: number): void {
    this.#measureMs = this.#isFastest ? nowMs + MEASURE_MS : NEVER
    const next = this.#selection.next(pending, nowMs, this.#counters)
    const upstream = this.#selection.nextProbe(next, nowMs)
    if (upstream !== null) this.#start(upstream, upstream.probe, upstream.primary, nowMs)
  }

  #askDeferred(): void {
    if (this.#closed) return
    for (let index = 0; index < this.#laterCount; index++) {
      const pending = this.#later[index]!
      this.#begin(pending, pending.startedMs)
    }
    this.#laterCount = 0
  }

  /** The question is over: replies to its tries answer nothing any more. */
  #close(pending: Pending): void {
    while (pending.attempts !== null) {
      const attempt = pending.attempts
      attempt.exchange.cancel(attempt)
      this.#release(attempt)
    }
    this.#waits.remove(pending)
    this.#open--
    pending.open = false
  }

  /** Takes a try back that no exchange knows any more. */
  #release(attempt: Attempt): void {
    this.#waits.remove(attempt)
    attempt.unlink()
    this.#spare.push(attempt)
  }

  #mayTry(pending: Pending, nowMs: number): boolean {
    if (pending.tries === 0) return this.#upstreams.length > 0
    if (pending.tries >= this.#settings.triesMax) return false
    const endMs = nowMs + this.#settings.tryTimeoutMs
    return endMs <= pending.startedMs + this.#settings.totalTimeoutMs + TIMER_SLACK_MS
  }

  /** True when another upstream may answer where one has failed. */
  #mayDoBetter(pending: Pending, nowMs: number): boolean {
    if (this.#upstreams.length < 2) return false
    return pending.hasTimelyTry || this.#mayTry(pending, nowMs)
  }

  #noteReply(upstream: Upstream, tookMs: number, nowMs: number): void {
    countUpstreamReply(this.#counters, upstream.index, tookMs)
    this.#noteHeard(upstream, tookMs, nowMs)
  }

  #noteHeard(upstream: Upstream, tookMs: number, nowMs: number): void {
    if (!upstream.health.noteReply(nowMs, tookMs)) return
    this.#counters[UPSTREAM_UP + upstream.index] = 1
    this.#down--
    this.failures.recover()
  }

  #noteFailure(upstream: Upstream, reason: number, tookMs: number, nowMs: number): void {
    count(this.#counters, failureSlot(upstream.index, reason))
    if (!upstream.health.noteFailure(nowMs, tookMs)) return
    this.#counters[UPSTREAM_UP + upstream.index] = 0
    this.#down++
  }

  #expire(item: Timed, nowMs: number): void {
    if (item instanceof Attempt) this.#expireAttempt(item, nowMs)
    else if (item instanceof Pending) this.#events.outwaited(item, nowMs)
  }

  #expireAttempt(attempt: Attempt, nowMs: number): void {
    const { pending, upstream, sentMs } = attempt
    if (attempt.overdue) {
      attempt.exchange.cancel(attempt)
      this.#release(attempt)
      return
    }
    attempt.overdue = true
    attempt.exchange.overdue(attempt)
    this.#noteFailure(upstream, FAILURE_TIMEOUT, nowMs - sentMs, nowMs)
    // No question's end takes a probe back: its late reply is welcome as long as a question's.
    if (pending.isProbe) this.#waits.add(attempt, nowMs, this.#settings.totalTimeoutMs)
    else this.#tryNext(pending, nowMs)
  }

  #sweep(): void {
    const nowMs = performance.now()
    for (const upstream of this.#upstreams) upstream.sweep(nowMs)
    if (this.#retired) this.#closeIfDone()
  }

  #closeIfDone(): void {
    if (this.#open === 0) this.close()
  }
}

/** Makes the forwarder that the settings describe. */
export function createForwarder(
  settings: DataplaneSettings,
  counters: Counters,
  events: ForwardEvents,
  system: SystemSockets,
): Forwarder {
  return new Forwarder(settings, counters, events, system)
}
