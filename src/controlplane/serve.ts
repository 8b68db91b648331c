/**
 * The running server: lists to image, workers on their ports, admin pages, signals. Everything that
 * can fail fails before the first query is answered.
 */
import type { Logger } from 'pino'
import { OperationalError } from '../base/errors.ts'
import { DAY_S, SECOND_MS } from '../base/units.ts'
import type {
  DataplaneSettings,
  Endpoint,
  ListenSettings,
  RedisSettings,
} from '../dataplane/settings.ts'
import { filterFacts } from './admin/filter-facts.ts'
import type { AdminServer } from './admin/http-server.ts'
import { ReceiveDrops } from './admin/receive-drops.ts'
import { sumCounters } from './admin/scrape.ts'
import type { ReadinessCheck, ServerFacts } from './admin/server-facts.ts'
import { CertificateWatch, type CertificateEvents } from './certificate-watch.ts'
import { formatEndpoint, formatListen } from './config/addresses.ts'
import type { LoadedConfig } from './config/load.ts'
import { addCookieSecrets } from './cookie-secrets.ts'
import { logReports } from './filter-log.ts'
import { loadFilter, policyOf, type LoadedFilter } from './filter.ts'
import type { SubscriptionKeeper } from './generations/subscription-keeper.ts'
import { Fleet } from './redis/fleet.ts'
import { loadRedis } from './redis/load-redis.ts'
import { SiteAddresses } from './site-addresses.ts'
import { StateLock } from './state-lock.ts'
import { Supervisor } from './threads/supervisor.ts'
import { workersThatCanShare } from './threads/worker-count.ts'
import { packageVersion } from './version.ts'

export interface ServeOptions {
  /** Reads the configuration anew for a reload. */
  readonly reloadConfig: () => LoadedConfig
  readonly log: Logger
  /** Called when the server cannot go on by itself. */
  readonly onFatal: (error: OperationalError) => void
  /** The shared cache with its secrets; undefined: none. */
  readonly redis?: RedisSettings | undefined
}

/** Between two looks at the certificate's files: a change counts after the second. */
const CERTIFICATE_LOOK_MS = SECOND_MS
/** A certificate that ends sooner is warned of: those of ACME are renewed before. */
const CERTIFICATE_DAYS_MIN = 14

/** Settings that only a restart can change, with the way to read each. */
const NEEDS_RESTART: readonly [string, (config: LoadedConfig) => unknown][] = [
  ['listen', (config) => config.dataplane.listen],
  ['workers', (config) => config.control.workers],
  ['metrics.listen', (config) => config.control.metrics],
  ['cache.octetsMax', (config) => config.dataplane.cache.octetsMax],
  ['rate.clientsMax', (config) => config.dataplane.rate.clientsMax],
  ['stateDirectory', (config) => config.control.stateDirectory],
  ['redis', (config) => config.control.redis],
]

/** One running server: filter, workers and admin pages under one life. */
export class Niveau3Server {
  readonly #options: ServeOptions
  readonly #supervisor: Supervisor
  readonly #receiveDrops = new ReceiveDrops()
  #admin: AdminServer | undefined
  readonly #fleet: Fleet
  readonly #sites: SiteAddresses
  readonly #version = packageVersion()
  /** What the sockets, threads and caches were made of, however often it reloads. */
  readonly #startConfig: LoadedConfig
  #config: LoadedConfig
  #filter: LoadedFilter
  readonly #certificate: CertificateWatch | undefined
  #lock: StateLock | undefined
  #keeper: SubscriptionKeeper | undefined
  /** Policies since the start; a generation of the state directory has its own number. */
  #policies = 1
  /** A reload reads the configuration as well, not only the lists. */
  #isConfigDue = false
  #lastReloadOk = true
  #reloading: Promise<void> | null = null
  #reloadAgain = false
  #stopping = false
  metricsEndpoint: Endpoint | undefined

