/** Names and record types, as commands take them and answers show them. */

import { OperationalError } from '../../base/errors.ts'
import { nameToWire, type NameFault } from '../blocklist/name-text.ts'
import { hostOf, isAddressText, isHostText } from '../blocklist/normalize.ts'
import { nearest } from '../config/suggest.ts'

const TYPES: Readonly<Record<string, number>> = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  LOC: 29,
  SRV: 33,
  NAPTR: 35,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  SSHFP: 44,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  NSEC3: 50,
  TLSA: 52,
  SVCB: 64,
  HTTPS: 65,
  SPF: 99,
  ANY: 255,
  URI: 256,
  CAA: 257,
}

const TYPE_NAMES: readonly string[] = Object.keys(TYPES)

/**
 * Returns the number of a type in any letter case, `TYPE65` forms too (RFC 3597 5), or undefined.
 */
export function typeNumber(text: string): number | undefined {
  const name = text.toUpperCase()
  if (Object.hasOwn(TYPES, name)) return TYPES[name]
  const digits = /^TYPE(\d{1,5})$/.exec(name)?.[1]
  const number = digits === undefined ? 0 : Number(digits)
  return number >= 1 && number <= 65_535 ? number : undefined
}

/** Returns the name of a type, `TYPE65535` where it has none here. */
export function typeName(number: number): string {
  return TYPE_NAMES.find((name) => TYPES[name] === number) ?? `TYPE${number}`
}

/**
 * Returns the number of the type that a command was given.
 *
 * @throws OperationalError ERR_USAGE with a suggestion.
 */
export function requireType(text: string): number {
  const type = typeNumber(text)
  if (type !== undefined) return type
  const near = nearest(text, TYPE_NAMES)
  const remedy = near === undefined ? 'write TYPE and its number' : `did you mean ${near}?`
  throw new OperationalError('ERR_USAGE', `"${text}" is no record type that is known (${remedy})`)
}

const FAULT_TEXTS: Readonly<Record<NameFault, string>> = {
  empty: 'it is empty',
  'empty-label': 'it has two dots in a row, or a dot at its start',
  'label-too-long': 'a label has more than 63 octets',
  'name-too-long': 'it has more than 255 octets on the wire',
  escape: 'a backslash stands before neither a sign nor three digits up to 255',
  encoding: 'it is not UTF-8',
  idna: 'UTS-46 refuses it',
}

/**
 * Returns the wire octets, ASCII lower case, of the name that a command was given.
 *
 * @throws OperationalError ERR_USAGE with the reason why it is none.
 */
export function requireName(text: string): Uint8Array {
  const wire = nameToWire(text)
  if (typeof wire !== 'string') return wire
  throw new OperationalError('ERR_USAGE', `"${text}" is no name: ${FAULT_TEXTS[wire]}`)
}

/** A wildcard before a host: as a question, it is a name like any other (RFC 4592). */
const WILDCARD = /^\*\./

/**
 * Returns the wire octets, ASCII lower case, of the host that a command was asked about. As in a
 * list, a scheme, a port and a path are taken off: people paste what their browser shows. A name
 * with other signs, such as `0/25.2.0.192.in-addr.arpa`, is written with escapes (`0\04725…`).
 *
 * @param note is told which name is meant, where that is not the text itself.
 * @throws OperationalError ERR_USAGE with the reason why it is no name.
 */
export function requireHost(text: string, note: (line: string) => void): Uint8Array {
  // Escapes mean the octets as they stand: no browser shows such a name.
  if (text.includes('\\')) return requireName(text)
  const host = hostOf(text)
  if (isAddressText(text) || isAddressText(host)) {
    const message = `"${text}" is no name: it is an address; give the name of a host`
    throw new OperationalError('ERR_USAGE', message)
  }
  const bare = host.replace(WILDCARD, '')
  if (bare !== '' && !isHostText(bare)) {
    const message = `"${text}" is no name: a host has letters, digits, "-", "_" and dots only`
    throw new OperationalError('ERR_USAGE', `${message} (other octets are written as \\DDD)`)
  }
  const wire = requireName(host)
  if (host !== text) note(`"${text}" is taken as the name ${host}`)
  return wire
}

/**
 * Where `suffix` begins within `name`, when `name` is `suffix` or lies below it; else -1. Both are
 * wire names in lower case; `suffixOctets` of `suffix` count, its root octet included.
 */
export function suffixStart(
  name: Uint8Array,
  suffix: Uint8Array,
  suffixOctets = suffix.length,
  nameOctets = name.length,
): number {
  const start = nameOctets - suffixOctets
  if (start < 0) return -1
  for (let at = 0; at < suffixOctets; at += 1) if (name[start + at] !== suffix[at]) return -1
  // The suffix has to begin at a label, not inside one.
  let label = 0
  while (label < start) label += name[label]! + 1
  return label === start ? start : -1
}
