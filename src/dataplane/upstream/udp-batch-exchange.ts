/**
 * UDP to one upstream in batches: all questions of one burst leave by one sendmmsg from one port,
 * drawn for that burst from a CSPRNG among thousands of open ones; replies are read by recvmmsg
 * when the worker's own loop says that they are there. The sockets are connected, so the system
 * itself drops what comes from elsewhere and reports a dead upstream.
 */
import { FAILED, DatagramBatch } from '../../sys/datagram-batch.ts'
import type { Libc } from '../../sys/libc.ts'
import type { ReadableSocket, SocketLoop } from '../../sys/socket-loop.ts'
import { closeDescriptor, openConnectedSocket } from '../../sys/socket.ts'
import { HEADER_OCTETS, OFFSET_ID, readU16 } from '../../wire/header.ts'
import { FAILURE_NETWORK } from '../counters.ts'
import type { Endpoint } from '../settings.ts'
import type { Attempt } from './attempt.ts'
import { matchesQuestion, type Exchange, type ExchangeEvents } from './exchange.ts'
import { OpenIds } from './open-ids.ts'
import { NO_ID, drawId, randomPort, randomU16 } from './random.ts'

/** Queries after which a port is given back, checked at the end of its burst. */
const USES_MAX = 1024
const AGE_MS_MAX = 120_000
/** Each port lives shorter by less than this, so that those of one burst do not end together. */
const AGE_SPREAD_MS = 0x10000
/** Draws for a free port before the system is taken to have none. */
const DRAWS_MAX = 16
/** How long no new port is tried after the system had none. */
const NO_FRESH_MS = 1000
const BATCH_SLOTS = 64
/** Room for the largest reply that we can have asked for (`edns.udpOctetsMax`). */
const SLOT_OCTETS = 4096
const CALLS_PER_TURN = 16
const NOT_OPEN = -1

/**
 * One port, open or waiting to be opened again: dozens of new ones a second, each for a minute or
 * two, would all be garbage of the old generation.
 */
class Port implements ReadableSocket {
  fd = NOT_OPEN
  /** Tries that left from here and are not closed. */
  inFlight = 0
  /** When it is given back. */
  endMs = 0
  readonly #exchange: UdpBatchExchange
  retired = false
  closed = true
  uses = 0

  constructor(exchange: UdpBatchExchange) {
    this.#exchange = exchange
  }

  opened(fd: number, nowMs: number): void {
    this.fd = fd
    this.endMs = nowMs + AGE_MS_MAX - (randomU16() % AGE_SPREAD_MS)
    this.retired = false
    this.closed = false
    this.uses = 0
  }

  readable(nowMs: number): boolean {
    return this.#exchange.readReplies(this, nowMs)
  }
}

/** One upstream over UDP, in batches. */
export class UdpBatchExchange implements Exchange {
  readonly #endpoint: Endpoint
  readonly #events: ExchangeEvents
  readonly #libc: Libc
  readonly #loop: SocketLoop
  readonly #ports: Port[] = []
  readonly #ids = new OpenIds()
  /** Retired ports that still wait for replies: few. A Set leaves its tables behind, one by one. */
  readonly #retired: Port[] = []
  /**
   * Closed since the last sweep, the first `#closedCount` of them: what runs at this moment may
   * still hold one. An array that is emptied has to get its memory anew.
   */
  readonly #closedPorts: Port[] = []
  #closedCount = 0
  /** To be opened again. */
  readonly #spare: Port[] = []
  readonly #out: DatagramBatch
  readonly #in: DatagramBatch
  readonly #flush: () => void
  /** The port of the burst that is being gathered. */
  #burst: Port | null = null
  readonly #portsMax: number
  /** The system refused a socket: until then the open ones have to do. */
  #noFreshUntilMs = 0
  #closed = false

  constructor(
    endpoint: Endpoint,
    events: ExchangeEvents,
    libc: Libc,
    loop: SocketLoop,
    portsMax: number,
  ) {
    this.#portsMax = portsMax
    this.#loop = loop
    this.#endpoint = endpoint
    this.#events = events
    this.#libc = libc
    this.#out = new DatagramBatch(libc, BATCH_SLOTS, SLOT_OCTETS)
    this.#in = new DatagramBatch(libc, BATCH_SLOTS, SLOT_OCTETS)
    this.#flush = () => this.#sendBurst()
  }

