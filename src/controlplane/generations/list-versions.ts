/**
 * The last good version of each subscribed list, and how its last update went. A version is named
 * by its digest; the one in force is the one that `version.json` names, so that a version is
 * replaced in one rename.
 */

import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'

import { readStateFile, unwritable, writeStateFile } from './state-file.ts'

const time = z.iso.datetime()

/** One version of one list. */
export const ListVersion = z.object({
  schema: z.literal('niveau3.list-version/1'),
  url: z.string(),
  /** Of the list file; lower-case hexadecimal. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  etag: z.string().optional(),
  lastModified: z.string().optional(),
  fetchedAt: time,
  /** Names that the list blocks by itself. */
  names: z.int().min(0),
  rules: z.int().min(0),
  exceptions: z.int().min(0),
  /** Rules on, below or above essential names, as the list has them. */
  essentialRules: z.array(z.string()),
  /** Entries that DNS cannot enforce (`urls` and `expressions` of an archive). */
  notEnforceable: z.int().min(0),
  /** Lines that gave no rule. */
  invalidLines: z.int().min(0).optional(),
})

export type ListVersion = z.output<typeof ListVersion>

/** How the last update of a list went. */
const ListStatus = z.object({
  schema: z.literal('niveau3.list-status/1'),
  /** When the server was asked last, whatever it said. */
  checkedAt: time,
  /** When it last gave a good list or said that ours is good. */
  succeededAt: time.optional(),
  outcome: z.enum(['updated', 'unchanged', 'failed', 'refused']),
  /** One sentence; empty after success. */
  why: z.string(),
  code: z.string().optional(),
  /** Failures and refusals in a row. */
  failures: z.int().min(0),
})

export type ListStatus = z.output<typeof ListStatus>

/** The folder of one list in the state directory. */
export class ListVersions {
  readonly folder: string

  constructor(stateDirectory: string, list: string) {
    this.folder = join(stateDirectory, 'lists', list)
  }

  /** The list file of a version. */
  listFile(sha256: string): string {
    return join(this.folder, `${sha256.slice(0, 16)}.list`)
  }

  /** The image of the version alone, which the next one is compared with. */
  imageFile(sha256: string): string {
    return join(this.folder, `${sha256.slice(0, 16)}.n3`)
  }

  current(): Promise<ListVersion | undefined> {
    return readStateFile(join(this.folder, 'version.json'), ListVersion)
  }

  status(): Promise<ListStatus | undefined> {
    return readStateFile(join(this.folder, 'status.json'), ListStatus)
  }

  async make(): Promise<void> {
    try {
      await mkdir(this.folder, { recursive: true, mode: 0o750 })
    } catch (cause) {
      throw unwritable(this.folder, cause)
    }
  }

  async replace(version: ListVersion): Promise<void> {
    await writeStateFile(join(this.folder, 'version.json'), version)
    await this.sweep(version.sha256)
  }

  async saveStatus(status: ListStatus): Promise<void> {
    await writeStateFile(join(this.folder, 'status.json'), status)
  }

  /** Removes what belongs to no version that is kept: leftovers of updates that were cut off. */
  async sweep(keep: string | undefined): Promise<void> {
    const kept = keep?.slice(0, 16)
    for (const name of await readdir(this.folder).catch(() => [])) {
      const isState = name === 'version.json' || name === 'status.json'
      if (isState || (kept !== undefined && name.startsWith(`${kept}.`))) continue
      await rm(join(this.folder, name), { force: true, recursive: true })
    }
  }

  async remove(): Promise<void> {
    await rm(this.folder, { force: true, recursive: true })
  }
}
