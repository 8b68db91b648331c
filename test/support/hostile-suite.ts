/**
 * The attacks in a row, twice, on one server: a small run in every test, a large one on demand. The
 * server has a core of its own; the honest client and the upstream share the others with the
 * attackers, who yield to them. What is measured is what the server makes honest clients wait, not
 * who of the test's processes got the processor.
 */
import type { Socket } from 'node:net'
import { expect } from 'vitest'
import { confine, splitCores, yieldToAll } from './cores.ts'
import {
  HonestClient,
  connectMany,
  connectionsEnded,
  connectionsOpen,
  disconnectAll,
  dripTcp,
  floodConnections,
  floodTcp,
  floodUdp,
  footprintOf,
  leaveUnread,
  settledAccount,
  type Flood,
  type Footprint,
  type Service,
} from './hostile.ts'
import { frame } from './dns-client.ts'
import { LiveMemory } from './live-memory.ts'
import { encodeQuery } from './messages.ts'
import { metricsPages } from './metrics-pages.ts'
import { Mutations } from './mutations.ts'
import { startNiveau3, type Niveau3 } from './niveau3.ts'
import { startUnbound, type Unbound } from './unbound.ts'

/** Counts are those of one round of two. */
export interface HostileRun {
  readonly corpus: readonly Buffer[]
  readonly seed: number
  /** Of which one third goes over TCP. */
  readonly mutations: Flood
  readonly idle: Flood
  readonly slow: Flood
  /** Connections that ask a hundred questions each and are gone. */
  readonly leaving: Flood
  readonly unread: Flood
  readonly unreadQuestions: number
  /** How long connections are held: the idle, the slow and the unread ones. */
  readonly holdMs: number
}

/** What was seen during one attack, and what the server had left of it. */
interface Round {
  readonly perSecond: number
  readonly service: Service
  readonly after: Footprint
  /** In use in all threads, without garbage. */
  readonly liveMiB: number
}

/** One attack, in both rounds. */
export interface Observation {
  readonly attack: string
  readonly count: number
  readonly rounds: readonly [Round, Round]
}

export interface HostileResult {
  readonly idle: Service
  readonly before: Footprint
  readonly observations: readonly Observation[]
}

/** A cache that is full soon, and connections enough for the attack by idle ones. */
const CONFIG = `
cache: {octetsMax: 4MiB}
limits: {tcpConnectionsMax: 4096, tcpIdleMs: 60000, tcpMessageMs: 2000}
`
/** As `npm start` and the service unit have it. */
const NODE_OPTIONS = '--max-semi-space-size=2'
const IDLE_MS = 3000
const NOTHING: Uint8Array = Buffer.alloc(0)
const GREETING = frame(encodeQuery('localhost'))
const HONEST_NAMES = ['www.example.com', 'blocked.example']
const CONNECTIONS_PER_ADDRESS = 100
/** An honest client's p99 under attack: this, or twice the idle one where that is more. */
const P99_MS = 5

type Attack = readonly [string, number, () => Promise<void>]

/** The server under attack with those around it. */
class Siege {
  readonly server: Niveau3
  readonly #upstream: Unbound
  readonly #honest: HonestClient
  readonly #memory: LiveMemory

  constructor(server: Niveau3, upstream: Unbound, honest: HonestClient, memory: LiveMemory) {
    this.server = server
    this.#upstream = upstream
    this.#honest = honest
    this.#memory = memory
  }

  footprint(): Footprint {
    return footprintOf(this.server, this.#upstream.port)
  }

  /** What the honest client sees while nobody else asks. */
  idle(): Promise<Service> {
    return this.#honest.during(() => new Promise((resolve) => setTimeout(resolve, IDLE_MS)))
  }

  /** One attack; the accounts have to be even after it. */
  async observe([attack, count, work]: Attack): Promise<Round> {
    const startMs = performance.now()
    let milliseconds = 0
    const service = await this.#honest.during(async () => {
      await work()
      milliseconds = performance.now() - startMs
    })
    await expectEven(this.server, attack)
    await connectionsEnded(this.server)
    const liveMiB = await this.#memory.weigh(this.server.process)
    const perSecond = Math.round(count / (milliseconds / 1000))
    return { perSecond, service, after: this.footprint(), liveMiB }
  }
}

async function layOut(): Promise<Siege> {
  const cores = splitCores()
  const upstream = await startUnbound({ logQueries: false })
  const memory = new LiveMemory()
  const server = await startNiveau3({
    upstreams: [upstream],
    config: CONFIG,
    blocklists: { adult: ['blocked.example'] },
    process: memory.processOptions(NODE_OPTIONS),
  })
  const honest = new HonestClient(server, HONEST_NAMES)
  confine(server.process.pid, cores.server)
  for (const pid of [upstream.process.pid, honest.pid, process.pid]) confine(pid, cores.others)
  yieldToAll()
  return new Siege(server, upstream, honest, memory)
}

