/**
 * How many of the recently asked names another image would judge otherwise. The names themselves
 * are not known here, only keyed hashes of them and of their parents: both images' stored names are
 * hashed with the same key, and the longest that a record has decides, as it does for a query.
 */

import {
  RECENT_HEAD_WORDS,
  RECENT_NAMES,
  RECENT_RECORD_WORDS,
} from '../../dataplane/recent-names.ts'
import type { Trie } from '../../trie/open.ts'
import { storedNames } from '../../trie/stored-names.ts'
import { SIPHASH_OCTETS, sipHash } from '../../wire/siphash.ts'

/** What the workers of one server have recorded, with the key of their hashes. */
export interface RecordedNames {
  readonly key: Uint8Array
  /** One block for each worker, as `RecentNames` writes it. */
  readonly blocks: readonly Int32Array[]
}

/** What became of the recently asked names; each is counted once. */
export interface ChangedVerdicts {
  /** Names that were looked at. */
  readonly names: number
  /** Open now, and blocked by the planned image; and the other way round. */
  readonly newlyBlocked: number
  readonly newlyOpen: number
}

/** Whether a stored name blocks itself, and whether it blocks the names below it. */
interface Rule {
  readonly self: boolean
  readonly below: boolean
}

/**
 * Counts the names whose verdict would change.
 *
 * @param off names of the categories that are not blocked by configuration.
 */
export function countChangedVerdicts(
  { blocks, key }: RecordedNames,
  before: Trie,
  after: Trie,
  off: ReadonlySet<string>,
): ChangedVerdicts {
  const records = new Map(blocks.flatMap(recordsOf).map((record) => [record[0]!, record]))
  const asked = new Set([...records.values()].flat())
  const old = rulesOf(before, key, asked, off)
  const planned = rulesOf(after, key, asked, off)
  let newlyBlocked = 0
  let newlyOpen = 0
  for (const suffixes of records.values()) {
    const was = isBlocked(suffixes, old)
    const will = isBlocked(suffixes, planned)
    if (was && !will) newlyOpen++
    if (!was && will) newlyBlocked++
  }
  return { names: records.size, newlyBlocked, newlyOpen }
}

/** The whole records of one worker, each as the hashes of the name and of its parents. */
function recordsOf(words: Int32Array): readonly (readonly number[])[] {
  const count = Math.min(RECENT_NAMES, words[0] ?? 0)
  return Array.from({ length: count }, (_, record) => {
    const start = RECENT_HEAD_WORDS + record * RECENT_RECORD_WORDS
    const suffixes = words[start] ?? 0
    return Array.from({ length: suffixes }, (_suffix, index) =>
      keyOf(words[start + 1 + index * 2]!, words[start + 2 + index * 2]!),
    )
  }).filter((record) => record.length > 0)
}

/** The rules of an image at and above the asked names, by the hashes of their names. */
function rulesOf(
  trie: Trie,
  key: Uint8Array,
  asked: ReadonlySet<number>,
  off: ReadonlySet<string>,
): ReadonlyMap<number, Rule> {
  let bits = 0
  for (const [bit, category] of trie.categories.entries()) if (!off.has(category)) bits |= 1 << bit
  const words = new Int32Array(SIPHASH_OCTETS / Int32Array.BYTES_PER_ELEMENT)
  const octets = new Uint8Array(words.buffer)
  const rules = new Map<number, Rule>()
  for (const { below, name, self } of storedNames(trie)) {
    sipHash(key, name, name.length, octets, 0)
    const hash = keyOf(words[0]!, words[1]!)
    if (asked.has(hash)) rules.set(hash, { self: (self & bits) !== 0, below: (below & bits) !== 0 })
  }
  return rules
}

/** The longest stored name decides, for itself or for what lies below it. */
function isBlocked(suffixes: readonly number[], rules: ReadonlyMap<number, Rule>): boolean {
  for (const [index, suffix] of suffixes.entries()) {
    const rule = rules.get(suffix)
    if (rule !== undefined) return index === 0 ? rule.self : rule.below
  }
  return false
}

/**
 * 53 of the 64 bits, as a number: a million rules and 40,000 suffixes meet by chance in one plan of
 * 200,000.
 */
function keyOf(low: number, high: number): number {
  return (high >>> 11) * 2 ** 32 + (low >>> 0)
}
