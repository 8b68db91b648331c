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
  DECISIONS,
  DECISIONS_PASSED,
  DECISIONS_PRIVATE,
  DECISION_ACTIONS,
  PREFETCHED,
} from '../../dataplane/counters.ts'
import { DENIED_BIT } from '../../dataplane/policy/policy.ts'
import { DENIED_CATEGORY, PRIVATE_CATEGORY } from '../../dataplane/settings.ts'
import { CLIENT_METRICS } from './client-metrics.ts'
import {
  define,
  single,
  slotMetric,
  type Definition,
  type Sample,
  type Slots,
} from './definition.ts'
import { writeHead, writeSamples } from './exposition.ts'
import { DNS_METRICS } from './dns-metrics.ts'
import { FLEET_METRICS } from './fleet-metrics.ts'
import { LIST_METRICS } from './list-metrics.ts'
import { OVERRULE_METRICS } from './overrule-metrics.ts'
import { PROBE_METRICS } from './probe-metrics.ts'
import { REDIS_METRICS, redisLookups } from './redis-metrics.ts'
import type { ServerFacts } from './server-facts.ts'
import { UPSTREAM_METRICS } from './upstream-metrics.ts'

/** Gauges whose names end in `_total`: promtool refuses them. */
const REFUSED_DEFAULTS = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
]

/**
 * A metric of prom-client under a name of its own: it writes into `name` for OpenMetrics, so each
 * format has its own objects.
 */
class ProcessMetric {
  name: string
  readonly type: string
  readonly #read: () => Promise<object>

  constructor(name: string, type: string, read: () => Promise<object>) {
    this.name = name
    this.type = type
    this.#read = read
  }

