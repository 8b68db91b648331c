/**
 * The running server: lists to image, workers on their ports, admin pages, signals. Everything that
 * can fail fails before the first query is answered.
 */
import { SECOND_MS } from '../base/units.ts'
import type { PolicyMessage } from '../dataplane/messages.ts'
import { NO_OVERLAY, type OverlayMessage } from '../dataplane/policy/overlay.ts'
import type { DataplaneSettings, Endpoint, ListenSettings } from '../dataplane/settings.ts'
import { filterFacts, overruleFacts } from './admin/filter-facts.ts'
import type { AdminAccess } from './admin/admin-access.ts'
import type { ReloadOutcome } from './admin/administered-server.ts'
import type { AdminServer } from './admin/http-server.ts'
import { ReceiveDrops } from './admin/receive-drops.ts'
import { sumCounters } from './admin/scrape.ts'
import type { ReadinessCheck, ServerFacts } from './admin/server-facts.ts'
import { CertificateWatch, type CertificateEvents } from './certificate-watch.ts'
import type { LoadedConfig } from './config/load.ts'
import { addCookieSecrets } from './cookie-secrets.ts'
import { logReports } from './filter-log.ts'
import { loadFilter, policyOf, type LoadedFilter } from './filter.ts'
import type { SubscriptionKeeper } from './generations/subscription-keeper.ts'
import { openOverrule, type InForce } from './overrule/open-overrule.ts'
import type { EffectivenessProbe } from './probe/effectiveness-probe.ts'
import { openProbe } from './probe/open-probe.ts'
import { NO_PROBE } from './probe/probe-facts.ts'
import { keysThatNeedRestart, startCache } from './needs-restart.ts'
import { Fleet } from './redis/fleet.ts'
import { loadRedis } from './redis/load-redis.ts'
import type { ServeOptions } from './serve-options.ts'
import { SiteAddresses } from './site-addresses.ts'
import { NO_UPSTREAM, ServerLog } from './server-log.ts'
import { StateLock } from './state-lock.ts'
import { ReloadRecord } from './reload-record.ts'
import { Supervisor } from './threads/supervisor.ts'
import { workersThatCanShare } from './threads/worker-count.ts'
import { packageVersion } from './version.ts'

/** Between two looks at the certificate's files: a change counts after the second. */
const CERTIFICATE_LOOK_MS = SECOND_MS

/** One running server: filter, workers and admin pages under one life. */
export class Niveau3Server {
  readonly #options: ServeOptions
  readonly #log: ServerLog
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
  #access: AdminAccess | undefined
  #probe: EffectivenessProbe | undefined
  /** Policies since the start; a generation of the state directory has its own number. */
  #policies = 1
  /** A reload reads the configuration as well, not only the lists. */
  #isConfigDue = false
  readonly #reloads = new ReloadRecord()
  #lastReload: ReloadOutcome = { needsRestart: [], failure: undefined }
  #reloading: Promise<void> | null = null
  #reloadAgain = false
  #stopping = false
  metricsEndpoint: Endpoint | undefined
  readonly isAlive = (): boolean => this.#supervisor.workersAlive > 0

  constructor(config: LoadedConfig, filter: LoadedFilter, options: ServeOptions) {
    this.#startConfig = config
    this.#config = config
    this.#filter = filter
    this.#options = options
    this.#log = new ServerLog(options.log)
    this.#fleet = new Fleet(options.log, () => this.#keeper?.pullSoon())
    const { dataplane } = config
    const { certificate } = config.control
    this.#certificate = certificate && new CertificateWatch(certificate, this.#certificateEvents())
    const policy = this.#policy()
    const secrets = { redis: options.redis, tls: this.#certificate?.identity }
    const events = this.#log.supervisorEvents(options.onFatal)
    this.#supervisor = new Supervisor(dataplane, policy, secrets, events)
    this.#sites = new SiteAddresses(options.log, (settings) => this.#applySites(settings))
  }

  /** The configuration and the filter of this moment. */
  get inForce(): InForce {
    return { config: this.#config, filter: this.#filter }
  }

  get endpoints(): readonly ListenSettings[] {
    return this.#supervisor.endpoints
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
      environment: this.#options.childEnvironment,
      isAutomatic: () => this.#config.control.updates.automatic,
      fleet: () => this.#config.control.fleet,
      log: this.#options.log,
      onChange: () => void this.#reloadSoon(),
    })
    await this.#keeper.start()
  }

