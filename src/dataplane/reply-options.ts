/**
 * Which options a reply's OPT carries because the client asked by options of its own: keepalive
 * (RFC 7828), a server cookie (RFC 7873), padding (RFC 7830). Called for queries that have such an
 * option, and no others.
 */
import { DAY_S, SECOND_MS } from '../base/units.ts'
import { REPLY_COOKIE, REPLY_KEEPALIVE, REPLY_PADDING } from '../wire/opt.ts'
import { ASKED_COOKIE, ASKED_KEEPALIVE, ASKED_PADDING, type ParsedQuery } from '../wire/query.ts'
import { COOKIE_FRESH, COOKIE_UNPROVEN, checkCookie, makeCookie } from '../wire/server-cookie.ts'
import { writeU32 } from '../wire/header.ts'
import { SIPHASH_KEY_OCTETS, SIPHASH_OCTETS, sipHash } from '../wire/siphash.ts'
import type { Client } from './client.ts'
import { PROTO_TCP, PROTO_UDP } from './counters.ts'
import type { CookieSettings, DataplaneSettings } from './settings.ts'

const TENTH_MS = 100
const TENTHS_MAX = 0xffff
const NO_SECRETS: readonly Uint8Array[] = []

/** The options of one pipeline's replies. */
export class ReplyOptions {
  #keepaliveTenths = 0
  #cookies: CookieSettings | undefined
  #secrets = NO_SECRETS
  /** Since the epoch; the day for which the secrets were made. */
  #day = -1

  constructor(settings: DataplaneSettings) {
    this.reload(settings)
  }

  /** Takes new settings between two queries. */
  reload(settings: DataplaneSettings): void {
    this.#keepaliveTenths = Math.min(TENTHS_MAX, Math.floor(settings.limits.tcpIdleMs / TENTH_MS))
    this.#cookies = settings.cookies
    this.#secrets = settings.cookies?.secrets ?? NO_SECRETS
    this.#day = -1
  }

  /** Sets `replyOptions` and their values; says of the query whether its cookie is proof. */
  set(query: ParsedQuery, client: Client): void {
    const asked = query.askedOptions
    const proto = client.proto
    if (this.#cookies !== undefined && (asked & ASKED_COOKIE) !== 0) {
      this.#answerCookie(query, client, this.#cookies)
    }
    if (proto === PROTO_UDP) return
    if ((asked & ASKED_KEEPALIVE) !== 0) {
      query.replyOptions |= REPLY_KEEPALIVE
      query.keepaliveTenths = this.#keepaliveTenths
    }
    // In clear text padding would only make attacks by reflection larger (RFC 7830 6).
    if (proto > PROTO_TCP && (asked & ASKED_PADDING) !== 0) query.replyOptions |= REPLY_PADDING
  }

  #answerCookie(query: ParsedQuery, client: Client, settings: CookieSettings): void {
    const nowSeconds = Math.floor(Date.now() / SECOND_MS)
    const day = Math.floor(nowSeconds / DAY_S)
    if (day !== this.#day) {
      this.#day = day
      if (settings.secrets.length === 0) this.#secrets = createSecrets(settings.seed, day)
    }
    const secrets = this.#secrets
    const { octets, at, addressOctets } = client
    const proof = checkCookie(query, secrets, octets, at, addressOctets, nowSeconds)
    query.isCookieProof = proof !== COOKIE_UNPROVEN
    if (proof !== COOKIE_FRESH) {
      makeCookie(query, secrets[0]!, octets, at, addressOctets, nowSeconds)
    }
    query.replyOptions |= REPLY_COOKIE
  }
}

/**
 * Makes the secrets of a day: its own, and the one of the day before, by which cookies of the last
 * hour may have been made. All servers with one seed change theirs together, without a word.
 */
function createSecrets(seed: Uint8Array, day: number): Uint8Array[] {
  return [createSecret(seed, day), createSecret(seed, day - 1)]
}

/** Two keyed hashes of the day, of the two halves of the secret each. */
function createSecret(seed: Uint8Array, day: number): Uint8Array {
  const secret = new Uint8Array(SIPHASH_KEY_OCTETS)
  const input = new Uint8Array(5)
  writeU32(input, 0, day)
  sipHash(seed, input, input.length, secret, 0)
  input[4] = 1
  sipHash(seed, input, input.length, secret, SIPHASH_OCTETS)
  return secret
}
