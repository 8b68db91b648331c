/** One token of a list to the name that it stands for, or the reason why it stands for none. */

import { isIPv6 } from 'node:net'

import { nameFault, writeName, type NameFault } from './name-text.ts'
import type { NotRuleReason } from './not-rule.ts'

/** Where a normalised name is written: reused, so that a million names cost no garbage. */
export interface NameSlot {
  /** At least 256 octets. */
  readonly wire: Uint8Array
  /** Octets of `wire` that count, the root octet included; 1 is the root itself. */
  octets: number
}

const FAULT_REASONS: Record<NameFault, NotRuleReason> = {
  empty: 'malformed',
  'empty-label': 'empty-label',
  'label-too-long': 'label-too-long',
  'name-too-long': 'name-too-long',
  escape: 'malformed',
  encoding: 'encoding',
  idna: 'idna',
}

/** Digits and dots only: an IPv4 address, a part of one, or several glued together. */
const DIGITS_AND_DOTS = /^\.*[0-9][0-9.]*$/
/** An IPv4 network or range. */
const IPV4_RANGE = /^[0-9.]+(?:\/[0-9.]+|-[0-9.]+)$/
const IPV6_LIKE = /^\[?[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*(?:%[\w-]+)?\]?(?:\/\d{1,3})?(?::\d+)?$/i
/** Letters, digits, `-` and `_` in any place (RFC 2181 11), and anything outside ASCII. */
const HOST_TEXT = /^[-0-9A-Z_a-z.\u0080-\u{10FFFF}]+$/u
/** What most lines of most lists are: no address, no expression, and nothing to take off. */
const PLAIN_HOST = /^[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*$/
const SCHEME = /^[a-z][a-z0-9+.-]*:\/\//i
const PORT = /:\d{1,5}$/
/** Signs that stand in regular expressions and in no host, path or query before its `?`. */
const REGEX_SIGNS = /[\\()[\]{}|^$+]/

/** True for anything that is an address, a network or a range rather than a name. */
export function isAddressText(text: string): boolean {
  return (
    DIGITS_AND_DOTS.test(text) ||
    IPV4_RANGE.test(text) ||
    (text.includes(':') && (isIPv6(text) || IPV6_LIKE.test(text)))
  )
}

/** True when a token is written as a regular expression, a squidGuard one among them. */
export function isRegexText(token: string): boolean {
  if (!REGEX_SIGNS.test(token) || !/\w/.test(token)) return false
  const url = token.replace(SCHEME, '')
  const hostEnd = url.search(/[/?#]/)
  // Where a path follows a host, the signs are the path's.
  return hostEnd <= 0 || !HOST_TEXT.test(url.slice(0, hostEnd).replace(PORT, ''))
}

/**
 * Writes the name of a config or zone file: no scheme, port or wildcard is taken off.
 *
 * @param escapes whether the format knows RFC 1035 escapes and with them any octet.
 */
export function normalizeName(
  text: string,
  escapes: boolean,
  into: NameSlot,
): NotRuleReason | undefined {
  if (text === '.') {
    into.octets = 1
    return undefined
  }
  if (isAddressText(text)) return 'address'
  if (!escapes && !HOST_TEXT.test(text)) return unlikeName(text)
  return written(text, into)
}

function written(text: string, into: NameSlot): NotRuleReason | undefined {
  const octets = writeName(text, into.wire)
  if (octets < 0) return FAULT_REASONS[nameFault(octets)]
  into.octets = octets
  return undefined
}

/** True for letters, digits, `-`, `_` and dots alone, letters outside ASCII among them. */
export function isHostText(text: string): boolean {
  return HOST_TEXT.test(text)
}

/** The host of an address as browsers show it: scheme, port, path and query are taken off. */
export function hostOf(url: string): string {
  const host = url.replace(SCHEME, '')
  const hostEnd = host.search(/[/?#]/)
  return (hostEnd < 0 ? host : host.slice(0, hostEnd)).replace(PORT, '')
}

/** The reason for a token with signs that no host name has. */
function unlikeName(token: string): NotRuleReason {
  if (isRegexText(token)) return 'regex'
  return token.includes('*') ? 'pattern' : 'malformed'
}

/**
 * Writes the name that a token of a free-form list stands for.
 *
 * Takes off a scheme, a root path (`http://x/`), a port, one leading `*.` or `.`, and a trailing
 * dot: with each of them the token still means the whole host. The root comes back as 1 octet.
 */
export function normalizeToken(token: string, into: NameSlot): NotRuleReason | undefined {
  if (PLAIN_HOST.test(token)) return written(token, into)
  if (isAddressText(token)) return 'address'
  if (isRegexText(token)) return 'regex'
  let host = token.replace(SCHEME, '')
  const hostEnd = host.search(/[/?#]/)
  if (hostEnd >= 0) {
    if (host.slice(hostEnd) !== '/' || hostEnd === 0) return hostEnd === 0 ? 'malformed' : 'path'
    host = host.slice(0, hostEnd)
  }
  if (isAddressText(host)) return 'address'
  host = host.replace(PORT, '')
  if (isAddressText(host)) return 'address'
  if (host === '*' || host === '*.') host = '.'
  else if (host.startsWith('*.')) host = host.slice(2)
  else if (host.startsWith('.') && host.length > 1) host = host.slice(1)
  return normalizeName(host, false, into)
}
