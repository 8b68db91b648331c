/**
 * Random letter case in questions (draft-vixie-dnsext-dns0x20): a bit of entropy for each letter,
 * which a forged reply has to guess as well.
 */
import { randomU16 } from './random.ts'

const LOWER_A = 0x61
const LOWER_Z = 0x7a
const CASE_BIT = 0x20
const BITS_PER_DRAW = 16

/** Gives each letter of the lower-case name at `start` to `end` a case of its own. */
export function mixCase(message: Uint8Array, start: number, end: number): void {
  let bits = 0
  let left = 0
  for (let at = start; at < end; at++) {
    const octet = message[at]!
    // Length octets are no letters: labels end at 63 octets, and `A` is 65.
    if (octet < LOWER_A || octet > LOWER_Z) continue
    if (left === 0) {
      bits = randomU16()
      left = BITS_PER_DRAW
    }
    if ((bits & 1) !== 0) message[at] = octet ^ CASE_BIT
    bits >>>= 1
    left--
  }
}

/** True when both messages have the same octets from `start` to `end`. */
export function sameOctets(
  left: Uint8Array,
  right: Uint8Array,
  start: number,
  end: number,
): boolean {
  for (let at = start; at < end; at++) if (left[at] !== right[at]) return false
  return true
}
