/** What /proc tells about a server and the machine: processor time, memory, who else was busy. */
import { readFileSync, readdirSync } from 'node:fs'
import { SECOND_MS } from '../../src/base/units.ts'

/** Clock ticks of /proc a second: USER_HZ, which is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

const MS_PER_TICK = SECOND_MS / TICKS_PER_SECOND
const NS_PER_MS = 1e6
const OCTETS_PER_KIB = 1024

/** Where the fields of /proc/PID/stat stand, counted behind the closing bracket of the name. */
const STAT_UTIME = 11
const STAT_CUTIME = 13

/** A server with all its descendants is never this many processes. */
const PROCESSES_MAX = 256

/** Processor time taken until one moment. */
export interface CpuReading {
  /** User and system time in ms of all processes, threads and children, ended ones included. */
  readonly ticksMs: number
  /** The same for the living threads only, exact to the nanosecond. */
  readonly exactMs: number
  /** The living threads. */
  readonly threads: string
}

/** Resident memory of all processes of a server. */
export interface Memory {
  /** Resident set; pages shared by its own processes count in each. */
  readonly rssOctets: number
  /** Proportional set: shared pages count once. */
  readonly pssOctets: number
}

/** Returns the pids of a process and all its descendants. */
function processesOf(pid: number): number[] {
  const pids = [pid]
  for (let at = 0; at < pids.length && pids.length < PROCESSES_MAX; at++) {
    pids.push(...childrenOf(pids[at] ?? pid, pid))
  }
  return pids
}

function childrenOf(pid: number, root: number): number[] {
  try {
    const folder = `/proc/${pid}/task`
    const lists = readdirSync(folder).map((thread) =>
      readFileSync(`${folder}/${thread}/children`, 'utf8').trim(),
    )
    return lists.flatMap((list) => (list === '' ? [] : list.split(' ').map(Number)))
  } catch (error) {
    // A descendant that ended meanwhile has no children.
    if (pid === root) throw error
    return []
  }
}

function statTicks(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  // utime and stime of its own threads, cutime and cstime of children that it has waited for.
  return [STAT_UTIME, STAT_UTIME + 1, STAT_CUTIME, STAT_CUTIME + 1]
    .map((at) => Number(fields[at]))
    .reduce((sum, ticks) => sum + ticks, 0)
}

/** Reads the processor time of a process and its descendants. */
export function readCpu(pid: number): CpuReading {
  let ticks = 0
  let exactNs = 0
  const threads: string[] = []
  for (const each of processesOf(pid)) {
    try {
      ticks += statTicks(each)
      for (const thread of readdirSync(`/proc/${each}/task`)) {
        const schedule = readFileSync(`/proc/${each}/task/${thread}/schedstat`, 'utf8')
        exactNs += Number(schedule.split(' ')[0])
        threads.push(thread)
      }
    } catch (error) {
      // A child that ended between the listing and the look is in its parent's cutime.
      if (each === pid) throw error
    }
  }
  return { ticksMs: ticks * MS_PER_TICK, exactMs: exactNs / NS_PER_MS, threads: threads.join(' ') }
}

/**
 * Returns the processor time in ms between two readings: to the nanosecond where the same threads
 * lived throughout, else from the 10 ms ticks, which count ended threads and children too.
 */
export function cpuMsBetween(before: CpuReading, after: CpuReading): number {
  if (before.threads === after.threads) return after.exactMs - before.exactMs
  return after.ticksMs - before.ticksMs
}

/** Reads the resident memory of a process and its descendants. */
export function readMemory(pid: number): Memory {
  let rss = 0
  let pss = 0
  for (const each of processesOf(pid)) {
    const text = readFileSync(`/proc/${each}/smaps_rollup`, 'utf8')
    rss += Number(/^Rss:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.NaN)
    pss += Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.NaN)
  }
  return { rssOctets: rss * OCTETS_PER_KIB, pssOctets: pss * OCTETS_PER_KIB }
}

/** Time in ms of one core since the machine started. */
export interface CoreReading {
  /** Time in which it worked. */
  readonly busyMs: number
  /** Time in which it would have worked, had the host not given it to another machine. */
  readonly stolenMs: number
}

/** Reads the time of one core. */
export function readCore(cpu: number): CoreReading {
  const line = new RegExp(`^cpu${cpu} (.*)$`, 'm').exec(readFileSync('/proc/stat', 'utf8'))?.[1]
  if (line === undefined) throw new Error(`/proc/stat knows no cpu${cpu}`)
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line
    .split(' ')
    .map(Number)
  const busyTicks = user + nice + system + irq + softirq
  return { busyMs: busyTicks * MS_PER_TICK, stolenMs: steal * MS_PER_TICK }
}