  send(attempt: Attempt): void {
    if (this.#out.queued === BATCH_SLOTS) this.#sendBurst()
    let port = this.#burst
    if (port === null) {
      port = this.#drawPort()
      if (port === null) {
        this.#events.failed(attempt, FAILURE_NETWORK)
        return
      }
      this.#burst = port
      this.#loop.atTurnEnd(this.#flush)
    }
    const id = drawId(this.#ids)
    if (id === NO_ID) {
      this.#events.failed(attempt, FAILURE_NETWORK)
      return
    }
    attempt.setId(id)
    attempt.port = port
    this.#ids.set(id, attempt)
    port.inFlight++
    this.#loop.awaited++
    port.uses++
    const slot = this.#out.queued
    const message = this.#out.messages[slot]!
    const octets = attempt.octets
    for (let i = 0; i < octets; i++) message[i] = attempt.message[i]!
    this.#out.queue(slot, octets, 0)
  }

  cancel(attempt: Attempt): void {
    const port = attempt.port
    if (!(port instanceof Port) || this.#ids.get(attempt.id) !== attempt) return
    this.#forget(port, attempt)
    this.#closeIfDone(port)
  }

  /** A reply that comes late finds its port open. */
  overdue(): void {}

  sweep(nowMs: number): void {
    for (let index = 0; index < this.#closedCount; index++) {
      this.#spare.push(this.#closedPorts[index]!)
    }
    this.#closedCount = 0
    for (let index = this.#ports.length - 1; index >= 0; index--) {
      const port = this.#ports[index]!
      if (port !== this.#burst && nowMs > port.endMs) this.#retire(port)
    }
  }

  close(): void {
    this.#closed = true
    for (const port of this.#ports) this.#closePort(port)
    for (const port of this.#retired) this.#closePort(port)
    this.#ports.length = 0
    this.#retired.length = 0
  }

  /** A fresh port as long as there is room for more, then one of the open ones. */
  #drawPort(): Port | null {
    const ports = this.#ports
    if (ports.length < this.#portsMax && performance.now() >= this.#noFreshUntilMs) {
      const fresh = this.#openPort()
      if (fresh !== null) return fresh
      this.#noFreshUntilMs = performance.now() + NO_FRESH_MS
    }
    return ports.length === 0 ? null : ports[randomU16() % ports.length]!
  }

  /** Null when the system has no descriptor or no free port for us. */
  #openPort(): Port | null {
    const libc = this.#libc
    for (let draws = 0; draws < DRAWS_MAX; draws++) {
      const local = randomPort()
      const fd = openConnectedSocket(libc, this.#endpoint, local)
      if (fd < 0) continue
      const port = this.#spare.pop() ?? new Port(this)
      port.opened(fd, performance.now())
      if (!this.#loop.ledger.note(fd) || !this.#loop.add(fd, port)) {
        this.#loop.ledger.forget(fd)
        closeDescriptor(libc, fd)
        return null
      }
      this.#ports.push(port)
      return port
    }
    return null
  }

  #sendBurst(): void {
    const port = this.#burst
    this.#burst = null
    if (port === null || this.#closed) return
    const refused = this.#out.send(port.fd)
    if (refused > 0) this.#closeBroken(port)
    else if (port.uses >= USES_MAX) this.#retire(port)
    else this.#closeIfDone(port)
    // Nobody else hears of the replies.
    if (this.#loop.awaited > 0) this.#loop.wake()
  }

  /** Something came in at the port: replies, or the report that the upstream refuses. */
  readReplies(port: Port, nowMs: number): boolean {
    let isSpent = true
    const batch = this.#in
    for (let calls = 0; calls < CALLS_PER_TURN && !port.closed; calls++) {
      const received = batch.receive(port.fd, 0)
      if (received === FAILED) {
        this.#closeBroken(port)
        return false
      }
      isSpent = received === BATCH_SLOTS
      for (let slot = 0; slot < received; slot++) {
        if (batch.wasCut(slot)) this.#events.mismatched()
        else this.#received(port, batch.messages[slot]!, batch.lengthOf(slot), nowMs)
      }
      if (!isSpent) break
    }
    if (!port.closed) this.#closeIfDone(port)
    return isSpent && !port.closed
  }

  #received(port: Port, message: Uint8Array, octets: number, nowMs: number): void {
    const attempt = octets < HEADER_OCTETS ? null : this.#ids.get(readU16(message, OFFSET_ID))
    if (attempt?.port !== port || !matchesQuestion(message, octets, attempt)) {
      this.#events.mismatched()
      return
    }
    if (!this.#events.accepts(attempt, message, octets, nowMs)) return
    this.#forget(port, attempt)
    this.#events.replied(attempt, message, octets, nowMs)
  }

  /** An ICMP error or a refused send: nothing on this port can be answered any more. */
  #closeBroken(port: Port): void {
    if (this.#closed || port.closed) return
    // What is gathered for it leaves, or is refused, before its tries are taken back.
    if (port === this.#burst) this.#sendBurst()
    if (port.closed) return
    const lost = this.#ids.leftFrom(port)
    for (const attempt of lost) this.#forget(port, attempt)
    this.#retire(port)
    for (const attempt of lost) {
      // One failure may close a question, and with it other tries of this list.
      if (attempt.port === port) this.#events.failed(attempt, FAILURE_NETWORK)
    }
  }

  #retire(port: Port): void {
    if (port.retired) return
    port.retired = true
    takeOut(this.#ports, port)
    this.#closeIfDone(port)
    if (!port.closed) this.#retired.push(port)
  }

  #closeIfDone(port: Port): void {
    // What the burst has queued still needs the descriptor.
    if (!port.retired || port.closed || port.inFlight > 0 || port === this.#burst) return
    takeOut(this.#retired, port)
    this.#closePort(port)
  }

  #forget(port: Port, attempt: Attempt): void {
    this.#ids.delete(attempt.id)
    port.inFlight--
    this.#loop.awaited--
  }

  #closePort(port: Port): void {
    this.#loop.awaited -= port.inFlight
    port.inFlight = 0
    port.closed = true
    this.#loop.remove(port.fd)
    this.#loop.ledger.forget(port.fd)
    closeDescriptor(this.#libc, port.fd)
    this.#closedPorts[this.#closedCount++] = port
  }
}

/** The order of the others may change. */
function takeOut(ports: Port[], port: Port): void {
  const index = ports.indexOf(port)
  if (index === -1) return
  ports[index] = ports.at(-1)!
  ports.pop()
}
