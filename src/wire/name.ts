/**
 * Names as octets (RFC 1035 3.1): labels of 1..63 octets, each behind its length, closed by the
 * root octet. Any octet is legal in a label (RFC 2181 11); letter case is folded in ASCII only (RFC
 * 4343).
 */
import { HEADER_OCTETS } from './header.ts'

/** Octets a whole name may take on the wire, the root octet included (RFC 1035 2.3.4). */
export const NAME_OCTETS_MAX = 255
/** Octets of one label, its length octet not counted (RFC 1035 2.3.4). */
export const LABEL_OCTETS_MAX = 63
/** Labels of the longest name: one octet each behind its length, then the root. */
export const LABELS_MAX = 127
/** What a reader answers for octets that the RFC forbids. */
export const MALFORMED = -1
/**
 * Compression pointers followed for one name; each must point further back, so this only caps work.
 */
const POINTERS_MAX = 127
const POINTER_BITS = 0xc0

/** ASCII lower case for each octet: one table read instead of two comparisons. */
export const FOLD = createFoldTable()

function createFoldTable(): Uint8Array {
  const table = new Uint8Array(256)
  for (let octet = 0; octet < 256; octet++) {
    table[octet] = octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet
  }
  return table
}

/**
 * Returns the offset just past the uncompressed name at `start`, or `MALFORMED`.
 *
 * For names in questions: a pointer there is refused, nothing stands before the first name.
 */
export function skipPlainName(message: Uint8Array, start: number, limit: number): number {
  const end = Math.min(limit, start + NAME_OCTETS_MAX)
  let at = start
  while (at < end) {
    const labelOctets = message[at]!
    if (labelOctets === 0) return at + 1
    if (labelOctets > LABEL_OCTETS_MAX) return MALFORMED
    at += 1 + labelOctets
  }
  return MALFORMED
}

/**
 * Returns the offset just past the name at `start` where it stands (a pointer ends it), or
 * `MALFORMED`.
 *
 * Does not follow the pointer: `expandName` does where the name itself matters.
 */
export function skipName(message: Uint8Array, start: number, limit: number): number {
  const end = Math.min(limit, start + NAME_OCTETS_MAX)
  let at = start
  while (at < end) {
    const labelOctets = message[at]!
    if (labelOctets === 0) return at + 1
    if (labelOctets > LABEL_OCTETS_MAX) {
      if ((labelOctets & POINTER_BITS) !== POINTER_BITS || at + 2 > limit) return MALFORMED
      return at + 2
    }
    at += 1 + labelOctets
  }
  return MALFORMED
}

/**
 * Returns the offset just past the name at `start` where it stands, like `skipName`, but only when
 * the whole name behind its pointers is one that `expandName` would take; else `MALFORMED`.
 */
export function checkName(message: Uint8Array, start: number, limit: number): number {
  let at = start
  let floor = start
  let nameOctets = 0
  let end = MALFORMED
  for (let hops = 0; hops <= POINTERS_MAX;) {
    if (at >= limit) return MALFORMED
    const labelOctets = message[at]!
    if (labelOctets <= LABEL_OCTETS_MAX) {
      nameOctets += 1 + labelOctets
      at += 1 + labelOctets
      if (nameOctets > NAME_OCTETS_MAX || at > limit) return MALFORMED
      if (labelOctets === 0) return end === MALFORMED ? at : end
      continue
    }
    if ((labelOctets & POINTER_BITS) !== POINTER_BITS || at + 2 > limit) return MALFORMED
    const target = ((labelOctets & ~POINTER_BITS) << 8) | message[at + 1]!
    if (target >= floor || target < HEADER_OCTETS) return MALFORMED
    if (end === MALFORMED) end = at + 2
    floor = target
    at = target
    hops++
  }
  return MALFORMED
}

/**
 * Writes the name at `start`, decompressed and folded to lower case, into `into` at `intoStart`;
 * returns how many octets it took, or `MALFORMED`.
 *
 * Pointers must lead strictly backwards (RFC 9267 2) and not into the header: id and flags are
 * other ones when the message is delivered, so a name there would not be the one that was judged.
 * The whole is bounded by 255 octets.
 */
export function expandName(
  message: Uint8Array,
  start: number,
  limit: number,
  into: Uint8Array,
  intoStart: number,
): number {
  let at = start
  let floor = start
  let out = intoStart
  const outEnd = Math.min(into.length, intoStart + NAME_OCTETS_MAX)
  for (let hops = 0; hops <= POINTERS_MAX;) {
    if (at >= limit) return MALFORMED
    const labelOctets = message[at]!
    if (labelOctets <= LABEL_OCTETS_MAX) {
      if (out + 1 + labelOctets > outEnd || at + 1 + labelOctets > limit) return MALFORMED
      into[out++] = labelOctets
      at++
      if (labelOctets === 0) return out - intoStart
      const labelEnd = at + labelOctets
      while (at < labelEnd) into[out++] = FOLD[message[at++]!]!
      continue
    }
    if ((labelOctets & POINTER_BITS) !== POINTER_BITS || at + 2 > limit) return MALFORMED
    const target = ((labelOctets & ~POINTER_BITS) << 8) | message[at + 1]!
    if (target >= floor || target < HEADER_OCTETS) return MALFORMED
    floor = target
    at = target
    hops++
  }
  return MALFORMED
}

/**
 * True when two runs of octets are equal, ASCII letter case aside; for whole wire names or
 * questions.
 */
export function foldedEqual(
  left: Uint8Array,
  leftStart: number,
  right: Uint8Array,
  rightStart: number,
  octets: number,
): boolean {
  for (let i = 0; i < octets; i++) {
    if (FOLD[left[leftStart + i]!] !== FOLD[right[rightStart + i]!]) return false
  }
  return true
}
