/** The audit log: one JSON line for each change, who made it and why, only ever appended to. */

import { mkdir, open, type FileHandle } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'

import { unwritable } from './state-file.ts'

/** Who changes something. */
export interface Actor {
  /** Null where the platform cannot tell. */
  readonly uid: number | null
  readonly gid: number | null
  readonly pid: number | null
  readonly user: string
  /** `socket`: a command, through the running server; `schedule`: the server by itself. */
  readonly by: 'command' | 'schedule' | 'socket' | 'fleet'
}

/** The user of this process. */
export function currentActor(by: Actor['by']): Actor {
  const { uid, gid, username } = userInfo()
  return { uid, gid, pid: process.pid, user: username, by }
}

/**
 * Opens the log for appending, before a change: what could not be told of shall not be done.
 *
 * @throws OperationalError ERR_WRITE.
 */
export async function requireAudit(stateDirectory: string): Promise<void> {
  const file = join(stateDirectory, 'audit.ndjson')
  try {
    await (await openLog(stateDirectory, file)).close()
  } catch (cause) {
    throw unwritable(file, cause)
  }
}

async function openLog(stateDirectory: string, file: string): Promise<FileHandle> {
  await mkdir(stateDirectory, { recursive: true, mode: 0o750 })
  return open(file, 'a', 0o640)
}

/**
 * Appends a line; one write, so that lines of two processes do not mix.
 *
 * @throws OperationalError ERR_WRITE.
 */
export async function audit(
  stateDirectory: string,
  actor: Actor,
  what: string,
  facts: object,
): Promise<void> {
  const file = join(stateDirectory, 'audit.ndjson')
  const line = JSON.stringify({ time: new Date().toISOString(), ...actor, what, ...facts })
  try {
    const handle = await openLog(stateDirectory, file)
    try {
      await handle.appendFile(`${line}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw unwritable(file, cause)
  }
}
