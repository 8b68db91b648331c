/**
 * TLS to one upstream, strict profile only (RFC 8310 5): its certificate must lead to a known
 * authority and be for the configured name. Connections go to the configured address, so no name is
 * ever looked up, and later ones resume the session of earlier ones.
 */
import type { Socket } from 'node:net'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { FAILURE_NETWORK, FAILURE_TLS } from '../counters.ts'
import type { UpstreamSettings } from '../settings.ts'
import type { StreamLink } from './stream-link.ts'

/** DNS over TLS (RFC 7858 3.1; the protocol's name is registered with IANA). */
export const ALPN_DOT = 'dot'
/** HTTP/2, the least that RFC 8484 5.2 recommends. */
export const ALPN_H2 = 'h2'

/** RFC 9325 3.1.1 asks for no less. */
const VERSION_MIN = 'TLSv1.2'

/** Opens TLS connections to one upstream, and remembers its session. */
export class TlsLink implements StreamLink {
  readonly readyEvent = 'secureConnect'
  readonly pads = true
  /** A handshake costs more than a kept connection (RFC 7858 3.4). */
  readonly idleMsMax = 30_000
  readonly #settings: UpstreamSettings
  readonly #context: SecureContext
  readonly #protocols: string[]
  #session: Buffer | undefined
  /** The connection opened last that reached its peer. */
  #reached: Socket | null = null

  /** @param authorities PEM; undefined: the authorities that Node.js ships. */
  constructor(settings: UpstreamSettings, authorities: string | undefined, protocol: string) {
    this.#settings = settings
    this.#protocols = [protocol]
    this.#context = createSecureContext({
      minVersion: VERSION_MIN,
      ...(authorities === undefined ? {} : { ca: authorities }),
    })
  }

  open(): TLSSocket {
    return this.#openSocket()
  }

  /** Refused and unreachable are the network's; all that happens later is the handshake's. */
  reasonOf(socket: Socket): number {
    this.#session = undefined
    return socket === this.#reached ? FAILURE_TLS : FAILURE_NETWORK
  }

  #openSocket(): TLSSocket {
    const { address, port, serverName } = this.#settings
    const socket = connect({
      host: address,
      port,
      servername: serverName,
      secureContext: this.#context,
      ALPNProtocols: this.#protocols,
      rejectUnauthorized: true,
      ...(this.#session === undefined ? {} : { session: this.#session }),
    })
    socket.setNoDelay(true)
    socket.on('connect', () => {
      this.#reached = socket
    })
    // A session is kept only once its server is proved: resuming it proves nothing anew.
    socket.on('secureConnect', () => this.#remember(socket.getSession()))
    socket.on('session', (session) => {
      if (socket.authorized) this.#remember(session)
    })
    return socket
  }

  #remember(session: Buffer | undefined): void {
    if (session !== undefined) this.#session = session
  }
}
