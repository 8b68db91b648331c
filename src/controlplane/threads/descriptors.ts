/** How many files and sockets this process may have open. */
import { readFileSync } from 'node:fs'

/** What is assumed where the system does not say: the smallest limit in common use. */
const DESCRIPTORS_DEFAULT = 1024

/**
 * Returns the limit in force (RLIMIT_NOFILE; Node raises the soft one to the hard one at its
 * start).
 */
export function descriptorsMax(limits = '/proc/self/limits'): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync(limits, 'utf8'))?.[1]
    return soft === undefined ? DESCRIPTORS_DEFAULT : Number(soft)
  } catch {
    return DESCRIPTORS_DEFAULT
  }
}
