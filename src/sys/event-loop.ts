/**
 * Finds the epoll instance by which this thread's Node.js waits. Node offers no way to ask for it;
 * the system tells which descriptors each instance watches (proc(5), fdinfo).
 */
import { createSocket } from 'node:dgram'
import { readFileSync, readdirSync } from 'node:fs'
import type { Libc } from './libc.ts'
import { openBoundSocket } from './socket.ts'

/** There is no /proc here, or Node waits by other means. */
export const NOT_FOUND = -1
/** Turns of Node's loop until it watches what it was given; it takes one. */
const TURNS_MAX = 20

/** Returns the descriptor of the epoll instance by which this thread's Node waits, or -1. */
export async function findEventLoop(libc: Libc): Promise<number> {
  const { fd } = openBoundSocket(libc, 'udp', { address: '127.0.0.1', port: 0 }, false)
  if (fd < 0) return NOT_FOUND
  const probe = createSocket('udp4')
  try {
    await new Promise<void>((resolve, reject) => {
      probe.once('error', reject)
      probe.bind({ fd }, resolve)
    })
    let found = NOT_FOUND
    for (let turns = 0; found === NOT_FOUND && turns < TURNS_MAX; turns++) {
      await new Promise((resolve) => setImmediate(resolve))
      found = findWatcher(fd)
    }
    return found
  } catch {
    return NOT_FOUND
  } finally {
    probe.close()
  }
}

/** Returns the epoll instance that watches `fd`, or -1. */
export function findWatcher(fd: number, folder = '/proc/self/fdinfo'): number {
  const watches = new RegExp(`^tfd:\\s+${fd}\\s`, 'm')
  try {
    // This thread's instance is as young as the thread.
    for (const name of readdirSync(folder).toReversed()) {
      if (watches.test(readText(`${folder}/${name}`))) return Number(name)
    }
  } catch {
    return NOT_FOUND
  }
  return NOT_FOUND
}

/** Descriptors come and go while they are listed, the listing's own for one. */
function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
