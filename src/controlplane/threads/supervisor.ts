/**
 * Starts the data plane's workers, hands them new policies, restarts one that dies, stops them all.
 */
import { randomBytes } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { OperationalError } from '../../base/errors.ts'
import { programFile } from '../package-files.ts'
import { MINUTE_S, SECOND_MS } from '../../base/units.ts'
import type { Counters } from '../../dataplane/counters.ts'
import type {
  Descriptors,
  FromWorker,
  PolicyMessage,
  ToWorker,
  WorkerStart,
} from '../../dataplane/messages.ts'
import type { OverlayMessage } from '../../dataplane/policy/overlay.ts'
import type {
  DataplaneSettings,
  Endpoint,
  ListenSettings,
  RedisSettings,
  TlsIdentity,
} from '../../dataplane/settings.ts'
import { SIPHASH_KEY_OCTETS } from '../../wire/siphash.ts'
import type { RecordedNames } from '../generations/changed-verdicts.ts'
import { isLibc, openLibc, type Libc, type NoLibc } from '../../sys/libc.ts'
import { descriptorsMax } from './descriptors.ts'
import { ObservedSlots } from './observed-slots.ts'
import { createSlot, type Slot } from './slot.ts'
import { countLost } from './lost-queries.ts'
import { ListenSockets, type AddressChanges } from './listen-sockets.ts'
import { probePorts } from './probe-ports.ts'

/**
 * Restarts within a minute after which the whole process gives up: something is broken for good.
 */
const RESTARTS_MAX = 10
const RESTART_WINDOW_MS = MINUTE_S * SECOND_MS
/** Each further death within the window waits so much longer for its restart. */
const RESTART_DELAY_MS = 100
/** Between two looks at the addresses of this machine, where a wildcard is configured. */
const ADDRESS_WATCH_MS = 2000
/** Time beyond the grace that a worker gets before it is ended. */
const STOP_SLACK_MS = 500

/** A worker makes little garbage; the default of 48 MiB would only be memory that is never used. */
const YOUNG_GENERATION_MIB = 6
/**
 * Heap of a worker beside its cache: several times what 2,000 encrypted connections take. Without a
 * limit the engine lets garbage grow to twice what lives (a full cache took 272 MB, now 131).
 */
const HEAP_MIB = 512
const MIB_OCTETS = 1024 * 1024

const WORKER_FILE = programFile('worker.js')

/** What the supervisor tells about. */
export interface SupervisorEvents {
  /** A worker died and is being restarted. */
  workerDied(index: number, reason: string): void
  /** Addresses of a wildcard came or went, and all workers answer (or no more) there. */
  addressesChanged(changes: AddressChanges): void
  /** An address that came cannot be listened on; it is tried again. */
  addressFailed(endpoint: Endpoint, reason: string): void
  /** Workers die faster than they can be restarted: the process has to end. */
  gaveUp(error: OperationalError): void
}

/** What workers need beside their settings, which may be shown; it never is. */
export interface Secrets {
  /** The shared cache, for the life of the supervisor; undefined: none. */
  readonly redis: RedisSettings | undefined
  /** Undefined when no listener is encrypted. */
  readonly tls: TlsIdentity | undefined
}

