/**
 * Discovery of designated resolvers (RFC 9462 4): `_dns.resolver.arpa` SVCB tells clients that they
 * may come to us by TLS or HTTPS. Answered from here and never relayed: an upstream's answer would
 * lead clients past the filter.
 */
import { TYPE_SVCB } from '../../wire/codes.ts'
import { HEADER_OCTETS } from '../../wire/header.ts'
import { foldedEqual } from '../../wire/name.ts'
import type { ParsedQuery } from '../../wire/query.ts'
import { writeRecords } from '../../wire/reply.ts'

/** `_dns` behind its length: the label that stands before `resolver.arpa`. */
const LABEL = Uint8Array.from([4, 0x5f, 0x64, 0x6e, 0x73])
/** An operator who turns a listener off is obeyed within minutes. */
const TTL_SECONDS = 300
/** True for the question that designations answer; `zoneStart` is where `resolver.arpa` begins. */
export function asksDesignation(query: ParsedQuery, zoneStart: number): boolean {
  if (query.type !== TYPE_SVCB || zoneStart !== LABEL.length) return false
  return foldedEqual(query.message, HEADER_OCTETS, LABEL, 0, LABEL.length)
}

/** Writes them as the answer; returns its octets. */
export function writeDesignations(
  out: Uint8Array,
  query: ParsedQuery,
  designations: readonly Uint8Array[],
  udpOctetsMax: number,
): number {
  return writeRecords(out, query, TYPE_SVCB, designations, TTL_SECONDS, udpOctetsMax)
}
