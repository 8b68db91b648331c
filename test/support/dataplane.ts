/**
 * The data plane under test: a worker with its pipeline and its real sockets, in this thread, on
 * ports that the system gives. Faster than a process, and its clock and counters are in reach.
 */
import { randomBytes } from 'node:crypto'
import { afterAll } from 'vitest'
import {
  ACTION_BLOCK,
  ACTION_EXCEPT,
  COVERS_BELOW,
  COVERS_SELF,
  COVERS_SUBTREE,
} from '../../src/controlplane/blocklist/rule.ts'
import {
  DROPPED,
  DROP_REASONS,
  FAMILIES,
  IN_FLIGHT,
  OUTCOMES,
  PROTOS,
  QUERIES,
  QUESTION_TYPES,
  RCODE_SLOTS,
  RESPONSES,
  createCounters,
  type Counters,
} from '../../src/dataplane/counters.ts'
import type { Descriptors, PolicyMessage } from '../../src/dataplane/messages.ts'
import type {
  BlockResponseSettings,
  CacheSettings,
  CategorySettings,
  CookieSettings,
  DataplaneSettings,
  Endpoint,
  ForwardSettings,
  LimitSettings,
  ListenSettings,
  RateLimit,
  RateSettings,
  RedisSettings,
  TlsIdentity,
  SiteSettings,
} from '../../src/dataplane/settings.ts'
import { addressRangesOf } from '../../src/controlplane/filter.ts'
import { openTrie } from '../../src/trie/open.ts'
import { bindPair, createDescriptors } from '../../src/controlplane/threads/listen-sockets.ts'
import { createLedgerWords } from '../../src/sys/descriptor-ledger.ts'
import { isLibc, openLibc } from '../../src/sys/libc.ts'
import type { Listeners } from '../../src/dataplane/listeners.ts'
import { NO_OVERLAY, type OverlayMessage } from '../../src/dataplane/policy/overlay.ts'
import { startWorker, type DataplaneWorker } from '../../src/dataplane/worker.ts'
import { buildFrom, wireOf, type ModelRule } from '../compiler/model.ts'

/** Rules by category: `name` covers all below it, `=name` itself only, `@name` is an exception. */
export type Rules = Readonly<Record<string, readonly string[]>>

export interface PolicyOptions {
  readonly rules?: Rules
  readonly essential?: readonly string[]
  /** CIDR prefixes by category. */
  readonly addressRules?: Readonly<Record<string, readonly string[]>>
  /** Given: private addresses are withheld, but for these zones. */
  readonly privateZones?: readonly string[]
  /** Answers of categories that are not NXDOMAIN; false: loaded, not blocked; true: blocked. */
  readonly categories?: Readonly<Record<string, Partial<BlockResponseSettings> | boolean>>
  /** What the operator has overruled. */
  readonly overlay?: OverlayMessage
}

export interface DataplaneOptions extends PolicyOptions {
  /** How datagrams travel; default: the project of vitest.config.ts that runs the test. */
  readonly transport?: 'batched' | 'plain'
  readonly upstreams?: readonly UpstreamOption[]
  /** PEM of the authorities of encrypted upstreams. */
  readonly upstreamAuthorities?: string
  readonly addresses?: readonly string[]
  /** With it the server listens over TLS and HTTPS as well, at the first address. */
  readonly tls?: Pick<TlsIdentity, 'certificate' | 'key'>
  readonly serverName?: string
  readonly allowFrom?: readonly string[]
  readonly sites?: readonly SiteOption[]
  readonly rate?: Partial<RateSettings>
  readonly udpOctetsMax?: number
  readonly cookies?: CookieSettings
  readonly limits?: Partial<LimitSettings>
  readonly forward?: Partial<ForwardSettings>
  readonly cache?: Partial<CacheSettings>
  readonly redis?: RedisSettings
}

/** A site; categories that it does not name are as everywhere. */
export interface SiteOption extends Pick<PolicyOptions, 'categories'> {
  readonly name: string
  readonly from: readonly string[]
  readonly rate?: Partial<RateLimit>
}

export interface UpstreamOption extends Endpoint {
  readonly protocol?: 'udp' | 'tcp' | 'tls' | 'https'
  /** The name that the certificate must be for. */
  readonly serverName?: string
  readonly path?: string
}

/** What the counters say about all queries so far. */
export interface Balance {
  readonly received: number
  readonly answered: number
  readonly dropped: number
  readonly inFlight: number
}

const TRANSPORT = process.env['TEST_TRANSPORT'] ?? 'batched'

