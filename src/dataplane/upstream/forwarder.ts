/**
 * Brings a question to the upstreams: which one, how long to wait, when to try the next. One timer
 * serves all open questions, because every try waits equally long.
 */
import type { Libc } from '../../sys/libc.ts'
import type { SocketLoop } from '../../sys/socket-loop.ts'
import { RCODE_FORMERR, RCODE_NOTIMP, RCODE_REFUSED, RCODE_SERVFAIL } from '../../wire/codes.ts'
import { FLAG_TC, OFFSET_FLAGS, headerRcode, readU16 } from '../../wire/header.ts'
import {
  FAILURE_FORMAT,
  FAILURE_MISMATCH,
  FAILURE_NETWORK,
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
import type { DataplaneSettings, Endpoint, ForwardSettings, UpstreamSettings } from '../settings.ts'
import type { Exchange, ExchangeEvents } from './exchange.ts'
import { DeadlineList, NO_UPSTREAM, type Pending } from './pending.ts'
import { TcpExchange } from './tcp-exchange.ts'
import { UdpBatchExchange } from './udp-batch-exchange.ts'
import { UdpExchange } from './udp-exchange.ts'

/** Tries in a row without a reply after which an upstream is passed over. */
const FAILURES_UNTIL_DOWN = 3
/** How long it is passed over: doubling, and then one real question probes it (RFC 9520 3.2). */
const BACKOFF_MS_MIN = 1000
const BACKOFF_MS_MAX = 30_000
const SWEEP_MS = 5000
/** Timers fire late, never early: three tries of 1.5 s have to fit into 4.5 s. */
const TIMER_SLACK_MS = 250
/** Ports of one upstream: with 16 id bits an off-path guess is one in 2^28 (RFC 5452 7.2). */
const PORTS_MAX = 4096
/** Fewer would be guessed; a machine with so few descriptors has to raise its limit. */
const PORTS_MIN = 16

/** Who asked: gets every question back exactly once. */
export interface ForwardEvents {
  /**
   * False when the message is malformed: the next upstream is tried. The buffer is free after the
   * call.
   */
  answered(pending: Pending, message: Uint8Array, octets: number): boolean
  /** No upstream gave an answer within the time and the tries. */
  unanswered(pending: Pending): void
}

/** What the system lets a worker open. */
export interface SystemSockets {
  /** The system calls for batches of datagrams, where they are to be had. */
  readonly libc: Libc | undefined
  /** The worker's own loop, where there is one. */
  readonly loop: SocketLoop | undefined
  /** Sockets that one worker may keep open towards all its upstreams. */
  readonly upstreamPortsMax: number
}

class Upstream implements ExchangeEvents {
  readonly index: number
  readonly udp: Exchange | null
  readonly tcp: Exchange
  failures = 0
  backoffMs = BACKOFF_MS_MIN
  downUntilMs = 0
  readonly #forwarder: Forwarder

  constructor(
    settings: UpstreamSettings,
    index: number,
    forwarder: Forwarder,
    system: SystemSockets,
  ) {
    this.index = index
    this.#forwarder = forwarder
    this.udp = settings.protocol === 'udp' ? createUdpExchange(settings, this, system) : null
    this.tcp = new TcpExchange(settings, this)
  }

  replied(pending: Pending, message: Uint8Array, octets: number): void {
    this.#forwarder.replied(this, pending, message, octets)
  }

  failed(pending: Pending): void {
    this.#forwarder.tryFailed(this, pending, FAILURE_NETWORK)
  }

  mismatched(): void {
    this.#forwarder.mismatched(this.index)
  }
}

/** All upstreams of one worker, and the questions that are on their way to them. */
export class Forwarder {
  readonly #upstreams: Upstream[] = []
  readonly #settings: ForwardSettings
  #counters: Counters
  readonly #events: ForwardEvents
  readonly #deadlines = new DeadlineList()
  readonly #onTimer: () => void
  readonly #sweepTimer: NodeJS.Timeout
  #timer: NodeJS.Timeout | null = null
  #closed = false
  #retired = false

  constructor(
    upstreams: readonly UpstreamSettings[],
    settings: ForwardSettings,
    counters: Counters,
    events: ForwardEvents,
    system: SystemSockets,
  ) {
    const portsMax = Math.floor(system.upstreamPortsMax / Math.max(1, upstreams.length))
    const share = { ...system, upstreamPortsMax: Math.max(PORTS_MIN, portsMax) }
    this.#settings = settings
    this.#counters = counters
    this.#events = events
    for (const [index, upstream] of upstreams.entries()) {
      this.#upstreams.push(new Upstream(upstream, index, this, share))
      counters[UPSTREAM_UP + index] = 1
    }
    this.#onTimer = () => this.#expire()
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_MS)
    this.#sweepTimer.unref()
  }

  /** Starts the first try. The events may fire before this returns. */
  ask(pending: Pending): void {
    pending.startedMs = performance.now()
    this.#tryNext(pending)
  }

  /** An exchange's reply that has passed the question check. */
  replied(upstream: Upstream, pending: Pending, message: Uint8Array, octets: number): void {
    this.#deadlines.remove(pending)
    const nowMs = performance.now()
    const counters = this.#counters
    count(counters, UPSTREAM_RESPONSES + upstream.index)
    const sum = UPSTREAM_DURATION_SUM_MS + upstream.index
    counters[sum] = counters[sum]! + (nowMs - pending.sentMs)
    this.#noteAlive(upstream)
    if ((readU16(message, OFFSET_FLAGS) & FLAG_TC) !== 0 && !pending.overTcp) {
      this.#start(upstream, pending, upstream.tcp)
      return
    }
    if (isFailure(headerRcode(message)) && this.#mayTry(pending) && this.#upstreams.length > 1) {
      count(counters, failureSlot(upstream.index, FAILURE_RCODE))
      this.#tryNext(pending)
      return
    }
    pending.open = false
    if (this.#events.answered(pending, message, octets)) return
    count(counters, failureSlot(upstream.index, FAILURE_FORMAT))
    pending.open = true
    this.#tryNext(pending)
  }

  /** A try that ended without a reply. */
  tryFailed(upstream: Upstream, pending: Pending, reason: number): void {
    if (this.#closed) return
    this.#deadlines.remove(pending)
    count(this.#counters, failureSlot(upstream.index, reason))
    this.#noteFailure(upstream)
    this.#tryNext(pending)
  }

  mismatched(index: number): void {
    count(this.#counters, failureSlot(index, FAILURE_MISMATCH))
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
    for (const upstream of this.#upstreams) {
      upstream.udp?.close()
      upstream.tcp.close()
    }
  }

  #tryNext(pending: Pending): void {
    const upstream = this.#mayTry(pending) ? this.#select(pending) : null
    if (upstream === null) {
      pending.open = false
      this.#events.unanswered(pending)
      return
    }
    pending.tries++
    pending.upstream = upstream.index
    this.#start(upstream, pending, upstream.udp ?? upstream.tcp)
  }

  #start(upstream: Upstream, pending: Pending, exchange: Exchange): void {
    const nowMs = performance.now()
    pending.sentMs = nowMs
    pending.overTcp = exchange === upstream.tcp
    count(this.#counters, UPSTREAM_QUERIES + upstream.index)
    this.#deadlines.append(pending, nowMs + this.#settings.tryTimeoutMs)
    this.#arm()
    exchange.send(pending)
  }

  #mayTry(pending: Pending): boolean {
    if (pending.tries === 0) return this.#upstreams.length > 0
    if (pending.tries >= this.#settings.triesMax) return false
    const endMs = performance.now() + this.#settings.tryTimeoutMs
    return endMs <= pending.startedMs + this.#settings.totalTimeoutMs + TIMER_SLACK_MS
  }

  /**
   * The next upstream in the configured order that is not passed over; when all are, the next
   * anyway.
   */
  #select(pending: Pending): Upstream {
    const upstreams = this.#upstreams
    const amount = upstreams.length
    const first = pending.upstream === NO_UPSTREAM ? 0 : pending.upstream + 1
    const nowMs = performance.now()
    for (let step = 0; step < amount; step++) {
      const upstream = upstreams[(first + step) % amount]!
      if (upstream.downUntilMs <= nowMs) {
        this.#noteProbe(upstream, nowMs)
        return upstream
      }
    }
    return upstreams[first % amount]!
  }

  /** The question that finds a back-off ended is the probe; the others wait for its result. */
  #noteProbe(upstream: Upstream, nowMs: number): void {
    if (upstream.downUntilMs === 0) return
    upstream.downUntilMs = nowMs + upstream.backoffMs
  }

  #noteAlive(upstream: Upstream): void {
    upstream.failures = 0
    upstream.backoffMs = BACKOFF_MS_MIN
    upstream.downUntilMs = 0
    this.#counters[UPSTREAM_UP + upstream.index] = 1
  }

  #noteFailure(upstream: Upstream): void {
    upstream.failures++
    if (upstream.failures < FAILURES_UNTIL_DOWN) return
    const nowMs = performance.now()
    if (upstream.failures > FAILURES_UNTIL_DOWN && upstream.downUntilMs > nowMs) return
    upstream.downUntilMs = nowMs + upstream.backoffMs
    upstream.backoffMs = Math.min(BACKOFF_MS_MAX, upstream.backoffMs * 2)
    this.#counters[UPSTREAM_UP + upstream.index] = 0
  }

  #arm(): void {
    const first = this.#deadlines.first
    if (this.#timer !== null || first === null) return
    const waitMs = Math.max(1, Math.ceil(first.deadlineMs - performance.now()))
    this.#timer = setTimeout(this.#onTimer, waitMs)
  }

  #expire(): void {
    this.#timer = null
    const nowMs = performance.now()
    let pending = this.#deadlines.first
    while (pending !== null && pending.deadlineMs <= nowMs) {
      const upstream = this.#upstreams[pending.upstream]!
      const exchange = pending.overTcp ? upstream.tcp : upstream.udp
      exchange?.cancel(pending)
      this.tryFailed(upstream, pending, FAILURE_TIMEOUT)
      pending = this.#deadlines.first
    }
    this.#arm()
  }

  #sweep(): void {
    const nowMs = performance.now()
    for (const upstream of this.#upstreams) {
      upstream.udp?.sweep(nowMs)
      upstream.tcp.sweep(nowMs)
    }
    if (this.#retired) this.#closeIfDone()
  }

  #closeIfDone(): void {
    if (this.#deadlines.first === null) this.close()
  }
}

