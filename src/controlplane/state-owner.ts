/**
 * What root writes into a state directory belongs to the directory's owner: the service, whose user
 * could otherwise not write its own files any more after a command of root.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lchownSync,
  lstatSync,
  openSync,
  readdirSync,
} from 'node:fs'
import { systemCode } from './config/plain.ts'

/** A state directory has three levels; more than this is none of ours. */
const DEPTH_MAX = 8
/** Files that a name cannot lead away from: what is opened is a directory and no link to one. */
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

/** Does the work, and hands over what it has written, whatever becomes of it. */
export async function asOwnerOf<Result>(
  stateDirectory: string,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work()
  } finally {
    if (process.getuid?.() === 0) handOver(stateDirectory)
  }
}

/**
 * Gives everything below a directory that root owns to the owner of the directory. The service's
 * user may change names there at any moment: each directory is held open while it is walked, links
 * are not followed, and what has a second name stays as it is.
 */
export function handOver(stateDirectory: string): void {
  // The folder of a dynamic user is itself reached by a link; below it none is followed.
  const top = open(stateDirectory, constants.O_RDONLY | constants.O_DIRECTORY)
  if (top === undefined) return
  try {
    const { gid, uid } = fstatSync(top)
    if (uid !== 0) walk(top, { gid, uid }, 0)
  } finally {
    closeSync(top)
  }
}

interface Owner {
  readonly uid: number
  readonly gid: number
}

function walk(directory: number, owner: Owner, depth: number): void {
  const here = `/proc/self/fd/${directory}`
  for (const name of readdirSync(here)) {
    const path = `${here}/${name}`
    const found = lstatSync(path, { throwIfNoEntry: false })
    if (found === undefined) continue
    const isFolder = found.isDirectory()
    if (found.uid === 0 && (isFolder || found.nlink === 1)) give(path, owner)
    if (isFolder && depth < DEPTH_MAX) enter(path, owner, depth)
  }
}

function enter(path: string, owner: Owner, depth: number): void {
  const below = open(path, DIRECTORY)
  if (below === undefined) return
  try {
    walk(below, owner, depth + 1)
  } finally {
    closeSync(below)
  }
}

/** Undefined where there is no such directory any more. */
function open(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(systemCode(error))) return undefined
    throw error
  }
}

function give(path: string, { gid, uid }: Owner): void {
  try {
    lchownSync(path, uid, gid)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
}
