/** One visit to one server in one round: start, prove, measure, prove again, stop. */
import { setTimeout as sleep } from 'node:timers/promises'
import { SECOND_MS } from '../../src/base/units.ts'
import { type Said, type Verdict, askAll, askAllTcp } from './ask.ts'
import { type Child, type Command, startPinned } from './children.ts'
import { type Drive, drive } from './dnsperf.ts'
import { WARM_UP_SECONDS, type BlockList } from './lists.ts'
import { type Latency, measureLatency } from './open-loop.ts'
import { type Memory, cpuMsBetween, readCore, readCpu, readMemory } from './proc.ts'
import type { Server } from './servers/server.ts'
import type { Upstream } from './upstream.ts'
import type { Workload, WorkloadKey } from './workloads.ts'

/** A server that does not block by then is broken. */
const START_MS_MAX = 180 * SECOND_MS
/** Between two looks at a starting server. */
const START_PROBE_MS = 4
/** Names of each kind that are proved again after the last measurement, and over TCP. */
const SAMPLE_COUNT = 500
const TCP_SAMPLE_COUNT = 20
/** Lost queries that make a measurement void. */
const LOST_SHARE_MAX = 0.001
/** What may reach the upstream where nothing should, and be missing there where all should. */
const STRAY_SHARE_MAX = 0.01
/** The blocked share of answers may differ from that of the queries so much, or as drawing does. */
const BLOCKED_SHARE_ERROR_MAX = 0.02
const STANDARD_ERRORS_MAX = 4
const MIX_BLOCKED_SHARE = 1 / 3

/** What one workload cost in one round. */
export interface Measurement {
  readonly cpuUsPerQuery: number
  readonly queriesPerSecond: number
  readonly completed: number
  readonly lost: number
  /** The server's own share of its core. */
  readonly serverBusy: number
  /** What others took of the server's core: the noise of this figure. */
  readonly othersBusy: number
  /** What the host of a virtual machine took of the server's core. */
  readonly stolen: number
  /** Questions that reached the upstream for each query; undefined where it does not count. */
  readonly forwardedShare?: number
  /** From the open-loop client, for workloads with a rate. */
  readonly latency?: Latency
}

/** What one visit found. */
export interface Visit {
  /** From the start of the process to three blocked names in different places of the list. */
  readonly startMs: number
  /** Blocked names that were answered while it started. */
  readonly unfilteredAtStart: number
  readonly blockForm: string
  /** With all allowed names of the mix cached. */
  readonly memory: Memory
  readonly workloads: Partial<Record<WorkloadKey, Measurement>>
  /** Workloads whose figures are void, each with the reason. */
  readonly failures: Partial<Record<WorkloadKey, string>>
}

/** Cores of the run: the server has one for itself. */
export interface Cores {
  readonly server: number
  readonly client: number
  readonly upstream: number
}

/** Everything that a visit needs. */
export interface VisitPlan {
  readonly server: Server
  readonly command: Command
  readonly port: number
  readonly list: BlockList
  readonly upstream: Upstream
  readonly cores: Cores
  readonly workloads: readonly Workload[]
  readonly seconds: number
  readonly seed: number
}

