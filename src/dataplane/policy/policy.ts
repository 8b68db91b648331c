/**
 * Decides whether a name is blocked: the operator's own rules, essential names, then the compiled
 * lists under the categories that are switched on, for everybody or for one site. One immutable
 * object per worker and policy; a reload, an overruling and the end of one each make a new one.
 *
 * Of several that speak of a name the most specific wins: a rule of the operator's for a longer
 * name before one for a shorter, and a denial before an essential name only where it is for that
 * very name or one below it. Lists come last. Special names stand before all, in the pipeline.
 *
 * A verdict is kept as the set of categories that it comes from, not as an answer: whose question
 * it is matters only when that set meets the mask of a site. Where a rule holds at one site only,
 * the verdict is nobody else's, and `isCommon` says so.
 */
import { EDE_BLOCKED } from '../../wire/codes.ts'
import type { ExtendedError } from '../../wire/opt.ts'
import type { Matcher } from '../../trie/lookup.ts'
import type { AddressRanges } from '../address-table.ts'
import { SITE_DEFAULT, SITE_DEFAULT_NAME } from '../client.ts'
import { DECISION_ALLOW, DECISION_EXEMPT } from '../counters.ts'
import type { AskedName } from '../query.ts'
import {
  DENIED_CATEGORY,
  type BlockResponseSettings,
  type CategorySettings,
  type PolicySettings,
} from '../settings.ts'
import { AnswerAddresses, PRIVATE_ADDRESS } from './answer-addresses.ts'
import { EssentialNames, NOT_ESSENTIAL } from './essential-names.ts'
import { Overlay, RULE_ALLOW, RULE_DENY, SITE_ALL } from './overlay.ts'
import type { NumberedRule, OverlayMessage, OverlayPause, OverlayRule } from './overlay.ts'

/** The name passes. */
export const NOT_BLOCKED = -1
/** Bit of what is denied, where the image has no category of that name; its own are below. */
export const DENIED_BIT = 31

const CATEGORIES_MAX = 31

/** What is told about the addresses of answers. */
interface AddressPolicy {
  /** Bits of categories, and private networks; null: no rules. */
  readonly addresses: AddressRanges | null
  /** Wire names, one after another, whose answers may lead into private networks. */
  readonly privateZones: Uint8Array
}

/** How one category answers, ready for the hot path. */
export interface BlockAnswer {
  /** The category's name in ASCII. */
  readonly category: Uint8Array
  readonly response: BlockResponseSettings
  readonly error: ExtendedError
}

/** Answers by bit of the image's category set, and of what is denied. */
type BlockAnswers = readonly BlockAnswer[]

/** What a policy is made of besides the settings. */
interface PolicyRules extends AddressPolicy {
  readonly stamp: string
  readonly overlay: OverlayMessage
}

/** The verdicts of one worker under one policy; its fields speak of the last `match`. */
export class Policy {
  /** Digest of all that decides verdicts (see `PolicyMessage`): they hold under it only. */
  readonly stamp: string
  /** The rules on addresses; null without any. */
  readonly addresses: AnswerAddresses | null
  /** Names whose answers may lead into private networks. */
  readonly #privateZones: EssentialNames
  readonly #matcher: Matcher
  readonly #essential: EssentialNames
  readonly #overlay: Overlay
  readonly #siteNumbers = new Map<string, number>()
  /** By site: the categories that it blocks at the moment, and how it answers. */
  readonly #masks: Int32Array
  readonly #answers: readonly BlockAnswers[]
  /** The categories that anybody blocks, when nothing is paused. */
  readonly #anyMask: number
  /**
   * When the first rule or pause ends, on the monotonic clock: from then on `createSuccessor`
   * decides. A clock that is set while the server runs prolongs nothing.
   */
  readonly endsMs: number
  readonly #inputs: readonly [Matcher, readonly string[], EssentialNames, PolicySettings]
  readonly #rules: PolicyRules
  readonly #clockOffsetMs: number

  /** After `match`: where the rule's name begins within the asked name's octets. */
  ruleStart = 0
  #list = -1
  /** After `match`: everything below the asked name is covered too. */
  whole = false
  /** After `match`: the categories that the name was exempted from. */
  exempted = 0
  /** After `match`, with `exempted`: how it is counted, by an essential name or an allow rule. */
  exemption: number = DECISION_EXEMPT
  /** After `match` and `allows`: the result is that of all sites. */
  isCommon = true

