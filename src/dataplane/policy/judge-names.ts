/** The verdict on an answer by the names that it led through: aliases and service targets. */
import { HEADER_OCTETS } from '../../wire/header.ts'
import { skipPlainName } from '../../wire/name.ts'
import type { AskedName } from '../query.ts'
import { NOT_BLOCKED, type Policy } from './policy.ts'
import { SPECIAL_NONE, type SpecialNames } from './special-names.ts'

/**
 * The answer leads to a name that no upstream may speak for (`.onion`, a bypass canary, localhost).
 */
export const LEADS_TO_SPECIAL = -2

/**
 * Returns the category that blocks one of the names, `LEADS_TO_SPECIAL` or `NOT_BLOCKED`. An
 * essential name passes wherever it leads: a hospital behind a listed host of a content network
 * stays a hospital.
 *
 * @param answer its asked name stands at octet 12 of its message, the names it led through in
 *   `names`: wire names, lower case, one after another.
 * @param asked is filled with each name in turn.
 */
export function judgeNames(
  answer: { readonly message: Uint8Array; readonly names: Uint8Array },
  asked: AskedName,
  special: SpecialNames,
  policy: Policy,
): number {
  const names = answer.names
  if (names.length === 0) return NOT_BLOCKED
  asked.take(answer.message, HEADER_OCTETS)
  if (policy.isEssential(asked)) return NOT_BLOCKED
  let at = 0
  while (at < names.length) {
    asked.take(names, at)
    if (special.find(asked) !== SPECIAL_NONE) return LEADS_TO_SPECIAL
    const category = policy.decide(asked)
    if (category !== NOT_BLOCKED) return category
    at = skipPlainName(names, at, names.length)
  }
  return NOT_BLOCKED
}
