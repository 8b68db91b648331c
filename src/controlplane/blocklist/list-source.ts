/** What a list is told to be before it is read, and what reading it has shown. */

import type { ListFormat } from './detect-format.ts'
import type { NotRuleReason } from './not-rule.ts'

/** What to do with rules on public suffixes, where the default of the category does not fit. */
export interface SuffixPolicy {
  readonly icann?: 'refuse' | 'keep'
  readonly private?: 'refuse' | 'keep'
}

export interface ListSource {
  readonly name: string
  readonly category: string
  readonly file: string
  /** Written for this product, one name at a time, rather than subscribed to. */
  readonly curated: boolean
  readonly publicSuffixes?: SuffixPolicy
  readonly licence?: string
  readonly attribution?: string
  readonly date?: string
}

export type RefusedReason = 'icann-suffix' | 'private-suffix' | 'root'

export interface RefusedRule {
  readonly rule: string
  readonly line: number
  readonly reason: RefusedReason
}

export interface EssentialHit {
  readonly rule: string
  readonly line: number
  readonly essential: string
  /** `exempted`: on or below the essential name, not obeyed; `above`: obeyed around it. */
  readonly kind: 'exempted' | 'above'
}

export interface EntrySample {
  readonly line: number
  readonly text: string
}

export interface ListReport {
  readonly name: string
  readonly category: string
  readonly file: string
  readonly format: ListFormat
  /** Of the file as it is stored, compressed or not; lower-case hexadecimal. */
  readonly sha256: string
  /** Of the file as it is stored. */
  readonly octets: number
  /** After decompression. */
  readonly textOctets: number
  readonly lines: number
  readonly blankLines: number
  readonly commentLines: number
  /** Rules that block, handed to the sink. */
  readonly rules: number
  /** Exceptions, handed to the sink. */
  readonly exceptions: number
  readonly notRules: Readonly<Record<NotRuleReason, number>>
  /** The first few entries of each reason. */
  readonly samples: Readonly<Partial<Record<NotRuleReason, readonly EntrySample[]>>>
  /** Rules on public suffixes and the root; the first `REPORTED_MAX` of `refusedCount`. */
  readonly refused: readonly RefusedRule[]
  readonly refusedCount: number
  /** The first `REPORTED_MAX` of them. */
  readonly essentialHits: readonly EssentialHit[]
  /** Rules on or below an essential name, not handed to the sink. */
  readonly exemptedCount: number
  /** Rules above an essential name, handed to the sink. */
  readonly aboveCount: number
}

/** Lines of a list that are neither blank, nor a comment, nor a rule. */
export function invalidLinesOf({ notRules }: Pick<ListReport, 'notRules'>): number {
  return Object.values(notRules).reduce((sum, lines) => sum + lines, 0)
}

/** A poisoned list must not fill the memory by its report. */
export const REPORTED_MAX = 10_000
