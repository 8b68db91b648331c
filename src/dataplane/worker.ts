/**
 * Entry of a worker thread: one pipeline with its own UDP and TCP listeners. It says `ready` once
 * every address is bound, swaps its policy between two queries, and answers what is in flight
 * before it stops.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { OperationalError } from '../base/errors.ts'
import { DescriptorLedger } from '../sys/descriptor-ledger.ts'
import { isLibc, openLibc } from '../sys/libc.ts'
import { openNativeGcm } from '../sys/native-gcm.ts'
import { openSocketLoop, type SocketLoop } from '../sys/socket-loop.ts'
import { Matcher } from '../trie/lookup.ts'
import {
  SWAP_BOUNDS_MS,
  SWAP_BUCKETS,
  SWAP_SUM_MS,
  countInHistogram,
  type Counters,
} from './counters.ts'
import type { FromWorker, PolicyMessage, ToWorker, WorkerStart } from './messages.ts'
import { ObservedQueries, type ObservedKind, type ObservedStart } from './observed-queries.ts'
import { Pipeline } from './pipeline.ts'
import { EssentialNames } from './policy/essential-names.ts'
import { createDesignations } from './policy/create-designations.ts'
import type { OverlayMessage } from './policy/overlay.ts'
import { Policy } from './policy/policy.ts'
import { RecentNames } from './recent-names.ts'
import {
  answersOf,
  type DataplaneSettings,
  type ListenSettings,
  type PolicySettings,
} from './settings.ts'
import { ClientAccess } from './transport/client-access.ts'
import { Listeners } from './listeners.ts'
import { EncryptedWays } from './upstream/encrypted-ways.ts'

/** How often a stopping worker looks whether its last question was answered. */
const DRAIN_POLL_MS = 10

/** What of a policy takes time to open, and outlives what an operator overrules. */
interface OpenFilter {
  readonly matcher: Matcher
  readonly categories: readonly string[]
  readonly essential: EssentialNames
}

function openFilter({ trie, essentialNames }: PolicyMessage): OpenFilter {
  const essential = new EssentialNames(essentialNames)
  return { matcher: new Matcher(trie), categories: trie.categories, essential }
}

/** Makes the policy that a worker decides by. */
export function createPolicy(
  message: PolicyMessage,
  settings: PolicySettings,
  { matcher, categories, essential } = openFilter(message),
): Policy {
  return new Policy(matcher, categories, essential, settings, message)
}

/** One worker's pipeline and listeners. */
export class DataplaneWorker {
  readonly #pipeline: Pipeline
  readonly #listeners: Listeners
  readonly #encrypted: EncryptedWays

  readonly #loop: SocketLoop | undefined
  #settings: DataplaneSettings
  #policy: PolicyMessage
  #filter: OpenFilter
  #observed: ObservedQueries | null = null
  #observers = 0

  constructor(
    pipeline: Pipeline,
    listeners: Listeners,
    encrypted: EncryptedWays,
    loop: SocketLoop | undefined,
    { settings, policy }: Pick<WorkerStart, 'settings' | 'policy'>,
    filter: OpenFilter,
  ) {
    this.#settings = settings
    this.#policy = policy
    this.#filter = filter
    this.#pipeline = pipeline
    this.#encrypted = encrypted
    this.#listeners = listeners
    this.#loop = loop
  }

  /** Loads what the next settings need, so that `reload` is one step between two queries. */
  async prepare(settings: DataplaneSettings): Promise<void> {
    await this.#encrypted.open(settings.upstreams)
  }

  /** Designates the encrypted listeners that there are at this moment (RFC 9462). */
  designate(listen: readonly ListenSettings[] = this.#listeners.endpoints): void {
    this.#pipeline.designate(createDesignations(listen, this.#settings.serverName))
  }

  reload(settings: DataplaneSettings, policy: PolicyMessage): void {
    this.#settings = settings
    this.#policy = policy
    this.#filter = openFilter(policy)
    this.#pipeline.reload(settings, createPolicy(policy, settings, this.#filter))
    this.#listeners.update(new ClientAccess(settings), settings.limits)
    this.designate()
  }

  /** Takes other rules and pauses; the image stays open. */
  overrule(overlay: OverlayMessage, stamp: string): void {
    this.#policy = { ...this.#policy, overlay, stamp }
    this.#pipeline.overrule(createPolicy(this.#policy, this.#settings, this.#filter))
  }

  /** Notes queries of a kind into a ring, until `observeNoMore` or the ring's own end. */
  observe(start: ObservedStart): void {
    this.#observed ??= new ObservedQueries(++this.#observers)
    this.#observed.begin(start)
    this.#pipeline.observe(this.#observed)
  }

