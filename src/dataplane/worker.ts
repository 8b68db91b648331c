/**
 * One worker: a pipeline with its own UDP and TCP listeners. It swaps its policy between two
 * queries, and answers what is in flight before it stops.
 */
import { DescriptorLedger } from '../sys/descriptor-ledger.ts'
import { isLibc, openLibc } from '../sys/libc.ts'
import { openNativeGcm } from '../sys/native-gcm.ts'
import { openSocketLoop, type SocketLoop } from '../sys/socket-loop.ts'
import { Matcher } from '../trie/lookup.ts'
import type { FromWorker, PolicyMessage, WorkerStart } from './messages.ts'
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
