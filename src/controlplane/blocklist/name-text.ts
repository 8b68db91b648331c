/**
 * Names as people write them, to and from octets. Pure; for lists, commands and tests, never for
 * the hot path.
 */

import { domainToASCII } from 'node:url'

import { LABEL_OCTETS_MAX, NAME_OCTETS_MAX } from '../../wire/name.ts'

/** Why a text is no name. */
export type NameFault =
  | 'empty'
  | 'empty-label'
  | 'label-too-long'
  | 'name-too-long'
  | 'escape'
  | 'encoding'
  | 'idna'

const NAME_FAULTS: readonly NameFault[] = [
  'empty',
  'empty-label',
  'label-too-long',
  'name-too-long',
  'escape',
  'encoding',
  'idna',
]

const FAULT_EMPTY = -1
const FAULT_EMPTY_LABEL = -2
const FAULT_LABEL_TOO_LONG = -3
const FAULT_NAME_TOO_LONG = -4
const FAULT_ESCAPE = -5
const FAULT_ENCODING = -6
const FAULT_IDNA = -7

const DOT = 0x2e
const BACKSLASH = 0x5c
/** The full stops of other scripts that UTS-46 maps to the ASCII one. */
const OTHER_FULL_STOPS = /[\u3002\uFF0E\uFF61]/g
/** What stands for an octet sequence that is not UTF-8. */
const REPLACEMENT = '\uFFFD'
/** Past this a label is too long in any script; UTS-46 takes quadratic time on long ones. */
const U_LABEL_UNITS_MAX = 4 * LABEL_OCTETS_MAX
/** Past this a text is no name: 63 octets a label, escaped as `\DDD`, or U-labels with marks. */
const TEXT_UNITS_MAX = 8 * NAME_OCTETS_MAX
/** ASCII that may stand beside other letters in a U-label; the rest would change domainToASCII. */
const U_LABEL = /^[-0-9A-Z_a-z\u0080-\u{10FFFF}]+$/u

/** Returns the fault that a negative result of `writeName` stands for. */
export function nameFault(code: number): NameFault {
  return NAME_FAULTS[-code - 1] ?? 'empty'
}

function lowerCase(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet
}

/** One label with letters outside ASCII to its A-label by UTS-46, or undefined where it refuses. */
function toALabel(label: string): string | undefined {
  if (!U_LABEL.test(label)) return undefined
  // A second label keeps the URL standard from reading a label of digits as an IPv4 address.
  const ascii = domainToASCII(`${label}.a`)
  const aLabel = ascii.slice(0, -2)
  return aLabel === '' || !ascii.endsWith('.a') || aLabel.includes('.') ? undefined : aLabel
}

/**
 * Writes a name that has letters outside ASCII. Label by label, so that an ASCII label beside them
 * (an underscore, a punycode that IDNA refuses) stays as it is.
 */
function writeUnicodeName(text: string, out: Uint8Array): number {
  if (text.includes(REPLACEMENT)) return FAULT_ENCODING
  if (text.length > TEXT_UNITS_MAX) return FAULT_NAME_TOO_LONG
  const labels: string[] = []
  for (const label of text.replace(OTHER_FULL_STOPS, '.').split('.')) {
    if (label.length > U_LABEL_UNITS_MAX) return FAULT_LABEL_TOO_LONG
    // oxlint-disable-next-line no-control-regex -- the range of ASCII is what is asked
    const aLabel = /^[\u0000-\u007F]*$/.test(label) ? label : toALabel(label)
    if (aLabel === undefined) return FAULT_IDNA
    labels.push(aLabel)
  }
  return writeName(labels.join('.'), out)
}

/** Reads the escape whose backslash stands at `at`: the octet, or -1 (RFC 1035 5.1). */
function escapedOctet(text: string, at: number): number {
  const next = text.charCodeAt(at + 1)
  if (Number.isNaN(next)) return -1
  if (next < 0x30 || next > 0x39) return next > 0x7e ? -1 : next
  const digits = text.slice(at + 1, at + 4)
  return /^\d{3}$/.test(digits) && Number(digits) <= 255 ? Number(digits) : -1
}

/**
 * Writes the name that `text` presents into `out` as octets on the wire, ASCII lower case.
 *
 * Takes RFC 1035 5.1 escapes (`\.`, `\DDD`), an optional trailing dot, `.` for the root, and
 * letters outside ASCII by UTS-46; a punycode label is taken as it stands.
 *
 * @param out at least `NAME_OCTETS_MAX` octets.
 * @returns how many octets were written, the root octet included, or a negative code for
 *   `nameFault`.
 */
export function writeName(text: string, out: Uint8Array): number {
  if (text === '') return FAULT_EMPTY
  if (text === '.') {
    out[0] = 0
    return 1
  }
  let labelStart = 0
  let at = 1
  for (let i = 0; i < text.length; i += 1) {
    let octet = text.charCodeAt(i)
    if (octet > 0x7f) {
      return text.includes('\\') ? FAULT_IDNA : writeUnicodeName(text, out)
    }
    if (octet === DOT) {
      if (at === labelStart + 1) return FAULT_EMPTY_LABEL
      out[labelStart] = at - labelStart - 1
      labelStart = at
      at += 1
      continue
    }
    if (octet === BACKSLASH) {
      octet = escapedOctet(text, i)
      if (octet < 0) return FAULT_ESCAPE
      const next = text.charCodeAt(i + 1)
      i += next >= 0x30 && next <= 0x39 ? 3 : 1
    }
    if (at - labelStart > LABEL_OCTETS_MAX) return FAULT_LABEL_TOO_LONG
    // The root octet still has to follow.
    if (at >= NAME_OCTETS_MAX - 1) return FAULT_NAME_TOO_LONG
    out[at] = lowerCase(octet)
    at += 1
  }
  if (at === labelStart + 1) {
    out[labelStart] = 0
    return at
  }
  out[labelStart] = at - labelStart - 1
  out[at] = 0
  return at + 1
}

/** Returns the octets of the name that `text` presents, or why it is no name. */
export function nameToWire(text: string): Uint8Array | NameFault {
  const out = new Uint8Array(NAME_OCTETS_MAX + 1)
  const octets = writeName(text, out)
  return octets > 0 ? out.slice(0, octets) : nameFault(octets)
}

/** Octets that RFC 1035 5.1 gives a meaning in zone files. */
const ESCAPED = new Set(Array.from('.\\"();@$', (char) => char.charCodeAt(0)))

/**
 * Returns a name as text without the trailing dot (`.` for the root), every octet that is not plain
 * printable ASCII escaped, so that `nameToWire` reads the same octets back.
 *
 * @param wire one whole name, already checked.
 */
export function nameToText(wire: Uint8Array, octets = wire.length): string {
  if (octets <= 1) return '.'
  let text = ''
  let at = 0
  while (at < octets) {
    const labelOctets = wire[at] ?? 0
    if (labelOctets === 0) break
    if (at > 0) text += '.'
    for (let i = at + 1; i <= at + labelOctets; i += 1) {
      const octet = wire[i] ?? 0
      if (octet < 0x21 || octet > 0x7e) text += `\\${String(octet).padStart(3, '0')}`
      else if (ESCAPED.has(octet)) text += `\\${String.fromCharCode(octet)}`
      else text += String.fromCharCode(octet)
    }
    at += labelOctets + 1
  }
  return text
}

/** True when the name has exactly one label. */
export function isSingleLabel(wire: Uint8Array): boolean {
  const first = wire[0] ?? 0
  return first > 0 && wire[first + 1] === 0
}