/** Visits a server; rejects, with the end of its output, when anything is not as it has to be. */
export async function visit(plan: VisitPlan): Promise<Visit> {
  const startedAt = performance.now()
  const child = startPinned(plan.command, plan.cores.server)
  try {
    const unfilteredAtStart = await untilBlocking(plan, child)
    const startMs = performance.now() - startedAt
    const blockForm = await proveUdp(plan, plan.list.allowed, plan.list.blocked)
    const memory = readMemory(child.pid)
    await proveTcp(plan)
    const workloads: Partial<Record<WorkloadKey, Measurement>> = {}
    const failures: Partial<Record<WorkloadKey, string>> = {}
    for (const workload of plan.workloads) {
      if (plan.server.leavesOut?.[workload.key] !== undefined) continue
      try {
        const measured = await measure(plan, child, workload, blockForm)
        workloads[workload.key] = measured
        // What the open-loop client finds amiss leaves the processor time as it is.
        const latency = await latencyOf(plan, workload)
        if (latency !== undefined) workloads[workload.key] = { ...measured, latency }
      } catch (error) {
        if (!child.isRunning()) throw error
        failures[workload.key] = error instanceof Error ? error.message : String(error)
      }
    }
    const [allowed, blocked] = [plan.list.allowed, plan.list.blocked]
    await proveUdp(plan, allowed.slice(0, SAMPLE_COUNT), blocked.slice(0, SAMPLE_COUNT))
    await proveTcp(plan)
    if (!child.isRunning()) throw new Error('it ended by itself')
    return { startMs, unfilteredAtStart, blockForm, memory, workloads, failures }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const output = child.output()
    throw new Error(output === '' ? reason : `${reason}; it printed: ${output}`, { cause })
  } finally {
    await child.end()
  }
}

/** Resolves when the server does its work; with the count of unfiltered answers until then. */
async function untilBlocking(plan: VisitPlan, child: Child): Promise<number> {
  const { probes } = plan.list
  const wanted: Verdict = plan.server.role === 'floor' ? 'echoed' : 'blocked'
  let unfiltered = 0
  const deadline = performance.now() + START_MS_MAX
  while (performance.now() < deadline) {
    if (!child.isRunning()) throw new Error('it ended before it blocked anything')
    const said = await askAll(plan.port, probes, { retryMs: START_PROBE_MS, tries: 1 })
    if (said.every(({ verdict }) => verdict === wanted)) return unfiltered
    unfiltered += said.filter(({ verdict }) => verdict === 'answered').length
    await sleep(1)
  }
  throw new Error(`it did not block ${probes.join(', ')} within ${START_MS_MAX / SECOND_MS} s`)
}

/**
 * Throws unless every name gets what it deserves over UDP, and names below blocked ones are blocked
 * too; returns how blocks look.
 */
async function proveUdp(
  { port, server }: VisitPlan,
  allowed: readonly string[],
  blocked: readonly string[],
): Promise<string> {
  const isFloor = server.role === 'floor'
  expectAll(await askAll(port, allowed), isFloor ? 'echoed' : 'answered', 'UDP')
  const below = blocked.slice(0, SAMPLE_COUNT).map((name) => `proof.${name}`)
  const refused = await askAll(port, [...blocked, ...below])
  expectAll(refused, isFloor ? 'echoed' : 'blocked', 'UDP')
  const forms = new Set(refused.map(({ form }) => form).filter((form) => form !== undefined))
  return [...forms].toSorted().join(' and ')
}

/** Throws unless some names of each kind get what they deserve over TCP. */
async function proveTcp({ port, server, list }: VisitPlan): Promise<void> {
  const isFloor = server.role === 'floor'
  const allowed = list.allowed.slice(0, TCP_SAMPLE_COUNT)
  const said = await askAllTcp(port, [...allowed, ...list.blocked.slice(0, TCP_SAMPLE_COUNT)])
  expectAll(said.slice(0, allowed.length), isFloor ? 'echoed' : 'answered', 'TCP')
  expectAll(said.slice(allowed.length), isFloor ? 'echoed' : 'blocked', 'TCP')
}

function expectAll(said: readonly Said[], verdict: Verdict, transport: string): void {
  const others = said.filter((each) => each.verdict !== verdict)
  const [first] = others
  if (first === undefined) return
  throw new Error(
    `${others.length} of ${said.length} names over ${transport} were not ${verdict}, ` +
      `the first ${first.name} (${first.verdict})`,
  )
}