/** Owns the worker threads: one slot each, whose thread may change and whose counters stay. */
export class Supervisor {
  readonly #slots: Slot[] = []
  readonly #events: SupervisorEvents
  readonly #redis: RedisSettings | undefined
  #settings: DataplaneSettings
  #policy: PolicyMessage
  #tls: TlsIdentity | undefined
  #sockets: ListenSockets | undefined
  /** Drawn anew with every process: what is hashed with it means nothing to anybody else. */
  readonly #recentKey = randomBytes(SIPHASH_KEY_OCTETS)
  /** What workers note of queries while an operator looks. */
  readonly observed = new ObservedSlots((messageFor) =>
    Promise.all(this.#slots.map((slot) => this.#ask(slot, messageFor(slot.index)))),
  )
  #started = false
  #watch: NodeJS.Timeout | undefined
  #lookingAtAddresses = false
  /** Why addresses that came cannot be listened on: each reason is told once. */
  readonly #addressFaults = new Map<string, string>()
  #restartsMs: number[] = []
  #stopping = false
  #shared = false
  #upstreamPortsMax = 0
  #libc: Libc | NoLibc = { why: 'not asked yet' }
  #hasOwnLoops = true

  constructor(
    settings: DataplaneSettings,
    policy: PolicyMessage,
    { redis, tls }: Secrets,
    events: SupervisorEvents,
  ) {
    this.#tls = tls
    this.#settings = settings
    this.#redis = redis
    this.#policy = policy
    this.#events = events
  }

  /** The bound addresses; with a wildcard they may change while the server runs. */
  get endpoints(): readonly ListenSettings[] {
    return this.#sockets?.endpoints ?? []
  }

  /** One block per worker, to be summed. */
  get counters(): readonly Counters[] {
    return this.#slots.map((slot) => slot.counters)
  }

  /** The names that were asked lately, hashed: one block per worker. */
  get recentNames(): RecordedNames {
    return { key: this.#recentKey, blocks: this.#slots.map(({ recent }) => recent.words) }
  }

  /** Why datagrams go one by one instead of in batches; undefined when they go in batches. */
  get whyNotBatched(): string | undefined {
    return isLibc(this.#libc) ? undefined : this.#libc.why
  }

  /** False when a worker is woken by Node for every burst, at a higher price. */
  get hasOwnLoops(): boolean {
    return this.#hasOwnLoops
  }

  get workersAlive(): number {
    return this.#slots.filter((slot) => slot.ready).length
  }

  /**
   * Starts that many workers; the first one's ports are those of all.
   *
   * @throws OperationalError when an address cannot be bound; nothing is left running then.
   */
  async start(workers: number): Promise<void> {
    this.#libc = await openLibc()
    const libc = isLibc(this.#libc) ? this.#libc : undefined
    this.#upstreamPortsMax = Math.floor(descriptorsMax() / 2 / workers)
    this.#shared = workers > 1
    const sockets = new ListenSockets(this.#settings.listen, libc, this.#shared)
    this.#sockets = sockets
    try {
      if (this.#shared && libc === undefined) await probePorts(sockets.endpoints)
      for (let index = 0; index < workers; index++) {
        sockets.openPlace()
        const slot = createSlot(index, this.#recentKey)
        this.#slots.push(slot)
        const message = await this.#startThread(slot)
        if (message.kind === 'failed') throw new OperationalError(message.code, message.message)
        if (message.kind !== 'ready') throw unexpected(message)
        if (!message.hasOwnLoop) this.#hasOwnLoops = false
        if (index === 0) sockets.adoptPorts(message.endpoints)
      }
      this.#started = true
    } catch (error) {
      this.#stopping = true
      sockets.close()
      await this.#terminateAll()
      throw error
    }
    if (sockets.hasWildcard) this.#watchAddresses(sockets)
  }

  /** Gives every worker new settings and a new policy; resolves when all of them decide by it. */
  async reload(settings: DataplaneSettings, policy: PolicyMessage): Promise<void> {
    this.#settings = settings
    this.#policy = policy
    await this.#askAll({ kind: 'reload', settings, policy })
  }

  /** Gives every worker other rules and pauses; resolves when all of them decide by these. */
  async overrule(overlay: OverlayMessage, stamp: string): Promise<void> {
    this.#policy = { ...this.#policy, overlay, stamp }
    await this.#askAll({ kind: 'overrule', overlay, stamp })
  }

  /** Lets every worker greet new connections with another certificate. */
  async certify(tls: TlsIdentity): Promise<void> {
    this.#tls = tls
    await this.#askAll({ kind: 'certificate', tls })
  }

  /** Answers what is in flight within `graceMs`, then ends all workers. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    clearInterval(this.#watch)
    // With our own descriptors closed, a port is free as soon as its worker lets go.
    this.#sockets?.close()
    const deadline = new Promise<void>((resolve) => {
      setTimeout(resolve, graceMs + STOP_SLACK_MS).unref()
    })
    await Promise.race([this.#askAll({ kind: 'stop', graceMs }), deadline])
    await this.#terminateAll()
  }

  async #terminateAll(): Promise<void> {
    for (const { thread } of this.#slots) await thread?.terminate()
  }

  async #startThread(slot: Slot): Promise<FromWorker> {
    const sockets = this.#sockets!
    const lent = sockets.lend(slot.index)
    const workerData: WorkerStart = {
      settings: { ...this.#settings, listen: sockets.endpoints },
      policy: this.#policy,
      counters: slot.counters,
      shared: this.#shared,
      upstreamPortsMax: this.#upstreamPortsMax,
      ledger: slot.ledger.words,
      descriptors: lent,
      tls: this.#tls,
      recent: slot.recent,
      observed: this.observed.startsOf(slot.index),
      redis: this.#redis,
    }
    if (lent !== undefined) slot.lent.push(lent)
    const thread = new Worker(WORKER_FILE, {
      workerData,
      name: `dns ${slot.index}`,
      resourceLimits: {
        maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB,
        maxOldGenerationSizeMb: HEAP_MIB + 2 * (this.#settings.cache.octetsMax / MIB_OCTETS),
      },
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
    slot.ready = message.kind === 'ready'
    return message
  }

  #nextAnswer(slot: Slot): Promise<FromWorker> {
    return new Promise((resolve) => slot.answers.push(resolve))
  }

  /** Resolves with the answer; undefined from a slot that has no thread at the moment. */
  async #ask(slot: Slot, message: ToWorker): Promise<FromWorker | undefined> {
    if (slot.thread === null) return undefined
    const answer = this.#nextAnswer(slot)
    slot.thread.postMessage(message)
    return answer
  }

  async #askAll(message: ToWorker): Promise<void> {
    await Promise.all(this.#slots.map((slot) => this.#ask(slot, message)))
  }

  #exited(slot: Slot, reason: string): void {
    slot.thread = null
    slot.ready = false
    countLost(slot.counters)
    if (isLibc(this.#libc)) slot.ledger.closeAll(this.#libc)
    for (const lent of slot.lent.splice(0)) this.#sockets?.takeBack(lent)
    for (const answer of slot.answers.splice(0)) {
      answer({ kind: 'failed', code: 'ERR_WORKER', message: `a worker died: ${reason}` })
    }
    if (this.#stopping || !this.#started) return
    this.#restartLater(slot, reason)
  }

  /** Interfaces come up, leases are renewed: a wildcard means the addresses of this moment. */
  #watchAddresses(sockets: ListenSockets): void {
    this.#watch = setInterval(() => void this.#followAddresses(sockets), ADDRESS_WATCH_MS)
    this.#watch.unref()
  }

  async #followAddresses(sockets: ListenSockets): Promise<void> {
    const { appeared, vanished } = sockets.changes()
    for (const { address } of vanished) this.#addressFaults.delete(address)
    const isSame = appeared.length === 0 && vanished.length === 0
    if (isSame || this.#lookingAtAddresses || this.#stopping) return
    this.#lookingAtAddresses = true
    for (const endpoint of vanished) sockets.remove(endpoint)
    await this.#listen(vanished, [])
    const opened: ListenSettings[] = []
    for (const asked of appeared) {
      const endpoint = await this.#openAddress(sockets, asked)
      if (endpoint !== undefined) opened.push(endpoint)
    }
    this.#lookingAtAddresses = false
    if (this.#stopping || opened.length + vanished.length === 0) return
    this.#events.addressesChanged({ appeared: opened, vanished })
  }

  /** Binds one address in all workers, or in none: then it is tried again by the next look. */
  async #openAddress(
    sockets: ListenSockets,
    asked: ListenSettings,
  ): Promise<ListenSettings | undefined> {
    let endpoint = asked
    let reason: string | undefined
    try {
      if (this.#shared && !isLibc(this.#libc)) await probePorts([asked])
      if (this.#stopping) return undefined
      endpoint = sockets.add(asked)
      reason = await this.#listen([], [endpoint])
      if (reason !== undefined) {
        sockets.remove(endpoint)
        await this.#listen([endpoint], [])
      }
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error)
    }
    if (reason === undefined) {
      this.#addressFaults.delete(asked.address)
      return endpoint
    }
    if (this.#addressFaults.get(asked.address) !== reason) {
      this.#addressFaults.set(asked.address, reason)
      this.#events.addressFailed(endpoint, reason)
    }
    return undefined
  }

  /** Tells every worker; resolves with the reason of one that could not, if any. */
  async #listen(
    close: readonly Endpoint[],
    open: readonly ListenSettings[],
  ): Promise<string | undefined> {
    const faults = await Promise.all(
      this.#slots.map(async (slot) => {
        // A worker that is being started is given the addresses as they are then.
        if (slot.thread === null) return undefined
        let descriptors: Descriptors | undefined
        try {
          if (open.length > 0) descriptors = this.#sockets?.lend(slot.index, open)
        } catch (error) {
          return error instanceof Error ? error.message : String(error)
        }
        if (descriptors !== undefined) slot.lent.push(descriptors)
        const answer = await this.#ask(slot, { kind: 'listen', close, open, descriptors })
        return answer?.kind === 'failed' ? answer.message : undefined
      }),
    )
    return faults.find((fault) => fault !== undefined)
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
    // The first death is mended at once: its clients' datagrams wait in the socket meanwhile.
    const delayMs = (this.#restartsMs.length - 1) * RESTART_DELAY_MS
    setTimeout(() => void this.#restart(slot), delayMs)
  }

  async #restart(slot: Slot): Promise<void> {
    if (this.#stopping) return
    try {
      const message = await this.#startThread(slot)
      if (message.kind === 'failed') await slot.thread?.terminate()
    } catch (error) {
      // No descriptor is left, or no memory for a thread: both may come back.
      this.#restartLater(slot, error instanceof Error ? error.message : String(error))
    }
  }
}

function unexpected(message: FromWorker): OperationalError {
  return new OperationalError('ERR_WORKER', `a worker said "${message.kind}" before it was ready`)
}
