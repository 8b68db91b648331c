/**
 * Keeps list versions and the generation made of them in step over a crash. Before a generation is
 * put in force the versions that it is made of are written down; whoever changes the state next
 * finishes what was begun, or forgets it where the generation never came into force.
 */

import { access, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

import { StateLock } from '../state-lock.ts'
import { GenerationStore } from './generation-store.ts'
import { ListVersion, ListVersions } from './list-versions.ts'
import { overtakeUpdate } from './overtake.ts'
import { readStateFile, writeStateFile } from './state-file.ts'

const Journal = z.strictObject({
  schema: z.literal('niveau3.version-journal/1'),
  generation: z.int().min(1),
  /** By list: the version that it is made of. */
  versions: z.record(z.string(), ListVersion),
})

function fileOf(stateDirectory: string): string {
  return join(stateDirectory, 'version-journal.json')
}

/** Notes the versions of a generation that is about to come into force. */
export async function beginVersions(
  stateDirectory: string,
  generation: number,
  versions: Readonly<Record<string, ListVersion>>,
): Promise<void> {
  const journal = { schema: 'niveau3.version-journal/1', generation, versions }
  await writeStateFile(fileOf(stateDirectory), journal)
}

/** Makes the noted versions the last good ones where their generation is in force. */
export async function finishVersions(stateDirectory: string): Promise<void> {
  const file = fileOf(stateDirectory)
  // A damaged journal was not written whole: its generation never came into force.
  const journal = await readStateFile(file, Journal).catch(() => undefined)
  const state = await new GenerationStore(stateDirectory).state()
  if (journal !== undefined && journal.generation === state?.generation) {
    for (const [list, version] of Object.entries(journal.versions)) {
      const versions = new ListVersions(stateDirectory, list)
      if (await isThere(versions.listFile(version.sha256))) await versions.replace(version)
    }
  }
  await rm(file, { force: true })
}

/** Whether a change waits its turn, or ends an update that has the lock. */
export type Turn = 'waits' | 'overtakes'

/**
 * Takes the lock of whoever changes lists or generations, after what a crash has left half done is
 * whole again.
 *
 * @throws OperationalError ERR_STATE_LOCKED while somebody has it.
 */
export async function whileLocked<Result>(
  stateDirectory: string,
  change: () => Promise<Result>,
  turn: Turn = 'waits',
): Promise<Result> {
  const lock =
    turn === 'overtakes'
      ? await overtakeUpdate(stateDirectory)
      : await StateLock.take(stateDirectory, 'update.lock')
  try {
    await finishVersions(stateDirectory)
    return await change()
  } finally {
    await lock.release()
  }
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}
