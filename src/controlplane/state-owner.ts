/**
 * What root writes into a state directory belongs to the directory's owner: the service, whose user
 * could otherwise not write its own files any more after a command of root.
 */
import { closeSync, constants, fchownSync, fstatSync, openSync, readdirSync } from 'node:fs'
import { systemCode } from './config/plain.ts'

/** A state directory has three levels; more than this is none of ours. */
const DEPTH_MAX = 8
/** What is opened is what the name stands for, no link to it; a pipe is not waited for. */
const HELD = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
const NOT_OURS = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'])
/** Files take their time from a clock of the kernel that is a little behind. */
const CLOCK_SLACK_MS = 1000

/** Does the work, and hands over what it has written, whatever becomes of it. */
export async function asOwnerOf<Result>(
  stateDirectory: string,
  work: () => Promise<Result>,
): Promise<Result> {
  const startMs = Date.now()
  try {
    return await work()
  } finally {
    if (process.getuid?.() === 0) handOver(stateDirectory, startMs - CLOCK_SLACK_MS)
  }
}

/**
 * Gives what root has made or changed below a directory since a moment of wall clock to the owner
 * of the directory. The service's user may change names there at any time: what is looked at is
 * held open from the look to the change, links are not followed, and what has a second name stays
 * as it is. What cannot be handed over is warned of: the command has done its work.
 */
export function handOver(stateDirectory: string, sinceMs: number): void {
  // The folder of a dynamic user is itself reached by a link; below it none is followed.
  const top = open(stateDirectory, constants.O_RDONLY | constants.O_DIRECTORY)
  if (top === undefined) return
  try {
    const { gid, uid } = fstatSync(top)
    if (uid !== 0) walk(top, { gid, uid, sinceMs }, 0)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    process.emitWarning(`not all in ${stateDirectory} could be given to its owner: ${reason}`)
  } finally {
    closeSync(top)
  }
}

interface Owner {
  readonly uid: number
  readonly gid: number
  /** What changed before is not ours. */
  readonly sinceMs: number
}

function walk(directory: number, owner: Owner, depth: number): void {
  const here = `/proc/self/fd/${directory}`
  for (const name of readdirSync(here)) {
    const entry = open(`${here}/${name}`, HELD)
    if (entry === undefined) continue
    try {
      give(entry, owner)
      if (fstatSync(entry).isDirectory() && depth < DEPTH_MAX) walk(entry, owner, depth + 1)
    } finally {
      closeSync(entry)
    }
  }
}

/** Undefined where there is none any more, and for links and sockets, which no command makes. */
function open(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags)
  } catch (error) {
    if (NOT_OURS.has(systemCode(error) ?? '')) return undefined
    throw error
  }
}

function give(entry: number, { gid, uid, sinceMs }: Owner): void {
  const found = fstatSync(entry)
  if (found.uid !== 0 || found.ctimeMs < sinceMs) return
  if (found.isDirectory() || (found.isFile() && found.nlink === 1)) fchownSync(entry, uid, gid)
}
