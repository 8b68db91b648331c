/**
 * DNS over HTTPS to one upstream (RFC 8484): each question is a POST on a stream of its own, all on
 * one HTTP/2 connection. `undici` is loaded with the first question, so that those who configure no
 * such upstream do not pay for it.
 */
import type { TLSSocket } from 'node:tls'
import type { Client, buildConnector } from 'undici'
import { OFFSET_ID, readU16 } from '../../wire/header.ts'
import { QUERY_BLOCK_OCTETS, padMessage } from '../../wire/padding.ts'
import { ageTtls } from '../../wire/records.ts'
import { FAILURE_HTTP, FAILURE_NETWORK } from '../counters.ts'
import type { UpstreamSettings } from '../settings.ts'
import type { Attempt } from './attempt.ts'
import { matchesQuestion, type Exchange, type ExchangeEvents } from './exchange.ts'
import { HttpsQuery, type HttpsQueryEvents } from './https-query.ts'
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

/** Always the same: the library reads meanings of its own into codes of TLS errors. */
const NO_CONNECTION = new Error('there is no connection to the upstream')

/** The query as a body of its own, for the try's message is written anew by the next try. */
function paddedQuery({ message, octets }: Attempt): Buffer {
  const body = Buffer.alloc(octets + QUERY_BLOCK_OCTETS)
  body.set(message.subarray(0, octets))
  return body.subarray(0, padMessage(body, octets, QUERY_BLOCK_OCTETS, body.length))
}

function destroy(client: Client): void {
  void client.destroy(null)
}

/** One upstream over HTTP/2. */
class HttpsExchange implements Exchange, HttpsQueryEvents {
  readonly #settings: UpstreamSettings
  readonly #events: ExchangeEvents
  readonly #link: TlsLink
  readonly #inFlight = new Map<Attempt, HttpsQuery>()
  readonly #redial = new Redial()
  #createClient: (() => Client) | null = null
  #loading = false
  #client: Client | null = null
  /** A connection whose handshake goes on. */
  #dialled: TLSSocket | null = null
  /** The connection that questions go over, once its peer is proved. */
  #connection: TLSSocket | null = null
  #closed = false
  #usedMs = 0
  /** When the question was sent that opened the current connection. */
  #openedMs = 0
  #receivedMs = 0

  constructor(settings: UpstreamSettings, events: ExchangeEvents, authorities: string | undefined) {
    this.#settings = settings
    this.#events = events
    this.#link = new TlsLink(settings, authorities, ALPN_H2)
  }

  send(attempt: Attempt): void {
    if (this.#connection === null && this.#redial.isTooEarly(attempt.sentMs)) {
      this.#events.failed(attempt, this.#redial.reason)
      return
    }
    if (this.#inFlight.size >= IN_FLIGHT_MAX) {
      this.#events.failed(attempt, FAILURE_NETWORK)
      return
    }
    attempt.setId(ID)
    this.#usedMs = attempt.sentMs
    const query = new HttpsQuery(attempt, paddedQuery(attempt), this)
    this.#inFlight.set(attempt, query)
    if (this.#createClient !== null) this.#dispatch(query)
    else if (!this.#loading) void this.#openLibrary()
  }

  cancel(attempt: Attempt): void {
    const query = this.#inFlight.get(attempt)
    if (query === undefined) return
    this.#inFlight.delete(attempt)
    query.abandon()
  }

  overdue(attempt: Attempt): void {
    const silent = attempt.sentMs >= this.#openedMs && this.#receivedMs < attempt.sentMs
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
  completed(attempt: Attempt, message: Uint8Array, ageSeconds: number): void {
    this.#inFlight.delete(attempt)
    this.#usedMs = performance.now()
    this.#receivedMs = this.#usedMs
    const octets = message.length
    const isReply = octets >= attempt.questionEnd && readU16(message, OFFSET_ID) === ID
    if (!isReply || !matchesQuestion(message, octets, attempt)) {
      this.#events.mismatched()
      this.#events.failed(attempt, FAILURE_HTTP)
      return
    }
    if (ageSeconds > 0) ageTtls(message, octets, ageSeconds)
    this.#events.replied(attempt, message, octets, this.#receivedMs)
  }

  /** The upstream answered, but with no DNS message. */
  refused(attempt: Attempt): void {
    this.#inFlight.delete(attempt)
    this.#receivedMs = performance.now()
    this.#events.failed(attempt, FAILURE_HTTP)
  }

  /** The connection broke, or there never was one. */
  broken(attempt: Attempt, wasSent: boolean): void {
    this.#inFlight.delete(attempt)
    this.#events.failed(attempt, wasSent ? FAILURE_NETWORK : this.#redial.reason)
  }

  #dispatch(query: HttpsQuery): void {
    if (this.#client === null) {
      this.#openedMs = query.attempt.sentMs
      this.#client = this.#createClient!()
    }
    this.#client.dispatch(
      {
        method: 'POST',
        path: this.#settings.path,
        headers: HEADERS,
        body: query.body,
        // Asking twice is harmless, and only such requests share a connection.
        idempotent: true,
      },
      query,
    )
  }

  /** The next question gets a new connection; what this one still brings is welcome. */
  #leaveClient(): void {
    const client = this.#client
    if (client === null) return
    this.#client = null
    this.#connection = null
    this.#dialled?.destroy()
    void client.close()
    // What waits behind a dead connection would keep it for ever.
    setTimeout(destroy, this.#link.idleMsMax, client).unref()
  }

  async #openLibrary(): Promise<void> {
    this.#loading = true
    const undici = await import('undici')
    const { serverName, port } = this.#settings
    const options = {
      allowH2: true,
      pipelining: STREAMS_MAX,
      maxConcurrentStreams: STREAMS_MAX,
      // The forwarder's deadlines end every question.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: (_options: buildConnector.Options, callback: buildConnector.Callback): void =>
        this.#openConnection(callback),
    }
    this.#createClient = () => new undici.Client(`https://${serverName}:${port}`, options)
    if (this.#closed) return
    for (const query of this.#inFlight.values()) this.#dispatch(query)
  }

  #openConnection(callback: buildConnector.Callback): void {
    const socket = this.#link.open()
    this.#dialled = socket
    let open = true
    const settle = (connected: boolean): void => {
      if (!open) return
      open = false
      if (this.#dialled === socket) this.#dialled = null
      if (connected) {
        this.#connection = socket
        this.#redial.succeeded()
        callback(null, socket)
      } else {
        this.#redial.failed(performance.now(), this.#link.reasonOf(socket))
        callback(NO_CONNECTION, null)
      }
    }
    socket.once('secureConnect', () => {
      if (socket.alpnProtocol === ALPN_H2) settle(true)
      else socket.destroy()
    })
    // 'error' is always followed by 'close'.
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      settle(false)
      if (this.#connection === socket) this.#connection = null
    })
    socket.unref()
  }
}

/** Makes the exchange; `authorities` are PEM, undefined: those that Node.js ships. */
export function createHttpsExchange(
  settings: UpstreamSettings,
  events: ExchangeEvents,
  authorities: string | undefined,
): Exchange {
  return new HttpsExchange(settings, events, authorities)
}