const LIMITS: LimitSettings = {
  tcpConnectionsMax: 512,
  tcpConnectionsPerClientMax: 128,
  tcpIdleMs: 10_000,
  tcpMessageMs: 5000,
  tcpInFlightMax: 128,
  tcpUnsentOctetsMax: 256 * 1024,
  tcpUnsentTotalOctetsMax: 16 * 1024 * 1024,
  pendingMax: 8192,
  waitersPerQuestionMax: 1000,
  pendingPerClientMax: 1000,
  lateRepliesPerClientMax: 256,
}
/** No rate, as for clients of this machine. */
const RATE: RateSettings = {
  clientQueriesPerSecond: 0,
  clientBurst: 10_000,
  prefixQueriesPerSecond: 0,
  prefixBurst: 40_000,
  ipv4ClientBits: 32,
  ipv6ClientBits: 64,
  ipv4PrefixBits: 24,
  ipv6PrefixBits: 56,
  slip: 1,
  clientsMax: 1024,
  exemptFrom: [],
}
const FORWARD: ForwardSettings = {
  tryTimeoutMs: 1500,
  totalTimeoutMs: 4500,
  triesMax: 3,
  strategy: 'ordered',
  parallelMax: 2,
  pendingPerUpstreamMax: 4096,
  mixesCase: [],
  trustsAd: [],
  clientSubnet: new Uint8Array(0),
}
const CACHE: CacheSettings = {
  octetsMax: 4 * 1024 * 1024,
  ttlSecondsMin: 0,
  ttlSecondsMax: 86_400,
  negativeTtlSecondsMax: 10_800,
  staleSecondsMax: 86_400,
  staleTtlSeconds: 30,
  staleWaitMs: 1800,
  staleRefreshSeconds: 30,
  prefetch: true,
  failureSecondsMax: 30,
}
const NXDOMAIN: BlockResponseSettings = { kind: 'nxdomain', ipv4: undefined, ipv6: undefined }
const SETTLE_MS_MAX = 15_000

const running = new Set<Dataplane>()
afterAll(async () => {
  await Promise.all([...running].map((dataplane) => dataplane.stop()))
})

let policies = 0

/** Compiles rules to the policy that a worker takes. */
export function makePolicy(options: PolicyOptions): PolicyMessage {
  const lists = Object.entries(options.rules ?? {}).map(([category, names]) => ({
    name: `${category}-list`,
    category,
    rules: names.map(ruleOf),
  }))
  const essential = (options.essential ?? []).map((name) => wireOf(name.split('.')))
  const trie = openTrie(buildFrom(lists).image)
  return {
    trie,
    essentialNames: Buffer.concat(essential),
    addresses: addressRangesOf(
      Object.entries(options.addressRules ?? {}).map(([category, prefixes]) => ({
        category,
        prefixes,
      })),
      trie.categories,
      options.privateZones !== undefined,
    ),
    privateZones: Buffer.concat(
      (options.privateZones ?? []).map((name) => wireOf(name.split('.'))),
    ),
    overlay: options.overlay ?? NO_OVERLAY,
    stamp: `policy ${policies++}`,
  }
}

function listenersOf({ addresses = ['127.0.0.1'], tls }: DataplaneOptions): ListenSettings[] {
  const protocols = tls === undefined ? [] : (['tls', 'https'] as const)
  return [
    ...addresses.map((address) => ({ protocol: 'dns' as const, address, port: 0 })),
    ...protocols.map((protocol) => ({ protocol, address: addresses[0]!, port: 0 })),
  ]
}

function identityOf(tls: DataplaneOptions['tls']): TlsIdentity | undefined {
  return tls && { certificate: tls.certificate, key: tls.key, ticketKeys: randomBytes(48) }
}

/** Returns the settings that a worker takes. */
export function makeSettings(options: DataplaneOptions): DataplaneSettings {
  return {
    listen: listenersOf(options),
    allowFrom: options.allowFrom ?? ['127.0.0.0/8', '::1/128'],
    sites: makeSites(options),
    upstreams: (options.upstreams ?? []).map((upstream) => ({
      address: upstream.address,
      port: upstream.port,
      protocol: upstream.protocol ?? 'udp',
      serverName: upstream.serverName ?? '',
      path: upstream.path ?? '',
      label: `${upstream.address}:${upstream.port}`,
    })),
    upstreamAuthorities: options.upstreamAuthorities,
    serverName: options.serverName,
    categories: makeCategories(options),
    blockTtlSeconds: 60,
    udpOctetsMax: options.udpOctetsMax ?? 1232,
    cookies: options.cookies,
    limits: { ...LIMITS, ...options.limits },
    rate: { ...RATE, ...options.rate },
    forward: { ...FORWARD, ...options.forward },
    cache: { ...CACHE, ...options.cache },
  }
}

/** Returns how each category of the rules is answered. */
export function makeCategories(options: PolicyOptions): CategorySettings[] {
  return Object.keys(options.rules ?? {}).map((name) => {
    const wanted = options.categories?.[name]
    return {
      name,
      blocked: wanted !== false,
      response: typeof wanted === 'object' ? { ...NXDOMAIN, ...wanted } : NXDOMAIN,
    }
  })
}

/** Returns the sites as a worker takes them. */
export function makeSites(options: DataplaneOptions): SiteSettings[] {
  return (options.sites ?? []).map(({ name, from, categories, rate }) => ({
    name,
    from,
    categories: makeCategories({
      ...options,
      categories: { ...options.categories, ...categories },
    }),
    rate: { ...RATE, ...options.rate, ...rate },
  }))
}

