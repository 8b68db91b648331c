/**
 * Rules and pauses as they are kept and as they travel between boxes.
 *
 * An entry's id is made of what it is about, so that two boxes that overrule one name speak of one
 * entry, and the later of the two wins. What was removed or has ended stays as a gone entry for a
 * while: else a box that was away would bring it back.
 */

import { createHash } from 'node:crypto'
import * as z from 'zod'

import { DAY_S, SECOND_MS } from '../../base/units.ts'
import { nameToText, nameToWire } from '../blocklist/name-text.ts'
import { NAME_CHARS_MAX } from '../config/schema-values.ts'

/** Name of the format, in the state directory and on its way between boxes. */
export const OVERRULE_SCHEMA = 'niveau3.overrule/1'
/** Rules and pauses in force; more of them are a list, which has its own commands. */
export const ENTRIES_MAX = 10_000
/** Gone entries besides; the oldest are forgotten before there are more. */
export const GONE_MAX = 100_000
/** A box that was away longer than this may bring back what was removed meanwhile. */
const GONE_KEPT_MS = 30 * DAY_S * SECOND_MS
const REASON_CHARS_MAX = 500
const ID_CHARS = 10
const ID_LETTERS = 'abcdefghijklmnopqrstuvwxyz234567'

const label = z.string().max(NAME_CHARS_MAX)
const momentMs = z.int().min(0)

/** Why something is overruled, in the words of who did it. */
export const reasonText = z.string().trim().min(1).max(REASON_CHARS_MAX)

const common = {
  id: z.string(),
  /**
   * When it was made or changed, milliseconds of wall clock, and later than any change that the box
   * knew of then: of two versions of an entry the later counts.
   */
  versionMs: momentMs,
  /** Removed or ended. */
  gone: z.boolean(),
  /** Who made this version of it. */
  user: z.string(),
  reason: z.string().max(REASON_CHARS_MAX),
  /** The only site where it holds; null: everywhere. */
  site: label.nullable(),
  /** Of a denial the category it counts as, of a pause the only one; null: `denied`, or all. */
  category: label.nullable(),
}

const RuleEntry = z.strictObject({
  kind: z.literal('rule'),
  ...common,
  /** In presentation form, lower case, without a final dot. */
  name: z.string().refine(isPlainName, 'is no name in lower case'),
  action: z.enum(['allow', 'deny']),
  /** The name alone; else all below it as well. */
  exact: z.boolean(),
  /** Null: until it is removed. */
  untilMs: momentMs.nullable(),
})

const PauseEntry = z.strictObject({ kind: z.literal('pause'), ...common, untilMs: momentMs })

const Entry = z
  .discriminatedUnion('kind', [RuleEntry, PauseEntry])
  .refine((entry) => entry.id === idOf(entry), 'has an id that is not its own')

/** What of a box is kept, and what it tells other boxes. */
export const OverruleState = z.strictObject({
  schema: z.literal(OVERRULE_SCHEMA),
  /** Counts the changes of this box; it means nothing to others. */
  revision: z.int().min(0),
  entries: z.array(Entry).max(ENTRIES_MAX + GONE_MAX),
})

/** A name that is allowed or denied. */
export type RuleEntry = z.output<typeof RuleEntry>
/** Blocks that are not made for a while. */
export type PauseEntry = z.output<typeof PauseEntry>
/** A rule or a pause, in force or gone. */
export type Entry = RuleEntry | PauseEntry
/** All entries of one box. */
export type OverruleState = z.output<typeof OverruleState>

type Identity =
  | Pick<RuleEntry, 'kind' | 'name' | 'exact' | 'site'>
  | Pick<PauseEntry, 'kind' | 'category' | 'site'>

function isPlainName(text: string): boolean {
  const wire = nameToWire(text)
  return typeof wire !== 'string' && wire.length > 1 && nameToText(wire) === text
}

/** Returns the id of an entry: `r-` or `p-` and 50 bits of a digest of what it is about. */
export function idOf(entry: Identity): string {
  const about =
    entry.kind === 'rule' ? [entry.name, entry.exact, entry.site] : [entry.category, entry.site]
  const digest = createHash('sha256').update(JSON.stringify(about)).digest()
  let id = ''
  for (const octet of digest.subarray(0, ID_CHARS)) id += ID_LETTERS[octet & 31]
  return `${entry.kind === 'rule' ? 'r' : 'p'}-${id}`
}

/**
 * True when `next` counts and `known` does not. Versions of one moment are told apart by their
 * content, alike by all boxes.
 */
export function isNewer(next: Entry, known: Entry | undefined): boolean {
  if (known === undefined || next.versionMs !== known.versionMs) {
    return next.versionMs > (known?.versionMs ?? -1)
  }
  return JSON.stringify(sorted(next)) > JSON.stringify(sorted(known))
}

function sorted(entry: Entry): object {
  return Object.fromEntries(Object.entries(entry).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** True for an entry that is in force at a moment. */
export function isOpen(entry: Entry, nowMs: number): boolean {
  return !entry.gone && (entry.untilMs === null || entry.untilMs > nowMs)
}

/** Whether a gone entry may be forgotten. */
export function isForgettable(entry: Entry, nowMs: number): boolean {
  return entry.gone && Math.max(entry.versionMs, entry.untilMs ?? 0) + GONE_KEPT_MS < nowMs
}

/** Tells the kinds apart, for lists of entries. */
export function isRule(entry: Entry): entry is RuleEntry {
  return entry.kind === 'rule'
}

/** The other kind. */
export function isPause(entry: Entry): entry is PauseEntry {
  return entry.kind === 'pause'
}

/** The order of octets, the same on every machine. */
export function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
