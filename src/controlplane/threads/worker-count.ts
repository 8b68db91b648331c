/** How many workers this machine can let share a port. */
import type { Logger } from 'pino'
import { isLibc, openLibc } from '../../sys/libc.ts'

/** Several workers on one port need SO_REUSEPORT: from the system calls, or from Node 22.12 on. */
export async function workersThatCanShare(asked: number, log: Logger): Promise<number> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const nodeCan = major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12)
  if (asked === 1 || nodeCan) return asked
  const libc = await openLibc()
  if (isLibc(libc)) return asked
  log.warn(
    { event: 'one_worker', asked, why: libc.why },
    `this Node.js (${process.versions.node}) cannot share a UDP port between workers: one is ` +
      'started; use Node.js 22.12 or later for more',
  )
  return 1
}
