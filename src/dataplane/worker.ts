/**
 * Entry of a worker thread: one pipeline with its own UDP and TCP listeners. It says `ready` once
 * every address is bound, swaps its policy between two queries, and answers what is in flight
 * before it stops.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { OperationalError } from '../base/errors.ts'
import { isLibc, openLibc, type Libc } from '../sys/libc.ts'
import { openSocketLoop, type SocketLoop } from '../sys/socket-loop.ts'
import { Matcher } from '../trie/lookup.ts'
import { openTrie } from '../trie/open.ts'
import type { Descriptors, FromWorker, PolicyMessage, ToWorker, WorkerStart } from './messages.ts'
import { Pipeline } from './pipeline.ts'
import { EssentialNames } from './policy/essential-names.ts'
import { Policy } from './policy/policy.ts'
import type { CategorySettings, DataplaneSettings, Endpoint } from './settings.ts'
import { ClientAccess } from './transport/client-access.ts'
import { openTcpListener, type TcpListener } from './transport/tcp-listener.ts'
import { UdpBatchListener, openUdpBatchListener } from './transport/udp-batch-listener.ts'
import { openUdpListener, type UdpListener } from './transport/udp-listener.ts'

/** How often a stopping worker looks whether its last question was answered. */
const DRAIN_POLL_MS = 10
/** Ports tried where the system shall give one that is free over UDP and TCP alike. */
const PORT_DRAWS_MAX = 16

/** Makes the policy that a worker decides by. */
export function createPolicy(
  message: PolicyMessage,
  categories: readonly CategorySettings[],
): Policy {
  const trie = openTrie(message.image)
  const essential = new EssentialNames(message.essentialNames)
  return new Policy(new Matcher(trie), trie.categories, essential, categories, message.stamp)
}

/** One worker's pipeline and listeners. */
export class DataplaneWorker {
  readonly #pipeline: Pipeline
  readonly #udp: (UdpListener | UdpBatchListener)[] = []
  readonly #tcp: TcpListener[] = []

  readonly #loop: SocketLoop | undefined

  constructor(pipeline: Pipeline, loop: SocketLoop | undefined) {
    this.#pipeline = pipeline
    this.#loop = loop
  }

  addListeners(udp: UdpListener | UdpBatchListener, tcp: TcpListener): void {
    this.#udp.push(udp)
    this.#tcp.push(tcp)
  }

  reload(settings: DataplaneSettings, policy: PolicyMessage): void {
    this.#pipeline.reload(settings, createPolicy(policy, settings.categories))
    const access = new ClientAccess(settings.allowFrom)
    for (const listener of this.#udp) listener.access = access
    for (const listener of this.#tcp) {
      listener.access = access
      listener.limits = settings.limits
    }
  }

  /** Answers what is in flight, at most `graceMs` long, then closes everything. */
  stop(graceMs: number, stopped: () => void): void {
    const endMs = performance.now() + graceMs
    this.#pipeline.stopForwarding()
    for (const listener of this.#tcp) listener.stopAccepting()
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
    for (const listener of this.#udp) listener.close()
    this.#pipeline.close()
    for (const listener of this.#tcp) listener.close()
    this.#loop?.close()
  }
}

/** Binds every address and starts to answer; closes what it opened when one of them fails. */
export async function startWorker(
  start: WorkerStart,
): Promise<{ worker: DataplaneWorker; ready: FromWorker }> {
  const { settings, counters } = start
  const policy = createPolicy(start.policy, settings.categories)
  const opened = start.descriptors === undefined ? undefined : await openLibc()
  const libc = opened !== undefined && isLibc(opened) ? opened : undefined
  const loop = libc === undefined ? undefined : await openSocketLoop(libc)
  const pipeline = new Pipeline(settings, policy, counters, {
    libc,
    loop,
    upstreamPortsMax: start.upstreamPortsMax,
  })
  const worker = new DataplaneWorker(pipeline, loop)
  const access = new ClientAccess(settings.allowFrom)
  const endpoints = []
  try {
    for (const [index, asked] of settings.listen.entries()) {
      const { udp, tcp } =
        libc !== undefined && start.descriptors !== undefined
          ? await adoptListeners(index, start.descriptors, libc, start, pipeline, access)
          : await openListeners(asked, start, pipeline, access)
      if (loop !== undefined && udp instanceof UdpBatchListener) udp.join(loop)
      worker.addListeners(udp, tcp)
      endpoints.push({ udp: udp.endpoint, tcp: tcp.endpoint })
    }
  } catch (error) {
    worker.close()
    throw error
  }
  return { worker, ready: { kind: 'ready', endpoints } }
}

interface ListenerPair {
  readonly udp: UdpListener | UdpBatchListener
  readonly tcp: TcpListener
}

/** Takes over what the supervisor has bound. */
async function adoptListeners(
  index: number,
  { pairs, adopted }: Descriptors,
  libc: Libc,
  { settings, counters }: WorkerStart,
  pipeline: Pipeline,
  access: ClientAccess,
): Promise<ListenerPair> {
  const endpoint = settings.listen[index]!
  const pair = pairs[index]!
  Atomics.store(adopted, index * 2, 1)
  const udp = await openUdpBatchListener(libc, pair.udp, endpoint, pipeline, access, counters)
  Atomics.store(adopted, index * 2 + 1, 1)
  const source = { endpoint, fd: pair.tcp, shared: false }
  const tcp = await openTcpListener(source, pipeline, access, settings.limits, counters)
  return { udp, tcp }
}

/** Binds one port over UDP and TCP; port 0 is drawn again where TCP does not get UDP's port. */
async function openListeners(
  asked: Endpoint,
  { settings, counters, shared }: WorkerStart,
  pipeline: Pipeline,
  access: ClientAccess,
): Promise<ListenerPair> {
  for (let draws = 1; ; draws++) {
    const udp = await openUdpListener(asked, shared, pipeline, access, counters)
    const bound = { address: asked.address, port: udp.endpoint.port }
    const source = { endpoint: bound, fd: undefined, shared }
    try {
      const tcp = await openTcpListener(source, pipeline, access, settings.limits, counters)
      return { udp, tcp }
    } catch (error) {
      udp.close()
      if (asked.port !== 0 || draws === PORT_DRAWS_MAX) throw error
    }
  }
}

async function startThread(
  port: NonNullable<typeof parentPort>,
  start: WorkerStart,
): Promise<void> {
  const say = (message: FromWorker): void => port.postMessage(message)
  try {
    const { worker, ready } = await startWorker(start)
    port.on('message', (message: ToWorker) => {
      if (message.kind === 'reload') {
        worker.reload(message.settings, message.policy)
        say({ kind: 'reloaded' })
        return
      }
      worker.stop(message.graceMs, () => {
        say({ kind: 'stopped' })
        port.close()
      })
    })
    say(ready)
  } catch (error) {
    const code = error instanceof OperationalError ? error.code : 'ERR_WORKER'
    const message = error instanceof Error ? error.message : String(error)
    say({ kind: 'failed', code, message })
    port.close()
  }
}

if (parentPort !== null) {
  const start: WorkerStart = workerData
  void startThread(parentPort, start)
}
