/**
 * One HTTP request that carries a DNS message (RFC 8484 4.1): in the body of a POST, or in the path
 * of a GET. A message that can be answered at all is answered with 200, whatever its rcode.
 */
import { constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import {
  HTTP_BAD_REQUEST,
  HTTP_BUSY,
  HTTP_METHOD,
  HTTP_NOT_FOUND,
  HTTP_REJECTED,
  HTTP_STATUSES,
  HTTP_TOO_LARGE,
  HTTP_TYPE,
  count,
} from '../counters.ts'
import type { ReplySink, Waiter } from '../query.ts'
import { MESSAGE_OCTETS_MAX } from '../../wire/header.ts'
import { freshSeconds } from '../../wire/records.ts'
import type { HttpsConnection } from './https-connection.ts'

/** Where questions are asked; what DDR and clients' configurations name. */
export const HTTPS_PATH = '/dns-query'

const CONTENT_TYPE = 'application/dns-message'
const PARAMETER = 'dns='
const BASE64URL = /^[A-Za-z0-9_-]+$/
const NO_OCTETS = Buffer.alloc(0)

/** A request from its headers to its response. */
export class HttpsRequest implements ReplySink {
  readonly startedMs: number
  readonly #request: Http2ServerRequest
  readonly #response: Http2ServerResponse
  readonly #connection: HttpsConnection
  #body: Buffer = NO_OCTETS
  #ended = false
  /** Octets of the response, until the client has taken them. */
  #octets = 0

  constructor(
    request: Http2ServerRequest,
    response: Http2ServerResponse,
    connection: HttpsConnection,
  ) {
    this.#request = request
    this.#response = response
    this.#connection = connection
    this.startedMs = connection.activeMs
    request.on('error', () => this.#gone())
    response.on('error', () => this.#gone())
    response.on('close', () => this.#gone())
  }

  /** Reads the message and answers it, or says why not. */
  read(): void {
    const request = this.#request
    const url = request.url
    const query = url.indexOf('?')
    const path = query === -1 ? url : url.slice(0, query)
    if (path !== HTTPS_PATH) this.#refuse(HTTP_NOT_FOUND)
    else if (this.#connection.isFull) this.#refuse(HTTP_BUSY)
    else if (request.method === 'GET') this.#readPath(query === -1 ? '' : url.slice(query + 1))
    else if (request.method === 'POST') this.#readBody()
    else this.#refuse(HTTP_METHOD)
  }

  hold(waiter: Waiter): void {
    waiter.takeClient(this.#connection.client)
  }

  /** An answer that had to be waited for. */
  send(reply: Uint8Array, octets: number): boolean {
    this.#connection.inFlight--
    // HTTP/2 writes when Node gets its turn.
    this.#connection.listener.loop?.yieldSoon()
    return this.#respond(reply, octets)
  }

  #readPath(query: string): void {
    const text = parameterOf(query)
    if (text === '' || !isBase64url(text)) {
      this.#refuse(HTTP_BAD_REQUEST)
      return
    }
    this.#handle(Buffer.from(text, 'base64url'))
  }

  #readBody(): void {
    const request = this.#request
    const { 'content-type': type, 'content-length': length } = request.headers
    if (!isDnsMessage(type)) {
      this.#refuse(HTTP_TYPE)
    } else if (Number(length ?? 0) > MESSAGE_OCTETS_MAX) {
      this.#refuse(HTTP_TOO_LARGE)
    } else {
      request.on('data', this.#onData)
      request.on('end', this.#onEnd)
    }
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#ended) return
    const octets = this.#body.length + chunk.length
    if (octets > MESSAGE_OCTETS_MAX) this.#refuse(HTTP_TOO_LARGE)
    else this.#body = this.#body.length === 0 ? chunk : Buffer.concat([this.#body, chunk], octets)
  }

  readonly #onEnd = (): void => {
    if (!this.#ended) this.#handle(this.#body)
  }

  #handle(message: Buffer): void {
    const connection = this.#connection
    connection.arrived(this)
    if (message.length > MESSAGE_OCTETS_MAX) {
      this.#refuse(HTTP_TOO_LARGE)
      return
    }
    if (connection.isBusy) {
      this.#refuse(HTTP_BUSY)
      return
    }
    const { handler, reply } = connection.listener
    const receivedMs = performance.now()
    connection.activeMs = receivedMs
    connection.inFlight++
    const { client } = connection
    const octets = handler.handle(message, message.length, reply, client, this, receivedMs)
    if (octets < 0) return
    connection.inFlight--
    if (octets === 0) {
      // Counted as dropped: no message that could be answered.
      this.#refuse(HTTP_BAD_REQUEST)
      return
    }
    const code = handler.replyCode
    if (this.#respond(reply, octets)) handler.countSent(code, performance.now() - receivedMs)
    else handler.countUnsent()
  }

  /**
   * The lowest TTL is how long a cache of the client may keep it. One that others share may not:
   * what is blocked may differ by client.
   */
  #respond(reply: Uint8Array, octets: number): boolean {
    const response = this.#response
    if (this.#ended || response.writableEnded || response.destroyed) return false
    this.#octets = octets
    this.#connection.responding(octets)
    response.setHeader('content-type', CONTENT_TYPE)
    response.setHeader('content-length', octets)
    response.setHeader('cache-control', 'private, max-age=' + String(freshSeconds(reply, octets)))
    response.end(Buffer.from(reply.subarray(0, octets)))
    return true
  }

  /** Refuses the request without a DNS message; `reason` is one of `HTTP_*`. */
  #refuse(reason: number): void {
    this.#ended = true
    this.#connection.arrived(this)
    count(this.#connection.listener.counters, HTTP_REJECTED + reason)
    const response = this.#response
    response.statusCode = HTTP_STATUSES[reason]!
    if (reason === HTTP_METHOD) response.setHeader('allow', 'GET, POST')
    response.setHeader('content-length', 0)
    response.end()
    const request = this.#request
    if (request.method !== 'POST' || request.complete) return
    // What is still to come of the body is not read.
    if (request.httpVersionMajor > 1) request.stream.close(constants.NGHTTP2_NO_ERROR)
    else request.socket.end()
  }

  /** The response was taken, or there is nobody to take it. */
  #gone(): void {
    this.#ended = true
    const octets = this.#octets
    this.#octets = 0
    this.#connection.arrived(this)
    this.#connection.responded(octets)
  }
}

/** The value of `dns` in a query part; empty when it is not there. */
function parameterOf(query: string): string {
  const start = query.startsWith(PARAMETER) ? 0 : query.indexOf('&' + PARAMETER) + 1
  if (start === 0 && !query.startsWith(PARAMETER)) return ''
  const end = query.indexOf('&', start)
  return query.slice(start + PARAMETER.length, end === -1 ? query.length : end)
}

/** Without padding, as RFC 8484 6 has it. */
function isBase64url(text: string): boolean {
  return BASE64URL.test(text) && text.length % 4 !== 1
}

function isDnsMessage(contentType: string | undefined): boolean {
  if (contentType === undefined) return false
  const end = contentType.indexOf(';')
  const media = end === -1 ? contentType : contentType.slice(0, end)
  return media.trim().toLowerCase() === CONTENT_TYPE
}
