/**
 * Brings a question to the upstreams: which one, how long to wait, when to try the next. A question
 * may have several tries under way; the first good reply to any of them closes it. One timer serves
 * all waits.
 */
import { RCODE_FORMERR, RCODE_NOTIMP, RCODE_REFUSED, RCODE_SERVFAIL } from '../../wire/codes.ts'
import {
  FLAG_AD,
  FLAG_TC,
  OFFSET_FLAGS,
  headerRcode,
  readU16,
  writeU16,
} from '../../wire/header.ts'
import {
  FAILURE_FORMAT,
  FAILURE_MISMATCH,
  FAILURE_RCODE,
  FAILURE_TIMEOUT,
  UPSTREAM_DURATION_SUM_MS,
  UPSTREAM_QUERIES,
  UPSTREAM_RESPONSES,
  UPSTREAM_UP,
  count,
  createCounters,
  failureSlot,
  type Counters,
} from '../counters.ts'
import type { DataplaneSettings, ForwardSettings } from '../settings.ts'
import { Attempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import { FailureCache } from './failure-cache.ts'
import { NO_UPSTREAM, NO_WAIT, Pending } from './pending.ts'
import { NEVER, TimerWheel, type Timed } from './timer-wheel.ts'
import { Upstream, type SystemSockets, type UpstreamEvents } from './upstream.ts'

const SWEEP_MS = 5000
/** A timer this late slept through a jump of the clock. */
const LATE_MS = 1000
/** Timers fire late, never early: three tries of 1.5 s have to fit into 4.5 s. */
const TIMER_SLACK_MS = 250
/** Ports of an upstream: fewer would be guessed; such a machine has to raise its limit. */
const PORTS_MIN = 16

/** Who asked: gets every question back exactly once, by `answered` or `unanswered`. */
export interface ForwardEvents {
  /** Reads a reply; false when it is malformed: another try may do better. */
  readable(pending: Pending, message: Uint8Array, octets: number): boolean
  /** Takes the reply that was found readable just before; the buffer is free after the call. */
  answered(pending: Pending, message: Uint8Array, nowMs: number): void
  /** No upstream gave an answer within the time and the tries. */
  unanswered(pending: Pending, nowMs: number): void
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
  readonly #wheel = new TimerWheel()
  readonly #spare: Attempt[] = []
  /** Asked at the end of the turn. */
  readonly #later: Pending[] = []
  readonly #onTick: () => void
  readonly #onTimer: () => void
  readonly #sweepTimer: NodeJS.Timeout
  #timer: NodeJS.Timeout | null = null
  #wakeMs = NEVER
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
    this.failures = new FailureCache(cache.failureSecondsMax)
    this.#onTimer = () => this.#expire()
    this.#onTick = () => this.#askDeferred()
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_MS)
    this.#sweepTimer.unref()
  }

  /** Starts the first try. The events may fire before this returns. */
  ask(pending: Pending, nowMs: number): void {
    pending.startedMs = nowMs
    this.#open++
    if (pending.waitMs !== NO_WAIT) this.#wait(pending, nowMs, pending.waitMs)
    this.#tryNext(pending, nowMs)
  }

  /** As `ask`, but not before the end of this turn: the query of the moment is answered first. */
  askLater(pending: Pending, nowMs: number): void {
    pending.startedMs = nowMs
    this.#open++
    if (this.#later.length === 0) process.nextTick(this.#onTick)
    this.#later.push(pending)
  }

  /** An exchange's reply that has passed the question check. */
  replied(attempt: Attempt, message: Uint8Array, octets: number, nowMs: number): void {
    const { pending, upstream, exchange } = attempt
    const counters = this.#counters
    count(counters, UPSTREAM_RESPONSES + upstream.index)
    const sum = UPSTREAM_DURATION_SUM_MS + upstream.index
    counters[sum] = counters[sum]! + (nowMs - attempt.sentMs)
    upstream.noteReply()
    counters[UPSTREAM_UP + upstream.index] = 1
    this.#release(attempt)
    const flags = readU16(message, OFFSET_FLAGS)
    const truncated = (flags & FLAG_TC) !== 0
    if (!upstream.trustsAd) writeU16(message, OFFSET_FLAGS, flags & ~FLAG_AD)
    if (truncated && upstream.stream !== null && exchange !== upstream.stream) {
      this.#start(upstream, pending, upstream.stream, nowMs)
      return
    }
    if (isFailure(headerRcode(message)) && this.#mayDoBetter(pending, nowMs)) {
      count(counters, failureSlot(upstream.index, FAILURE_RCODE))
      this.#tryNext(pending, nowMs)
      return
    }
    if (this.#events.readable(pending, message, octets)) {
      this.#close(pending)
      this.#events.answered(pending, message, nowMs)
      return
    }
    count(counters, failureSlot(upstream.index, FAILURE_FORMAT))
    this.#tryNext(pending, nowMs)
  }

  /** A try that an exchange gave up. */
  failed(attempt: Attempt, reason: number): void {
    if (this.#closed) return
    const { pending, upstream, overdue } = attempt
    this.#release(attempt)
    if (overdue) return
    const nowMs = performance.now()
    this.#noteFailure(upstream, reason, nowMs)
    this.#tryNext(pending, nowMs)
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
    if (this.#timer !== null) clearTimeout(this.#timer)
    for (const upstream of this.#upstreams) upstream.close()
  }

  /** The next try; none is left: the question is closed once no try is within its time. */
  #tryNext(pending: Pending, nowMs: number): void {
    const upstream = this.#mayTry(pending, nowMs) ? this.#select(pending, nowMs) : null
    if (upstream !== null) {
      pending.tries++
      pending.upstream = upstream.index
      this.#start(upstream, pending, upstream.primary, nowMs)
    } else if (!hasTimelyTry(pending)) {
      this.#close(pending)
      this.#events.unanswered(pending, nowMs)
    }
  }

  #start(upstream: Upstream, pending: Pending, exchange: Exchange, nowMs: number): void {
    const attempt = this.#spare.pop() ?? createAttempt(pending, upstream, exchange)
    attempt.begin(pending, upstream, exchange, nowMs)
    count(this.#counters, UPSTREAM_QUERIES + upstream.index)
    this.#wait(attempt, nowMs, this.#settings.tryTimeoutMs)
    exchange.send(attempt)
  }

  #wait(item: Timed, nowMs: number, waitMs: number): void {
    this.#wheel.add(item, nowMs + waitMs)
    if (item.deadlineMs < this.#wakeMs || this.#wakeMs < nowMs - LATE_MS) this.#arm(nowMs)
  }

  #askDeferred(): void {
    if (this.#closed) return
    for (const pending of this.#later) this.#tryNext(pending, pending.startedMs)
    this.#later.length = 0
  }

  /** The question is over: replies to its tries answer nothing any more. */
  #close(pending: Pending): void {
    while (pending.attempts !== null) {
      const attempt = pending.attempts
      attempt.exchange.cancel(attempt)
      this.#release(attempt)
    }
    this.#wheel.remove(pending)
    this.#open--
    pending.open = false
  }

  /** Takes a try back that no exchange knows any more. */
  #release(attempt: Attempt): void {
    this.#wheel.remove(attempt)
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
    return hasTimelyTry(pending) || this.#mayTry(pending, nowMs)
  }

  /**
   * The next upstream in the configured order that is not passed over; when all are, the next
   * anyway.
   */
  #select(pending: Pending, nowMs: number): Upstream {
    const upstreams = this.#upstreams
    const amount = upstreams.length
    const first = pending.upstream === NO_UPSTREAM ? 0 : pending.upstream + 1
    for (let step = 0; step < amount; step++) {
      const upstream = upstreams[(first + step) % amount]!
      if (upstream.isUp(nowMs)) {
        upstream.noteAsked(nowMs)
        return upstream
      }
    }
    return upstreams[first % amount]!
  }

  #noteFailure(upstream: Upstream, reason: number, nowMs: number): void {
    count(this.#counters, failureSlot(upstream.index, reason))
    if (upstream.noteFailure(nowMs)) this.#counters[UPSTREAM_UP + upstream.index] = 0
  }

  /** Lets the timer fire when the wheel has something due. */
  #arm(nowMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#wakeMs = this.#wheel.nextMs
    if (this.#wakeMs === NEVER) return
    this.#timer = setTimeout(this.#onTimer, Math.max(1, Math.ceil(this.#wakeMs - nowMs)))
  }

  #expire(): void {
    const nowMs = performance.now()
    let due = this.#wheel.take(nowMs)
    while (due !== null) {
      if (due instanceof Attempt) this.#expireAttempt(due, nowMs)
      else if (due instanceof Pending) this.#events.outwaited(due, nowMs)
      due = this.#wheel.take(nowMs)
    }
    this.#arm(nowMs)
  }

  #expireAttempt(attempt: Attempt, nowMs: number): void {
    const { pending, upstream } = attempt
    attempt.overdue = true
    attempt.exchange.overdue(attempt)
    this.#noteFailure(upstream, FAILURE_TIMEOUT, nowMs)
    this.#tryNext(pending, nowMs)
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

/** True when a try is under way whose time is not over. */
function hasTimelyTry(pending: Pending): boolean {
  for (let at = pending.attempts; at !== null; at = at.next) if (!at.overdue) return true
  return false
}

function createAttempt(pending: Pending, upstream: Upstream, exchange: Exchange): Attempt {
  return new Attempt(pending, upstream, exchange)
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

/** True when both settings ask the same upstreams in the same way. */
export function forwardsAlike(left: DataplaneSettings, right: DataplaneSettings): boolean {
  return forwardingOf(left) === forwardingOf(right)
}

function forwardingOf(settings: DataplaneSettings): string {
  const { upstreams, forward, upstreamAuthorities, cache } = settings
  return JSON.stringify([upstreams, forward, upstreamAuthorities, cache.failureSecondsMax])
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
