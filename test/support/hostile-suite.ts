/** The attacks in a row, on one server: a small run in every test, a large one on demand. */
import type { Socket } from 'node:net'
import { expect } from 'vitest'
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
  type Footprint,
  type Service,
} from './hostile.ts'
import { frame } from './dns-client.ts'
import { encodeQuery } from './messages.ts'
import { Mutations } from './mutations.ts'
import { startNiveau3, type Niveau3 } from './niveau3.ts'
import { startUnbound } from './unbound.ts'

export interface HostileRun {
  readonly corpus: readonly Buffer[]
  readonly seed: number
  /** Of which one third goes over TCP. */
  readonly mutations: number
  readonly mutationsPerSecond: number
  readonly idleConnections: number
  readonly slowConnections: number
  readonly slowMs: number
  readonly floodConnections: number
  readonly unreadConnections: number
  readonly unreadQuestions: number
}

/** One attack and what was seen during and after it. */
export interface Observation {
  readonly attack: string
  readonly count: number
  readonly perSecond: number
  readonly service: Service
  /** What an honest client of another server saw meanwhile, on the same busy machine. */
  readonly bystander: Service
  readonly after: Footprint
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
const IDLE_MS = 3000
const NOTHING: Uint8Array = Buffer.alloc(0)
const GREETING = frame(encodeQuery('localhost'))
const HONEST_NAMES = ['www.example.com', 'blocked.example']
const CONNECTIONS_PER_ADDRESS = 100

/** Runs all attacks one after another; the accounts have to be even after each of them. */
export async function runHostile(run: HostileRun): Promise<HostileResult> {
  const upstream = await startUnbound({
    logQueries: false,
  })
  const server = await startNiveau3({
    upstreams: [upstream],
    config: CONFIG,
    blocklists: { adult: ['blocked.example'] },
  })
  const honest = new HonestClient(server, HONEST_NAMES)
  const bystander = await startBystander(upstream)
  const mutations = new Mutations(run.corpus, run.seed)
  const observations: Observation[] = []
  // The first ones fill caches and warm the code up: what is compared with comes after them.
  const perSecondMax = Number.POSITIVE_INFINITY
  await floodUdp(server, mutations, { count: Math.min(20_000, run.mutations / 2), perSecondMax })
  await floodTcp(server, mutations, { count: Math.min(5000, run.mutations / 4), perSecondMax })
  await expectEven(server)
  const idle = await honest.during(() => new Promise((resolve) => setTimeout(resolve, IDLE_MS)))
  const before = footprintOf(server, upstream.port)
  for (const [attack, count, attackIt] of attacksOf(server, run, mutations)) {
    const startMs = performance.now()
    const work = once(attackIt)
    const [service, seen] = await Promise.all([honest.during(work), bystander.during(work)])
    const perSecond = Math.round(count / ((performance.now() - startMs) / 1000))
    await expectEven(server)
    await connectionsEnded(server)
    observations.push({
      attack,
      count,
      perSecond,
      service,
      bystander: seen,
      after: footprintOf(server, upstream.port),
    })
  }
  expect(await server.stop()).toEqual({ code: 0, signal: null })
  return { idle, before, observations }
}

/** The work, which begins when the first one asks for it and is the same for all. */
function once(work: () => Promise<void>): () => Promise<void> {
  let begun: Promise<void> | undefined
  return () => (begun ??= work())
}

/** A server that nobody attacks, and its honest client. */
async function startBystander(upstream: { readonly endpoint: string }): Promise<HonestClient> {
  const server = await startNiveau3({
    upstreams: [upstream],
    blocklists: { adult: ['blocked.example'] },
  })
  return new HonestClient(server, HONEST_NAMES)
}

type Attack = readonly [string, number, () => Promise<void>]

function attacksOf(server: Niveau3, run: HostileRun, mutations: Mutations): readonly Attack[] {
  const perSecondMax = run.mutationsPerSecond
  const overTcp = Math.floor(run.mutations / 3)
  const overUdp = run.mutations - overTcp
  const held = async (
    count: number,
    work: (sockets: Socket[]) => Promise<void>,
    first = NOTHING,
  ): Promise<void> => {
    const sockets = await connectMany(server, count, CONNECTIONS_PER_ADDRESS, first)
    await work(sockets)
    await disconnectAll(sockets)
  }
  return [
    [
      'mutations over UDP',
      overUdp,
      () => floodUdp(server, mutations, { count: overUdp, perSecondMax }),
    ],
    [
      'mutations over TCP',
      overTcp,
      () => floodTcp(server, mutations, { count: overTcp, perSecondMax }),
    ],
    [
      'slow connections',
      run.slowConnections,
      () => held(run.slowConnections, (sockets) => dripTcp(sockets, run.slowMs)),
    ],
    [
      'connections that ask and leave',
      run.floodConnections,
      () => floodConnections(server, run.floodConnections),
    ],
    [
      'idle connections',
      run.idleConnections,
      () => held(run.idleConnections, () => connectionsOpen(server, run.idleConnections), GREETING),
    ],
    [
      'pipelines that nobody reads',
      run.unreadConnections * run.unreadQuestions,
      () => held(run.unreadConnections, (sockets) => leaveUnread(sockets, run.unreadQuestions)),
    ],
  ]
}

/** Queries received are responses and counted drops, exactly. */
async function expectEven(server: Niveau3): Promise<void> {
  const { received, responses, dropped } = await settledAccount(server)
  expect(responses + dropped, 'responses and drops').toBe(received)
  expect(received).toBeGreaterThan(0)
}

/** One line for each attack. */
export function describeRun({ idle, before, observations }: HostileResult): string {
  const start = `idle: p99 ${idle.p99.toFixed(2)} ms, ${before.rssMiB.toFixed(0)} MiB, ${before.descriptors} descriptors`
  const lines = observations.map(
    ({ attack, count, perSecond, service, bystander, after }) =>
      `${attack}: ${count} (${perSecond}/s), honest p99 ${service.p99.toFixed(2)} ms of ` +
      `${service.sent}, ${service.lost} lost (bystander ${bystander.p99.toFixed(2)} ms); then ${after.rssMiB.toFixed(0)} MiB, ` +
      `${after.descriptors} descriptors`,
  )
  return [start, ...lines].join('\n')
}
