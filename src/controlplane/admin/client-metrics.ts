/** What Prometheus sees of clients: their sites, limits and connections. */
import {
  SITE_BLOCKED,
  SITE_LIMITED,
  SITE_QUERIES,
  TCP_ACCEPTED,
  TCP_CLOSED_IDLE,
  TCP_CONNECTIONS,
  TCP_REJECTED,
} from '../../dataplane/counters.ts'
import { define, slotMetric, type Definition, type Sample, type Slots } from './definition.ts'
import type { ServerFacts } from './server-facts.ts'

function perSite(offset: number) {
  return (slots: Slots, facts: ServerFacts): readonly Sample[] =>
    facts.sites.map((site, index) => ({ labels: { site }, value: slots[offset + index]! }))
}

/** In the order of the page. */
export const CLIENT_METRICS: readonly Definition[] = [
  define('tcp_connections', 'gauge', 'Open client connections.', slotMetric(TCP_CONNECTIONS)),
  define(
    'tcp_connections_accepted_total',
    'counter',
    'Client connections accepted.',
    slotMetric(TCP_ACCEPTED),
  ),
  define(
    'tcp_connections_rejected_total',
    'counter',
    'Client connections over a limit: refused, or ended for those of clients with fewer.',
    slotMetric(TCP_REJECTED),
  ),
  define(
    'tcp_connections_timed_out_total',
    'counter',
    'Client connections closed because they were idle, slow or in the way.',
    slotMetric(TCP_CLOSED_IDLE),
  ),
  define(
    'site_queries_total',
    'counter',
    'Messages received, by the site of the client.',
    perSite(SITE_QUERIES),
  ),
  define(
    'site_blocked_total',
    'counter',
    'Blocks answered, by the site of the client.',
    perSite(SITE_BLOCKED),
  ),
  define(
    'site_rate_limited_total',
    'counter',
    'Messages over the query rate, by the site of the client.',
    perSite(SITE_LIMITED),
  ),
]
