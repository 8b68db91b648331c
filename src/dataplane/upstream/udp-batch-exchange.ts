/**
 * UDP to one upstream in batches: all questions of one burst leave by one sendmmsg from one port,
 * drawn for that burst from a CSPRNG among thousands of open ones; replies are read by recvmmsg.
 * The sockets are connected, so the system itself drops what comes from elsewhere and reports a
 * dead upstream.
 */
import { createSocket, type Socket } from 'node:dgram'
import { NOTHING, DatagramBatch } from '../../sys/datagram-batch.ts'
import type { Libc } from '../../sys/libc.ts'
import { openConnectedSocket } from '../../sys/socket.ts'
import { HEADER_OCTETS, OFFSET_ID, readU16 } from '../../wire/header.ts'
import { FAILURE_NETWORK } from '../counters.ts'
import type { Endpoint } from '../settings.ts'
import type { Attempt } from './attempt.ts'
import { matchesQuestion, type Exchange, type ExchangeEvents } from './exchange.ts'
import { NO_ID, drawId, randomPort, randomU16 } from './random.ts'

/** Queries after which a port is given back, checked at the end of its burst. */
const USES_MAX = 1024
const AGE_MS_MAX = 120_000
/** Draws for a free port before the system is taken to have none. */
const DRAWS_MAX = 16
/** How long no new port is tried after the system had none. */
const NO_FRESH_MS = 1000
const BATCH_SLOTS = 64
/** Room for the largest reply that we can have asked for (`edns.udpOctetsMax`). */
const SLOT_OCTETS = 4096
const CALLS_PER_TURN = 16

/** One open port. */
class Port {
  readonly fd: number
  readonly socket: Socket
  readonly inFlight = new Map<number, Attempt>()
  readonly openedMs: number
  retired = false
  uses = 0

  constructor(fd: number, socket: Socket, nowMs: number) {
    this.fd = fd
    this.socket = socket
    this.openedMs = nowMs
  }
}

/** One upstream over UDP, in batches. */
export class UdpBatchExchange implements Exchange {
  readonly #endpoint: Endpoint
  readonly #events: ExchangeEvents
  readonly #libc: Libc
  readonly #ports: Port[] = []
  /** Retired ports that still wait for replies. */
  readonly #retired = new Set<Port>()
  readonly #out: DatagramBatch
  readonly #in: DatagramBatch
  readonly #flush: () => void
  /** The port of the burst that is being gathered. */
  #burst: Port | null = null
  readonly #portsMax: number
  /** The system refused a socket: until then the open ones have to do. */
  #noFreshUntilMs = 0
  #closed = false

  constructor(endpoint: Endpoint, events: ExchangeEvents, libc: Libc, portsMax: number) {
    this.#portsMax = portsMax
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
      process.nextTick(this.#flush)
    }
    const id = drawId(port.inFlight)
    if (id === NO_ID) {
      this.#events.failed(attempt, FAILURE_NETWORK)
      return
    }
    attempt.setId(id)
    attempt.port = port
    port.inFlight.set(id, attempt)
    port.uses++
    const slot = this.#out.queued
    const message = this.#out.messages[slot]!
    const octets = attempt.octets
    for (let i = 0; i < octets; i++) message[i] = attempt.message[i]!
    this.#out.queue(slot, octets, 0)
  }

  cancel(attempt: Attempt): void {
    const port = attempt.port
    if (!(port instanceof Port) || port.inFlight.get(attempt.id) !== attempt) return
    port.inFlight.delete(attempt.id)
    this.#closeIfDone(port)
  }

  /** A reply that comes late finds its port open. */
  overdue(): void {}

  sweep(nowMs: number): void {
    for (let index = this.#ports.length - 1; index >= 0; index--) {
      const port = this.#ports[index]!
      if (port !== this.#burst && nowMs - port.openedMs > AGE_MS_MAX) this.#retire(port)
    }
  }

  close(): void {
    this.#closed = true
    for (const port of this.#ports) port.socket.close()
    for (const port of this.#retired) port.socket.close()
    this.#ports.length = 0
    this.#retired.clear()
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
      const socket = createSocket(this.#endpoint.address.includes(':') ? 'udp6' : 'udp4')
      const port = new Port(fd, socket, performance.now())
      socket.on('error', () => this.#closeBroken(port))
      socket.on('message', (message) => this.#woken(port, message))
      socket.bind({ fd })
      socket.unref()
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
  }

  #woken(port: Port, first: Uint8Array): void {
    const nowMs = performance.now()
    this.#received(port, first, first.length, nowMs)
    const batch = this.#in
    for (let calls = 0; calls < CALLS_PER_TURN && !port.retired; calls++) {
      const received = batch.receive(port.fd, 0)
      if (received <= NOTHING) break
      for (let slot = 0; slot < received; slot++) {
        if (batch.wasCut(slot)) this.#events.mismatched()
        else this.#received(port, batch.messages[slot]!, batch.lengthOf(slot), nowMs)
      }
      if (received < BATCH_SLOTS) break
    }
    this.#closeIfDone(port)
  }

  #received(port: Port, message: Uint8Array, octets: number, nowMs: number): void {
    const attempt =
      octets < HEADER_OCTETS ? undefined : port.inFlight.get(readU16(message, OFFSET_ID))
    if (attempt === undefined || !matchesQuestion(message, octets, attempt)) {
      this.#events.mismatched()
      return
    }
    port.inFlight.delete(attempt.id)
    this.#events.replied(attempt, message, octets, nowMs)
  }

  /** An ICMP error or a refused send: nothing on this port can be answered any more. */
  #closeBroken(port: Port): void {
    if (this.#closed) return
    const lost = Array.from(port.inFlight.values())
    port.inFlight.clear()
    this.#retire(port)
    for (const attempt of lost) {
      // One failure may close a question, and with it other tries of this list.
      if (attempt.port === port) this.#events.failed(attempt, FAILURE_NETWORK)
    }
  }

  #retire(port: Port): void {
    if (port.retired) return
    port.retired = true
    const index = this.#ports.indexOf(port)
    if (index !== -1) {
      this.#ports[index] = this.#ports.at(-1)!
      this.#ports.pop()
    }
    this.#retired.add(port)
    this.#closeIfDone(port)
  }

  #closeIfDone(port: Port): void {
    // What the burst has queued still needs the descriptor.
    if (!port.retired || port.inFlight.size > 0 || port === this.#burst) return
    if (this.#retired.delete(port)) port.socket.close()
  }
}
