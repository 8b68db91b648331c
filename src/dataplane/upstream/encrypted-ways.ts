/**
 * The encrypted ways to upstreams, loaded when an upstream needs them: TLS and HTTP/2 cost a worker
 * milliseconds of its start and megabytes of its memory.
 */
import type { UpstreamSettings } from '../settings.ts'
import type { Exchange, ExchangeEvents } from './exchange.ts'

type CreateExchange = (
  settings: UpstreamSettings,
  events: ExchangeEvents,
  authorities: string | undefined,
) => Exchange

/** One per worker. */
export class EncryptedWays {
  #tls: CreateExchange | undefined
  #https: CreateExchange | undefined

  /** Loads what these upstreams need and was not loaded yet. */
  async open(upstreams: readonly UpstreamSettings[]): Promise<void> {
    for (const { protocol } of upstreams) {
      if (protocol === 'tls') {
        this.#tls ??= (await import('./tls-exchange.ts')).createTlsExchange
      } else if (protocol === 'https') {
        this.#https ??= (await import('./https-exchange.ts')).createHttpsExchange
      }
    }
  }

  /** Makes the exchange of a `tls` or `https` upstream for which `open` was called. */
  createExchange(
    settings: UpstreamSettings,
    events: ExchangeEvents,
    authorities: string | undefined,
  ): Exchange {
    const create = settings.protocol === 'tls' ? this.#tls : this.#https
    if (create === undefined) throw new TypeError(`${settings.protocol} was not loaded`)
    return create(settings, events, authorities)
  }
}
