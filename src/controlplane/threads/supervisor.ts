/**
 * Starts the data plane's workers, hands them new policies, restarts one that dies, stops them all.
 */
import { createSocket } from 'node:dgram'
import { Worker } from 'node:worker_threads'
import { OperationalError } from '../../base/errors.ts'
import { MINUTE_S, SECOND_MS } from '../../base/units.ts'
import {
  DROPPED,
  DROP_STOPPED,
  IN_FLIGHT,
  REDIS,
  TCP_CONNECTIONS,
  createCounters,
  type Counters,
} from '../../dataplane/counters.ts'
import type {
  BoundEndpoint,
  FromWorker,
  PolicyMessage,
  ToWorker,
  WorkerStart,
} from '../../dataplane/messages.ts'
import type { DataplaneSettings, Endpoint, RedisSettings } from '../../dataplane/settings.ts'
import { REDIS_GAUGES } from '../../dataplane/redis-counters.ts'
import { createListenError } from '../../dataplane/transport/listen-error.ts'
import { isLibc, openLibc, type Libc, type NoLibc } from '../../sys/libc.ts'
import { descriptorsMax } from './descriptors.ts'
import { bindSockets, closeUnadopted, expandWildcards } from './listen-sockets.ts'

/**
 * Restarts within a minute after which the whole process gives up: something is broken for good.
 */
const RESTARTS_MAX = 10
const RESTART_WINDOW_MS = MINUTE_S * SECOND_MS
const RESTART_DELAY_MS = 100
/** Time beyond the grace that a worker gets before it is ended. */
const STOP_SLACK_MS = 500

/** A worker makes little garbage; the default of 48 MiB would only be memory that is never used. */
const YOUNG_GENERATION_MIB = 6

const WORKER_FILE = new URL('../../dataplane/worker.js', import.meta.url)

/** What the supervisor tells about. */
export interface SupervisorEvents {
  /** A worker died and is being restarted. */
  workerDied(index: number, reason: string): void
  /** Workers die faster than they can be restarted: the process has to end. */
  gaveUp(error: OperationalError): void
}

/** One place for a worker: its thread changes when it dies, its counters stay. */
interface Slot {
  readonly index: number
  readonly counters: Counters
  thread: Worker | null
  /** The thread has bound its addresses and answers. */
  ready: boolean
  /** Resolve the waits for the thread's next answers, which come in the order of the questions. */
  answers: ((message: FromWorker) => void)[]
}

/** Owns the worker threads: one slot each, whose thread may change and whose counters stay. */
export class Supervisor {
  readonly #slots: Slot[] = []
  readonly #events: SupervisorEvents
  readonly #redis: RedisSettings | undefined
  #settings: DataplaneSettings
  #policy: PolicyMessage
  #endpoints: readonly BoundEndpoint[] = []
  #restartsMs: number[] = []
  #stopping = false
  #shared = false
  #upstreamPortsMax = 0
  #libc: Libc | NoLibc = { why: 'not asked yet' }

  /** @param redis the shared cache, for the life of the supervisor; undefined: none. */
  constructor(
    settings: DataplaneSettings,
    policy: PolicyMessage,
    redis: RedisSettings | undefined,
    events: SupervisorEvents,
  ) {
    this.#settings = settings
    this.#redis = redis
    this.#policy = policy
    this.#events = events
  }

  /** The bound addresses, as the first worker got them. */
  get endpoints(): readonly BoundEndpoint[] {
    return this.#endpoints
  }

  /** One block per worker, to be summed. */
  get counters(): readonly Counters[] {
    return this.#slots.map((slot) => slot.counters)
  }

  /** Why datagrams go one by one instead of in batches; undefined when they go in batches. */
  get whyNotBatched(): string | undefined {
    return isLibc(this.#libc) ? undefined : this.#libc.why
  }

  get workersAlive(): number {
    return this.#slots.filter((slot) => slot.ready).length
  }

  /**
   * Starts that many workers; the first one binds, the others share its ports.
   *
   * @throws OperationalError when an address cannot be bound; nothing is left running then.
   */
  async start(workers: number): Promise<void> {
    this.#libc = await openLibc()
    this.#upstreamPortsMax = Math.floor(descriptorsMax() / 2 / workers)
    this.#shared = workers > 1
    this.#settings = { ...this.#settings, listen: expandWildcards(this.#settings.listen) }
    try {
      if (this.#shared) await probePorts(this.#settings.listen)
      for (let index = 0; index < workers; index++) {
        const slot: Slot = {
          index,
          counters: createCounters(),
          thread: null,
          ready: false,
          answers: [],
        }
        this.#slots.push(slot)
        const message = await this.#startThread(slot)
        if (message.kind === 'failed') throw new OperationalError(message.code, message.message)
        if (message.kind !== 'ready') throw unexpected(message)
        if (index === 0) this.#adoptPorts(message.endpoints)
      }
    } catch (error) {
      this.#stopping = true
      await this.#terminateAll()
      throw error
    }
  }

  /** Gives every worker new settings and a new policy; resolves when all of them decide by it. */
  async reload(settings: DataplaneSettings, policy: PolicyMessage): Promise<void> {
    this.#settings = { ...settings, listen: this.#settings.listen }
    this.#policy = policy
    const message: ToWorker = { kind: 'reload', settings: this.#settings, policy }
    await Promise.all(this.#slots.map((slot) => this.#ask(slot, message)))
  }

  /** Answers what is in flight within `graceMs`, then ends all workers. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    const message: ToWorker = { kind: 'stop', graceMs }
    const deadline = new Promise<void>((resolve) => {
      setTimeout(resolve, graceMs + STOP_SLACK_MS).unref()
    })
    const answers = Promise.all(this.#slots.map((slot) => this.#ask(slot, message)))
    await Promise.race([answers, deadline])
    await this.#terminateAll()
  }

  async #terminateAll(): Promise<void> {
    for (const { thread } of this.#slots) await thread?.terminate()
  }

  /** From the first worker's bind on, all workers ask for the same ports, restarted ones too. */
  #adoptPorts(endpoints: readonly BoundEndpoint[]): void {
    this.#endpoints = endpoints
    const listen = this.#settings.listen.map((asked, index) => ({
      address: asked.address,
      port: endpoints[index]?.udp.port ?? asked.port,
    }))
    this.#settings = { ...this.#settings, listen }
  }

