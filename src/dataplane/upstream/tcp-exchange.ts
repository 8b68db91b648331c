/**
 * A stream to one upstream, over TCP or TLS: one connection, kept and pipelined (RFC 7766 6.2.1,
 * RFC 7858 3.3), opened when it is needed. Replies may come in any order.
 */
import type { Socket } from 'node:net'
import { HEADER_OCTETS, OFFSET_ID, readU16, writeU16 } from '../../wire/header.ts'
import { QUERY_BLOCK_OCTETS, padMessage } from '../../wire/padding.ts'
import { StreamReader } from '../../wire/stream-reader.ts'
import { FAILURE_NETWORK } from '../counters.ts'
import type { Attempt } from './attempt.ts'
import { matchesQuestion, type Exchange, type ExchangeEvents } from './exchange.ts'
import { NO_ID, drawId } from './random.ts'
import { Redial } from './redial.ts'
import type { StreamLink } from './stream-link.ts'

/**
 * Questions on one connection at a time; more fail over rather than queue behind a slow upstream.
 */
const IN_FLIGHT_MAX = 4096
const LENGTH_OCTETS = 2

/** One upstream over one stream at a time. */
export class TcpExchange implements Exchange {
  readonly #link: StreamLink
  readonly #events: ExchangeEvents
  readonly #inFlight = new Map<number, Attempt>()
  /** Framed queries that wait for the connection to become ready. */
  readonly #unsent = new Map<Attempt, Uint8Array>()
  readonly #redial = new Redial()
  #socket: Socket | null = null
  #ready = false
  #usedMs = 0
  /** When the question was sent that opened the current connection. */
  #openedMs = 0
  /** When the upstream was last heard on the current connection. */
  #receivedMs = 0

  constructor(link: StreamLink, events: ExchangeEvents) {
    this.#link = link
    this.#events = events
  }

  send(attempt: Attempt): void {
    if (this.#socket === null && this.#redial.isTooEarly(attempt.sentMs)) {
      this.#events.failed(attempt, this.#redial.reason)
      return
    }
    const id = this.#inFlight.size >= IN_FLIGHT_MAX ? NO_ID : drawId(this.#inFlight)
    if (id === NO_ID) {
      this.#events.failed(attempt, FAILURE_NETWORK)
      return
    }
    attempt.setId(id)
    this.#usedMs = performance.now()
    const framed = this.#frame(attempt)
    if (this.#socket === null) {
      this.#openedMs = attempt.sentMs
      this.#socket = this.#openSocket()
    }
    attempt.port = this.#socket
    this.#inFlight.set(id, attempt)
    if (this.#ready) this.#socket.write(framed)
    else this.#unsent.set(attempt, framed)
  }

  cancel(attempt: Attempt): void {
    if (this.#inFlight.get(attempt.id) === attempt) this.#inFlight.delete(attempt.id)
    this.#unsent.delete(attempt)
  }

  overdue(attempt: Attempt): void {
    const silent = attempt.sentMs >= this.#openedMs && this.#receivedMs < attempt.sentMs
    if (silent) this.#leaveSocket()
  }

  sweep(nowMs: number): void {
    if (this.#inFlight.size > 0 || nowMs - this.#usedMs <= this.#link.idleMsMax) return
    this.#socket?.end()
    this.#leaveSocket()
  }

  close(): void {
    this.#inFlight.clear()
    this.#unsent.clear()
    this.#socket?.destroy()
    this.#socket = null
  }

  /** The next question gets a new connection; what this one still brings is welcome. */
  #leaveSocket(): void {
    const socket = this.#socket
    if (socket === null) return
    this.#socket = null
    // No FIN yet: some servers answer nothing that they still owe once they have seen it.
    if (this.#ready) socket.setTimeout(this.#link.idleMsMax)
    else socket.destroy()
  }

  #openSocket(): Socket {
    const socket = this.#link.open()
    const reader = new StreamReader()
    let wasReady = false
    this.#ready = false
    socket.once(this.#link.readyEvent, () => {
      wasReady = true
      this.#redial.succeeded()
      if (this.#socket === socket) this.#becomeReady(socket)
    })
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
    socket.on('close', () => this.#closeSocket(socket, wasReady))
    socket.unref()
    return socket
  }

  #becomeReady(socket: Socket): void {
    this.#ready = true
    for (const framed of this.#unsent.values()) socket.write(framed)
    this.#unsent.clear()
  }

  /** Returns the query behind its length: the try's message is written anew by the next try. */
  #frame(attempt: Attempt): Uint8Array {
    const pads = this.#link.pads
    const room = attempt.octets + (pads ? QUERY_BLOCK_OCTETS : 0)
    const framed = new Uint8Array(LENGTH_OCTETS + room)
    const message = framed.subarray(LENGTH_OCTETS)
    message.set(attempt.message.subarray(0, attempt.octets))
    const octets = pads
      ? padMessage(message, attempt.octets, QUERY_BLOCK_OCTETS, room)
      : attempt.octets
    writeU16(framed, 0, octets)
    return framed.subarray(0, LENGTH_OCTETS + octets)
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
  #closeSocket(socket: Socket, wasReady: boolean): void {
    const reason = wasReady ? FAILURE_NETWORK : this.#link.reasonOf(socket)
    if (!wasReady) this.#redial.failed(performance.now(), reason)
    if (this.#socket === socket) this.#socket = null
    for (const attempt of Array.from(this.#inFlight.values())) {
      // One failure may close a question, and with it other tries of this list.
      if (attempt.port !== socket || this.#inFlight.get(attempt.id) !== attempt) continue
      this.#inFlight.delete(attempt.id)
      this.#unsent.delete(attempt)
      this.#events.failed(attempt, reason)
    }
  }
}