  async get(): Promise<object> {
    return { ...(await this.#read()), name: this.name }
  }
}

export interface Page {
  readonly contentType: string
  readonly body: string
}

/** Both exposition formats of the same numbers. */
export class Metrics {
  readonly #text: CachedPage
  readonly #openMetrics: CachedPage

  /**
   * @param facts read anew for every page.
   * @param pageMsMin a page is given again to who asks so soon after it was made.
   */
  constructor(facts: () => ServerFacts, pageMsMin: number) {
    const observed = observeProcess()
    this.#text = new CachedPage(createMaker(false, facts, observed), pageMsMin)
    this.#openMetrics = new CachedPage(createMaker(true, facts, observed), pageMsMin)
  }

  /** Returns the page and its content type; OpenMetrics when the scraper prefers it. */
  render(openMetrics: boolean): Promise<Page> {
    return (openMetrics ? this.#openMetrics : this.#text).get()
  }
}

/** One page, made at most once in a while; all who ask meanwhile get the same one. */
class CachedPage {
  readonly #make: () => Promise<Page>
  readonly #msMin: number
  #page: Promise<Page> | undefined
  #madeMs = 0

  constructor(make: () => Promise<Page>, msMin: number) {
    this.#make = make
    this.#msMin = msMin
  }

  get(): Promise<Page> {
    const nowMs = performance.now()
    if (this.#page !== undefined && nowMs - this.#madeMs < this.#msMin) return this.#page
    const page = this.#make()
    this.#page = page
    this.#madeMs = nowMs
    // A page that could not be made is not kept.
    page.catch(() => (this.#page = undefined))
    return page
  }
}

/** The lag of the main thread's loop is looked at so often; each look wakes an idle server. */
const LOOP_LAG_MS = 100

/** The measurements of the process that prom-client brings: observed once for both formats. */
function observeProcess(): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_LAG_MS })
  for (const name of REFUSED_DEFAULTS) registry.removeSingleMetric(name)
  return registry
}

function createMaker(
  openMetrics: boolean,
  facts: () => ServerFacts,
  observed: Registry,
): () => Promise<Page> {
  const registry = new Registry()
  if (openMetrics) useOpenMetrics(registry)
  for (const { name, type } of observed.getMetricsAsArray()) {
    const metric = observed.getSingleMetric(name)
    if (metric === undefined) continue
    register(registry, new ProcessMetric(name, String(type), () => metric.get()))
  }
  const heads = DEFINITIONS.map((definition) => writeHead(definition, openMetrics))
  return async () => {
    const now = facts()
    let text = ''
    for (const [index, definition] of DEFINITIONS.entries()) {
      const samples = definition.samples(now.slots, now)
      text += heads[index]! + writeSamples(definition.name, samples)
    }
    return { contentType: registry.contentType, body: text + (await registry.metrics()) }
  }
}

/** prom-client's types tie a registry to one content type for life; its code does not. */
function useOpenMetrics(registry: { setContentType: (type: never) => void }): void {
  const type: string = Registry.OPENMETRICS_CONTENT_TYPE
  Reflect.apply(registry.setContentType, registry, [type])
}

/** prom-client formats whatever has `name` and `get()`; its types know only its own classes. */
function register(
  registry: { registerMetric: (metric: never) => void },
  metric: ProcessMetric,
): void {
  Reflect.apply(registry.registerMetric, registry, [metric])
}

function decisions(slots: Slots, facts: ServerFacts): readonly Sample[] {
  const samples: Sample[] = []
  for (const [index, action] of DECISION_ACTIONS.entries()) {
    const { categories } = facts.filter
    const denied = categories.includes(DENIED_CATEGORY)
      ? []
      : [[DENIED_BIT, DENIED_CATEGORY] as const]
    for (const [bit, category] of [...categories.entries(), ...denied]) {
      const value = slots[DECISIONS + index * CATEGORY_SLOTS + bit]!
      samples.push({ labels: { action, category }, value })
    }
  }
  const withheld = { action: 'block', category: PRIVATE_CATEGORY }
  samples.push({ labels: withheld, value: slots[DECISIONS_PRIVATE]! })
  samples.push({ labels: { action: 'pass', category: 'none' }, value: slots[DECISIONS_PASSED]! })
  return samples
}

function cacheLookups(slots: Slots): readonly Sample[] {
  const memory = CACHE_RESULTS.map((result, index) => ({
    labels: { tier: 'memory', result },
    value: slots[CACHE_LOOKUPS + index]!,
  }))
  return [...memory, ...redisLookups(slots)]
}

const SERVER_METRICS: readonly Definition[] = [
  define('build_info', 'gauge', 'Always 1; the version that runs.', (_slots, facts) => [
    { labels: { version: facts.version, node: process.versions.node }, value: 1 },
  ]),
  define('ready', 'gauge', 'Whether each readiness check holds.', (_slots, facts) =>
    facts.checks.map(({ check, ok }) => ({ labels: { check }, value: ok ? 1 : 0 })),
  ),
  define('workers', 'gauge', 'Data plane workers that are alive.', (_slots, facts) =>
    single(facts.workersAlive),
  ),
  define('worker_deaths_total', 'counter', 'Workers that died and were replaced.', (_s, facts) =>
    single(facts.workerDeaths),
  ),
  define(
    'config_last_reload_successful',
    'gauge',
    'Whether the last reload was taken.',
    (_s, { reloads }) => single(reloads.isLastSuccessful ? 1 : 0),
  ),
  define(
    'config_last_reload_success_timestamp_seconds',
    'gauge',
    'When configuration and lists were last taken; at first the start.',
    (_s, { reloads }) => single(reloads.succeededAtSeconds),
  ),
  define('config_reloads_total', 'counter', 'Reloads by result.', (_s, { reloads }) => [
    { labels: { result: 'success' }, value: reloads.succeeded },
    { labels: { result: 'failure' }, value: reloads.failed },
  ]),
  define(
    'tls_certificate_expiry_timestamp_seconds',
    'gauge',
    'When the certificate of the encrypted listeners ends; absent without such listeners.',
    (_s, { certificateExpiresAtSeconds: expires }) =>
      expires === undefined ? [] : single(expires),
  ),
]

const CACHE_METRICS: readonly Definition[] = [
  define('cache_lookups_total', 'counter', 'Look-ups by tier and result.', cacheLookups),
  define(
    'cache_prefetches_total',
    'counter',
    'Answers asked for again shortly before their end.',
    slotMetric(PREFETCHED),
  ),
  define('cache_entries', 'gauge', 'Answers kept in memory.', slotMetric(CACHE_ENTRIES)),
  define('cache_bytes', 'gauge', 'Octets that they take.', slotMetric(CACHE_OCTETS)),
  define('cache_capacity_bytes', 'gauge', 'Octets that they may take.', (_slots, facts) =>
    single(facts.cacheOctetsMax * facts.workersAlive),
  ),
  define(
    'cache_evictions_total',
    'counter',
    'Answers that had to leave for others.',
    slotMetric(CACHE_EVICTIONS),
  ),
]

/** In the order of the page. */
const DEFINITIONS: readonly Definition[] = [
  ...SERVER_METRICS,
  ...DNS_METRICS,
  ...CLIENT_METRICS,
  define('filter_decisions_total', 'counter', 'Verdicts by action and category.', decisions),
  ...LIST_METRICS,
  ...FLEET_METRICS,
  ...OVERRULE_METRICS,
  ...PROBE_METRICS,
  ...CACHE_METRICS,
  ...REDIS_METRICS,
  ...UPSTREAM_METRICS,
]
