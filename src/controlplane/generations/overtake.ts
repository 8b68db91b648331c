/**
 * Takes the lock of the lists from an update that runs: a rollback is for the moment in which what
 * is in force does harm, and an update may fetch for many minutes. An update that is ended leaves
 * everything as it was; whoever has the lock next finishes what it had begun to put in force.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { OperationalError } from '../../base/errors.ts'
import { SECOND_MS } from '../../base/units.ts'
import { StateLock } from '../state-lock.ts'

/** Other changes take milliseconds, and an update that is told to end as long. */
const PATIENCE_MS = 3 * SECOND_MS
const AGAIN_MS = 20

/**
 * Takes `update.lock`; ends the update that has it, and waits for other changes.
 *
 * @throws OperationalError ERR_STATE_LOCKED when it is not to be had within some seconds.
 */
export async function overtakeUpdate(stateDirectory: string): Promise<StateLock> {
  const endMs = performance.now() + PATIENCE_MS
  const told = new Set<number>()
  for (;;) {
    try {
      return await StateLock.take(stateDirectory, 'update.lock')
    } catch (error) {
      const isLocked = error instanceof OperationalError && error.code === 'ERR_STATE_LOCKED'
      if (!isLocked || performance.now() >= endMs) throw error
    }
    const owner = StateLock.ownerOf(join(stateDirectory, 'update.lock'))
    if (owner !== undefined && !told.has(owner) && isUpdate(owner)) {
      told.add(owner)
      endProcess(owner)
    }
    await sleep(AGAIN_MS)
  }
}

/** True for a process of this program that updates; never for a server, which does so in others. */
function isUpdate(id: number): boolean {
  if (id === process.pid) return false
  try {
    const args = readFileSync(`/proc/${id}/cmdline`, 'utf8').split('\0')
    if (args.some((arg) => arg.endsWith('operation-process.js'))) return true
    const program = args.findIndex((arg) => arg.endsWith('bin.js'))
    const [group = '', command = ''] = args.slice(program + 1)
    return program !== -1 && UPDATES.has(`${group} ${command}`)
  } catch {
    // It has ended, or the system does not tell: then the lock is waited for.
    return false
  }
}

const UPDATES = new Set(['lists update', 'fleet pull'])

function endProcess(id: number): void {
  try {
    process.kill(id, 'SIGTERM')
  } catch {
    // It has ended by itself, or is another user's.
  }
}
