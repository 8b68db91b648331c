/** Cores of this machine: who is measured has one of its own, and goes before who attacks it. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { constants, setPriority } from 'node:os'

/** Which cores the server has, and which all others; the same where there is one only. */
export interface Cores {
  readonly server: readonly number[]
  readonly others: readonly number[]
}

/** Splits the cores that this process may use. */
export function splitCores(): Cores {
  const allowed = allowedCores(readFileSync('/proc/self/status', 'latin1'))
  if (allowed.length === 1) return { server: allowed, others: allowed }
  return { server: allowed.slice(0, 1), others: allowed.slice(1) }
}

/** Reads `Cpus_allowed_list` of /proc/PID/status: `0-3,6`. */
export function allowedCores(status: string): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1]
  if (list === undefined) throw new Error('no Cpus_allowed_list in /proc/self/status')
  return list.split(',').flatMap((range) => {
    const [first, last] = range.split('-').map(Number)
    return Array.from({ length: (last ?? first!) - first! + 1 }, (_, index) => first! + index)
  })
}

/** Confines a process, with all threads that it has and will have, to these cores. */
export function confine(pid: number, cores: readonly number[]): void {
  execFileSync('taskset', ['-a', '-c', '-p', cores.join(','), String(pid)])
}

/** From here on this process yields to all others; what it has started already does not. */
export function yieldToAll(): void {
  setPriority(process.pid, constants.priority.PRIORITY_LOW)
}
