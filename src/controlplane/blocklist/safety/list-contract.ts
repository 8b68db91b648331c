/**
 * The safety contract of one list: what a new version may change against the last good one. A list
 * that fails keeps its last good version; nothing here decides what is blocked.
 */

import type { SafetyValues } from '../../config/schema-lists.ts'
import type { ListReport } from '../list-source.ts'
import type { NotRuleReason } from '../not-rule.ts'
import type { ImageComparison } from './compare-images.ts'

/** The gates, by the words that reports use. */
export type Gate =
  | 'names-min'
  | 'names-max'
  | 'removed-share'
  | 'added-share'
  | 'unparsable-share'
  | 'essential-hits'
  | 'essential-parent'
  | 'popular'
  | 'must-block'
  | 'self-test'
  | 'list-lost'
  | 'address-rules'

/** A gate that an update did not pass. */
export interface GateFault {
  readonly gate: Gate
  /** One sentence with the figures. */
  readonly why: string
}

/** What is known of a new version of a list. */
export interface ListEvidence {
  readonly report: ListReport
  /** Names that the list blocks by itself. */
  readonly names: number
  readonly namesMin: number
  /** What a first version may have, which nothing is there to compare with. */
  readonly namesMax: number
  /** Against the last good version; undefined for the first one. */
  readonly comparison: ImageComparison | undefined
  /** Essential rules of the last good version. */
  readonly knownEssentialRules: ReadonlySet<string>
  /** Popular names that the new version blocks and the last good one does not. */
  readonly popularHits: readonly string[]
  /** Names that the list must block and does not. */
  readonly openSentinels: readonly string[]
}

/** Reasons that say "this is no list", unlike rules that DNS merely cannot enforce. */
const UNPARSABLE: readonly NotRuleReason[] = [
  'empty-label',
  'encoding',
  'extra-word',
  'idna',
  'label-too-long',
  'line-too-long',
  'malformed',
  'name-too-long',
  'prose',
]
/** Shares of a few names say nothing: a list of ten may lose four. */
const SHARE_FROM_NAMES = 10
const RULES_PER_FIRST_ESSENTIAL_HIT = 10_000
const SHOWN_MAX = 5

/** Returns the gates that a new version does not pass; none for a good one. */
export function judgeList(evidence: ListEvidence, limits: SafetyValues): readonly GateFault[] {
  const { names, namesMax, namesMin, openSentinels, popularHits } = evidence
  const faults: GateFault[] = []
  if (names < namesMin) {
    faults.push({ gate: 'names-min', why: `${names} names, and ${namesMin} is the least` })
  }
  if (names > namesMax) {
    faults.push({ gate: 'names-max', why: `${names} names, and ${namesMax} is the most at first` })
  }
  faults.push(...shareFaults(evidence.comparison, limits), ...unparsableFaults(evidence, limits))
  faults.push(...essentialFaults(evidence, limits))
  if (popularHits.length > limits.popularHitsMax) {
    faults.push({ gate: 'popular', why: `would newly block ${shown(popularHits)}` })
  }
  if (openSentinels.length > 0) {
    faults.push({ gate: 'must-block', why: `does not block ${shown(openSentinels)}` })
  }
  return faults
}

/** The gates on names removed and added, for one list as for all together. */
export function shareFaults(
  comparison: ImageComparison | undefined,
  limits: SafetyValues,
): readonly GateFault[] {
  if (comparison === undefined) return []
  const { oldNames, removed, added } = comparison
  const faults: GateFault[] = []
  const isOver = (names: number, shareMax: number): boolean =>
    names > SHARE_FROM_NAMES && names > oldNames * shareMax
  if (isOver(removed.names, limits.removedShareMax)) {
    const why = `${removed.names} of ${oldNames} names would no longer be blocked`
    faults.push({ gate: 'removed-share', why: `${why} ${percents(removed.names, comparison)}` })
  }
  if (isOver(added.names, limits.addedShareMax)) {
    const why = `${added.names} names would be added to ${oldNames}`
    faults.push({ gate: 'added-share', why: `${why} ${percents(added.names, comparison)}` })
  }
  return faults
}

function percents(names: number, { oldNames }: ImageComparison): string {
  return oldNames === 0 ? '' : `(${Math.round((names / oldNames) * 100)} %)`
}

function unparsableFaults({ report }: ListEvidence, limits: SafetyValues): readonly GateFault[] {
  const { rules, exceptions, refusedCount, exemptedCount, notRules } = report
  const unparsable = UNPARSABLE.reduce((sum, reason) => sum + notRules[reason], 0)
  const others = Object.values(notRules).reduce((sum, count) => sum + count, 0)
  const entries = rules + exceptions + refusedCount + exemptedCount + others
  if (unparsable <= SHARE_FROM_NAMES || unparsable <= entries * limits.unparsableShareMax) return []
  const why = `${unparsable} of ${entries} entries are in no grammar that is known`
  return [{ gate: 'unparsable-share', why }]
}

function essentialFaults(evidence: ListEvidence, limits: SafetyValues): readonly GateFault[] {
  const { report, knownEssentialRules, comparison } = evidence
  const fresh = report.essentialHits.filter(({ rule }) => !knownEssentialRules.has(rule))
  const above = fresh.filter(({ kind }) => kind === 'above')
  const faults: GateFault[] = []
  if (above.length > 0) {
    const pairs = above.map(({ rule, essential }) => `${rule} above ${essential}`)
    faults.push({ gate: 'essential-parent', why: `has a rule ${shown(pairs)}, which is essential` })
  }
  const hits = new Set(fresh.filter(({ kind }) => kind === 'exempted').map(({ rule }) => rule))
  const first = comparison === undefined ? report.rules / RULES_PER_FIRST_ESSENTIAL_HIT : 0
  if (hits.size > limits.essentialHitsMax + Math.floor(first)) {
    const why = `has ${hits.size} new rules on essential names: ${shown([...hits])}`
    faults.push({ gate: 'essential-hits', why })
  }
  return faults
}

/** A few of many, for one sentence. */
export function shown(names: readonly string[]): string {
  const few = names.slice(0, SHOWN_MAX).join(', ')
  return names.length > SHOWN_MAX ? `${few} and ${names.length - SHOWN_MAX} more` : few
}
