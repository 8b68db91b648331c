/** The verdict on an answer by what it leads to: aliases, service targets and addresses. */
import { HEADER_OCTETS } from '../../wire/header.ts'
import { skipPlainName } from '../../wire/name.ts'
import type { AskedName } from '../query.ts'
import { PRIVATE_ADDRESS, type AddressedAnswer } from './answer-addresses.ts'
import type { Policy } from './policy.ts'
import { SPECIAL_NONE, type SpecialNames } from './special-names.ts'

/** Nobody may have an answer that has one of these bars, whatever the site. */
export const NO_BAR = 0
/**
 * The answer leads to a name that no upstream may speak for (`.onion`, a bypass canary, localhost).
 */
export const LEADS_TO_SPECIAL = 1
/** A public name leads into a private network: a page could reach devices there (rebinding). */
export const LEADS_TO_PRIVATE = 2

/** An answer, as far as its verdict goes. */
export interface JudgedAnswer extends AddressedAnswer {
  /** The names that it led through: wire names, lower case, one after another. */
  readonly names: Uint8Array
  /** Categories, as bits, that cover one of them. */
  matched: number
  /** One of the bars. */
  bar: number
}

/**
 * Derives `matched` and `bar`; returns whether they hold for all sites, as they do unless a rule of
 * the operator's for one site was met. An essential name passes wherever it leads, private networks
 * aside: a hospital behind a listed host of a content network stays a hospital. So does a name that
 * the operator allows, but for names that no upstream may speak for.
 *
 * @param answer its asked name stands at octet 12 of the message.
 * @param asked is filled with each name in turn; in the end, when a category matched, with the name
 *   of the first such category, and the policy's fields speak of that name.
 * @param site of the client.
 */
export function judgeAnswer(
  answer: JudgedAnswer,
  asked: AskedName,
  special: SpecialNames,
  policy: Policy,
  site: number,
): boolean {
  answer.matched = 0
  answer.bar = NO_BAR
  const found = policy.addresses === null ? 0 : policy.addresses.bitsOf(answer)
  const names = answer.names
  if (found === 0 && names.length === 0) return true
  asked.take(answer.message, HEADER_OCTETS)
  if ((found & PRIVATE_ADDRESS) !== 0 && !policy.mayBePrivate(asked)) answer.bar = LEADS_TO_PRIVATE
  if (policy.isEssential(asked)) return true
  const isAllowed = policy.allows(asked, site)
  let isCommon = policy.isCommon
  if (!isAllowed) answer.matched = policy.matchAddresses(found, asked)
  let at = 0
  let decidedAt = -1
  while (at < names.length) {
    asked.take(names, at)
    if (special.find(asked) !== SPECIAL_NONE) answer.bar = LEADS_TO_SPECIAL
    if (!isAllowed) {
      const before = answer.matched
      answer.matched = before | policy.match(asked, site)
      isCommon &&= policy.isCommon
      if (firstBit(answer.matched) !== firstBit(before)) decidedAt = at
    }
    at = skipPlainName(names, at, names.length)
  }
  if (answer.matched === 0) return isCommon
  if (decidedAt === -1) {
    asked.take(answer.message, HEADER_OCTETS)
    policy.matchAddresses(found, asked)
  } else {
    asked.take(names, decidedAt)
    policy.match(asked, site)
  }
  return isCommon
}

function firstBit(bits: number): number {
  return bits & -bits
}
