/** How an exchange over a stream reaches its upstream: in clear over TCP, or through TLS. */
import { connect, type Socket } from 'node:net'
import { FAILURE_NETWORK } from '../counters.ts'
import type { Endpoint } from '../settings.ts'

/** Makes the connections of one exchange, one after another. */
export interface StreamLink {
  /** The event after which queries may be written: for TLS not before the peer is proved. */
  readonly readyEvent: 'connect' | 'secureConnect'
  /** True: queries are padded (RFC 8467). */
  readonly pads: boolean
  /** A connection on which nothing waits is closed after this long. */
  readonly idleMsMax: number
  /** Starts a connection. */
  open(): Socket
  /** Why a connection ended that never became ready: one of `FAILURE_*`. */
  reasonOf(socket: Socket): number
}

/** One upstream in clear over TCP. */
export class TcpLink implements StreamLink {
  readonly readyEvent = 'connect'
  readonly pads = false
  readonly idleMsMax = 10_000
  readonly #endpoint: Endpoint

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint
  }

  open(): Socket {
    return openTcp(this.#endpoint)
  }

  reasonOf(): number {
    return FAILURE_NETWORK
  }
}

function openTcp({ address, port }: Endpoint): Socket {
  return connect({ host: address, port, noDelay: true })
}