function ruleOf(text: string): ModelRule {
  const mark = text[0]
  const name = mark === '=' || mark === '@' || mark === '*' ? text.slice(1) : text
  const coverage = mark === '=' ? COVERS_SELF : mark === '*' ? COVERS_BELOW : COVERS_SUBTREE
  const action = mark === '@' ? ACTION_EXCEPT : ACTION_BLOCK
  return { labels: name.split('.'), coverage, action }
}

/** A running worker; made by `startDataplane`. */
export class Dataplane {
  readonly counters: Counters
  /** Where each address of the options is answered. */
  readonly endpoints: readonly ListenSettings[]
  readonly #worker: DataplaneWorker
  readonly #listeners: Listeners
  #options: DataplaneOptions

  constructor(
    { worker, listeners }: { worker: DataplaneWorker; listeners: Listeners },
    counters: Counters,
    endpoints: readonly ListenSettings[],
    options: DataplaneOptions,
  ) {
    this.#worker = worker
    this.#listeners = listeners
    this.counters = counters
    this.endpoints = endpoints
    this.#options = options
    running.add(this)
  }

  /** The first listen address. */
  get address(): string {
    return this.endpoints[0]!.address
  }

  get port(): number {
    return this.endpoints[0]!.port
  }

  /** Where it listens over TLS, or over HTTPS. */
  over(protocol: 'tls' | 'https'): Endpoint {
    return this.endpoints.find((endpoint) => endpoint.protocol === protocol)!
  }

  /** Greets new connections with another certificate. */
  certify(tls: DataplaneOptions['tls']): void {
    this.#listeners.certify(identityOf(tls)!)
  }

  /** Takes new options; what they do not name stays as it was. */
  reload(options: DataplaneOptions): void {
    this.#options = { ...this.#options, ...options }
    this.#worker.reload(makeSettings(this.#options), makePolicy(this.#options))
  }

  /** Takes other rules and pauses of the operator's. */
  overrule(overlay: OverlayMessage): void {
    this.#options = { ...this.#options, overlay }
    this.#worker.overrule(overlay, `policy ${policies++}`)
  }

  count(slot: number): number {
    return this.counters[slot]!
  }

  balance(): Balance {
    const sum = (from: number, slots: number): number =>
      this.counters.slice(from, from + slots).reduce((total, value) => total + value, 0)
    return {
      received: sum(QUERIES, PROTOS.length * FAMILIES.length * QUESTION_TYPES.length),
      answered: sum(RESPONSES, OUTCOMES.length * RCODE_SLOTS),
      dropped: sum(DROPPED, DROP_REASONS.length),
      inFlight: this.counters[IN_FLIGHT]!,
    }
  }

  /** Resolves when the condition holds; every turn of the event loop looks once. */
  async until(condition: () => boolean, what = 'the condition'): Promise<void> {
    const endMs = Date.now() + SETTLE_MS_MAX
    while (!condition()) {
      if (Date.now() > endMs) throw new Error(`${what}: ${JSON.stringify(this.balance())}`)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Resolves with the balance when nothing is in flight any more. */
  async idle(): Promise<Balance> {
    await this.until(() => this.balance().inFlight === 0, 'still in flight')
    return this.balance()
  }

  /** Answers what is in flight within the time, then closes; safe to call twice. */
  stop(graceMs = 0): Promise<void> {
    if (!running.delete(this)) return Promise.resolve()
    return new Promise((resolve) => this.#worker.stop(graceMs, resolve))
  }
}

/** Starts a worker in this thread; stopped with the tests of the file at the latest. */
export async function startDataplane(options: DataplaneOptions = {}): Promise<Dataplane> {
  const counters = createCounters()
  const settings = makeSettings(options)
  const bound =
    (options.transport ?? TRANSPORT) === 'plain' ? undefined : await bindBatched(settings.listen)
  const { worker, listeners, ready } = await startWorker({
    settings: { ...settings, listen: bound?.endpoints ?? settings.listen },
    policy: makePolicy(options),
    counters,
    shared: false,
    upstreamPortsMax: 4096,
    ledger: createLedgerWords(65_536),
    descriptors: bound?.descriptors,
    tls: identityOf(options.tls),
    redis: options.redis,
  })
  if (ready.kind !== 'ready') throw new Error(`the worker said ${ready.kind}`)
  return new Dataplane({ worker, listeners }, counters, ready.endpoints, options)
}

/** Sockets as the supervisor binds them; the batched transport is a must where the tests run. */
async function bindBatched(
  listen: readonly ListenSettings[],
): Promise<{ endpoints: ListenSettings[]; descriptors: Descriptors }> {
  const libc = await openLibc()
  if (!isLibc(libc)) throw new Error(`no system calls: ${libc.why}`)
  const bound = listen.map((asked) => bindPair(libc, asked, false))
  return {
    endpoints: bound.map(({ endpoint }) => endpoint),
    descriptors: createDescriptors(bound.map(({ pair }) => pair)),
  }
}
