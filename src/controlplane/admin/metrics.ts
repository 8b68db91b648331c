/**
 * What Prometheus sees. Workers count in typed arrays; the numbers get names and labels here, when
 * somebody scrapes. No queried name and no client address appears in any label.
 */
import { Registry, collectDefaultMetrics } from 'prom-client'
import {
  CACHE_ENTRIES,
  CACHE_EVICTIONS,
  CACHE_LOOKUPS,
  CACHE_OCTETS,
  CACHE_RESULTS,
  CATEGORY_SLOTS,
  COALESCED,
  DECISIONS,
  DECISIONS_PASSED,
  DECISIONS_PRIVATE,
  DECISION_ACTIONS,
  DROPPED,
  DROP_REASONS,
  DURATION_BOUNDS_MS,
  DURATION_BUCKETS,
  DURATION_SUM_MS,
  FAILURE_REASONS,
  FAMILIES,
  IN_FLIGHT,
  LIMITED,
  LIMITS,
  OUTCOMES,
  PREFETCHED,
  PROTOS,
  QUERIES,
  QUESTION_TYPES,
  RCODE_SLOTS,
  RESPONSES,
  HTTP_REJECTED,
  HTTP_STATUSES,
  TLS_HANDSHAKES_FAILED,
  TRUNCATED,
  UDP_SEND_ERRORS,
  UPSTREAM_DURATION_SUM_MS,
  UPSTREAM_FAILURES,
  UPSTREAM_QUERIES,
  UPSTREAM_RESPONSES,
  UPSTREAM_UP,
} from '../../dataplane/counters.ts'
import { CLIENT_METRICS } from './client-metrics.ts'
import {
  define,
  labelled,
  single,
  slotMetric,
  type Definition,
  type Sample,
  type Slots,
} from './definition.ts'
import { FLEET_METRICS } from './fleet-metrics.ts'
import { LIST_METRICS } from './list-metrics.ts'
import { REDIS_METRICS, redisLookups } from './redis-metrics.ts'
import { RCODE_NAMES } from './rcode-names.ts'
import type { ServerFacts } from './server-facts.ts'

const PREFIX = 'niveau3_'
/** Gauges whose names end in `_total`: promtool refuses them. */
const REFUSED_DEFAULTS = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
]
/** Stands where a category would: no operator may name one so. */
const PRIVATE_CATEGORY = 'private-address'
/** Rcodes up to REFUSED are always shown, so that rates exist before the first event. */
const RCODES_ALWAYS = 6

/** A metric whose samples are made when it is scraped; prom-client does the formatting. */
class ScrapedMetric {
  name: string
  readonly type: string
  readonly help: string
  readonly #read: () => readonly Sample[]

  constructor(definition: Definition, read: () => readonly Sample[]) {
    this.name = PREFIX + definition.name
    this.type = definition.type
    this.help = definition.help
    this.#read = read
  }

  get(): unknown {
    return { name: this.name, help: this.help, type: this.type, values: this.#read() }
  }
}

/** Both exposition formats of the same numbers. */
export class Metrics {
  readonly #text: Registry
  readonly #openMetrics: Registry

  /** @param facts read anew for every scrape. */
  constructor(facts: () => ServerFacts) {
    this.#text = createRegistry(false, facts)
    this.#openMetrics = createRegistry(true, facts)
  }

