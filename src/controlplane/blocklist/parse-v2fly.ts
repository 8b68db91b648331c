/**
 * v2fly domain lists: `x` and `domain:x` (the name and all below it), `full:x` (the name alone),
 * attributes (`@cn`, `&list`) behind them. `regexp:`, `keyword:` and `include:` are counted.
 */

import type { RuleIntake } from './intake.ts'
import { ACTION_BLOCK, COVERS_SELF, COVERS_SUBTREE } from './rule.ts'

const PREFIXED = /^(full|domain|regexp|keyword|include):\s*(\S.*)$/
/** Attributes say where a name is used or who else lists it; the name is meant in any case. */
const ATTRIBUTE = /^[@&]/

/** True for a line with a prefix of this format. */
export function isV2flyLine(line: string): boolean {
  return PREFIXED.test(line)
}

/** Reads one line that is neither blank nor a comment and has a prefix or an attribute. */
export function parseV2flyLine(line: string, intake: RuleIntake): void {
  const text = line.replace(/\s#.*$/, '').trim()
  const words = text.split(/\s+/).filter((word) => !ATTRIBUTE.test(word))
  // The exported form glues them to the name: `domain:x:@cn`.
  const entry = words.join(' ').replace(/:@.*$/, '')
  const [, prefix, value = ''] = PREFIXED.exec(entry) ?? []
  if (prefix === 'regexp') intake.skip('regex', text)
  else if (prefix === 'keyword') intake.skip('keyword', text)
  else if (prefix === 'include') intake.skip('include', text)
  else if (/\s/.test(prefix === undefined ? entry : value)) intake.skip('prose', text)
  else if (prefix === undefined) intake.token(entry, COVERS_SUBTREE, ACTION_BLOCK)
  else {
    intake.name(value, false, prefix === 'full' ? COVERS_SELF : COVERS_SUBTREE, ACTION_BLOCK)
  }
}