  async #startThread(slot: Slot): Promise<FromWorker> {
    const libc = this.#libc
    const bound = isLibc(libc) ? bindSockets(libc, this.#settings.listen, this.#shared) : undefined
    if (bound !== undefined) this.#settings = { ...this.#settings, listen: bound.endpoints }
    const workerData: WorkerStart = {
      settings: this.#settings,
      policy: this.#policy,
      counters: slot.counters,
      shared: this.#shared,
      upstreamPortsMax: this.#upstreamPortsMax,
      descriptors: bound?.descriptors,
      redis: this.#redis,
    }
    const thread = new Worker(WORKER_FILE, {
      workerData,
      name: `dns ${slot.index}`,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    })
    slot.thread = thread
    const first = this.#nextAnswer(slot)
    let reason = 'ended by itself'
    thread.on('message', (message: FromWorker) => slot.answers.shift()?.(message))
    thread.on('error', (error) => {
      reason = error.stack ?? error.message
    })
    thread.on('exit', () => this.#exited(slot, reason))
    const message = await first
    if (message.kind === 'failed' && bound !== undefined && isLibc(libc)) {
      closeUnadopted(libc, bound.descriptors)
    }
    slot.ready = message.kind === 'ready'
    return message
  }

  #nextAnswer(slot: Slot): Promise<FromWorker> {
    return new Promise((resolve) => slot.answers.push(resolve))
  }

  async #ask(slot: Slot, message: ToWorker): Promise<void> {
    if (slot.thread === null) return
    const answer = this.#nextAnswer(slot)
    slot.thread.postMessage(message)
    await answer
  }

  #exited(slot: Slot, reason: string): void {
    slot.thread = null
    slot.ready = false
    const counters = slot.counters
    const dropped = DROPPED + DROP_STOPPED
    counters[dropped] = counters[dropped]! + counters[IN_FLIGHT]!
    counters[IN_FLIGHT] = 0
    counters[TCP_CONNECTIONS] = 0
    for (const gauge of REDIS_GAUGES) counters[REDIS + gauge] = 0
    for (const answer of slot.answers.splice(0)) {
      answer({ kind: 'failed', code: 'ERR_WORKER', message: `a worker died: ${reason}` })
    }
    if (this.#stopping || this.#endpoints.length === 0) return
    this.#restartLater(slot, reason)
  }

  /** Restarts the slot's worker after a moment, or gives up when that has happened too often. */
  #restartLater(slot: Slot, reason: string): void {
    this.#events.workerDied(slot.index, reason)
    const nowMs = performance.now()
    this.#restartsMs = this.#restartsMs.filter((atMs) => nowMs - atMs < RESTART_WINDOW_MS)
    this.#restartsMs.push(nowMs)
    if (this.#restartsMs.length > RESTARTS_MAX) {
      const error = new OperationalError(
        'ERR_WORKER',
        `workers died ${this.#restartsMs.length} times within a minute; last: ${reason}`,
      )
      this.#events.gaveUp(error)
      return
    }
    setTimeout(() => void this.#restart(slot), RESTART_DELAY_MS)
  }

  async #restart(slot: Slot): Promise<void> {
    if (this.#stopping) return
    try {
      const message = await this.#startThread(slot)
      if (message.kind === 'failed') await slot.thread?.terminate()
    } catch (error) {
      // Another program has taken the port meanwhile: it may give it back.
      this.#restartLater(slot, error instanceof Error ? error.message : String(error))
    }
  }
}

/**
 * Binds every address once without SO_REUSEPORT: with it, a second server on the same port would
 * start without an error and take half of the queries.
 */
async function probePorts(endpoints: readonly Endpoint[]): Promise<void> {
  for (const endpoint of endpoints) {
    const socket = createSocket(endpoint.address.includes(':') ? 'udp6' : 'udp4')
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error) => reject(createListenError(endpoint, 'UDP', error)))
      socket.bind({ ...endpoint, exclusive: true }, resolve)
    }).finally(() => socket.close())
  }
}

function unexpected(message: FromWorker): OperationalError {
  return new OperationalError('ERR_WORKER', `a worker said "${message.kind}" before it was ready`)
}
