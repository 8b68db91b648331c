/** Tables: one name a line, in one of several columns parted by tabs. */

import type { RuleIntake } from './intake.ts'
import { ACTION_BLOCK, COVERS_SUBTREE } from './rule.ts'

/**
 * Reads one line that is neither blank nor a comment. The other columns say things about the name.
 */
export function parseTsvLine(line: string, column: number, intake: RuleIntake): void {
  const cell = line.split('\t')[column]?.trim() ?? ''
  if (cell === '') intake.skip('malformed', line)
  else if (/\s/.test(cell)) intake.skip('prose', line)
  else intake.token(cell, COVERS_SUBTREE, ACTION_BLOCK)
}