/** Runs all attacks one after another, and all of them once more; the metrics stay clean. */
export async function runHostile(run: HostileRun): Promise<HostileResult> {
  const siege = await layOut()
  const { server } = siege
  const mutations = new Mutations(run.corpus, run.seed)
  // The first ones fill caches and warm the code up: what is compared with comes after them.
  const perSecondMax = Number.POSITIVE_INFINITY
  await floodUdp(server, mutations, { count: 8000, perSecondMax })
  await floodTcp(server, mutations, { count: 4000, perSecondMax })
  await expectEven(server, 'warming up')
  // From the first BADVERS on it has all series that packets can make.
  const { series } = await metricsPages(server)
  const idle = await siege.idle()
  const before = siege.footprint()
  const attacks = attacksOf(server, run, mutations)
  const first = await inTurn(attacks, (attack) => siege.observe(attack))
  const second = await inTurn(attacks, (attack) => siege.observe(attack))
  // No packet makes a series, and none makes a line that Prometheus would not read.
  expect(await metricsPages(server)).toEqual({ findings: '', series })
  expect(await server.stop()).toEqual({ code: 0, signal: null })
  const observations = attacks.map(([attack, count], index): Observation => {
    return { attack, count, rounds: [first[index]!, second[index]!] }
  })
  return { idle, before, observations }
}

async function inTurn<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  for (const item of items) results.push(await work(item))
  return results
}

function attacksOf(server: Niveau3, run: HostileRun, mutations: Mutations): readonly Attack[] {
  const { idle, slow, leaving, unread, unreadQuestions, holdMs } = run
  const { count, perSecondMax } = run.mutations
  const overTcp = { count: Math.floor(count / 3), perSecondMax }
  const overUdp = { count: count - overTcp.count, perSecondMax }
  const held = async (
    flood: Flood,
    work: (sockets: Socket[]) => Promise<void>,
    first = NOTHING,
  ): Promise<void> => {
    const sockets = await connectMany(server, flood, CONNECTIONS_PER_ADDRESS, first)
    await work(sockets)
    await disconnectAll(sockets)
  }
  const hold = async (): Promise<void> => {
    await connectionsOpen(server, idle.count)
    await new Promise((resolve) => setTimeout(resolve, holdMs))
  }
  const leave = (sockets: Socket[]): Promise<void> => leaveUnread(sockets, unreadQuestions, holdMs)
  return [
    ['mutations over UDP', overUdp.count, () => floodUdp(server, mutations, overUdp)],
    ['mutations over TCP', overTcp.count, () => floodTcp(server, mutations, overTcp)],
    ['slow connections', slow.count, () => held(slow, (sockets) => dripTcp(sockets, holdMs))],
    ['connections that leave', leaving.count, () => floodConnections(server, leaving)],
    ['idle connections', idle.count, () => held(idle, hold, GREETING)],
    ['unread pipelines', unread.count * unreadQuestions, () => held(unread, leave)],
  ]
}

/** Queries received are responses and counted drops, exactly. */
async function expectEven(server: Niveau3, after: string): Promise<void> {
  const { received, responses, dropped } = await settledAccount(server)
  expect(responses + dropped, `${after}: responses and drops`).toBe(received)
  expect(received).toBeGreaterThan(0)
}

/**
 * What the first round leaves behind is warmth: code, and caches that are full. What is left beyond
 * that by any attack of the second round is a leak.
 */
export function expectFlat({ before, observations }: HostileResult, limits: FlatLimits): void {
  const warmMiB = observations.at(-1)!.rounds[0].liveMiB
  const warmRssMiB = Math.max(...observations.map(({ rounds }) => rounds[0].after.rssMiB))
  for (const { attack, rounds } of observations) {
    const { liveMiB, after } = rounds[1]
    expect(liveMiB - warmMiB, `${attack}: MiB more in use`).toBeLessThan(limits.liveMiB)
    expect(after.rssMiB - warmRssMiB, `${attack}: MiB more`).toBeLessThan(limits.rssMiB)
    for (const round of rounds) {
      const more = round.after.descriptors - before.descriptors
      expect(more, `${attack}: descriptors`).toBeLessThan(limits.descriptors)
    }
  }
}

/** How much more than the first round the second one may leave; descriptors: than none. */
export interface FlatLimits {
  readonly liveMiB: number
  readonly rssMiB: number
  readonly descriptors: number
}

/** Every question of the honest client has had its answer, in time in one round at least. */
export function expectServed({ idle, observations }: HostileResult): void {
  const limitMs = Math.max(2 * idle.p99, P99_MS)
  for (const { attack, rounds } of observations) {
    for (const { service } of rounds) expect(service.lost, `${attack}: answers lost`).toBe(0)
    const p99 = Math.min(...rounds.map(({ service }) => service.p99))
    expect(p99, `${attack}: p99 in milliseconds`).toBeLessThanOrEqual(limitMs)
  }
}

/** Two lines for each attack. */
export function describeRun({ idle, before, observations }: HostileResult): string {
  const start = `idle: p99 ${idle.p99.toFixed(2)} ms, ${before.rssMiB.toFixed(0)} MiB, ${before.descriptors} descriptors`
  const lines = observations.flatMap(({ attack, count, rounds }) =>
    rounds.map(
      ({ perSecond, service, after, liveMiB }) =>
        `${attack}: ${count} (${perSecond}/s), honest p50 ${service.p50.toFixed(2)}, p99 ` +
        `${service.p99.toFixed(2)}, worst ${service.worst.toFixed(1)} ms of ${service.sent}, ` +
        `${service.lost} lost; then ${after.rssMiB.toFixed(0)} MiB, ${liveMiB.toFixed(2)} in use, ` +
        `${after.descriptors} descriptors`,
    ),
  )
  return [start, ...lines].join('\n')
}
