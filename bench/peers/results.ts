/** Medians over the rounds, and what they are beside the best peer and the floor. */
import type { ListKey } from './lists.ts'
import type { Server } from './servers/server.ts'
import { median } from './statistics.ts'
import type { Measurement, Visit } from './visit.ts'
import type { Workload, WorkloadKey } from './workloads.ts'

/** The medians of one workload. */
export interface WorkloadMedians {
  readonly rounds: number
  readonly cpuUsPerQuery: number
  readonly cpuUsPerQueryMin: number
  readonly cpuUsPerQueryMax: number
  readonly queriesPerSecond: number
  readonly serverBusy: number
  readonly othersBusyMax: number
  readonly stolenMax: number
  readonly latencyUs?: {
    readonly p50: number
    readonly p90: number
    readonly p99: number
    readonly p999: number
    /** Queries that were never answered, in all rounds together. */
    readonly lost: number
    readonly clientLateP99: number
  }
  /** CPU per query over that of the peer that needs least; undefined without a peer. */
  readonly toBestPeer?: number
  /** CPU per query over that of the C echo. */
  readonly toFloor?: number
}

/** What one server did with one list. */
export interface ServerResult {
  readonly key: string
  readonly title: string
  readonly role: Server['role']
  readonly method: string
  readonly version: string
  readonly blockForm: string
  readonly rounds: number
  /** Undefined where no round succeeded; `failures` says why. */
  readonly startMs?: number
  readonly unfilteredAtStart?: number
  readonly rssOctets?: number
  readonly pssOctets?: number
  readonly workloads: Partial<Record<WorkloadKey, WorkloadMedians>>
  readonly failures: readonly string[]
  /** Workloads that it cannot run, each with the reason. */
  readonly leftOut: readonly string[]
  readonly visits: readonly Visit[]
}

/** All servers with one list. */
export interface ListResult {
  readonly key: ListKey
  readonly names: number
  readonly workloads: readonly Workload[]
  readonly servers: readonly ServerResult[]
}

/** One server's raw findings. */
export interface Findings {
  readonly server: Server
  readonly version: string
  readonly visits: readonly Visit[]
  readonly failures: readonly string[]
}

/** A median that exists because the list is not empty. */
function middle(values: readonly number[]): number {
  const value = median(values)
  if (value === undefined) throw new RangeError('no values')
  return value
}

function workloadMedians(measurements: readonly Measurement[]): WorkloadMedians {
  const each = (pick: (measurement: Measurement) => number): number[] => measurements.map(pick)
  const latencies = measurements.flatMap(({ latency }) => (latency === undefined ? [] : [latency]))
  const cpu = each((measurement) => measurement.cpuUsPerQuery)
  return {
    rounds: measurements.length,
    cpuUsPerQuery: middle(cpu),
    cpuUsPerQueryMin: Math.min(...cpu),
    cpuUsPerQueryMax: Math.max(...cpu),
    queriesPerSecond: middle(each((measurement) => measurement.queriesPerSecond)),
    serverBusy: middle(each((measurement) => measurement.serverBusy)),
    othersBusyMax: Math.max(...each((measurement) => measurement.othersBusy)),
    stolenMax: Math.max(...each((measurement) => measurement.stolen)),
    ...(latencies.length === 0
      ? {}
      : {
          latencyUs: {
            p50: middle(latencies.map(({ p50Us }) => p50Us)),
            p90: middle(latencies.map(({ p90Us }) => p90Us)),
            p99: middle(latencies.map(({ p99Us }) => p99Us)),
            p999: middle(latencies.map(({ p999Us }) => p999Us)),
            lost: latencies.reduce((sum, { sent, answered }) => sum + sent - answered, 0),
            clientLateP99: middle(latencies.map(({ lateP99Us }) => lateP99Us)),
          },
        }),
  }
}

function serverResult(
  { server, version, visits, failures }: Findings,
  workloads: readonly Workload[],
): ServerResult {
  const medians: Partial<Record<WorkloadKey, WorkloadMedians>> = {}
  for (const { key } of workloads) {
    const measured = visits.flatMap((visit) => visit.workloads[key] ?? [])
    if (measured.length > 0) medians[key] = workloadMedians(measured)
  }
  const voids = visits.flatMap((visit, index) =>
    Object.entries(visit.failures).map(([key, why]) => `visit ${index + 1}, ${key}: ${why}`),
  )
  const { key, title, role, method } = server
  const forms = [...new Set(visits.map((visit) => visit.blockForm))].join(' or ')
  const result = {
    key,
    title,
    role,
    method,
    version,
    blockForm: forms,
    rounds: visits.length,
    workloads: medians,
    failures: [...failures, ...voids],
    leftOut: workloads.flatMap((workload) => {
      const why = server.leavesOut?.[workload.key]
      return why === undefined ? [] : [`${workload.title}: ${why}`]
    }),
    visits,
  }
  if (visits.length === 0) return result
  return {
    ...result,
    startMs: middle(visits.map((visit) => visit.startMs)),
    unfilteredAtStart: middle(visits.map((visit) => visit.unfilteredAtStart)),
    rssOctets: middle(visits.map((visit) => visit.memory.rssOctets)),
    pssOctets: middle(visits.map((visit) => visit.memory.pssOctets)),
  }
}

/** Returns the peer with the smallest value, of those that have one. */
export function bestPeer(
  servers: readonly ServerResult[],
  value: (server: ServerResult) => number | undefined,
): ServerResult | undefined {
  return servers
    .filter((server) => server.role === 'peer' && value(server) !== undefined)
    .toSorted((a, b) => (value(a) ?? 0) - (value(b) ?? 0))[0]
}

/** Sums up all rounds of one list. */
export function listResult(
  list: { readonly key: ListKey; readonly names: readonly string[] },
  workloads: readonly Workload[],
  findings: readonly Findings[],
): ListResult {
  const servers = findings.map((each) => serverResult(each, workloads))
  const floor = servers.find((server) => server.role === 'floor')
  const withRatios = servers.map((server) => {
    const rated: Partial<Record<WorkloadKey, WorkloadMedians>> = {}
    for (const { key } of workloads) {
      const own = server.workloads[key]
      if (own === undefined) continue
      const best = bestPeer(servers, (peer) => peer.workloads[key]?.cpuUsPerQuery)
      const bestCpu = best?.workloads[key]?.cpuUsPerQuery
      const floorCpu = floor?.workloads[key]?.cpuUsPerQuery
      rated[key] = {
        ...own,
        ...(bestCpu === undefined ? {} : { toBestPeer: own.cpuUsPerQuery / bestCpu }),
        ...(floorCpu === undefined ? {} : { toFloor: own.cpuUsPerQuery / floorCpu }),
      }
    }
    return { ...server, workloads: rated }
  })
  return { key: list.key, names: list.names.length, workloads, servers: withRatios }
}
