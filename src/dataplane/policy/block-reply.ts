/**
 * Answers for blocked and for special names, as the operator wants them (design: the block
 * contract).
 */
import {
  RCODE_NOERROR,
  RCODE_NXDOMAIN,
  RCODE_REFUSED,
  TYPE_A,
  TYPE_AAAA,
} from '../../wire/codes.ts'
import { HEADER_OCTETS } from '../../wire/header.ts'
import type { ParsedQuery } from '../../wire/query.ts'
import { NO_EXTENDED_ERROR } from '../../wire/opt.ts'
import { writeAddress, writeNegative, writeRcode } from '../../wire/reply.ts'
import type { BlockAnswer } from './policy.ts'
import { SPECIAL_LOCALHOST } from './special-names.ts'

const NULL_IPV4 = new Uint8Array(4)
const NULL_IPV6 = new Uint8Array(16)
const LOCALHOST_IPV4 = Uint8Array.from([127, 0, 0, 1])
const LOCALHOST_IPV6 = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
/** TTL of what RFC 6761 and 6303 let us answer from the code: it changes with a release only. */
const SPECIAL_TTL_SECONDS = 10_800

/**
 * Writes the answer for a blocked name; returns its octets.
 *
 * @param ruleStart where the rule's name begins within the asked name: it owns the SOA.
 * @param whole whether all below the asked name is blocked: only then may NXDOMAIN be said
 *   (RFC 8020).
 */
export function writeBlocked(
  out: Uint8Array,
  query: ParsedQuery,
  answer: BlockAnswer,
  ruleStart: number,
  whole: boolean,
  ttlSeconds: number,
  udpOctetsMax: number,
): number {
  const { response, error } = answer
  const kind = response.kind
  if (kind === 'refused') return writeRcode(out, query, RCODE_REFUSED, error, udpOctetsMax)
  if (kind === 'null' || kind === 'address') {
    const ipv4 = kind === 'null' ? NULL_IPV4 : response.ipv4
    const ipv6 = kind === 'null' ? NULL_IPV6 : response.ipv6
    const address = query.type === TYPE_A ? ipv4 : query.type === TYPE_AAAA ? ipv6 : undefined
    if (address !== undefined) {
      return writeAddress(out, query, address, ttlSeconds, error, udpOctetsMax)
    }
  }
  const rcode = kind === 'nxdomain' && whole ? RCODE_NXDOMAIN : RCODE_NOERROR
  const owner = HEADER_OCTETS + ruleStart
  return writeNegative(out, query, rcode, owner, ttlSeconds, error, udpOctetsMax)
}

/** Writes the answer for a special-use name whose zone begins at `zoneStart` of the asked name. */
export function writeSpecial(
  out: Uint8Array,
  query: ParsedQuery,
  kind: number,
  rcode: number,
  zoneStart: number,
  udpOctetsMax: number,
): number {
  const error = NO_EXTENDED_ERROR
  if (kind === SPECIAL_LOCALHOST && (query.type === TYPE_A || query.type === TYPE_AAAA)) {
    const address = query.type === TYPE_A ? LOCALHOST_IPV4 : LOCALHOST_IPV6
    return writeAddress(out, query, address, SPECIAL_TTL_SECONDS, error, udpOctetsMax)
  }
  const negative = kind === SPECIAL_LOCALHOST ? RCODE_NOERROR : rcode
  const owner = HEADER_OCTETS + zoneStart
  return writeNegative(out, query, negative, owner, SPECIAL_TTL_SECONDS, error, udpOctetsMax)
}