  constructor(
    matcher: Matcher,
    imageCategories: readonly string[],
    essential: EssentialNames,
    settings: PolicySettings,
    rules: PolicyRules,
    clockOffsetMs = performance.now() - Date.now(),
  ) {
    this.#inputs = [matcher, imageCategories, essential, settings]
    this.#rules = rules
    this.#clockOffsetMs = clockOffsetMs
    this.#matcher = matcher
    this.#essential = essential
    this.stamp = rules.stamp
    this.addresses = rules.addresses === null ? null : new AnswerAddresses(rules.addresses)
    this.#privateZones = new EssentialNames(rules.privateZones)
    const names = createCategoryNames(imageCategories)
    const all = [settings.categories, ...settings.sites.map(({ categories }) => categories)]
    for (const [index, { name }] of settings.sites.entries()) {
      this.#siteNumbers.set(name, index + 1)
    }
    const masks = all.map((categories) => createMask(names, categories))
    this.#anyMask = masks.reduce((any, mask) => any | mask, 0)
    const { overlay } = rules
    this.#masks = Int32Array.from(masks, (mask, site) => mask & ~this.#createPause(names, site))
    this.#answers = all.map((categories) =>
      names.map((name) => (name === '' ? NO_ANSWER : createAnswer(name, categories))),
    )
    const { rules: own, pauses } = overlay
    this.#overlay = new Overlay(own.flatMap((rule) => this.#createRule(names, rule)))
    this.endsMs = [...own, ...pauses].reduce(
      (first, { untilMs }) => Math.min(first, untilMs + clockOffsetMs),
      Number.POSITIVE_INFINITY,
    )
  }

  /** Returns the policy without what has ended by now, under a stamp of its own. */
  createSuccessor(nowMs: number): Policy {
    const isOpen = ({ untilMs }: OverlayRule | OverlayPause): boolean =>
      nowMs < untilMs + this.#clockOffsetMs
    const { rules, pauses } = this.#rules.overlay
    const overlay = { rules: rules.filter(isOpen), pauses: pauses.filter(isOpen) }
    // The time alone tells successors of one policy apart, and the stamp keeps its length.
    const origin = this.stamp.split('+', 1)[0]!
    const next = { ...this.#rules, overlay, stamp: `${origin}+${nowMs}` }
    return new Policy(...this.#inputs, next, this.#clockOffsetMs)
  }

  /** Bits of the categories that a site does not block for a while. */
  #createPause(names: readonly string[], site: number): number {
    let paused = 0
    for (const pause of this.#rules.overlay.pauses) {
      if (pause.site !== '' && this.#createSite(pause.site) !== site) continue
      for (const [bit, name] of names.entries()) {
        if (pause.category === '' || pause.category === name) paused |= 1 << bit
      }
    }
    return paused
  }

  /** The rule in numbers; none for a site that there is not any more. */
  #createRule(names: readonly string[], rule: OverlayRule): readonly NumberedRule[] {
    const { name, exact, category } = rule
    const site = rule.site === '' ? SITE_ALL : this.#createSite(rule.site)
    if (site === undefined) return []
    const known = names.indexOf(category)
    const bit = known === -1 ? names.indexOf(DENIED_CATEGORY) : known
    return [{ name, exact, site, bit, action: rule.action === 'allow' ? RULE_ALLOW : RULE_DENY }]
  }

  #createSite(name: string): number | undefined {
    return name === SITE_DEFAULT_NAME ? SITE_DEFAULT : this.#siteNumbers.get(name)
  }

  /** After `match`: the list that decided, by its place in the image. */
  get list(): number {
    return this.#list
  }

  /** True when no list may block the asked name. */
  isEssential(asked: AskedName): boolean {
    return this.#essential.covers(asked)
  }

  /** True when a rule of the operator's lets the asked name pass at this site. */
  allows(asked: AskedName, site: number): boolean {
    const overlay = this.#overlay
    this.isCommon = true
    if (overlay.isEmpty) return false
    const rule = overlay.find(asked, site)
    this.isCommon = !overlay.isPerSite
    return rule === RULE_ALLOW
  }

  /** Returns the site's number; that of the default policy when there is no such site any more. */
  siteNumber(name: string): number {
    return this.#siteNumbers.get(name) ?? SITE_DEFAULT
  }

  /**
   * Returns the categories, as bits, that cover the asked name and that anybody blocks.
   *
   * @param site where the question comes from: rules of other sites are not counted.
   */
  match(asked: AskedName, site: number): number {
    this.exempted = 0
    const listed = this.#matcher.find(asked.octets, 0) & this.#anyMask
    if (!this.#overlay.isEmpty) return this.#matchOverruled(asked, site, listed)
    if (listed === 0) return 0
    if (this.#essential.covers(asked)) return this.#exempt(listed, DECISION_EXEMPT)
    return this.#cover(listed)
  }

  /** The same where the operator has rules of his own. */
  #matchOverruled(asked: AskedName, site: number, listed: number): number {
    const overlay = this.#overlay
    const rule = overlay.find(asked, site)
    this.isCommon = !overlay.isPerSite
    if (rule === RULE_ALLOW) return this.#exempt(listed, DECISION_ALLOW)
    const denied = rule === RULE_DENY ? (1 << overlay.bit) & this.#anyMask : 0
    if ((listed | denied) === 0) return 0
    const essential = this.#essential.find(asked)
    if (essential === NOT_ESSENTIAL) {
      if (denied === 0) return this.#cover(listed)
      return this.#deny(asked, denied, listed)
    }
    if (denied === 0 || essential < overlay.label)
      return this.#exempt(listed | denied, DECISION_EXEMPT)
    return this.#deny(asked, denied, 0)
  }

  /** The name passes though these categories cover it. */
  #exempt(bits: number, exemption: number): number {
    this.exempted = bits
    this.exemption = exemption
    return 0
  }

  /** The lists block the name. */
  #cover(listed: number): number {
    this.ruleStart = this.#matcher.ruleStart
    this.#list = this.#matcher.list
    this.whole = this.#matcher.whole && !this.#overlay.allowsBelow && !this.#essential.liesAbove
    return listed
  }

  /** The operator blocks the name, and the lists may as well. */
  #deny(asked: AskedName, denied: number, listed: number): number {
    const overlay = this.#overlay
    const { label } = overlay
    this.ruleStart = label < asked.labels ? asked.labelStarts[label]! : asked.length - 1
    this.#list = -1
    this.whole =
      overlay.isSubtree &&
      !overlay.allowsBelow &&
      (listed === 0 || this.#matcher.whole) &&
      !this.#essential.liesAbove
    return denied | listed
  }

  /** True when answers for the asked name may lead into private networks. */
  mayBePrivate(asked: AskedName): boolean {
    return this.#privateZones.covers(asked)
  }

  /**
   * Returns the categories, of those found at the addresses of an answer, that anybody blocks; from
   * then on `ruleStart` says that no name of the asked one's is to blame.
   */
  matchAddresses(found: number, asked: AskedName): number {
    this.ruleStart = asked.length
    this.#list = -1
    return found & this.#anyMask & ~PRIVATE_ADDRESS
  }

  /** Returns the bit of the category that blocks for this site, of a set, or `NOT_BLOCKED`. */
  categoryOf(matched: number, site: number): number {
    const bits = matched & this.#masks[site]!
    return bits === 0 ? NOT_BLOCKED : 31 - Math.clz32(bits & -bits)
  }

  /** Returns how a category answers at this site. */
  answerOf(category: number, site: number): BlockAnswer {
    return this.#answers[site]![category]!
  }
}

/** Of a bit that no category has. */
const NO_ANSWER = createAnswer('', [])

/** By bit: the image's categories, and behind them what is denied, if none of them is that. */
function createCategoryNames(imageCategories: readonly string[]): readonly string[] {
  const names = imageCategories.slice(0, CATEGORIES_MAX)
  if (names.includes(DENIED_CATEGORY)) return names
  while (names.length < DENIED_BIT) names.push('')
  return [...names, DENIED_CATEGORY]
}

/** Categories that the configuration does not name are blocked. */
function createMask(names: readonly string[], categories: readonly CategorySettings[]): number {
  let mask = 0
  for (const [bit, name] of names.entries()) {
    const settings = categories.find((category) => category.name === name)
    if (settings?.blocked ?? true) mask |= 1 << bit
  }
  return mask
}

function createAnswer(name: string, categories: readonly CategorySettings[]): BlockAnswer {
  const settings = categories.find((category) => category.name === name)
  const response = settings?.response ?? { kind: 'nxdomain', ipv4: undefined, ipv6: undefined }
  return {
    category: Buffer.from(name, 'latin1'),
    response,
    error: { code: EDE_BLOCKED, text: Buffer.from(`category ${name}`, 'utf8') },
  }
}