  /** A reload that is under way looks sites up by itself. */
  async #applySites(settings: DataplaneSettings): Promise<void> {
    if (this.#reloading !== null || this.#stopping) return
    const startSettings = startCache(settings, this.#startConfig.dataplane)
    await this.#supervisor.reload(startSettings, this.#policy())
  }

  get #overlay(): OverlayMessage {
    return this.#options.overrule?.store.overlay ?? NO_OVERLAY
  }

  /** What the workers decide by, made anew of what is in force at this moment. */
  #policy(): PolicyMessage {
    return policyOf(this.#filter, this.#config.dataplane, this.#overlay)
  }

  async #overruleWorkers(): Promise<void> {
    const { overlay, stamp } = this.#policy()
    await this.#supervisor.overrule(overlay, stamp)
    this.#fleet.announce(stamp, this.#generation())
  }

  async #bind(): Promise<void> {
    const { control } = this.#config
    const log = this.#options.log
    const workers = await workersThatCanShare(control.workers, log)
    await this.#applySites(await this.#sites.follow(this.#config))
    this.#options.onAnswering?.()
    await this.#supervisor.start(workers)
    this.#options.overrule?.store.follow(() => this.#overruleWorkers())
    try {
      if (control.metrics !== undefined) await this.#openAdmin(control.metrics)
      await this.#openAccess()
    } catch (error) {
      if (this.metricsEndpoint !== undefined) await this.#admin?.close()
      await this.#supervisor.stop(0)
      throw error
    }
    const rules = control.sharesRules ? this.#options.overrule?.store : undefined
    await this.#fleet.join(this.#options.redis, rules)
    this.#fleet.announce(this.#policy().stamp, this.#generation())
    this.#logReady(workers)
    this.#log.certificate(
      'encrypted listeners have their certificate',
      this.#certificate?.expiresAtSeconds,
    )
    this.#certificate?.start(CERTIFICATE_LOOK_MS)
    this.#probe = await openProbe(control.probe.intervalSeconds, {
      log,
      config: () => this.#config,
      filter: () => this.#filter,
      overlay: () => this.#overlay,
      endpoints: () => this.endpoints,
    })
  }

  /** After the workers: what formats metrics takes longer to load than they to start. */
  async #openAdmin(endpoint: Endpoint): Promise<void> {
    const { AdminServer: Server } = await import('./admin/http-server.ts')
    const { Metrics } = await import('./admin/metrics.ts')
    const metrics = new Metrics(() => this.#facts(), this.#startConfig.control.metricsPageMsMin)
    this.#admin = new Server({ metrics, checks: () => this.#checks() })
    this.metricsEndpoint = await this.#admin.listen(endpoint)
  }

  /** The socket by which commands reach this server. */
  async #openAccess(): Promise<void> {
    const { adminSocket } = this.#config.control
    if (adminSocket === undefined) return
    const { AdminAccess: Access } = await import('./admin/admin-access.ts')
    this.#access = await Access.open(adminSocket, this.#options.log, {
      facts: () => this.#facts(),
      counters: () => this.#supervisor.counters,
      config: () => this.#config,
      filter: () => this.#filter,
      keeper: () => this.#keeper,
      recentNames: () => this.#supervisor.recentNames,
      workers: this.#supervisor.observed,
      overrule: () => this.#options.overrule,
      reload: () => this.reload(),
      follow: async () => {
        await this.#keeper?.look()
        await this.#reloadSoon()
      },
    })
  }

  #certificateEvents(): CertificateEvents {
    return {
      changed: (identity, isNew) => {
        void this.#supervisor.certify(identity)
        if (!isNew) return
        const until = this.#certificate?.expiresAtSeconds
        this.#log.certificate('the encrypted listeners have a new certificate', until)
      },
      refused: (why) => this.#log.certificateRefused(why),
    }
  }

  #logReady(workers: number): void {
    const { trie, generation, essential } = this.#filter
    this.#log.ready({
      version: this.#version,
      listen: this.endpoints,
      metrics: this.metricsEndpoint,
      admin: this.#access?.file,
      upstreams: this.#config.dataplane.upstreams.map(({ label }) => label),
      names: trie.names,
      generation,
      essentialNames: essential.size,
      workers,
      whyNotBatched: this.#supervisor.whyNotBatched,
      hasOwnLoops: this.#supervisor.hasOwnLoops,
    })
  }

  /**
   * Takes lists and configuration anew, all or nothing; while one reload runs, further requests
   * make one more after it.
   */
  async reload(): Promise<ReloadOutcome> {
    this.#isConfigDue = true
    await this.#reloadSoon()
    return this.#lastReload
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
    this.#probe?.stop()
    this.#sites.stop()
    log.info({ event: 'stopping' }, 'stopping: answering what is in flight')
    await this.#access?.close()
    await this.#keeper?.stop()
    await this.#options.overrule?.store.close()
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
      if (this.#stopping) return
      if (isSame && !isConfigDue) return this.#renumber(filter)
      const sites = await this.#sites.follow(config)
      // What is overruled while the workers take the new filter has to know of it.
      this.#config = config
      this.#filter = filter
      const policy = this.#policy()
      await this.#supervisor.reload(startCache(sites, this.#startConfig.dataplane), policy)
      const needsRestart = keysThatNeedRestart(config, this.#startConfig)
      const files = config.control.certificate
      if (files !== undefined) this.#certificate?.reread(files)
      this.#policies++
      this.#reloads.succeed()
      this.#lastReload = { needsRestart, failure: undefined }
      this.#fleet.announce(policy.stamp, this.#generation())
      logReports(log, filter)
      this.#log.reloaded(this.#generation(), filter.trie.names, needsRestart)
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error))
      this.#reloads.fail()
      this.#lastReload = { ...this.#lastReload, failure }
      this.#log.reloadFailed(failure)
    }
  }

  /** What is served has another number, or can be read again; the workers have it already. */
  #renumber({ generation, passedOver }: LoadedFilter): void {
    const isOther = generation !== this.#filter.generation
    if (!isOther && this.#reloads.isLastSuccessful) return
    this.#filter = { ...this.#filter, generation, passedOver }
    this.#reloads.succeed()
    this.#lastReload = { ...this.#lastReload, failure: undefined }
    this.#fleet.announce(this.#policy().stamp, this.#generation())
    const { needsRestart } = this.#lastReload
    this.#log.reloaded(this.#generation(), this.#filter.trie.names, needsRestart)
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
      workerDeaths: this.#log.workerDeaths,
      cacheOctetsMax: this.#startConfig.dataplane.cache.octetsMax,
      reloads: this.#reloads,
      probe: this.#probe?.facts ?? NO_PROBE,
      probeIntervalSeconds: this.#startConfig.control.probe.intervalSeconds,
      pauses: this.#options.overrule?.store.pauses ?? [],
      certificateExpiresAtSeconds: this.#certificate?.expiresAtSeconds,
      filter: filterFacts(this.#filter, this.#generation(), this.#keeper),
      overrule: overruleFacts(this.#options.overrule),
      fleet: this.#fleet.counts,
      checks: this.#checks(),
    }
  }

  #generation(): number {
    return this.#filter.generation ?? this.#policies
  }
}

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
  const running: { server?: Niveau3Server } = {}
  const atStart = { config: withSecrets, filter }
  const overrule = await openOverrule(options.log, () => running.server?.inForce ?? atStart)
  const server = new Niveau3Server(withSecrets, filter, { ...options, redis, overrule })
  running.server = server
  await server.start()
  return server
}
