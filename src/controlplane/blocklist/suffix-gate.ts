/**
 * Is a name a public suffix? A rule on one would block a country, a city or every customer of a
 * host, which no author of a list means.
 */

import { getPublicSuffix, parse } from 'tldts'

import { NAME_OCTETS_MAX } from '../../wire/name.ts'

export const SUFFIX_NONE = 0
/** From the ICANN section of the Public Suffix List: `com`, `com.cn`, `bologna.it`. */
export const SUFFIX_ICANN = 1
/** From its private section: `blogspot.com`, `ngrok.io`. */
export const SUFFIX_PRIVATE = 2
/** One label that the list does not know: `tor`, `lan`, `asus`. */
export const SUFFIX_UNKNOWN_TLD = 3

export type SuffixKind =
  | typeof SUFFIX_NONE
  | typeof SUFFIX_ICANN
  | typeof SUFFIX_PRIVATE
  | typeof SUFFIX_UNKNOWN_TLD

/** Labels of the longest entry of the Public Suffix List (6 in 2026), and one for growth. */
const SUFFIX_LABELS_MAX = 7

const DOT = 0x2e

/** Every octet of our names is already a host name's: tldts shall only walk its list. */
const WALK_ONLY = {
  allowIcannDomains: true,
  allowPrivateDomains: true,
  detectIp: false,
  extractHostname: false,
  mixedInputs: false,
  validateHostname: false,
}

/**
 * A label in front of every name that is asked. It finds suffixes that stand as `x` and those that
 * stand only as `*.x` (`ck`, `kawasaki.jp`, `eth.link`) by one walk: what lies directly below a
 * wildcard is a suffix, so the name above holds nothing but suffixes.
 */
const PROBE = '-.'
const scratch = Buffer.alloc(PROBE.length + NAME_OCTETS_MAX)
scratch.write(PROBE, 'latin1')

/** Returns what the Public Suffix List calls a name (wire format, lower case). 0.3 us. */
export function suffixKind(wire: Uint8Array, octets: number): SuffixKind {
  let end = PROBE.length
  let labels = 0
  let at = 0
  while (at < octets - 1) {
    const labelEnd = at + 1 + (wire[at] ?? 0)
    labels += 1
    if (labels > SUFFIX_LABELS_MAX) return SUFFIX_NONE
    if (at > 0) {
      scratch[end] = DOT
      end += 1
    }
    for (at += 1; at < labelEnd; at += 1) {
      const octet = wire[at] ?? 0
      // A dot inside a label would look like a border to tldts; no public suffix has one.
      if (octet === DOT) return SUFFIX_NONE
      scratch[end] = octet
      end += 1
    }
  }
  const probe = scratch.toString('latin1', 0, end)
  const suffixOctets = getPublicSuffix(probe, WALK_ONLY)?.length ?? 0
  if (suffixOctets < end - PROBE.length) return SUFFIX_NONE
  const { isIcann, isPrivate } = parse(probe, WALK_ONLY)
  if (isIcann === true) return SUFFIX_ICANN
  if (isPrivate === true) return SUFFIX_PRIVATE
  return labels === 1 ? SUFFIX_UNKNOWN_TLD : SUFFIX_NONE
}
