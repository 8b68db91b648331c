/**
 * Which rules of a list speak of a name: the source is read again, so that nothing is kept for it.
 */

import type { Gates, RuleFate } from './intake.ts'
import type { ListSource } from './list-source.ts'
import { nameToText } from './name-text.ts'
import { LineCursor, readListWith, type ReadOptions } from './read-list.ts'
import { ACTION_BLOCK, COVERS_BELOW, COVERS_SELF, type Coverage, type RuleAction } from './rule.ts'

export interface FoundRule {
  /** 1-based line of the source, and its text. */
  readonly line: number
  readonly text: string
  readonly ruleName: string
  readonly coverage: Coverage
  readonly action: RuleAction
  /** `refused` (a public suffix) and `exempted` (an essential name) rules do not act. */
  readonly fate: RuleFate
}

/** Rules for one name: a list that repeats a name more often than this has nothing to add. */
const FOUND_MAX = 1_000

/** True when `rule` with `coverage` speaks of `name`; both in wire format, lower case. */
export function ruleCovers(
  rule: Uint8Array,
  ruleOctets: number,
  coverage: Coverage,
  name: Uint8Array,
): boolean {
  const start = name.length - ruleOctets
  if (start < 0) return false
  if (start === 0 ? (coverage & COVERS_SELF) === 0 : (coverage & COVERS_BELOW) === 0) return false
  for (let i = 0; i < ruleOctets; i += 1) if (rule[i] !== name[start + i]) return false
  // The tail has to begin at a label, not inside one.
  let at = 0
  while (at < start) at += 1 + (name[at] ?? 0)
  return at === start
}

/**
 * Returns every rule of the list that covers a name, in the order of its lines.
 *
 * @param nameWire the name in wire format, ASCII lower case, root octet included.
 * @throws OperationalError as `readList` does.
 */
export async function findRules(
  source: ListSource,
  nameWire: Uint8Array,
  gates: Gates,
  options: ReadOptions = {},
): Promise<FoundRule[]> {
  const found: FoundRule[] = []
  const cursor = new LineCursor()
  const note = (
    rule: Uint8Array,
    octets: number,
    coverage: Coverage,
    action: RuleAction,
    line: number,
    fate: RuleFate,
  ): void => {
    if (found.length >= FOUND_MAX || !ruleCovers(rule, octets, coverage, nameWire)) return
    const ruleName = nameToText(rule, octets)
    found.push({ line, text: cursor.text(), ruleName, coverage, action, fate })
  }
  await readListWith(
    source,
    {
      add(rule, octets, coverage, action, line) {
        note(rule, octets, coverage, action, line, 'obeyed')
      },
    },
    gates,
    options,
    {
      cursor,
      withheld(rule, octets, coverage, line, fate) {
        note(rule, octets, coverage, ACTION_BLOCK, line, fate)
      },
    },
  )
  return found
}
