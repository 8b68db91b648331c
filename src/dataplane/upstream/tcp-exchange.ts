/**
 * TCP to one upstream: one connection, kept and pipelined (RFC 7766 6.2.1), opened when it is
 * needed. Used when an answer was truncated, and for upstreams that are asked over TCP only.
 */
import { connect, type Socket } from 'node:net'
import { HEADER_OCTETS, OFFSET_ID, readU16, writeU16 } from '../../wire/header.ts'
import type { Endpoint } from '../settings.ts'
import type { Attempt } from './attempt.ts'
import { matchesQuestion, type Exchange, type ExchangeEvents } from './exchange.ts'
import { NO_ID, drawId } from './random.ts'
import { StreamReader } from '../../wire/stream-reader.ts'

/**
 * Questions on one connection at a time; more fail over rather than queue behind a slow upstream.
 */
const IN_FLIGHT_MAX = 4096
const IDLE_MS_MAX = 10_000

/** One upstream over TCP. */
export class TcpExchange implements Exchange {
  readonly #endpoint: Endpoint
  readonly #events: ExchangeEvents
  readonly #inFlight = new Map<number, Attempt>()
  #socket: Socket | null = null
  #usedMs = 0
  /** When the question was sent that opened the current connection. */
  #openedMs = 0
  /** When the upstream was last heard on the current connection. */
  #receivedMs = 0

  constructor(endpoint: Endpoint, events: ExchangeEvents) {
    this.#endpoint = endpoint
    this.#events = events
  }

  send(attempt: Attempt): void {
    const id = this.#inFlight.size >= IN_FLIGHT_MAX ? NO_ID : drawId(this.#inFlight)
    if (id === NO_ID) {
      this.#events.failed(attempt)
      return
    }
    attempt.setId(id)
    this.#usedMs = performance.now()
    const framed = new Uint8Array(2 + attempt.octets)
    writeU16(framed, 0, attempt.octets)
    framed.set(attempt.message.subarray(0, attempt.octets), 2)
    if (this.#socket === null) {
      this.#openedMs = attempt.sentMs
      this.#socket = this.#openSocket()
    }
    attempt.port = this.#socket
    this.#inFlight.set(id, attempt)
    this.#socket.write(framed)
  }

  cancel(attempt: Attempt): void {
    if (this.#inFlight.get(attempt.id) === attempt) this.#inFlight.delete(attempt.id)
  }

  overdue(attempt: Attempt): void {
    const silent = attempt.sentMs >= this.#openedMs && this.#receivedMs < attempt.sentMs
    if (silent) this.#leaveSocket()
  }

  sweep(nowMs: number): void {
    if (this.#inFlight.size > 0 || nowMs - this.#usedMs <= IDLE_MS_MAX) return
    this.#socket?.end()
    this.#leaveSocket()
  }

  close(): void {
    this.#inFlight.clear()
    this.#socket?.destroy()
    this.#socket = null
  }

  /** The next question gets a new connection; what this one still brings is welcome. */
  #leaveSocket(): void {
    const socket = this.#socket
    if (socket === null) return
    this.#socket = null
    // No FIN yet: some servers answer nothing that they still owe once they have seen it.
    socket.setTimeout(IDLE_MS_MAX)
  }

  #openSocket(): Socket {
    const { address, port } = this.#endpoint
    const socket = connect({ host: address, port, noDelay: true })
    const reader = new StreamReader()
    socket.on('data', (chunk) => {
      this.#receivedMs = performance.now()
      reader.push(chunk)
      for (let message = reader.next(); message !== null; message = reader.next()) {
        this.#received(message)
      }
    })
    // 'error' is always followed by 'close', where the open questions fail over.
    socket.on('error', () => socket.destroy())
    socket.on('timeout', () => socket.destroy())
    socket.on('close', () => this.#closeSocket(socket))
    socket.unref()
    return socket
  }

  #received(message: Uint8Array): void {
    const octets = message.length
    const attempt =
      octets < HEADER_OCTETS ? undefined : this.#inFlight.get(readU16(message, OFFSET_ID))
    if (attempt === undefined || !matchesQuestion(message, octets, attempt)) {
      this.#events.mismatched()
      return
    }
    this.#inFlight.delete(attempt.id)
    this.#usedMs = this.#receivedMs
    this.#events.replied(attempt, message, octets, this.#receivedMs)
  }

  /** The connection is gone: what it had not answered fails over. */
  #closeSocket(socket: Socket): void {
    if (this.#socket === socket) this.#socket = null
    for (const attempt of Array.from(this.#inFlight.values())) {
      // One failure may close a question, and with it other tries of this list.
      if (attempt.port !== socket || this.#inFlight.get(attempt.id) !== attempt) continue
      this.#inFlight.delete(attempt.id)
      this.#events.failed(attempt)
    }
  }
}
