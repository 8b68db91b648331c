/** Takes what the parsers find, holds it against the gates, hands rules on and counts the rest. */

import type { EssentialNames } from './essential.ts'
import {
  REPORTED_MAX,
  type EntrySample,
  type EssentialHit,
  type ListSource,
  type RefusedReason,
  type RefusedRule,
} from './list-source.ts'
import { nameToText } from './name-text.ts'
import { normalizeName, normalizeToken, type NameSlot } from './normalize.ts'
import { countsOfNotRules, type NotRuleReason } from './not-rule.ts'
import { ACTION_BLOCK, COVERS_SELF, type Coverage, type RuleAction, type RuleSink } from './rule.ts'
import {
  SUFFIX_ICANN,
  SUFFIX_NONE,
  SUFFIX_PRIVATE,
  SUFFIX_UNKNOWN_TLD,
  suffixKind,
} from './suffix-gate.ts'

export interface Gates {
  readonly essential: EssentialNames
}

/** What became of a rule: for those who ask why a name is or is not blocked. */
export type RuleFate = 'obeyed' | 'refused' | 'exempted'

/** Told of every rule that is not handed to the sink. */
export type WithheldRule = (
  name: Uint8Array,
  octets: number,
  coverage: Coverage,
  line: number,
  fate: RuleFate,
) => void

const SAMPLES_PER_REASON = 5
const SAMPLE_CHARS_MAX = 120

/** Categories whose authors mean the private suffixes that they list (`ngrok.io`, `eth.link`). */
const KEEP_PRIVATE_SUFFIXES = new Set(['vpn', 'darkweb'])

export class RuleIntake implements NameSlot {
  readonly wire = new Uint8Array(256)
  octets = 0
  /** 1-based; set by whoever feeds the lines. */
  line = 0
  blankLines = 0
  commentLines = 0
  rules = 0
  exceptions = 0
  refusedCount = 0
  exemptedCount = 0
  aboveCount = 0
  /** Rules and reasons so far: shows whether a line was accounted for. */
  entries = 0
  readonly notRules = countsOfNotRules()
  readonly samples: Partial<Record<NotRuleReason, EntrySample[]>> = {}
  readonly refused: RefusedRule[] = []
  readonly essentialHits: EssentialHit[] = []
  readonly #sink: RuleSink
  readonly #essential: EssentialNames
  readonly #withheld: WithheldRule | undefined
  readonly #refuseIcann: boolean
  readonly #refusePrivate: boolean
  readonly #keepUnknownTld: boolean

  constructor(source: ListSource, sink: RuleSink, gates: Gates, withheld?: WithheldRule) {
    this.#sink = sink
    this.#essential = gates.essential
    this.#withheld = withheld
    const { curated, category, publicSuffixes } = source
    this.#refuseIcann = publicSuffixes?.icann !== 'keep'
    const privateDefault = curated || KEEP_PRIVATE_SUFFIXES.has(category) ? 'keep' : 'refuse'
    this.#refusePrivate = (publicSuffixes?.private ?? privateDefault) === 'refuse'
    this.#keepUnknownTld = curated
  }

  blank(): void {
    this.blankLines += 1
  }

  comment(): void {
    this.commentLines += 1
  }

  /** Counts an entry that is no rule. */
  skip(reason: NotRuleReason, text: string): void {
    this.entries += 1
    this.notRules[reason] += 1
    const samples = (this.samples[reason] ??= [])
    if (samples.length >= SAMPLES_PER_REASON) return
    samples.push({ line: this.line, text: text.trim().slice(0, SAMPLE_CHARS_MAX) })
  }

  /** Takes a token of a free-form list: scheme, port, wildcard and dots are taken off. */
  token(token: string, coverage: Coverage, action: RuleAction): void {
    const reason = normalizeToken(token, this)
    if (reason === undefined) this.rule(coverage, action)
    else this.skip(reason, token)
  }

  /** Takes a name of a config or zone file, as it stands. */
  name(text: string, escapes: boolean, coverage: Coverage, action: RuleAction): void {
    const reason = normalizeName(text, escapes, this)
    if (reason === undefined) this.rule(coverage, action)
    else this.skip(reason, text)
  }

  /** Takes the rule whose name stands in `wire`. */
  rule(coverage: Coverage, action: RuleAction): void {
    const { wire, octets } = this
    if (octets === 1) {
      this.#refuse('root', coverage)
      return
    }
    // Exceptions open names for their own list only: neither gate has anything to guard there.
    if (action === ACTION_BLOCK && !this.#passesGates(coverage)) return
    this.entries += 1
    if (action === ACTION_BLOCK) this.rules += 1
    else this.exceptions += 1
    this.#sink.add(wire, octets, coverage, action, this.line)
  }

  #passesGates(coverage: Coverage): boolean {
    const { wire, octets } = this
    const kind = suffixKind(wire, octets)
    if (kind !== SUFFIX_NONE) {
      if (kind === SUFFIX_UNKNOWN_TLD && !this.#keepUnknownTld) {
        this.skip('single-label', nameToText(wire, octets))
        return false
      }
      if (kind === SUFFIX_ICANN && this.#refuseIcann) {
        this.#refuse('icann-suffix', coverage)
        return false
      }
      if (kind === SUFFIX_PRIVATE && this.#refusePrivate) {
        this.#refuse('private-suffix', coverage)
        return false
      }
    }
    return this.#passesEssential(coverage)
  }

  #passesEssential(coverage: Coverage): boolean {
    const { wire, octets, line } = this
    const essential = this.#essential.covers(wire, octets)
    if (essential !== undefined) {
      this.entries += 1
      this.exemptedCount += 1
      this.#withheld?.(wire, octets, coverage, line, 'exempted')
      if (this.essentialHits.length < REPORTED_MAX) {
        const rule = nameToText(wire, octets)
        this.essentialHits.push({ rule, line, essential, kind: 'exempted' })
      }
      return false
    }
    // An exact rule above an essential name leaves the name alone.
    const below = coverage === COVERS_SELF ? [] : this.#essential.below(wire, octets)
    if (below.length > 0) {
      this.aboveCount += 1
      const rule = nameToText(wire, octets)
      for (const name of below) {
        if (this.essentialHits.length >= REPORTED_MAX) break
        this.essentialHits.push({ rule, line, essential: name, kind: 'above' })
      }
    }
    return true
  }

  #refuse(reason: RefusedReason, coverage: Coverage): void {
    this.entries += 1
    this.refusedCount += 1
    this.#withheld?.(this.wire, this.octets, coverage, this.line, 'refused')
    if (this.refused.length >= REPORTED_MAX) return
    this.refused.push({ rule: nameToText(this.wire, this.octets), line: this.line, reason })
  }
}
