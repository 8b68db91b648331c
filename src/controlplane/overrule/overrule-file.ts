/**
 * Where rules and pauses outlive a restart: one file of the state directory and a copy of it, each
 * written whole or not at all. A denial that got lost would open what an operator has closed, so a
 * damaged file is never taken for an empty one.
 */

import { join } from 'node:path'

import { OperationalError } from '../../base/errors.ts'
import { readStateFile, writeStateFile } from '../generations/state-file.ts'
import { OVERRULE_SCHEMA, OverruleState } from './entry.ts'

/** Names in the state directory. */
export const OVERRULE_FILE = 'overrule.json'
const COPY_FILE = 'overrule.copy.json'

/** What was read. */
export interface LoadedOverrule {
  readonly state: OverruleState
  /** Why one of the two files could not be read; the other had everything or is older. */
  readonly damage: OperationalError | undefined
}

/**
 * Reads the newer of the file and its copy.
 *
 * @throws OperationalError ERR_STATE when a file is damaged and there is no other.
 */
export async function loadOverrule(stateDirectory: string): Promise<LoadedOverrule> {
  const found: OverruleState[] = []
  let damage: OperationalError | undefined
  for (const name of [OVERRULE_FILE, COPY_FILE]) {
    try {
      const state = await readStateFile(join(stateDirectory, name), OverruleState)
      if (state !== undefined) found.push(state)
    } catch (error) {
      if (!(error instanceof OperationalError)) throw error
      damage ??= error
    }
  }
  const [newest] = found.toSorted((a, b) => b.revision - a.revision)
  if (newest !== undefined) return { state: newest, damage }
  if (damage !== undefined) throw damage
  return { state: { schema: OVERRULE_SCHEMA, revision: 0, entries: [] }, damage }
}

/**
 * Writes the file, then the copy.
 *
 * @returns why the copy could not be written; the change counts all the same.
 * @throws OperationalError ERR_WRITE when the file itself could not: nothing has changed then.
 */
export async function saveOverrule(
  stateDirectory: string,
  state: OverruleState,
): Promise<OperationalError | undefined> {
  await writeStateFile(join(stateDirectory, OVERRULE_FILE), state)
  try {
    await writeStateFile(join(stateDirectory, COPY_FILE), state)
  } catch (error) {
    if (error instanceof OperationalError) return error
    throw error
  }
  return undefined
}
