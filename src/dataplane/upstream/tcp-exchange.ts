/**
 * A stream to one upstream, over TCP or TLS: one connection, kept and pipelined (RFC 7766 6.2.1,
 * RFC 7858 3.3), opened when it is needed. Replies may come in any order.
 */
import type { Socket } from 'node:net'
import { HEADER_OCTETS, OFFSET_ID, readU16, writeU16 } from '../../wire/header.ts'
import { QUERY_BLOCK_OCTETS, padMessage } from '../../wire/padding.ts'
import { StreamReader } from '../../wire/stream-reader.ts'
import { FAILURE_NETWORK } from '../counters.ts'
import { matchesQuestion, type Exchange, type ExchangeEvents } from './exchange.ts'
import type { Pending } from './pending.ts'
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
  readonly #inFlight = new Map<number, Pending>()
  /** Questions that wait for the connection to become ready. */
  readonly #unsent = new Set<Pending>()
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

  send(pending: Pending): void {
    if (this.#socket === null && this.#redial.isTooEarly(pending.sentMs)) {
      this.#events.failed(pending, this.#redial.reason)
      return
    }
    const id = this.#inFlight.size >= IN_FLIGHT_MAX ? NO_ID : drawId(this.#inFlight)
    if (id === NO_ID) {
      this.#events.failed(pending, FAILURE_NETWORK)
      return
    }
    pending.setId(id)
    this.#inFlight.set(id, pending)
    this.#usedMs = performance.now()
    if (this.#socket === null) {
      this.#openedMs = pending.sentMs
      this.#socket = this.#openSocket()
    }
    if (this.#ready) this.#write(this.#socket, pending)
    else this.#unsent.add(pending)
  }

  cancel(pending: Pending): void {
    if (this.#inFlight.get(pending.id) === pending) this.#inFlight.delete(pending.id)
    this.#unsent.delete(pending)
    const silent = pending.sentMs >= this.#openedMs && this.#receivedMs < pending.sentMs
    if (silent) this.#leaveSocket()
  }

  sweep(nowMs: number): void {
    const idle = this.#inFlight.size === 0 && nowMs - this.#usedMs > this.#link.idleMsMax
    if (idle) this.#leaveSocket()
  }

  close(): void {
    this.#inFlight.clear()
    this.#unsent.clear()
    const socket = this.#socket
    this.#socket = null
    socket?.destroy()
  }

  /** The next question gets a new connection; what this one still brings is welcome. */
  #leaveSocket(): void {
    const socket = this.#socket
    if (socket === null) return
    this.#socket = null
    this.#unsent.clear()
    if (this.#ready) {
      socket.end()
      socket.setTimeout(this.#link.idleMsMax)
    } else {
      this.#redial.failed(performance.now(), this.#link.reasonOf(socket))
      socket.destroy()
    }
    this.#ready = false
  }

  #openSocket(): Socket {
    const socket = this.#link.open()
    const reader = new StreamReader()
    this.#ready = false
    socket.once(this.#link.readyEvent, () => this.#becomeReady(socket))
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

  #becomeReady(socket: Socket): void {
    if (this.#socket !== socket) return
    this.#ready = true
    this.#redial.succeeded()
    for (const pending of this.#unsent) this.#write(socket, pending)
    this.#unsent.clear()
  }

  #write(socket: Socket, pending: Pending): void {
    const room = pending.octets + (this.#link.pads ? QUERY_BLOCK_OCTETS : 0)
    const framed = new Uint8Array(LENGTH_OCTETS + room)
    const message = framed.subarray(LENGTH_OCTETS)
    message.set(pending.message.subarray(0, pending.octets))
    let octets = pending.octets
    if (this.#link.pads) octets = padMessage(message, octets, QUERY_BLOCK_OCTETS, room)
    writeU16(framed, 0, octets)
    socket.write(framed.subarray(0, LENGTH_OCTETS + octets))
  }

  #received(message: Uint8Array): void {
    const octets = message.length
    const pending =
      octets < HEADER_OCTETS ? undefined : this.#inFlight.get(readU16(message, OFFSET_ID))
    if (pending === undefined || !matchesQuestion(message, octets, pending)) {
      this.#events.mismatched()
      return
    }
    this.#inFlight.delete(pending.id)
    this.#usedMs = performance.now()
    this.#events.replied(pending, message, octets)
  }

  /** The connection is gone: what it had not answered fails over. */
  #closeSocket(socket: Socket): void {
    if (this.#socket !== socket) return
    this.#socket = null
    let reason = FAILURE_NETWORK
    if (!this.#ready) {
      reason = this.#link.reasonOf(socket)
      this.#redial.failed(performance.now(), reason)
    }
    this.#ready = false
    this.#unsent.clear()
    const lost = [...this.#inFlight.values()]
    this.#inFlight.clear()
    for (const pending of lost) this.#events.failed(pending, reason)
  }
}
