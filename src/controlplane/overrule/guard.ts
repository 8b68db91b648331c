/** What a rule may not do without `--force`: reach a whole registry, or close an essential name. */

import { OperationalError } from '../../base/errors.ts'
import { DENIED_CATEGORY } from '../../dataplane/settings.ts'
import { SITE_DEFAULT_NAME } from '../../dataplane/client.ts'
import { SPECIAL_NONE, SpecialNames } from '../../dataplane/policy/special-names.ts'
import { AskedName } from '../../dataplane/query.ts'
import type { EssentialNames } from '../blocklist/essential.ts'
import { nameToText, nameToWire } from '../blocklist/name-text.ts'
import {
  SUFFIX_NONE,
  SUFFIX_PRIVATE,
  SUFFIX_UNKNOWN_TLD,
  suffixKind,
} from '../blocklist/suffix-gate.ts'
import { nearest } from '../config/suggest.ts'

/** What rules are held against. */
export interface GuardFacts {
  readonly essential: EssentialNames
  /** Categories that lists or the configuration know. */
  readonly categories: readonly string[]
  /** Names of the configured sites. */
  readonly sites: readonly string[]
}

/** A rule that somebody wants. */
export interface WantedRule {
  readonly action: 'allow' | 'deny'
  readonly exact: boolean
}

/** Essential names that one sentence lists. */
const NAMES_TOLD_MAX = 3

/**
 * Returns the name in presentation form, lower case, and what has to be told about it.
 *
 * @param isForced whether what `--force` may do is allowed.
 * @throws OperationalError ERR_USAGE for what is no name, ERR_RULE_REFUSED for what a rule may not
 *   do.
 */
export function guardName(
  text: string,
  wanted: WantedRule,
  { essential }: GuardFacts,
  isForced: boolean,
): { readonly name: string; readonly notes: readonly string[] } {
  const wire = nameToWire(text)
  if (typeof wire === 'string' || wire.length < 2) {
    throw new OperationalError('ERR_USAGE', `"${text}" is no name that a rule can be for`)
  }
  const name = nameToText(wire)
  refuseSpecial(wire, name)
  if (!isForced) {
    refuseSuffix(wire, name, wanted)
    refuseEssential(wire, name, wanted, essential)
  }
  return { name, notes: notesOn(wire, name, wanted, essential) }
}

function refuseSpecial(wire: Uint8Array, name: string): void {
  const asked = new AskedName()
  asked.take(wire, 0)
  if (new SpecialNames().find(asked) === SPECIAL_NONE) return
  const why = 'is a special name, answered here and never asked upstream: no rule changes that'
  throw new OperationalError('ERR_RULE_REFUSED', `${name} ${why}`)
}

function refuseSuffix(wire: Uint8Array, name: string, { action, exact }: WantedRule): void {
  const kind = suffixKind(wire, wire.length)
  if (exact || kind === SUFFIX_NONE) return
  const whose =
    kind === SUFFIX_PRIVATE
      ? 'belongs to many: the rule is for all who have a name there'
      : kind === SUFFIX_UNKNOWN_TLD
        ? 'is a whole top-level domain'
        : 'is a whole registry: the rule is for all names that are sold there'
  throw new OperationalError(
    'ERR_RULE_REFUSED',
    `${name} ${whose}; ${action} a name below it, or that name alone with --exact, or insist ` +
      'with --force',
  )
}

function refuseEssential(
  wire: Uint8Array,
  name: string,
  { action }: WantedRule,
  essential: EssentialNames,
): void {
  const covering = action === 'deny' ? essential.covers(wire) : undefined
  if (covering === undefined) return
  const what = covering === name ? 'is an essential name' : `belongs to ${covering}, essential`
  throw new OperationalError(
    'ERR_RULE_REFUSED',
    `${name} ${what}: people depend on it for asylum, health, money or safety, and no list may ` +
      'block it; insist with --force',
  )
}

function notesOn(
  wire: Uint8Array,
  name: string,
  { action, exact }: WantedRule,
  essential: EssentialNames,
): readonly string[] {
  const covering = essential.covers(wire)
  if (action === 'allow') {
    return covering === undefined ? [] : [`${covering} is essential: no list blocks ${name}`]
  }
  const below = exact ? [] : essential.below(wire)
  if (below.length === 0) return []
  const told = below.slice(0, NAMES_TOLD_MAX).join(', ')
  const more = below.length > NAMES_TOLD_MAX ? ` and ${below.length - NAMES_TOLD_MAX} more` : ''
  return [`essential names below ${name} stay open: ${told}${more}`]
}

/** @throws OperationalError ERR_USAGE when there is no such site. */
export function requireSite(site: string | null, { sites }: GuardFacts): void {
  const known = [SITE_DEFAULT_NAME, ...sites]
  if (site === null || known.includes(site)) return
  throw new OperationalError('ERR_USAGE', unknown('site', site, known))
}

/** @throws OperationalError ERR_USAGE when no list has such a category. */
export function requireCategory(category: string | null, { categories }: GuardFacts): void {
  const known = [...new Set([...categories, DENIED_CATEGORY])]
  if (category === null || known.includes(category)) return
  throw new OperationalError('ERR_USAGE', unknown('category', category, known))
}

function unknown(what: string, word: string, known: readonly string[]): string {
  const near = nearest(word, known)
  const suggestion = near === undefined ? '' : ` (did you mean ${near}?)`
  return `there is no ${what} "${word}"${suggestion}; there are: ${known.join(', ')}`
}
