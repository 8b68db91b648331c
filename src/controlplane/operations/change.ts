/** A change of the state directory: under its lock, and with its line in the audit log. */

import { audit, requireAudit } from '../generations/audit.ts'
import { whileLocked, type Turn } from '../generations/version-journal.ts'
import type { OperationContext } from './operation.ts'

/**
 * Changes the state under its lock, and writes the audit line of what was done.
 *
 * @param turn `overtakes` ends an update that runs.
 * @throws OperationalError ERR_STATE_LOCKED while an update runs; ERR_WRITE when the audit log
 *   cannot be opened: nothing has changed then; what `change` throws.
 */
export async function changeState<Result>(
  { actor, stateDirectory }: OperationContext,
  what: string,
  facts: object,
  change: () => Promise<Result>,
  turn: Turn = 'waits',
): Promise<Result> {
  const locked = async (): Promise<Result> => {
    await requireAudit(stateDirectory)
    const result = await change()
    await audit(stateDirectory, actor, what, { ...facts, result: 'done' })
    return result
  }
  return whileLocked(stateDirectory, locked, turn)
}