  constructor(config: LoadedConfig, filter: LoadedFilter, options: ServeOptions) {
    this.#startConfig = config
    this.#config = config
    this.#filter = filter
    this.#options = options
    this.#fleet = new Fleet(options.log)
    const { dataplane } = config
    const { certificate } = config.control
    this.#certificate = certificate && new CertificateWatch(certificate, this.#certificateEvents())
    const policy = policyOf(filter, dataplane)
    const secrets = { redis: options.redis, tls: this.#certificate?.identity }
    this.#supervisor = new Supervisor(dataplane, policy, secrets, {
      workerDied: (worker, reason) => {
        options.log.error({ event: 'worker_died', worker, reason }, 'a worker died; restarting it')
      },
      addressesChanged: ({ appeared, vanished }) => {
        const facts = {
          appeared: appeared.map(formatListen),
          vanished: vanished.map(formatEndpoint),
        }
        options.log.info(
          { event: 'addresses_changed', ...facts },
          'listening where the wildcard says',
        )
      },
      addressFailed: (endpoint, reason) => {
        const facts = { listen: formatEndpoint(endpoint), reason }
        options.log.warn(
          { event: 'address_failed', ...facts },
          `cannot listen there yet: ${reason}`,
        )
      },
      gaveUp: options.onFatal,
    })
    this.#sites = new SiteAddresses(options.log, (settings) => this.#applySites(settings))
  }

  get endpoints(): readonly ListenSettings[] {
    return this.#supervisor.endpoints
  }

  get isAlive(): boolean {
    return this.#supervisor.workersAlive > 0
  }

  /** Binds everything; says `ready` in the log when queries are answered. */
  async start(): Promise<void> {
    const { stateDirectory } = this.#config.control
    if (stateDirectory !== undefined) this.#lock = await StateLock.take(stateDirectory)
    try {
      await this.#bind()
    } catch (error) {
      await this.#lock?.release()
      throw error
    }
    await this.#keepSubscriptions()
  }

  /** Follows the generations of the state directory, and keeps them fresh. */
  async #keepSubscriptions(): Promise<void> {
    const { stateDirectory, usesGenerations } = this.#config.control
    if (stateDirectory === undefined || !usesGenerations) return
    const { SubscriptionKeeper: Keeper } = await import('./generations/subscription-keeper.ts')
    this.#keeper = new Keeper({
      stateDirectory,
      configFile: this.#config.file,
      isAutomatic: () => this.#config.control.updates.automatic,
      log: this.#options.log,
      onChange: () => void this.#reloadSoon(),
    })
    await this.#keeper.start()
  }

  /** A reload that is under way looks sites up by itself. */
  async #applySites(settings: DataplaneSettings): Promise<void> {
    if (this.#reloading !== null || this.#stopping) return
    const policy = policyOf(this.#filter, this.#config.dataplane)
    await this.#supervisor.reload(startCache(settings, this.#startConfig.dataplane), policy)
  }

  async #bind(): Promise<void> {
    const { control } = this.#config
    const log = this.#options.log
    const workers = await workersThatCanShare(control.workers, log)
    await this.#applySites(await this.#sites.follow(this.#config))
    await this.#supervisor.start(workers)
    if (control.metrics !== undefined) {
      try {
        await this.#openAdmin(control.metrics)
      } catch (error) {
        await this.#supervisor.stop(0)
        throw error
      }
    }
    await this.#fleet.join(this.#options.redis)
    this.#fleet.announce(policyOf(this.#filter, this.#config.dataplane).stamp, this.#generation())
    this.#logReady(workers)
    this.#logCertificate('encrypted listeners have their certificate')
    this.#certificate?.start(CERTIFICATE_LOOK_MS)
  }

  /** After the workers: what formats metrics takes longer to load than they to start. */
  async #openAdmin(endpoint: Endpoint): Promise<void> {
    const { AdminServer: Server } = await import('./admin/http-server.ts')
    const { Metrics } = await import('./admin/metrics.ts')
    const metrics = new Metrics(() => this.#facts())
    this.#admin = new Server({ metrics, checks: () => this.#checks() })
    this.metricsEndpoint = await this.#admin.listen(endpoint)
  }

  #certificateEvents(): CertificateEvents {
    const log = this.#options.log
    return {
      changed: (identity, isNew) => {
        void this.#supervisor.certify(identity)
        if (isNew) this.#logCertificate('the encrypted listeners have a new certificate')
      },
      refused: (why) => {
        log.error(
          { event: 'certificate_refused', why },
          `the new certificate cannot be used, the old one stays: ${why}`,
        )
      },
    }
  }

  /** A certificate that ends soon is worth a warning, at each start and each renewal. */
  #logCertificate(text: string): void {
    const expires = this.#certificate?.expiresAtSeconds
    if (expires === undefined) return
    const days = Math.floor((expires - Date.now() / SECOND_MS) / DAY_S)
    const facts = { event: 'certificate', until: new Date(expires * SECOND_MS).toISOString() }
    const log = this.#options.log
    if (days >= CERTIFICATE_DAYS_MIN) log.info(facts, text)
    else log.warn(facts, `${text}; it ${days < 0 ? 'has expired' : `ends in ${days} days`}`)
  }

  #logReady(workers: number): void {
    const log = this.#options.log
    log.info(
      {
        event: 'ready',
        version: this.#version,
        listen: this.endpoints.map(formatListen),
        metrics: this.metricsEndpoint && formatEndpoint(this.metricsEndpoint),
        upstreams: this.#config.dataplane.upstreams.map(({ label }) => label),
        names: this.#filter.trie.names,
        generation: this.#filter.generation,
        essentialNames: this.#filter.essential.size,
        workers,
        batched: this.#supervisor.whyNotBatched === undefined,
      },
      'ready',
    )
    if (this.#supervisor.whyNotBatched !== undefined) {
      const why = this.#supervisor.whyNotBatched
      log.info({ event: 'plain_udp', why }, `datagrams are read one by one: ${why}`)
    }
    if (this.#config.dataplane.upstreams.length === 0) {
      log.warn({ event: 'no_upstream' }, NO_UPSTREAM)
    }
  }

  /**
   * Takes lists and configuration anew, all or nothing; while one reload runs, further requests
   * make one more after it.
   */
  async reload(): Promise<void> {
    this.#isConfigDue = true
    return this.#reloadSoon()
  }

  async #reloadSoon(): Promise<void> {
    if (this.#reloading !== null) {
      this.#reloadAgain = true
      return this.#reloading
    }
    this.#reloading = this.#reloadAll()
    try {
      await this.#reloading
    } finally {
      this.#reloading = null
    }
  }

  /** Answers what is in flight, closes every socket; resolves when nothing is left. */
  async stop(): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    const log = this.#options.log
    this.#certificate?.stop()
    this.#sites.stop()
    log.info({ event: 'stopping' }, 'stopping: answering what is in flight')
    await this.#keeper?.stop()
    await this.#supervisor.stop(this.#config.control.stopGraceSeconds * SECOND_MS)
    this.#fleet.leave()
    if (this.metricsEndpoint !== undefined) await this.#admin?.close()
    await this.#lock?.release()
    log.info({ event: 'stopped' }, 'stopped')
  }

  async #reloadAll(): Promise<void> {
    do {
      this.#reloadAgain = false
      await this.#reloadOnce()
    } while (this.#reloadAgain && !this.#stopping)
  }

  async #reloadOnce(): Promise<void> {
    const log = this.#options.log
    try {
      const isConfigDue = this.#isConfigDue
      this.#isConfigDue = false
      const config = isConfigDue
        ? await addCookieSecrets(this.#options.reloadConfig())
        : this.#config
      const filter = await loadFilter(config.control, this.#filter)
      const isSame = filter.trie.digest === this.#filter.trie.digest
      if (this.#stopping || (isSame && !isConfigDue)) return
      const policy = policyOf(filter, config.dataplane)
      await this.#supervisor.reload(
        startCache(await this.#sites.follow(config), this.#startConfig.dataplane),
        policy,
      )
      const needsRestart = NEEDS_RESTART.filter(
        ([, read]) => JSON.stringify(read(config)) !== JSON.stringify(read(this.#startConfig)),
      ).map(([key]) => key)
      const files = config.control.certificate
      if (files !== undefined) this.#certificate?.reread(files)
      this.#config = config
      this.#filter = filter
      this.#policies++
      this.#lastReloadOk = true
      this.#fleet.announce(policy.stamp, this.#generation())
      logReports(log, filter)
      const names = filter.trie.names
      log.info(
        { event: 'reloaded', generation: this.#generation(), names, needsRestart },
        needsRestart.length === 0
          ? 'reloaded'
          : `reloaded; these keys take effect at the next start: ${needsRestart.join(', ')}`,
      )
    } catch (error) {
      this.#lastReloadOk = false
      const facts =
        error instanceof OperationalError
          ? { code: error.code, file: error.file, line: error.line }
          : { name: error instanceof Error ? error.name : typeof error }
      const message = error instanceof Error ? error.message : String(error)
      log.error(
        { event: 'reload_failed', ...facts },
        `reload refused, the running filter stays: ${message}`,
      )
    }
  }

  #checks(): readonly ReadinessCheck[] {
    const upstreams = this.#config.dataplane.upstreams.length
    const alive = this.#supervisor.workersAlive
    return [
      { check: 'workers', ok: alive > 0, why: alive > 0 ? '' : 'no worker is alive' },
      { check: 'filter', ok: this.#filter.trie.names > 0, why: '' },
      { check: 'upstreams', ok: upstreams > 0, why: upstreams > 0 ? '' : NO_UPSTREAM },
    ]
  }

  #facts(): ServerFacts {
    return {
      version: this.#version,
      slots: sumCounters(this.#supervisor.counters),
      upstreams: this.#config.dataplane.upstreams.map(({ label }) => label),
      sites: ['default', ...this.#config.dataplane.sites.map(({ name }) => name)],
      workersAlive: this.#supervisor.workersAlive,
      receiveDrops: () => this.#receiveDrops.total(this.endpoints),
      lastReloadOk: this.#lastReloadOk,
      certificateExpiresAtSeconds: this.#certificate?.expiresAtSeconds,
      filter: filterFacts(this.#filter, this.#generation(), this.#keeper),
      fleet: this.#fleet.counts,
      checks: this.#checks(),
    }
  }

  #generation(): number {
    return this.#filter.generation ?? this.#policies
  }
}

const NO_UPSTREAM =
  'no upstream is configured and resolv.conf names none but ourselves: blocked names are answered, ' +
  'the rest is SERVFAIL; give --upstream ADDR'

/**
 * Loads the filter and starts the server.
 *
 * @throws OperationalError with the code that the command ends with; nothing is left running then.
 */
export async function startServer(
  config: LoadedConfig,
  options: ServeOptions,
): Promise<Niveau3Server> {
  const filter = await loadFilter(config.control)
  logReports(options.log, filter)
  const { redis: configured, stateDirectory } = config.control
  const redis = configured && (await loadRedis(configured, stateDirectory))
  const withSecrets = await addCookieSecrets(config)
  const server = new Niveau3Server(withSecrets, filter, { ...options, redis })
  await server.start()
  return server
}

/** The cache keeps the size that it was made with. */
function startCache(next: DataplaneSettings, start: DataplaneSettings): DataplaneSettings {
  return { ...next, cache: { ...next.cache, octetsMax: start.cache.octetsMax } }
}
