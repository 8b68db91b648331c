/**
 * The lock of a state directory: the file `lock` with the process that owns it, as its id, when it
 * started and in which boot: an id alone is given to other processes later, in a container to the
 * very next one. Two servers with one state would overwrite each other's.
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
   * taken over. Machines and containers that cannot see each other's processes must not share a
   * state directory.
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
        if (owner !== undefined && isAlive(owner, file)) {
          throw lockedBy(`process ${owner.id}`, file)
        }
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
    return owner !== undefined && isAlive(owner, file) ? owner.id : undefined
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
    writeSync(descriptor, `${process.pid} ${birthOf(process.pid) ?? UNKNOWN_BIRTH}\n`)
  } finally {
    closeSync(descriptor)
  }
  return true
}

/** A process in a lock. */
interface Owner {
  readonly id: number
  /** When it started, and in which boot; undefined where the system does not tell. */
  readonly birth: string | undefined
}

/** The system does not tell when processes started. */
const UNKNOWN_BIRTH = '-'
const LOCK_TEXT = /^([1-9]\d{0,9})(?: (-|\d+@[0-9a-f-]+))?\n$/

/** The process in a lock; undefined where there is none: a power cut leaves empty files. */
function ownerOf(file: string): Owner | undefined {
  try {
    const [, id, birth] = LOCK_TEXT.exec(readFileSync(file, 'latin1')) ?? []
    if (id === undefined) return undefined
    return { id: Number(id), birth: birth === UNKNOWN_BIRTH ? undefined : birth }
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined
    const message = `${file} cannot be read (${String(codeOf(cause))}): ask as its owner, or as root`
    throw new OperationalError('ERR_PERMISSION', message, { file, cause })
  }
}

/**
 * When a process started: field 22 of proc_pid_stat(5), in clock ticks, and the id of the boot that
 * they are counted from. Undefined where there is no such process or no /proc.
 */
function birthOf(id: number): string | undefined {
  try {
    // The name of the program stands in parentheses and may hold anything.
    const stat = readFileSync(`/proc/${id}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const boot = bootId()
    const ticks = fields[START_FIELD - FIRST_FIELD_BEHIND_NAME]
    return ticks === undefined || boot === undefined ? undefined : `${ticks}@${boot}`
  } catch {
    return undefined
  }
}

const START_FIELD = 22
const FIRST_FIELD_BEHIND_NAME = 3

/** The id of this boot (random(4)); undefined where there is no /proc, or none that tells. */
function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  } catch {
    return undefined
  }
}

function isAlive({ id, birth }: Owner, file: string): boolean {
  // In a container every server has the same id: only what we hold ourselves is alive.
  if (id === process.pid) return held.has(file)
  // Nothing outlives a boot: whoever has the id now may be another user's, and not in our /proc.
  const boot = bootId()
  if (birth !== undefined && boot !== undefined && !birth.endsWith(`@${boot}`)) return false
  try {
    process.kill(id, 0)
  } catch (error) {
    if (codeOf(error) !== 'EPERM') return false
  }
  const now = birthOf(id)
  // Another process has the id since; where nothing is known the lock is believed.
  return birth === undefined || now === undefined || now === birth
}

/**
 * Removes the lock of a dead process. Another server may do the same at this moment and have made
 * its own lock since: what is removed is looked at again under a name that only we use.
 */
async function takeAway(file: string, dead: Owner | undefined): Promise<void> {
  const aside = `${file}.${process.pid}`
  try {
    await rename(file, aside)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  const found = ownerOf(aside)
  if (found?.id === dead?.id && found?.birth === dead?.birth) await rm(aside, { force: true })
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
