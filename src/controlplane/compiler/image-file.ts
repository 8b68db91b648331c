/** Images on disk: written whole or not at all. */

import { randomBytes } from 'node:crypto'
import { access, constants, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { OperationalError } from '../../base/errors.ts'
import { IMAGE_OCTETS_MAX } from '../../trie/layout.ts'

/**
 * Writes the image so that `file` is, at every moment and after every power cut, the old image or
 * the new one: into a temporary file of the same folder, fsync, rename, fsync of the folder.
 *
 * @throws OperationalError ERR_WRITE when the folder cannot be written.
 */
export async function writeImage(file: string, image: SharedArrayBuffer): Promise<void> {
  const folder = dirname(file)
  const temporary = join(folder, `.${basename(file)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    const handle = await open(temporary, 'wx', 0o644)
    try {
      await handle.writeFile(new Uint8Array(image))
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
    await syncFolder(folder)
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw unwritable(file, cause)
  }
}

/**
 * Looks whether `writeImage` can write `file`: asked before lists are compiled for seconds.
 *
 * @throws OperationalError ERR_WRITE when it is no regular file, or its folder cannot be written.
 */
export async function requireWritable(file: string): Promise<void> {
  const present = await stat(file).catch(() => undefined)
  if (present?.isDirectory() === true) throw unwritable(file, { code: 'EISDIR' })
  // A rename would put the image in the place of /dev/null for everybody.
  if (present?.isFile() === false) throw unwritable(file, new Error('it is not a regular file'))
  try {
    if (!(await stat(dirname(file))).isDirectory()) throw unwritable(file, { code: 'ENOTDIR' })
    await access(dirname(file), constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw cause instanceof OperationalError ? cause : unwritable(file, cause)
  }
}

function unwritable(file: string, cause: unknown): OperationalError {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : ''
  const why = WRITE_FAULTS.get(String(code))?.(file) ?? messageOf(cause)
  return new OperationalError('ERR_WRITE', `cannot write the image ${file}: ${why}`, {
    file,
    cause,
  })
}

/** What the system's codes mean for who has asked for a file. */
const WRITE_FAULTS: ReadonlyMap<string, (file: string) => string> = new Map([
  ['EISDIR', (file) => `it is a directory; name a file in it, such as ${join(file, 'lists.n3')}`],
  ['ENOENT', (file) => `the directory ${dirname(file)} does not exist; make it first`],
  ['ENOTDIR', (file) => `${dirname(file)} is not a directory`],
  ['EACCES', (file) => `this user may not write to ${dirname(file)}; name another place`],
  ['EPERM', (file) => `this user may not write to ${dirname(file)}; name another place`],
  ['EROFS', (file) => `${dirname(file)} is mounted read-only; name another place`],
  ['ENOSPC', (file) => `no space is left in ${dirname(file)}`],
])

/**
 * Reads the image of `file` into memory that all threads can share; `openTrie` checks it.
 *
 * @throws OperationalError ERR_IMAGE when there is no such file or it cannot be read.
 */
export async function readImage(file: string): Promise<SharedArrayBuffer> {
  try {
    const handle = await open(file, 'r')
    try {
      const { size } = await handle.stat()
      if (size > IMAGE_OCTETS_MAX) throw new Error(`${size} octets are more than any image has`)
      const image = new SharedArrayBuffer(size)
      await readFully(handle, new Uint8Array(image))
      return image
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw new OperationalError(
      'ERR_IMAGE',
      `cannot read the image ${file}: ${messageOf(cause)}; ` +
        `make it with "niveau3 lists compile --out ${file}"`,
      { file, cause },
    )
  }
}

type FileHandle = Awaited<ReturnType<typeof open>>

async function readFully(handle: FileHandle, target: Uint8Array): Promise<void> {
  for (let at = 0; at < target.length;) {
    const { bytesRead } = await handle.read(target, at, target.length - at, at)
    if (bytesRead === 0) throw new Error('the file became shorter while it was read')
    at += bytesRead
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
