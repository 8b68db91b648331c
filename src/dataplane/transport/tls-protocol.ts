/** DNS over TLS (RFC 7858): the same messages as over TCP. Loaded where such a listener is. */
import type { Socket } from 'node:net'
import { TLSSocket, createSecureContext, type SecureContext } from 'node:tls'
import { NO_DESCRIPTOR } from '../../sys/stream-calls.ts'
import type { Client } from '../client.ts'
import { PROTO_TLS, TLS_HANDSHAKES_FAILED, count } from '../counters.ts'
import type { TlsIdentity } from '../settings.ts'
import type { StreamConnection, StreamContext, StreamProtocol } from './stream-connection.ts'
import { TcpConnection } from './tcp-connection.ts'

/** RFC 9325 3.1.1 asks for no less. */
export const TLS_VERSION_MIN = 'TLSv1.2'
/** A client that offers protocols and not this one is turned away (RFC 7301 3.2). */
const ALPN_DOT = ['dot']

/** Through TLS (RFC 7858). The time for a first message covers the handshake too. */
export class TlsProtocol implements StreamProtocol {
  readonly proto = PROTO_TLS
  #context: SecureContext

  constructor(identity: TlsIdentity) {
    this.#context = createTlsContext(identity)
  }

  /** New connections are greeted with this certificate; open ones go on. */
  set identity(identity: TlsIdentity) {
    this.#context = createTlsContext(identity)
  }

  openConnection(
    socket: Socket,
    address: string,
    client: Client,
    listener: StreamContext,
  ): StreamConnection {
    const secure = new TLSSocket(socket, {
      isServer: true,
      secureContext: this.#context,
      ALPNProtocols: ALPN_DOT,
    })
    let established = false
    secure.once('secure', () => {
      established = true
    })
    secure.once('error', () => {
      if (!established) count(listener.counters, TLS_HANDSHAKES_FAILED)
    })
    return new TcpConnection(secure, address, client, listener, NO_DESCRIPTOR)
  }
}

/** The options that every TLS server of ours has. */
export function createTlsContext({ certificate, key, ticketKeys }: TlsIdentity): SecureContext {
  const tickets = Buffer.from(ticketKeys)
  return createSecureContext({
    cert: certificate,
    key,
    ticketKeys: tickets,
    minVersion: TLS_VERSION_MIN,
  })
}
