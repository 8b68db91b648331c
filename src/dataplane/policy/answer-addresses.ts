/**
 * What the addresses of an answer lead to: A and AAAA records and the hints of HTTPS and SVCB
 * (RFC 9460 7.3), looked up in one table of address rules and private networks. Records are found
 * by the places of their TTLs, which every answer has noted; nothing more has to be kept.
 */
import { CLASS_IN, TYPE_A, TYPE_AAAA, TYPE_HTTPS, TYPE_SRV, TYPE_SVCB } from '../../wire/codes.ts'
import { OFFSET_ANCOUNT, readU16 } from '../../wire/header.ts'
import { MALFORMED, skipName } from '../../wire/name.ts'
import { AddressTable, wordAt, type AddressRanges } from '../address-table.ts'

/** Beside the bits of categories: an address that no public name should lead to. */
export const PRIVATE_ADDRESS = 1 << 31

/** Type, class and RDLENGTH around a record's TTL; RDATA follows. */
const TYPE_BEFORE_TTL = 4
const CLASS_BEFORE_TTL = 2
const LENGTH_BEHIND_TTL = 4
const RDATA_BEHIND_TTL = 6
const PRIORITY_OCTETS = 2
const PARAM_FIXED_OCTETS = 4
const PARAM_IPV4_HINT = 4
const PARAM_IPV6_HINT = 6
const IPV4_OCTETS = 4
const IPV6_OCTETS = 16
/** Where the IPv4 address stands in an IPv6 address that carries one. */
const IPV4_AT_END = 12
const IPV4_IN_6TO4 = 2

/** An answer, as far as its addresses go. */
export interface AddressedAnswer {
  readonly message: Uint8Array
  readonly octets: number
  /** The type that was asked for. */
  readonly type: number
  /** Where the TTL of each record stands, in the order of the records. */
  readonly ttlOffsets: Uint16Array
  readonly ttlCount: number
}

/** Looks all addresses of an answer up; immutable. */
export class AnswerAddresses {
  readonly #table: AddressTable

  constructor(ranges: AddressRanges) {
    this.#table = new AddressTable(ranges)
  }

  /** Returns the categories, as bits, of all addresses, and `PRIVATE_ADDRESS`. */
  bitsOf(answer: AddressedAnswer): number {
    const { message, ttlOffsets } = answer
    const records = recordsThatLead(answer)
    let bits = 0
    for (let index = 0; index < records; index++) {
      const ttl = ttlOffsets[index]!
      if (readU16(message, ttl - CLASS_BEFORE_TTL) !== CLASS_IN) continue
      const rdata = ttl + RDATA_BEHIND_TTL
      const end = Math.min(answer.octets, rdata + readU16(message, ttl + LENGTH_BEHIND_TTL))
      bits |= this.#bitsOfRecord(message, readU16(message, ttl - TYPE_BEFORE_TTL), rdata, end)
    }
    return bits
  }

  #bitsOfRecord(message: Uint8Array, type: number, rdata: number, end: number): number {
    switch (type) {
      case TYPE_A:
        return this.#ipv4List(message, rdata, end)
      case TYPE_AAAA:
        return this.#ipv6List(message, rdata, end)
      case TYPE_HTTPS:
      case TYPE_SVCB:
        return this.#hints(message, rdata, end)
      default:
        return 0
    }
  }

  #hints(message: Uint8Array, rdata: number, end: number): number {
    let at = skipName(message, rdata + PRIORITY_OCTETS, end)
    let bits = 0
    while (at !== MALFORMED && at + PARAM_FIXED_OCTETS <= end) {
      const param = readU16(message, at)
      const value = at + PARAM_FIXED_OCTETS
      const valueEnd = Math.min(end, value + readU16(message, at + 2))
      if (param === PARAM_IPV4_HINT) bits |= this.#ipv4List(message, value, valueEnd)
      if (param === PARAM_IPV6_HINT) bits |= this.#ipv6List(message, value, valueEnd)
      at = valueEnd
    }
    return bits
  }

  #ipv4List(message: Uint8Array, start: number, end: number): number {
    let bits = 0
    for (let at = start; at + IPV4_OCTETS <= end; at += IPV4_OCTETS) {
      bits |= this.#table.findIpv4(message, at)
    }
    return bits
  }

  #ipv6List(message: Uint8Array, start: number, end: number): number {
    let bits = 0
    for (let at = start; at + IPV6_OCTETS <= end; at += IPV6_OCTETS) {
      bits |= this.#table.findIpv6(message, at)
      const carried = carriedIpv4(message, at)
      if (carried !== 0) bits |= this.#table.findIpv4(message, at + carried)
    }
    return bits
  }
}

/**
 * Records whose addresses a client may use: those of the answer; where it asked for a service, also
 * the additional ones (RFC 9460 4.1, RFC 2782).
 */
function recordsThatLead({ message, type, ttlCount }: AddressedAnswer): number {
  if (type === TYPE_HTTPS || type === TYPE_SVCB || type === TYPE_SRV) return ttlCount
  return Math.min(ttlCount, readU16(message, OFFSET_ANCOUNT))
}

/** Returns where an IPv6 address carries an IPv4 address that packets for it reach, or 0. */
function carriedIpv4(octets: Uint8Array, at: number): number {
  const first = wordAt(octets, at)
  // 2002::/16, 6to4 (RFC 3056)
  if (first >>> 16 === 0x2002) return IPV4_IN_6TO4
  const second = wordAt(octets, at + 4)
  const third = wordAt(octets, at + 8)
  // 64:ff9b::/96 and 64:ff9b:1::/48, NAT64 (RFC 6052, 8215)
  if (first === 0x64ff9b) {
    return (second === 0 && third === 0) || second >>> 16 === 1 ? IPV4_AT_END : 0
  }
  if (first !== 0 || second !== 0) return 0
  // ::/96, ::ffff:0:0/96 and ::ffff:0:0:0/96: compatible, mapped, translated (RFC 4291, 2765)
  return third === 0 || third === 0xffff || third === 0xffff0000 ? IPV4_AT_END : 0
}
