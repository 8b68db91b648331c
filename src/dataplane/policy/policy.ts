/**
 * Decides whether a name is blocked: essential names, then the compiled lists under the categories
 * that are switched on, for everybody or for one site. One immutable object per worker and policy;
 * a reload makes a new one.
 *
 * A verdict is kept as the set of categories that it comes from, not as an answer: whose question
 * it is matters only when that set meets the mask of a site.
 */
import { EDE_BLOCKED } from '../../wire/codes.ts'
import type { ExtendedError } from '../../wire/opt.ts'
import type { Matcher } from '../../trie/lookup.ts'
import type { AddressRanges } from '../address-table.ts'
import { SITE_DEFAULT } from '../client.ts'
import type { AskedName } from '../query.ts'
import type { BlockResponseSettings, CategorySettings, PolicySettings } from '../settings.ts'
import { AnswerAddresses } from './answer-addresses.ts'
import { EssentialNames } from './essential-names.ts'

/** The name passes. */
export const NOT_BLOCKED = -1

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
  readonly response: BlockResponseSettings
  readonly error: ExtendedError
}

/** Answers by bit of the image's category set. */
type BlockAnswers = readonly BlockAnswer[]

/** The verdicts of one worker under one policy; its fields speak of the last `match`. */
export class Policy {
  /** Digest of image, essential names and policy configuration: verdicts hold under it only. */
  readonly stamp: string
  /** The rules on addresses; null without any. */
  readonly addresses: AnswerAddresses | null
  /** Names whose answers may lead into private networks. */
  readonly #privateZones: EssentialNames
  readonly #matcher: Matcher
  readonly #essential: EssentialNames
  readonly #siteNumbers = new Map<string, number>()
  /** By site: the categories that it blocks, and how it answers. */
  readonly #masks: Int32Array
  readonly #answers: readonly BlockAnswers[]
  /** The categories that anybody blocks. */
  readonly #anyMask: number

  /** After `match`: where the rule's name begins within the asked name's octets. */
  ruleStart = 0
  #list = -1
  /** After `match`: everything below the asked name is covered too. */
  whole = false
  /** After `match`: the categories that an essential name was exempted from. */
  exempted = 0

  constructor(
    matcher: Matcher,
    imageCategories: readonly string[],
    essential: EssentialNames,
    settings: PolicySettings,
    rules: AddressPolicy & { readonly stamp: string },
  ) {
    this.#matcher = matcher
    this.#essential = essential
    this.stamp = rules.stamp
    this.addresses = rules.addresses === null ? null : new AnswerAddresses(rules.addresses)
    this.#privateZones = new EssentialNames(rules.privateZones)
    const names = imageCategories.slice(0, CATEGORIES_MAX)
    const all = [settings.categories, ...settings.sites.map(({ categories }) => categories)]
    for (const [index, { name }] of settings.sites.entries()) {
      this.#siteNumbers.set(name, index + 1)
    }
    this.#masks = Int32Array.from(all, (categories) => createMask(names, categories))
    this.#answers = all.map((categories) => names.map((name) => createAnswer(name, categories)))
    this.#anyMask = this.#masks.reduce((any, mask) => any | mask, 0)
  }

  /** After `match`: the list that decided, by its place in the image. */
  get list(): number {
    return this.#list
  }

  /** True when no list may block the asked name. */
  isEssential(asked: AskedName): boolean {
    return this.#essential.covers(asked)
  }

  /** Returns the site's number; that of the default policy when there is no such site any more. */
  siteNumber(name: string): number {
    return this.#siteNumbers.get(name) ?? SITE_DEFAULT
  }

  /** Returns the categories, as bits, that cover the asked name and that anybody blocks. */
  match(asked: AskedName): number {
    this.exempted = 0
    const bits = this.#matcher.find(asked.octets, 0) & this.#anyMask
    if (bits === 0) return 0
    if (this.#essential.covers(asked)) {
      this.exempted = bits
      return 0
    }
    this.ruleStart = this.#matcher.ruleStart
    this.#list = this.#matcher.list
    this.whole = this.#matcher.whole && !this.#essential.liesAbove(asked)
    return bits
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
    return found & this.#anyMask
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
    response,
    error: { code: EDE_BLOCKED, text: Buffer.from(`category ${name}`, 'utf8') },
  }
}
