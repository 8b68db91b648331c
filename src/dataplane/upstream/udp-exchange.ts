/**
 * UDP to one upstream: a pool of connected sockets on random ports. A query draws its socket and
 * its id from a CSPRNG; sockets retire after some use, so the ports keep changing (RFC 5452 9.2,
 * 10).
 */
import { createSocket, type Socket } from 'node:dgram'
import { HEADER_OCTETS, OFFSET_ID, readU16 } from '../../wire/header.ts'
import { FAILURE_NETWORK } from '../counters.ts'
import type { Endpoint } from '../settings.ts'
import type { Attempt } from './attempt.ts'
import { matchesQuestion, type Exchange, type ExchangeEvents } from './exchange.ts'
import { NO_ID, drawId, randomPort, randomU16 } from './random.ts'

/** A `dgram` socket costs more than a bare descriptor: an off-path guess is one in 2^25 here. */
const SOCKETS_MAX = 512
/** Queries that one port serves before it is given back. */
const USES_MAX = 256
const AGE_MS_MAX = 120_000
const IDLE_MS_MAX = 30_000
/** Draws for a free port before the try counts as failed. */
const DRAWS_MAX = 16

/** One socket on one random port. */
class Port {
  readonly socket: Socket
  readonly inFlight = new Map<number, Attempt>()
  /** Questions that came before the socket was connected. */
  readonly waiting: Attempt[] = []
  readonly openedMs: number
  usedMs: number
  connected = false
  retired = false
  uses = 0

  constructor(socket: Socket, nowMs: number) {
    this.socket = socket
    this.openedMs = nowMs
    this.usedMs = nowMs
  }
}

/** One upstream over UDP. */
export class UdpExchange implements Exchange {
  readonly #endpoint: Endpoint
  readonly #events: ExchangeEvents
  readonly #portsMax: number
  readonly #ports: Port[] = []
  /** Retired ports that still wait for replies. */
  readonly #retired = new Set<Port>()

  constructor(endpoint: Endpoint, events: ExchangeEvents, portsMax: number) {
    this.#portsMax = Math.min(SOCKETS_MAX, portsMax)
    this.#endpoint = endpoint
    this.#events = events
  }

  send(attempt: Attempt): void {
    const port = this.#ports.length < this.#portsMax ? this.#openPort() : this.#drawPort()
    attempt.port = port
    port.uses++
    port.usedMs = performance.now()
    if (port.connected) this.#transmit(port, attempt)
    else port.waiting.push(attempt)
    if (port.uses >= USES_MAX) this.#retire(port)
  }

  cancel(attempt: Attempt): void {
    const port = attempt.port
    if (!(port instanceof Port)) return
    if (port.inFlight.get(attempt.id) === attempt) port.inFlight.delete(attempt.id)
    const waiting = port.waiting.indexOf(attempt)
    if (waiting !== -1) port.waiting.splice(waiting, 1)
    this.#closeIfDone(port)
  }

  /** A reply that comes late finds its port open. */
  overdue(): void {}

  sweep(nowMs: number): void {
    for (let index = this.#ports.length - 1; index >= 0; index--) {
      const port = this.#ports[index]!
      const old = nowMs - port.openedMs > AGE_MS_MAX || nowMs - port.usedMs > IDLE_MS_MAX
      if (old) this.#retire(port)
    }
  }

  close(): void {
    for (const port of this.#ports) port.socket.close()
    for (const port of this.#retired) port.socket.close()
    this.#ports.length = 0
    this.#retired.clear()
  }

  #drawPort(): Port {
    return this.#ports[randomU16() % this.#ports.length]!
  }

  #openPort(): Port {
    const { address, port: upstreamPort } = this.#endpoint
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    const port = new Port(socket, performance.now())
    let draws = 0
    const bind = (): void => {
      draws++
      socket.bind({ port: randomPort(), exclusive: true })
    }
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' && !port.connected && draws < DRAWS_MAX) bind()
      else this.#closeBroken(port)
    })
    socket.once('listening', () => socket.connect(upstreamPort, address))
    socket.once('connect', () => this.#connected(port))
    socket.on('message', (message) => this.#received(port, message))
    socket.unref()
    this.#ports.push(port)
    bind()
    return port
  }

  #connected(port: Port): void {
    port.connected = true
    for (const attempt of port.waiting) this.#transmit(port, attempt)
    port.waiting.length = 0
  }

  #transmit(port: Port, attempt: Attempt): void {
    const id = drawId(port.inFlight)
    if (id === NO_ID) {
      this.#events.failed(attempt, FAILURE_NETWORK)
      return
    }
    attempt.setId(id)
    port.inFlight.set(id, attempt)
    port.socket.send(attempt.message.slice(0, attempt.octets))
  }

  #received(port: Port, message: Uint8Array): void {
    const octets = message.length
    const attempt =
      octets < HEADER_OCTETS ? undefined : port.inFlight.get(readU16(message, OFFSET_ID))
    if (attempt === undefined || !matchesQuestion(message, octets, attempt)) {
      this.#events.mismatched()
      return
    }
    const nowMs = performance.now()
    if (!this.#events.accepts(attempt, message, octets, nowMs)) return
    port.inFlight.delete(attempt.id)
    this.#closeIfDone(port)
    this.#events.replied(attempt, message, octets, nowMs)
  }

  /** An ICMP error or a failed bind: nothing on this port can be answered any more. */
  #closeBroken(port: Port): void {
    const lost = [...port.inFlight.values(), ...port.waiting]
    port.inFlight.clear()
    port.waiting.length = 0
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
    if (!port.retired || port.inFlight.size > 0 || port.waiting.length > 0) return
    if (this.#retired.delete(port)) port.socket.close()
  }
}
