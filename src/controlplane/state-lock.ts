/**
 * The lock of a state directory: the file `lock` with the process id of the server that owns it.
 * Two servers with one state would overwrite each other's.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationalError } from '../base/errors.ts'

/** Times that a dead server's lock is taken away while others try the same. */
const ATTEMPTS_MAX = 5

/** `lock` is the server's; `update.lock` belongs to whoever changes lists or generations. */
export type LockName = 'lock' | 'update.lock'

/** Locks of this process: its id in a file that is not among them is that of a server before. */
const held = new Set<string>()

/** A lock that is held until it is released, or until the process is dead. */
export class StateLock {
  readonly #file: string
  #isReleased = false

  private constructor(file: string) {
    this.#file = file
  }

  /**
   * Makes the directory where it is missing, and takes its lock. A lock whose process is dead is
   * taken over. Processes are told apart by their ids: machines and containers that cannot see
   * each other's processes must not share a state directory.
   *
   * @throws OperationalError ERR_STATE_LOCKED when a living process has it; ERR_PERMISSION when
   *   the directory cannot be made or written.
   */
  static async take(directory: string, name: LockName = 'lock'): Promise<StateLock> {
    const file = join(directory, name)
    try {
      await mkdir(directory, { recursive: true, mode: 0o750 })
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        if (create(file)) {
          held.add(file)
          return new StateLock(file)
        }
        const owner = ownerOf(file)
        if (owner !== undefined && isAlive(owner, file)) throw lockedBy(`process ${owner}`, file)
        await takeAway(file, owner)
      }
    } catch (cause) {
      if (cause instanceof OperationalError) throw cause
      throw new OperationalError(
        'ERR_PERMISSION',
        `cannot write the state directory ${directory}: ${messageOf(cause)}; give its owner or ` +
          'mode to this user, or name another with --state-dir',
        { file: directory, cause },
      )
    }
    throw lockedBy('another server that starts', file)
  }

  /** The living process that has the lock of a file; undefined when nobody has. */
  static ownerOf(file: string): number | undefined {
    const owner = ownerOf(file)
    return owner !== undefined && isAlive(owner, file) ? owner : undefined
  }

  /** Gives the lock back; a second call does nothing. */
  async release(): Promise<void> {
    if (this.#isReleased) return
    this.#isReleased = true
    await rm(this.#file, { force: true })
    held.delete(this.#file)
  }
}

/** Makes the file with our id in it, in one turn; false when there is one already. */
function create(file: string): boolean {
  let descriptor: number
  try {
    descriptor = openSync(file, 'wx', 0o640)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
  try {
    writeSync(descriptor, `${process.pid}\n`)
  } finally {
    closeSync(descriptor)
  }
  return true
}

/** The process id in a lock; undefined where there is none: a power cut leaves empty files. */
function ownerOf(file: string): number | undefined {
  try {
    const text = /^([1-9]\d{0,9})\n$/.exec(readFileSync(file, 'latin1'))?.[1]
    return text === undefined ? undefined : Number(text)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

function isAlive(owner: number, file: string): boolean {
  // In a container every server has the same id: only what we hold ourselves is alive.
  if (owner === process.pid) return held.has(file)
  try {
    process.kill(owner, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/**
 * Removes the lock of a dead process. Another server may do the same at this moment and have made
 * its own lock since: what is removed is looked at again under a name that only we use.
 */
async function takeAway(file: string, dead: number | undefined): Promise<void> {
  const aside = `${file}.${process.pid}`
  try {
    await rename(file, aside)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  if (ownerOf(aside) === dead) await rm(aside, { force: true })
  else await rename(aside, file)
}

function lockedBy(who: string, file: string): OperationalError {
  if (file.endsWith('update.lock')) {
    const advice = 'wait for it; if no niveau3 runs there, remove the file'
    const message = `lists are being updated by ${who} (${file}); ${advice}`
    return new OperationalError('ERR_STATE_LOCKED', message, { file })
  }
  return new OperationalError(
    'ERR_STATE_LOCKED',
    `the state directory is in use by ${who} (${file}); stop that server or give another ` +
      'directory with --state-dir; if no niveau3 runs there, remove the file',
    { file },
  )
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
