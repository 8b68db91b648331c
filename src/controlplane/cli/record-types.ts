/** Record types by name and number (IANA), as commands and answers name them. */

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

export const TYPE_NAMES: readonly string[] = Object.keys(TYPES)

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

/** Returns the name of a type, `TYPE65280` where it has none. */
export function typeName(number: number): string {
  return TYPE_NAMES.find((name) => TYPES[name] === number) ?? `TYPE${number}`
}
