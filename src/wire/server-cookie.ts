/**
 * Server cookies in the layout that all servers of one address can share (RFC 9018 4):
 *
 *      0  version 1     1  reserved     4  seconds     8  SipHash-2-4, keyed by the secret, over
 *     client cookie, the eight octets before, and the client's address
 *
 * Behind the client cookie this makes the 24 octets that stand in `ParsedQuery.cookie`.
 */
import { COOKIE_CLIENT_OCTETS, type ParsedQuery } from './query.ts'
import { readU32, writeU32 } from './header.ts'
import { REPLY_COOKIE_OCTETS } from './opt.ts'
import { sipHash } from './siphash.ts'

/** No cookie, or one that says nothing: a client's alone, another layout, too old, a wrong hash. */
export const COOKIE_UNPROVEN = 0
/** Ours, by a secret that holds, but it is time for a new one. */
export const COOKIE_AGEING = 1
/** Ours and fresh: it may be given again as it is. */
export const COOKIE_FRESH = 2

const VERSION = 1
const VERSION_AT = COOKIE_CLIENT_OCTETS
const TIME_AT = VERSION_AT + 4
const HASH_AT = TIME_AT + 4
/** A cookie counts for an hour, and for five minutes before its time (RFC 9018 4.3). */
const SECONDS_MAX = 3600
const AHEAD_SECONDS_MAX = 300
/** From half an hour on a new one is made (RFC 9018 4.3). */
const FRESH_SECONDS_MAX = 1800
const ADDRESS_OCTETS_MAX = 16

const input = new Uint8Array(HASH_AT + ADDRESS_OCTETS_MAX)
const hash = new Uint8Array(REPLY_COOKIE_OCTETS - HASH_AT)

/**
 * Says what the query's cookie proves: that its client can read what is sent to its address.
 *
 * @param secrets the first one makes cookies, the others are still believed.
 * @param address holds the client's address, `addressOctets` of it from `start` on.
 */
export function checkCookie(
  query: ParsedQuery,
  secrets: readonly Uint8Array[],
  address: Uint8Array,
  start: number,
  addressOctets: number,
  nowSeconds: number,
): number {
  const cookie = query.cookie
  if (query.cookieOctets !== REPLY_COOKIE_OCTETS) return COOKIE_UNPROVEN
  if (cookie[VERSION_AT] !== VERSION) return COOKIE_UNPROVEN
  // Serial number arithmetic: seconds in 32 bits wrap in 2106 (RFC 1982).
  const age = (nowSeconds - readU32(cookie, TIME_AT)) | 0
  if (age > SECONDS_MAX || age < -AHEAD_SECONDS_MAX) return COOKIE_UNPROVEN
  const octets = fillInput(cookie, address, start, addressOctets)
  for (let index = 0; index < secrets.length; index++) {
    sipHash(secrets[index]!, input, octets, hash, 0)
    if (!isHashIn(cookie)) continue
    return index === 0 && age < FRESH_SECONDS_MAX ? COOKIE_FRESH : COOKIE_AGEING
  }
  return COOKIE_UNPROVEN
}

/** Writes a new server cookie behind the client's. Parameters as of `checkCookie`. */
export function makeCookie(
  query: ParsedQuery,
  secret: Uint8Array,
  address: Uint8Array,
  start: number,
  addressOctets: number,
  nowSeconds: number,
): void {
  const cookie = query.cookie
  writeU32(cookie, VERSION_AT, VERSION << 24)
  writeU32(cookie, TIME_AT, nowSeconds)
  const octets = fillInput(cookie, address, start, addressOctets)
  sipHash(secret, input, octets, cookie, HASH_AT)
}

function fillInput(
  cookie: Uint8Array,
  address: Uint8Array,
  start: number,
  addressOctets: number,
): number {
  for (let i = 0; i < HASH_AT; i++) input[i] = cookie[i]!
  for (let i = 0; i < addressOctets; i++) input[HASH_AT + i] = address[start + i]!
  return HASH_AT + addressOctets
}

/** Compares all octets, whatever the first ones say: the time taken tells nothing. */
function isHashIn(cookie: Uint8Array): boolean {
  let difference = 0
  for (let i = 0; i < hash.length; i++) difference |= hash[i]! ^ cookie[HASH_AT + i]!
  return difference === 0
}
