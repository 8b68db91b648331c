/**
 * The short way for the lines that make up nearly all of a big list: a name alone, or behind a sink
 * address. Straight from octets to wire format, no strings; every other line takes the long way
 * through the parser of its format, so the two agree by construction: the short way only takes
 * lines that the long way would read to the same rule.
 */

import { LABEL_OCTETS_MAX, NAME_OCTETS_MAX } from '../../wire/name.ts'
import type { RuleIntake } from './intake.ts'
import { ACTION_BLOCK, COVERS_SUBTREE } from './rule.ts'

/** What may stand in front of the name. */
export type FastPrefix = 'none' | 'wildcard' | 'sink'

const LF = 0x0a
const CR = 0x0d
const TAB = 0x09
const SPACE = 0x20
const STAR = 0x2a
const DOT = 0x2e
const DIGIT_9 = 0x39
const SMALL_L = 0x6c

/** Lower-case octet for the octets of a host name, 0 for all others. */
const FOLDED = new Uint8Array(256)
for (const char of 'abcdefghijklmnopqrstuvwxyz0123456789-_') {
  FOLDED[char.charCodeAt(0)] = char.charCodeAt(0)
  FOLDED[char.toUpperCase().charCodeAt(0)] = char.charCodeAt(0)
}
const SINKS = [Buffer.from('0.0.0.0'), Buffer.from('127.0.0.1')]

/** Reads names from octets; `next` is where the line after the name starts. */
class FastName {
  next = 0

  /**
   * Writes the name at `start` into `wire` if it reaches to the end of its line.
   *
   * @returns its octets on the wire, or 0 for a line that has to go the long way.
   */
  read(block: Uint8Array, start: number, end: number, wire: Uint8Array): number {
    let labelStart = 0
    let at = 1
    let dots = 0
    let onlyDigits = true
    let i = start
    // A name has at most 253 characters; the last octet of the block ends a line.
    const last = Math.min(end - 1, start + NAME_OCTETS_MAX)
    for (; i <= last; i += 1) {
      const octet = block[i]!
      const folded = FOLDED[octet]!
      if (folded !== 0) {
        wire[at] = folded
        at += 1
        // A range of addresses has a hyphen as well.
        if (folded > DIGIT_9) onlyDigits = false
        continue
      }
      if (octet !== DOT && octet !== LF && octet !== CR) return 0
      const labelOctets = at - labelStart - 1
      if (labelOctets === 0 || labelOctets > LABEL_OCTETS_MAX) return 0
      wire[labelStart] = labelOctets
      labelStart = at
      at += 1
      if (octet !== DOT) break
      dots += 1
    }
    if (i > last || dots === 0 || onlyDigits || at > NAME_OCTETS_MAX) return 0
    wire[labelStart] = 0
    this.next = block[i] === CR && i + 1 < end && block[i + 1] === LF ? i + 2 : i + 1
    return at
  }
}

/** The offset behind a sink address and the blanks that follow it, or -1. */
function afterSink(block: Uint8Array, start: number, end: number): number {
  for (const sink of SINKS) {
    let at = start
    let i = 0
    while (i < sink.length && at < end && block[at] === sink[i]) {
      i += 1
      at += 1
    }
    if (i < sink.length) continue
    const blanksFrom = at
    while (at < end && (block[at] === SPACE || block[at] === TAB)) at += 1
    return at > blanksFrom ? at : -1
  }
  return -1
}

function nameStart(block: Uint8Array, start: number, end: number, prefix: FastPrefix): number {
  if (prefix === 'sink') return afterSink(block, start, end)
  let at = start
  if (block[at] === STAR && block[at + 1] === DOT) at += 2
  else if (block[at] === DOT) at += 1
  return at
}

/** The end of the line at `start`: the offset of its LF or CR. */
function lineEnd(block: Buffer, start: number, end: number): number {
  let at = start
  while (at < end && block[at] !== LF && block[at] !== CR) at += 1
  return at
}

const fastName = new FastName()

/**
 * Reads all lines of a block, in their order, and counts them in `intake.line`.
 *
 * @param onLineStart told of every line's offset before anything is made of it, or undefined.
 * @param long takes the offsets of a line that needs its format's parser, without its end.
 */
export function readLines(
  block: Buffer,
  octets: number,
  prefix: FastPrefix,
  intake: RuleIntake,
  long: (start: number, end: number) => void,
  onLineStart?: (start: number) => void,
): void {
  let at = 0
  while (at < octets) {
    intake.line += 1
    onLineStart?.(at)
    if (prefix !== 'none') {
      const start = nameStart(block, at, octets, prefix)
      const nameOctets = start < 0 ? 0 : fastName.read(block, start, octets, intake.wire)
      // localhost.localdomain and its kind are told apart on the long way.
      if (nameOctets > 0 && !(prefix === 'sink' && isLocal(intake.wire))) {
        intake.octets = nameOctets
        intake.rule(COVERS_SUBTREE, ACTION_BLOCK)
        at = fastName.next
        continue
      }
    }
    const end = lineEnd(block, at, octets)
    long(at, end)
    at = block[end] === CR && end + 1 < octets && block[end + 1] === LF ? end + 2 : end + 1
  }
}

/** True for names that may be the machine's own: they start with `loc`. */
function isLocal(wire: Uint8Array): boolean {
  return wire[1] === SMALL_L && wire[2] === 0x6f && wire[3] === 0x63
}