  observeNoMore(what: ObservedKind): void {
    if (this.#observed === null || this.#observed.end(what)) return
    this.#observed = null
    this.#pipeline.observe(null)
  }

  /** Answers what is in flight, at most `graceMs` long, then closes everything. */
  stop(graceMs: number, stopped: () => void): void {
    const endMs = performance.now() + graceMs
    this.#pipeline.stopForwarding()
    this.#listeners.stopAccepting()
    const closeWhenDrained = (): void => {
      if (this.#pipeline.questionsInFlight > 0 && performance.now() < endMs) {
        setTimeout(closeWhenDrained, DRAIN_POLL_MS)
        return
      }
      this.close()
      stopped()
    }
    closeWhenDrained()
  }

  close(): void {
    this.#listeners.closeUdp()
    this.#pipeline.close()
    this.#listeners.closeTcp()
    this.#loop?.close()
  }
}

/** Binds every address and starts to answer; closes what it opened when one of them fails. */
export async function startWorker(
  start: WorkerStart,
): Promise<{ worker: DataplaneWorker; listeners: Listeners; ready: FromWorker }> {
  const { settings, counters } = start
  const filter = openFilter(start.policy)
  const policy = createPolicy(start.policy, settings, filter)
  const opened = start.descriptors === undefined ? undefined : await openLibc()
  const libc = opened !== undefined && isLibc(opened) ? opened : undefined
  const loop =
    libc === undefined ? undefined : await openSocketLoop(libc, new DescriptorLedger(start.ledger))
  const encrypted = new EncryptedWays()
  await encrypted.open(settings.upstreams)
  const pipeline = new Pipeline(settings, policy, counters, {
    libc,
    loop,
    upstreamPortsMax: start.upstreamPortsMax,
    encrypted,
  })
  if (start.recent !== undefined) pipeline.recent = new RecentNames(start.recent)
  if (start.redis !== undefined) {
    // ioredis takes memory, so it is loaded only where it is used.
    const { RedisCache } = await import('./cache/redis-cache.ts')
    const { NodeGcm } = await import('./cache/node-gcm.ts')
    const createGcm = (await openNativeGcm()) ?? ((octets: number) => new NodeGcm(octets))
    pipeline.arrivals.shared = new RedisCache(
      start.redis,
      counters,
      pipeline.arrivals,
      answersOf(settings),
      createGcm,
      loop,
    )
  }
  const context = { handler: pipeline, counters, libc, loop, shared: start.shared }
  const listeners = new Listeners(context, new ClientAccess(settings), settings.limits, start.tls)
  const worker = new DataplaneWorker(pipeline, listeners, encrypted, loop, start, filter)
  for (const observed of start.observed ?? []) worker.observe(observed)
  try {
    // Before the first datagram: a client would keep a denial for hours.
    worker.designate(settings.listen)
    const endpoints = await listeners.open(settings.listen, start.descriptors)
    const hasOwnLoop = loop !== undefined
    worker.designate()
    return { worker, listeners, ready: { kind: 'ready', endpoints, hasOwnLoop } }
  } catch (error) {
    worker.close()
    throw error
  }
}

async function startThread(
  port: NonNullable<typeof parentPort>,
  start: WorkerStart,
): Promise<void> {
  const say = (message: FromWorker): void => port.postMessage(message)
  try {
    const { worker, listeners, ready } = await startWorker(start)
    const act = async (message: ToWorker): Promise<void> => {
      switch (message.kind) {
        case 'reload':
          await worker.prepare(message.settings)
          swapTimed(start.counters, () => worker.reload(message.settings, message.policy))
          say({ kind: 'reloaded' })
          break
        case 'overrule':
          swapTimed(start.counters, () => worker.overrule(message.overlay, message.stamp))
          say({ kind: 'overruled' })
          break
        case 'listen':
          listeners.close(message.close)
          say(await listen(listeners, message))
          worker.designate()
          break
        case 'observe':
          worker.observe(message.start)
          say({ kind: 'observed' })
          break
        case 'observe-end':
          worker.observeNoMore(message.what)
          say({ kind: 'observed' })
          break
        case 'certificate':
          listeners.certify(message.tls)
          say({ kind: 'certified' })
          break
        case 'stop':
          worker.stop(message.graceMs, () => {
            say({ kind: 'stopped' })
            port.close()
          })
      }
    }
    // One after the other: answers go back in the order of the messages.
    let acting = Promise.resolve()
    port.on('message', (message: ToWorker) => {
      acting = acting.then(() => act(message))
    })
    // Node reads on for a while after an exception: what it would read is the next worker's.
    process.once('uncaughtExceptionMonitor', () => listeners.closeUdp())
    say(ready)
  } catch (error) {
    say(failure(error))
    port.close()
  }
}

/** Nothing is answered while a worker takes a policy: how long that is belongs to be known. */
function swapTimed(counters: Counters, swap: () => void): void {
  const startMs = performance.now()
  swap()
  const tookMs = performance.now() - startMs
  countInHistogram(counters, SWAP_BUCKETS, SWAP_SUM_MS, SWAP_BOUNDS_MS, tookMs)
}

async function listen(
  listeners: Listeners,
  message: Extract<ToWorker, { kind: 'listen' }>,
): Promise<FromWorker> {
  try {
    await listeners.open(message.open, message.descriptors)
    return { kind: 'listening' }
  } catch (error) {
    return failure(error)
  }
}

function failure(error: unknown): FromWorker {
  const code = error instanceof OperationalError ? error.code : 'ERR_WORKER'
  return { kind: 'failed', code, message: error instanceof Error ? error.message : String(error) }
}

if (parentPort !== null) {
  const start: WorkerStart = workerData
  void startThread(parentPort, start)
}
