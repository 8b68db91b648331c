/**
 * Address prefixes with a number each, as ranges that follow one another: a look-up is one binary
 * search over 32-bit words, and what it finds is already the answer of the longest prefix.
 */

/** The ranges as data that can be shared between threads; made by `buildAddressTable`. */
export interface AddressRanges {
  /** First address of each range, ascending from 0; a range ends where the next begins. */
  readonly ipv4Starts: Uint32Array
  readonly ipv4Values: Int32Array
  /** The same with four words an address. */
  readonly ipv6Starts: Uint32Array
  readonly ipv6Values: Int32Array
}

/** Looks addresses up; immutable. */
export class AddressTable {
  readonly #ipv4Starts: Uint32Array
  readonly #ipv4Values: Int32Array
  readonly #ipv6Starts: Uint32Array
  readonly #ipv6Values: Int32Array

  constructor(ranges: AddressRanges) {
    this.#ipv4Starts = ranges.ipv4Starts
    this.#ipv4Values = ranges.ipv4Values
    this.#ipv6Starts = ranges.ipv6Starts
    this.#ipv6Values = ranges.ipv6Values
  }

  /** Returns the number of the IPv4 address whose four octets stand at `at`. */
  findIpv4(octets: Uint8Array, at: number): number {
    const address = wordAt(octets, at)
    const starts = this.#ipv4Starts
    let low = 0
    let high = starts.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if (starts[middle]! <= address) low = middle
      else high = middle
    }
    return this.#ipv4Values[low]!
  }

  /** Returns the number of the IPv6 address whose sixteen octets stand at `at`. */
  findIpv6(octets: Uint8Array, at: number): number {
    const first = wordAt(octets, at)
    const starts = this.#ipv6Starts
    let low = 0
    let high = this.#ipv6Values.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      const start = starts[middle * 4]!
      const isBelow = start === first ? isTailBelow(starts, middle, octets, at) : start < first
      if (isBelow) low = middle
      else high = middle
    }
    return this.#ipv6Values[low]!
  }
}

/** Reads four octets as a number from 0 to 2^32 - 1. */
export function wordAt(octets: Uint8Array, at: number): number {
  return (
    ((octets[at]! << 24) | (octets[at + 1]! << 16) | (octets[at + 2]! << 8) | octets[at + 3]!) >>> 0
  )
}

/** True when the start of a range, whose first word equals the address's, is not above it. */
function isTailBelow(starts: Uint32Array, range: number, octets: Uint8Array, at: number): boolean {
  for (let word = 1; word < 4; word++) {
    const start = starts[range * 4 + word]!
    const address = wordAt(octets, at + 4 * word)
    if (start !== address) return start < address
  }
  return true
}
