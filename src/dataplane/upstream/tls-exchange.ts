/** DNS over TLS to one upstream (RFC 7858): the exchange over a stream, through TLS. */
import type { UpstreamSettings } from '../settings.ts'
import type { Exchange, ExchangeEvents } from './exchange.ts'
import { TcpExchange } from './tcp-exchange.ts'
import { ALPN_DOT, TlsLink } from './tls-link.ts'

/** Makes the exchange; `authorities` are PEM, undefined: those that Node.js ships. */
export function createTlsExchange(
  settings: UpstreamSettings,
  events: ExchangeEvents,
  authorities: string | undefined,
): Exchange {
  return new TcpExchange(new TlsLink(settings, authorities, ALPN_DOT), events)
}
