/** One client's connection to the HTTPS listener, and the requests that are under way on it. */
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'
import type { Client } from '../client.ts'
import type { ClientAccess } from './client-access.ts'
import { HttpsRequest } from './https-request.ts'
import type { StreamConnection, StreamContext } from './stream-connection.ts'

/** HTTP/2 or HTTP/1.1 makes no difference here. */
export class HttpsConnection implements StreamConnection {
  /** Below TLS. */
  readonly socket: Socket
  readonly address: string
  readonly client: Client
  readonly listener: StreamContext
  inFlight = 0
  activeMs: number
  /** Octets of responses that the client has not taken yet. */
  unsentOctets = 0
  readonly #openedMs: number
  #awaitsFirst = true
  #finishing = false
  /** Requests whose body is still coming, the oldest first. */
  readonly #coming = new Set<HttpsRequest>()

  constructor(socket: Socket, address: string, client: Client, listener: StreamContext) {
    this.socket = socket
    this.address = address
    this.client = client
    this.listener = listener
    this.activeMs = performance.now()
    this.#openedMs = this.activeMs
  }

  get isStuck(): boolean {
    return this.unsentOctets > 0 || this.#finishing
  }

  /** True when the client has to read first. */
  get isFull(): boolean {
    const { limits, unsentOctets } = this.listener
    if (this.unsentOctets >= limits.tcpUnsentOctetsMax) return true
    return this.unsentOctets > 0 && unsentOctets >= limits.tcpUnsentTotalOctetsMax
  }

  /** True when as many queries wait as may; those of streams that were reset wait too. */
  get isBusy(): boolean {
    return this.inFlight >= this.listener.limits.tcpInFlightMax
  }

  isAdmitted(access: ClientAccess): boolean {
    return access.findText(this.address, this.client.octets, this.client)
  }

  isOverdue(nowMs: number, messageMsMax: number): boolean {
    if (this.#awaitsFirst) return nowMs - this.#openedMs > messageMsMax
    for (const request of this.#coming) return nowMs - request.startedMs > messageMsMax
    return false
  }

  /** HTTP/2 says goodbye with its last stream; what is under way is answered. */
  finish(): void {
    this.#finishing = true
    if (this.inFlight === 0 && this.unsentOctets === 0) this.socket.destroySoon()
  }

  answer(request: Http2ServerRequest, response: Http2ServerResponse): void {
    this.activeMs = performance.now()
    this.#awaitsFirst = false
    const asked = new HttpsRequest(request, response, this)
    this.#coming.add(asked)
    asked.read()
  }

  /** The request has come whole, or will not. */
  arrived(request: HttpsRequest): void {
    this.#coming.delete(request)
  }

  /** A response is on its way. */
  responding(octets: number): void {
    this.unsentOctets += octets
    this.listener.unsentOctets += octets
  }

  /** The client has taken a response, or is gone. */
  responded(octets: number): void {
    this.unsentOctets -= octets
    this.listener.unsentOctets -= octets
    this.activeMs = performance.now()
    if (this.#finishing) this.finish()
  }

  closed(): void {
    this.#coming.clear()
    this.listener.forget(this)
  }
}
