/**
 * Decides whether a name is blocked: essential names, then the compiled lists under the categories
 * that are switched on. One immutable object per worker and policy; a reload makes a new one.
 */
import { EDE_BLOCKED } from '../../wire/codes.ts'
import type { ExtendedError } from '../../wire/opt.ts'
import type { Matcher } from '../../trie/lookup.ts'
import type { AskedName } from '../query.ts'
import type { BlockResponseSettings, CategorySettings } from '../settings.ts'
import type { EssentialNames } from './essential-names.ts'

/** The name passes. */
export const NOT_BLOCKED = -1

const CATEGORIES_MAX = 31

/** How one category answers, ready for the hot path. */
export interface BlockAnswer {
  readonly response: BlockResponseSettings
  readonly error: ExtendedError
}

/** The verdicts of one worker under one policy; its fields speak of the last `decide`. */
export class Policy {
  /** Digest of image, essential names and policy configuration: verdicts hold under it only. */
  readonly stamp: string
  /** By bit of the image's category set; empty where the image has no such category. */
  readonly answers: readonly BlockAnswer[]
  readonly #matcher: Matcher
  readonly #essential: EssentialNames
  readonly #blockedBits: number

  /**
   * After `decide` returned a category: where the rule's name begins within the asked name's
   * octets.
   */
  ruleStart = 0
  /** After `decide` returned a category: everything below the asked name is blocked too. */
  whole = false
  /**
   * After `decide` returned `NOT_BLOCKED`: the category that an essential name was exempted from.
   */
  exempted = NOT_BLOCKED

  constructor(
    matcher: Matcher,
    imageCategories: readonly string[],
    essential: EssentialNames,
    categories: readonly CategorySettings[],
    stamp: string,
  ) {
    this.#matcher = matcher
    this.#essential = essential
    this.stamp = stamp
    let bits = 0
    const answers: BlockAnswer[] = []
    for (const [bit, name] of imageCategories.slice(0, CATEGORIES_MAX).entries()) {
      const settings = categories.find((category) => category.name === name)
      if (settings?.blocked ?? true) bits |= 1 << bit
      answers.push(createAnswer(name, settings))
    }
    this.answers = answers
    this.#blockedBits = bits
  }

  /** After `decide` returned a category: the list that decided, by its place in the image. */
  get list(): number {
    return this.#matcher.list
  }

  /** True when no list may block the asked name. */
  isEssential(asked: AskedName): boolean {
    return this.#essential.covers(asked)
  }

  /** Returns the bit of the category that blocks the asked name, or `NOT_BLOCKED`. */
  decide(asked: AskedName): number {
    this.exempted = NOT_BLOCKED
    const bits = this.#matcher.find(asked.octets, 0) & this.#blockedBits
    if (bits === 0) return NOT_BLOCKED
    const category = 31 - Math.clz32(bits & -bits)
    if (this.#essential.covers(asked)) {
      this.exempted = category
      return NOT_BLOCKED
    }
    this.ruleStart = this.#matcher.ruleStart
    this.whole = this.#matcher.whole && !this.#essential.liesAbove(asked)
    return category
  }
}

function createAnswer(name: string, settings: CategorySettings | undefined): BlockAnswer {
  const response = settings?.response ?? { kind: 'nxdomain', ipv4: undefined, ipv6: undefined }
  return {
    response,
    error: { code: EDE_BLOCKED, text: Buffer.from(`category ${name}`, 'utf8') },
  }
}
