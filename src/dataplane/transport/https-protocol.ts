/**
 * DNS over HTTPS (RFC 8484): HTTP/2, and HTTP/1.1 for those who cannot. The listener on TCP accepts
 * and bounds the connections; each is then handed to the HTTP server of this file.
 */
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import type { Socket } from 'node:net'
import type { Client } from '../client.ts'
import { PROTO_HTTPS, TLS_HANDSHAKES_FAILED, count, type Counters } from '../counters.ts'
import type { LimitSettings, TlsIdentity } from '../settings.ts'
import { HttpsConnection } from './https-connection.ts'
import type { StreamConnection, StreamContext, StreamProtocol } from './stream-connection.ts'
import { TLS_VERSION_MIN } from './tls-protocol.ts'

/** Headers of one request: a question in a path takes under 400 octets. */
const HEADER_OCTETS_MAX = 16 * 1024
const HEADER_PAIRS_MAX = 64
/** MiB of one HTTP/2 session, before it takes no more streams. */
const SESSION_MEMORY_MAX = 1

/** The HTTP server behind one listen address. */
export class HttpsProtocol implements StreamProtocol {
  readonly proto = PROTO_HTTPS
  readonly #server: Http2SecureServer
  /** By the client's address and port. */
  readonly #connections = new Map<string, HttpsConnection>()

  constructor(identity: TlsIdentity, limits: LimitSettings, counters: Counters) {
    const server = createSecureServer({
      ...createSecureOptions(identity),
      allowHTTP1: true,
      maxHeaderListPairs: HEADER_PAIRS_MAX,
      maxSessionMemory: SESSION_MEMORY_MAX,
      settings: {
        maxConcurrentStreams: limits.tcpInFlightMax,
        maxHeaderListSize: HEADER_OCTETS_MAX,
      },
    })
    // The sweep of the listener knows which connections are idle.
    server.setTimeout(0)
    server.on('request', (request, response) => this.#received(request, response))
    server.on('tlsClientError', () => count(counters, TLS_HANDSHAKES_FAILED))
    server.on('sessionError', () => {})
    server.on('clientError', (_error, socket) => socket.destroy())
    server.on('unknownProtocol', (socket) => socket.destroy())
    this.#server = server
  }

  /** New connections are greeted with this certificate; open ones go on. */
  set identity(identity: TlsIdentity) {
    this.#server.setSecureContext(createSecureOptions(identity))
  }

  openConnection(
    socket: Socket,
    address: string,
    client: Client,
    listener: StreamContext,
  ): StreamConnection {
    // Over HTTP a client that has closed its side waits for nothing more.
    socket.allowHalfOpen = false
    const key = keyOf(socket)
    const connection = new HttpsConnection(socket, address, client, listener)
    this.#connections.set(key, connection)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      // A new connection may have come from the same port meanwhile.
      if (this.#connections.get(key) === connection) this.#connections.delete(key)
      connection.closed()
    })
    this.#server.emit('connection', socket)
    return connection
  }

  #received(request: Http2ServerRequest, response: Http2ServerResponse): void {
    const connection = this.#connections.get(keyOf(request.socket))
    if (connection === undefined) response.destroy()
    else connection.answer(request, response)
  }
}

/** TLS shows the socket below it by nothing but its two ends. */
function keyOf(socket: {
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
}): string {
  return String(socket.remoteAddress) + ' ' + String(socket.remotePort)
}

function createSecureOptions({ certificate, key, ticketKeys }: TlsIdentity) {
  const tickets = Buffer.from(ticketKeys)
  return { cert: certificate, key, ticketKeys: tickets, minVersion: TLS_VERSION_MIN } as const
}
