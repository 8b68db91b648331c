/** JSON files of the state directory: written whole or not at all, read against a schema. */

import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type * as z from 'zod'

import { OperationalError } from '../../base/errors.ts'
import { systemCode } from '../config/plain.ts'

/**
 * Writes `value` so that `file` is, at every moment and after every power cut, the old text or the
 * new one.
 *
 * @throws OperationalError ERR_WRITE when the disk is full or may not be written.
 */
export async function writeStateFile(file: string, value: object): Promise<void> {
  const folder = dirname(file)
  const temporary = join(folder, `.${basename(file)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    await mkdir(folder, { recursive: true, mode: 0o750 })
    const handle = await open(temporary, 'wx', 0o640)
    try {
      await handle.writeFile(`${JSON.stringify(value, undefined, 2)}\n`)
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
 * Reads what `writeStateFile` wrote; undefined when there is no such file.
 *
 * @throws OperationalError ERR_STATE when it is damaged, ERR_PERMISSION when it may not be read.
 */
export async function readStateFile<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
): Promise<z.output<Schema> | undefined> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    const code = systemCode(cause)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new OperationalError('ERR_PERMISSION', `${file} cannot be read (${code})`, {
      file,
      cause,
    })
  }
  const result = schema.safeParse(jsonOf(text))
  if (result.success) return result.data
  const [issue] = result.error.issues
  const why = issue === undefined ? '' : `${issue.path.join('.')}: ${issue.message}`
  throw new OperationalError(
    'ERR_STATE',
    `${file} is damaged (${why}); restore it from a backup, or remove it to start anew`,
    { file },
  )
}

/** Makes the entries of a folder survive a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** A failure of the disk as an error that the operator can act on. */
export function unwritable(file: string, cause: unknown): OperationalError {
  if (cause instanceof OperationalError) return cause
  const code = systemCode(cause)
  const why =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? `no space is left in ${dirname(file)}`
      : cause instanceof Error
        ? cause.message
        : String(cause)
  return new OperationalError('ERR_WRITE', `cannot write ${file}: ${why}`, { file, cause })
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