async function measure(
  plan: VisitPlan,
  child: Child,
  workload: Workload,
  blockForm: string,
): Promise<Measurement> {
  const { list, upstream, cores, port, seconds } = plan
  const where = { port, cpu: cores.client, file: list.queries[workload.queries] }
  const isMix = workload.queries === 'mix'
  const { queriesPerSecond: _, ...unpaced } = workload
  if (workload.queries === 'mix') {
    // Fills the caches of this transport, with dnsperf's own form of the query.
    await drive(unpaced, { ...where, seconds: 10, once: true })
  } else {
    // A server that has answered nothing of the kind yet is not what runs for months.
    const file = list.warmUps[workload.queries]
    await drive(unpaced, { ...where, file, seconds: WARM_UP_SECONDS, once: true })
  }
  const questionsBefore = upstream.questions()
  const coreBefore = readCore(cores.server)
  const cpuBefore = readCpu(child.pid)
  const startedAt = performance.now()
  const driven = await drive(workload, { ...where, seconds, once: !isMix })
  const elapsedMs = performance.now() - startedAt
  const cpuMs = cpuMsBetween(cpuBefore, readCpu(child.pid))
  const core = readCore(cores.server)
  const othersMs = Math.max(0, core.busyMs - coreBefore.busyMs - cpuMs)
  const questionsAfter = upstream.questions()
  const forwardedShare =
    questionsBefore === undefined || questionsAfter === undefined
      ? undefined
      : (questionsAfter - questionsBefore) / driven.completed
  check(plan, workload, driven, forwardedShare, blockForm)
  return {
    cpuUsPerQuery: (cpuMs * 1000) / driven.completed,
    queriesPerSecond: driven.completed / driven.seconds,
    completed: driven.completed,
    lost: driven.sent - driven.completed,
    serverBusy: cpuMs / elapsedMs,
    othersBusy: othersMs / elapsedMs,
    stolen: (core.stolenMs - coreBefore.stolenMs) / elapsedMs,
    ...(forwardedShare === undefined ? {} : { forwardedShare }),
  }
}

async function latencyOf(plan: VisitPlan, workload: Workload): Promise<Latency | undefined> {
  const { queriesPerSecond } = workload
  if (queriesPerSecond === undefined) return undefined
  const { port, cores, seconds, seed, list } = plan
  const file = list.checkedMix
  const cpu = cores.client
  const latency = await measureLatency({ port, cpu, queriesPerSecond, seconds, seed, file })
  if (plan.server.role === 'floor') return latency
  const { wrong, answered } = latency
  if (wrong > 0) fault(`latency: ${wrong} of ${answered} answers were wrong`)
  return latency
}

function fault(what: string): never {
  throw new Error(what)
}

/** Throws when the run was not what the workload says: then its figures mean nothing. */
function check(
  plan: VisitPlan,
  workload: Workload,
  driven: Drive,
  forwardedShare: number | undefined,
  blockForm: string,
): void {
  const { sent, completed, rcodes } = driven
  if (completed === 0) fault('no query was answered')
  if ((sent - completed) / sent > LOST_SHARE_MAX) fault(`${sent - completed} of ${sent} lost`)
  if (plan.server.role === 'floor') return
  const odd = completed - (rcodes['NOERROR'] ?? 0) - (rcodes['NXDOMAIN'] ?? 0)
  if (odd > completed * LOST_SHARE_MAX) fault(`rcodes ${JSON.stringify(rcodes)}`)
  if (blockForm === 'NXDOMAIN') {
    const wanted = { mix: MIX_BLOCKED_SHARE, 'blocked-unique': 1, forwarded: 0 }[workload.queries]
    const share = (rcodes['NXDOMAIN'] ?? 0) / completed
    const drawing = STANDARD_ERRORS_MAX * Math.sqrt((wanted * (1 - wanted)) / completed)
    if (Math.abs(share - wanted) > Math.max(BLOCKED_SHARE_ERROR_MAX, drawing)) {
      fault(`${(share * 100).toFixed(1)} % of the answers were blocks`)
    }
  }
  if (forwardedShare === undefined) return
  if (Math.abs(forwardedShare - workload.forwardedShare) > STRAY_SHARE_MAX) {
    fault(`${(forwardedShare * 100).toFixed(1)} % of the queries were forwarded`)
  }
}
