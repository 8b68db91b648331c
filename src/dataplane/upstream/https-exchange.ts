/**
 * DNS over HTTPS to one upstream (RFC 8484): each question is a POST on a stream of its own, all on
 * one HTTP/2 connection. `undici` is loaded with the first question, so that those who configure no
 * such upstream do not pay for it.
 */
import type { TLSSocket } from 'node:tls'
import type { Client } from 'undici'
import { OFFSET_ID, readU16 } from '../../wire/header.ts'
import { QUERY_BLOCK_OCTETS, padMessage } from '../../wire/padding.ts'
import { ageTtls } from '../../wire/records.ts'
import { FAILURE_HTTP, FAILURE_NETWORK } from '../counters.ts'
import type { UpstreamSettings } from '../settings.ts'
import { matchesQuestion, type Exchange, type ExchangeEvents } from './exchange.ts'
import { HttpsQuery, type HttpsQueryEvents } from './https-query.ts'
import type { Pending } from './pending.ts'
import { Redial } from './redial.ts'
import { ALPN_H2, TlsLink } from './tls-link.ts'

/** Questions under way at a time; more fail over rather than queue behind a slow upstream. */
const IN_FLIGHT_MAX = 4096
/** Streams asked for at once; the upstream's own limit holds when it is lower. */
const STREAMS_MAX = 256
/** The same for every question, so that equal questions look equal (RFC 8484 4.1). */
const ID = 0
const HEADERS = {
  accept: 'application/dns-message',
  'content-type': 'application/dns-message',
}

type ConnectCallback = (error: Error | null, socket: TLSSocket | null) => void

/** One upstream over HTTP/2. */
export class HttpsExchange implements Exchange, HttpsQueryEvents {
  readonly #settings: UpstreamSettings
  readonly #events: ExchangeEvents
  readonly #link: TlsLink
  readonly #inFlight = new Map<Pending, HttpsQuery>()
  readonly #redial = new Redial()
  #createClient: (() => Client) | null = null
  #loading = false
  #client: Client | null = null
  /** A connection whose handshake goes on. */
  #dialled: TLSSocket | null = null
  #connected = false
  #closed = false
  #usedMs = 0
  /** When the question was sent that opened the current connection. */
  #openedMs = 0
  #receivedMs = 0

  constructor(
    settings: UpstreamSettings,
    events: ExchangeEvents,
    authorities: string | undefined,
  ) {
    this.#settings = settings
    this.#events = events
    this.#link = new TlsLink(settings, authorities, ALPN_H2)
  }

  send(pending: Pending): void {
    if (!this.#connected && this.#redial.isTooEarly(pending.sentMs)) {
      this.#events.failed(pending, this.#redial.reason)
      return
    }
    if (this.#inFlight.size >= IN_FLIGHT_MAX) {
      this.#events.failed(pending, FAILURE_NETWORK)
      return
    }
    pending.setId(ID)
    this.#usedMs = pending.sentMs
    const query = new HttpsQuery(pending, this)
    this.#inFlight.set(pending, query)
    if (this.#createClient !== null) this.#dispatch(query)
    else if (!this.#loading) this.#openLibrary()
  }

  cancel(pending: Pending): void {
    const query = this.#inFlight.get(pending)
    if (query === undefined) return
    this.#inFlight.delete(pending)
    query.abandon()
    const silent = pending.sentMs >= this.#openedMs && this.#receivedMs < pending.sentMs
    if (silent) this.#leaveClient()
  }

  sweep(nowMs: number): void {
    const idle = this.#inFlight.size === 0 && nowMs - this.#usedMs > this.#link.idleMsMax
    if (idle) this.#leaveClient()
  }

  close(): void {
    this.#closed = true
    this.#inFlight.clear()
    this.#dialled?.destroy()
    void this.#client?.destroy(null)
    this.#client = null
  }

  /** A response came whole; `ageSeconds` is how long it has lain in an HTTP cache. */
  completed(pending: Pending, message: Uint8Array, ageSeconds: number): void {
    this.#inFlight.delete(pending)
    this.#usedMs = performance.now()
    this.#receivedMs = this.#usedMs
    const octets = message.length
    const isReply = octets >= pending.questionEnd && readU16(message, OFFSET_ID) === ID
    if (!isReply || !matchesQuestion(message, octets, pending)) {
      this.#events.mismatched()
      this.#events.failed(pending, FAILURE_HTTP)
      return
    }
    if (ageSeconds > 0) ageTtls(message, octets, ageSeconds)
    this.#events.replied(pending, message, octets)
  }

  /** The upstream answered, but with no DNS message. */
  refused(pending: Pending): void {
    this.#inFlight.delete(pending)
    this.#receivedMs = performance.now()
    this.#events.failed(pending, FAILURE_HTTP)
  }

  /** The connection broke, or there never was one. */
  broken(pending: Pending, wasSent: boolean): void {
    this.#inFlight.delete(pending)
    this.#events.failed(pending, wasSent ? FAILURE_NETWORK : this.#redial.reason)
  }

  #dispatch(query: HttpsQuery): void {
    if (this.#client === null) {
      this.#openedMs = query.pending.sentMs
      this.#client = this.#createClient!()
    }
    const { message, octets } = query.pending
    const body = Buffer.alloc(octets + QUERY_BLOCK_OCTETS)
    body.set(message.subarray(0, octets))
    const padded = padMessage(body, octets, QUERY_BLOCK_OCTETS, body.length)
    this.#client.dispatch(
      {
        method: 'POST',
        path: this.#settings.path,
        headers: HEADERS,
        body: body.subarray(0, padded),
        // Asking twice is harmless, and only such requests share a connection.
        idempotent: true,
      },
      query,
    )
  }

  /** The next question gets a new connection; what this one still brings is welcome. */
  #leaveClient(): void {
    void this.#client?.close()
    this.#client = null
    this.#connected = false
    const dialled = this.#dialled
    if (dialled === null) return
    this.#dialled = null
    this.#redial.failed(performance.now(), this.#link.reasonOf(dialled))
    dialled.destroy()
  }

  #openLibrary(): void {
    this.#loading = true
    void import('undici').then((undici) => {
      const { serverName, port } = this.#settings
      this.#createClient = () =>
        new undici.Client(`https://${serverName}:${port}`, {
          allowH2: true,
          pipelining: STREAMS_MAX,
          maxConcurrentStreams: STREAMS_MAX,
          // The forwarder's deadlines end every question.
          headersTimeout: 0,
          bodyTimeout: 0,
          connect: (_options, callback) => this.#openConnection(callback as ConnectCallback),
        })
      if (this.#closed) return
      for (const query of this.#inFlight.values()) this.#dispatch(query)
    })
  }

  #openConnection(callback: ConnectCallback): void {
    const socket = this.#link.open()
    this.#dialled = socket
    let open = true
    const settle = (error: Error | null): void => {
      if (!open) return
      open = false
      if (this.#dialled === socket) this.#dialled = null
      if (error === null) {
        this.#connected = true
        this.#redial.succeeded()
        callback(null, socket)
      } else {
        this.#redial.failed(performance.now(), this.#link.reasonOf(socket))
        // The library reads meanings of its own into codes of TLS errors.
        callback(new Error(error.message), null)
      }
    }
    socket.once('secureConnect', () => {
      if (socket.alpnProtocol === ALPN_H2) settle(null)
      else socket.destroy(new Error('the upstream does not offer HTTP/2'))
    })
    socket.on('error', (error) => settle(error))
    socket.on('close', () => {
      settle(new Error('the upstream closed the connection'))
      this.#connected = false
    })
    socket.unref()
  }
}