  /** Returns the page and its content type; OpenMetrics when the scraper prefers it. */
  async render(openMetrics: boolean): Promise<{ contentType: string; body: string }> {
    const registry = openMetrics ? this.#openMetrics : this.#text
    return { contentType: registry.contentType, body: await registry.metrics() }
  }
}

function createRegistry(openMetrics: boolean, facts: () => ServerFacts): Registry {
  const registry = new Registry()
  if (openMetrics) useOpenMetrics(registry)
  for (const definition of DEFINITIONS) {
    const metric = new ScrapedMetric(definition, () => {
      const now = facts()
      return definition.samples(now.slots, now)
    })
    register(registry, metric)
  }
  collectDefaultMetrics({ register: registry })
  for (const name of REFUSED_DEFAULTS) registry.removeSingleMetric(name)
  return registry
}

/** prom-client's types tie a registry to one content type for life; its code does not. */
function useOpenMetrics(registry: { setContentType: (type: never) => void }): void {
  const type: string = Registry.OPENMETRICS_CONTENT_TYPE
  Reflect.apply(registry.setContentType, registry, [type])
}

/** prom-client formats whatever has `name` and `get()`; its types know only its own classes. */
function register(
  registry: { registerMetric: (metric: never) => void },
  metric: ScrapedMetric,
): void {
  Reflect.apply(registry.registerMetric, registry, [metric])
}

function perUpstream(offset: number) {
  return (slots: Slots, facts: ServerFacts): readonly Sample[] =>
    facts.upstreams.map((upstream, index) => ({
      labels: { upstream },
      value: slots[offset + index]!,
    }))
}

function queries(slots: Slots): readonly Sample[] {
  const samples: Sample[] = []
  let slot = QUERIES
  for (const proto of PROTOS) {
    for (const family of FAMILIES) {
      for (const type of QUESTION_TYPES) {
        samples.push({ labels: { proto, family, type }, value: slots[slot++]! })
      }
    }
  }
  return samples
}

function responses(slots: Slots): readonly Sample[] {
  const samples: Sample[] = []
  for (const [index, outcome] of OUTCOMES.entries()) {
    for (let rcode = 0; rcode < RCODE_SLOTS; rcode++) {
      const value = slots[RESPONSES + index * RCODE_SLOTS + rcode]!
      if (rcode >= RCODES_ALWAYS && value === 0) continue
      samples.push({ labels: { outcome, rcode: RCODE_NAMES[rcode]! }, value })
    }
  }
  return samples
}

function durations(slots: Slots): readonly Sample[] {
  const samples: Sample[] = []
  const name = `${PREFIX}dns_response_duration_seconds`
  const buckets = DURATION_BOUNDS_MS.length + 1
  for (const [index, outcome] of OUTCOMES.entries()) {
    let total = 0
    for (let bucket = 0; bucket < buckets; bucket++) {
      total += slots[DURATION_BUCKETS + index * buckets + bucket]!
      const bound = DURATION_BOUNDS_MS[bucket]
      const le = bound === undefined ? '+Inf' : String(bound / 1000)
      samples.push({ labels: { le, outcome }, value: total, metricName: `${name}_bucket` })
    }
    const sum = slots[DURATION_SUM_MS + index]! / 1000
    samples.push({ labels: { outcome }, value: sum, metricName: `${name}_sum` })
    samples.push({ labels: { outcome }, value: total, metricName: `${name}_count` })
  }
  return samples
}

function decisions(slots: Slots, facts: ServerFacts): readonly Sample[] {
  const samples: Sample[] = []
  for (const [index, action] of DECISION_ACTIONS.entries()) {
    for (const [bit, category] of facts.filter.categories.entries()) {
      const value = slots[DECISIONS + index * CATEGORY_SLOTS + bit]!
      samples.push({ labels: { action, category }, value })
    }
  }
  const withheld = { action: 'block', category: PRIVATE_CATEGORY }
  samples.push({ labels: withheld, value: slots[DECISIONS_PRIVATE]! })
  samples.push({ labels: { action: 'pass', category: 'none' }, value: slots[DECISIONS_PASSED]! })
  return samples
}

function httpRejected(slots: Float64Array): Sample[] {
  return HTTP_STATUSES.map((status, index) => ({
    labels: { status: String(status) },
    value: slots[HTTP_REJECTED + index]!,
  }))
}

function upstreamFailures(slots: Slots, facts: ServerFacts): readonly Sample[] {
  return facts.upstreams.flatMap((upstream, index) =>
    FAILURE_REASONS.map((reason, code) => ({
      labels: { upstream, reason },
      value: slots[UPSTREAM_FAILURES + index * FAILURE_REASONS.length + code]!,
    })),
  )
}

/** Up when any worker can reach it. */
function upstreamUp(slots: Slots, facts: ServerFacts): readonly Sample[] {
  return facts.upstreams.map((upstream, index) => ({
    labels: { upstream },
    value: slots[UPSTREAM_UP + index]! > 0 ? 1 : 0,
  }))
}

function cacheLookups(slots: Slots): readonly Sample[] {
  const memory = CACHE_RESULTS.map((result, index) => ({
    labels: { tier: 'memory', result },
    value: slots[CACHE_LOOKUPS + index]!,
  }))
  return [...memory, ...redisLookups(slots)]
}

const DEFINITIONS: readonly Definition[] = [
  define('build_info', 'gauge', 'Always 1; the version that runs.', (_slots, facts) => [
    { labels: { version: facts.version, node: process.versions.node }, value: 1 },
  ]),
  define('ready', 'gauge', 'Whether each readiness check holds.', (_slots, facts) =>
    facts.checks.map(({ check, ok }) => ({ labels: { check }, value: ok ? 1 : 0 })),
  ),
  define('workers', 'gauge', 'Data plane workers that are alive.', (_slots, facts) =>
    single(facts.workersAlive),
  ),
  define('dns_queries_total', 'counter', 'Messages received.', queries),
  define('dns_responses_total', 'counter', 'Replies sent, by how they came about.', responses),
  define(
    'dns_dropped_total',
    'counter',
    'Messages that got no reply, by reason.',
    labelled(DROPPED, 'reason', DROP_REASONS),
  ),
  define(
    'dns_inflight_queries',
    'gauge',
    'Queries that wait for an upstream.',
    slotMetric(IN_FLIGHT),
  ),
  define(
    'limited_queries_total',
    'counter',
    'Queries answered SERVFAIL, and tries not made, because too many were waiting.',
    labelled(LIMITED, 'limit', LIMITS),
  ),
  define('dns_response_duration_seconds', 'histogram', 'From receiving to sending.', durations),
  define(
    'dns_truncated_responses_total',
    'counter',
    'Replies cut to the size that the client takes, with TC set.',
    slotMetric(TRUNCATED),
  ),
  define(
    'udp_send_errors_total',
    'counter',
    'Datagrams that the system would not send.',
    slotMetric(UDP_SEND_ERRORS),
  ),
  define(
    'udp_receive_buffer_drops_total',
    'counter',
    'Datagrams that the kernel dropped unread because too many waited (Linux).',
    (_slots, facts) => single(facts.receiveDrops()),
  ),
  ...CLIENT_METRICS,
  define('filter_decisions_total', 'counter', 'Verdicts by action and category.', decisions),
  ...LIST_METRICS,
  ...FLEET_METRICS,
  define(
    'config_last_reload_successful',
    'gauge',
    'Whether the last reload was taken.',
    (_s, facts) => single(facts.lastReloadOk ? 1 : 0),
  ),
  define(
    'tls_certificate_expiry_timestamp_seconds',
    'gauge',
    'When the certificate of the encrypted listeners ends; absent without such listeners.',
    (_s, { certificateExpiresAtSeconds: expires }) =>
      expires === undefined ? [] : single(expires),
  ),
  define(
    'tls_handshakes_failed_total',
    'counter',
    'Connections of clients that did not become TLS connections.',
    slotMetric(TLS_HANDSHAKES_FAILED),
  ),
  define(
    'https_rejected_total',
    'counter',
    'HTTP requests that were not answered with a DNS message, by status.',
    httpRejected,
  ),
  define('cache_lookups_total', 'counter', 'Look-ups by tier and result.', cacheLookups),
  define(
    'cache_prefetches_total',
    'counter',
    'Answers asked for again shortly before their end.',
    slotMetric(PREFETCHED),
  ),
  define('cache_entries', 'gauge', 'Answers kept in memory.', slotMetric(CACHE_ENTRIES)),
  define('cache_bytes', 'gauge', 'Octets that they take.', slotMetric(CACHE_OCTETS)),
  define(
    'cache_evictions_total',
    'counter',
    'Answers that had to leave for others.',
    slotMetric(CACHE_EVICTIONS),
  ),
  ...REDIS_METRICS,
  define('upstream_up', 'gauge', '0 while an upstream is passed over.', upstreamUp),
  define('upstream_queries_total', 'counter', 'Tries.', perUpstream(UPSTREAM_QUERIES)),
  define('upstream_responses_total', 'counter', 'Replies.', perUpstream(UPSTREAM_RESPONSES)),
  define('upstream_failures_total', 'counter', 'Tries that failed, by reason.', upstreamFailures),
  define(
    'upstream_response_seconds_total',
    'counter',
    'Time spent waiting for replies.',
    (slots, facts) =>
      perUpstream(UPSTREAM_DURATION_SUM_MS)(slots, facts).map((sample) => ({
        ...sample,
        value: sample.value / 1000,
      })),
  ),
  define(
    'upstream_coalesced_total',
    'counter',
    'Queries that joined one already on its way.',
    slotMetric(COALESCED),
  ),
]