/** In batches where the system calls are to be had. */
function createUdpExchange(
  endpoint: Endpoint,
  events: ExchangeEvents,
  { libc, loop, upstreamPortsMax }: SystemSockets,
): Exchange {
  const portsMax = Math.min(PORTS_MAX, upstreamPortsMax)
  if (libc === undefined || loop === undefined) return new UdpExchange(endpoint, events, portsMax)
  return new UdpBatchExchange(endpoint, events, libc, loop, portsMax)
}

/** Rcodes that another upstream may do better than (RFC 9520 2). */
function isFailure(rcode: number): boolean {
  return (
    rcode === RCODE_SERVFAIL ||
    rcode === RCODE_REFUSED ||
    rcode === RCODE_NOTIMP ||
    rcode === RCODE_FORMERR
  )
}

/** True when both settings ask the same upstreams in the same way. */
export function forwardsAlike(left: DataplaneSettings, right: DataplaneSettings): boolean {
  const what = JSON.stringify([left.upstreams, left.forward])
  return what === JSON.stringify([right.upstreams, right.forward])
}

/** Makes the forwarder that the settings describe. */
export function createForwarder(
  settings: DataplaneSettings,
  counters: Counters,
  events: ForwardEvents,
  system: SystemSockets,
): Forwarder {
  return new Forwarder(settings.upstreams, settings.forward, counters, events, system)
}
