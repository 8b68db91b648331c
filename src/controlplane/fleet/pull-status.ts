/** What a box knows of its fleet's images: the last one taken, and how the last look went. */

import { join } from 'node:path'
import { z } from 'zod'

import { readStateFile, writeStateFile } from '../generations/state-file.ts'
import { REFUSALS } from './refusals.ts'

const time = z.iso.datetime()
const count = z.int().min(0)

/** The file `fleet.json`. */
const PullStatus = z.object({
  schema: z.literal('niveau3.fleet-status/1'),
  /** Undefined before the first image. */
  taken: z
    .object({
      /** No lower one is taken any more. */
      sequence: z.int().min(1),
      digest: z.string(),
      /** On the machine that built it. */
      createdAt: time,
      /** Number on that machine, for people. */
      generation: count,
      takenAt: time,
    })
    .optional(),
  /** Of the manifest that was looked at last with success. */
  validators: z.object({ etag: z.string().optional(), lastModified: z.string().optional() }),
  checkedAt: time,
  succeededAt: time.optional(),
  /** One sentence; empty after success. */
  why: z.string(),
  code: z.string().optional(),
  /** Looks in a row that failed or ended in a refusal. */
  failures: count,
  /** Since the box was set up. */
  refusals: z.partialRecord(z.enum(REFUSALS), count),
})

export type PullStatus = z.output<typeof PullStatus>

function fileOf(stateDirectory: string): string {
  return join(stateDirectory, 'fleet.json')
}

/** Reads the status; undefined before the first look. */
export function readPullStatus(stateDirectory: string): Promise<PullStatus | undefined> {
  return readStateFile(fileOf(stateDirectory), PullStatus)
}

/** Replaces the status. */
export async function writePullStatus(stateDirectory: string, status: PullStatus): Promise<void> {
  await writeStateFile(fileOf(stateDirectory), status)
}
