/**
 * What the server would do with a question, decided and answered by the data plane's own code, and
 * why: for `check`.
 */

import { writeBlocked, writeSpecial } from '../../dataplane/policy/block-reply.ts'
import { EssentialNames as ServedEssentialNames } from '../../dataplane/policy/essential-names.ts'
import type { OverlayMessage } from '../../dataplane/policy/overlay.ts'
import { DENIED_BIT, NOT_BLOCKED, Policy } from '../../dataplane/policy/policy.ts'
import { DENIED_CATEGORY } from '../../dataplane/settings.ts'
import { SPECIAL_NONE, SpecialNames } from '../../dataplane/policy/special-names.ts'
import { AskedName } from '../../dataplane/query.ts'
import type { DataplaneSettings } from '../../dataplane/settings.ts'
import { Matcher } from '../../trie/lookup.ts'
import type { Trie } from '../../trie/open.ts'
import { HEADER_OCTETS, MESSAGE_OCTETS_MAX } from '../../wire/header.ts'
import { PARSE_OK, ParsedQuery, parseQuery } from '../../wire/query.ts'
import { REPLY_SLACK_OCTETS } from '../../wire/reply.ts'
import type { EssentialNames } from '../blocklist/essential.ts'
import { nameToText } from '../blocklist/name-text.ts'
import { OperationalError } from '../../base/errors.ts'
import { encodeQuery } from './dns-exchange.ts'
import { readMessage, type MessageText } from './dns-text.ts'
import { typeName } from './names-and-types.ts'

/** What the server does with a question, and the facts that it decides by. */
export type Verdict =
  /** The zone is special: answered from the code, never asked upstream. */
  | { readonly kind: 'local'; readonly zone: string; readonly answer: MessageText }
  | {
      readonly kind: 'blocked'
      readonly category: string
      /** The list whose rule the image holds for the name. */
      readonly list: string | undefined
      readonly answer: MessageText
    }
  | {
      readonly kind: 'passed'
      /** The essential name that covers the name. */
      readonly essential: string | undefined
      /** Categories with a rule for the name: exempted by the essential name, or switched off. */
      readonly categories: readonly string[]
    }

/** Judges names as a worker with this image would. */
export class Judge {
  readonly #settings: DataplaneSettings
  readonly #trie: Trie
  readonly #matcher: Matcher
  readonly #essential: EssentialNames
  readonly #policy: Policy
  readonly #special = new SpecialNames()
  readonly #asked = new AskedName()
  readonly #reply = new Uint8Array(MESSAGE_OCTETS_MAX + REPLY_SLACK_OCTETS)

  constructor(
    settings: DataplaneSettings,
    trie: Trie,
    essential: EssentialNames,
    overlay: OverlayMessage,
  ) {
    this.#settings = settings
    this.#trie = trie
    this.#matcher = new Matcher(trie)
    this.#essential = essential
    const served = new ServedEssentialNames(new Uint8Array(Buffer.concat(essential.names)))
    this.#policy = new Policy(new Matcher(trie), trie.categories, served, settings, {
      addresses: null,
      privateZones: new Uint8Array(0),
      overlay,
      stamp: 'check',
    })
  }

  /**
   * Judges a question over UDP with EDNS, as most clients ask.
   *
   * @param site number of the client's site.
   */
  judge(name: Uint8Array, type: number, site: number): Verdict {
    const message = encodeQuery(name, type)
    const query = new ParsedQuery(message)
    const parsed = parseQuery(message, message.length, query)
    if (parsed !== PARSE_OK) {
      const message = `type ${typeName(type)} is refused or malformed, whatever the name`
      throw new OperationalError('ERR_USAGE', message)
    }
    query.replyOctetsMax = Math.min(query.udpOctets, this.#settings.udpOctetsMax)
    this.#asked.take(message, HEADER_OCTETS)
    const special = this.#special.find(this.#asked)
    if (special !== SPECIAL_NONE) return this.#local(name, query, special)
    const category = this.#policy.categoryOf(this.#policy.match(this.#asked, site), site)
    if (category === NOT_BLOCKED) return this.#passed(name)
    return this.#blocked(name, query, category, site)
  }

  #local(name: Uint8Array, query: ParsedQuery, special: number): Verdict {
    const { rcode, zoneLabel } = this.#special
    const zoneStart = this.#asked.labelStarts[zoneLabel]!
    const octetsMax = this.#settings.udpOctetsMax
    const end = writeSpecial(this.#reply, query, special, rcode, zoneStart, octetsMax)
    const zone = nameToText(name.subarray(zoneStart))
    return { kind: 'local', zone, answer: this.#answer(end) }
  }

  #blocked(name: Uint8Array, query: ParsedQuery, category: number, site: number): Verdict {
    const { ruleStart, whole } = this.#policy
    const { blockTtlSeconds, udpOctetsMax } = this.#settings
    const answer = this.#policy.answerOf(category, site)
    const end = writeBlocked(
      this.#reply,
      query,
      answer,
      ruleStart,
      whole,
      blockTtlSeconds,
      udpOctetsMax,
    )
    this.#matcher.find(name, 0)
    return {
      kind: 'blocked',
      category: this.#trie.categories[category] ?? (category === DENIED_BIT ? DENIED_CATEGORY : ''),
      list: this.#trie.lists[this.#matcher.list]?.name,
      answer: this.#answer(end),
    }
  }

  #passed(name: Uint8Array): Verdict {
    const bits = this.#matcher.find(name, 0)
    const categories = this.#trie.categories.filter((_, bit) => (bits & (1 << bit)) !== 0)
    return { kind: 'passed', essential: this.#essential.covers(name), categories }
  }

  #answer(end: number): MessageText {
    return readMessage(Buffer.from(this.#reply.subarray(0, end)))
  }
}
