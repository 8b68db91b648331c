/**
 * Lines of lists that are parted into one entry a line and are often mixed: plain names, hosts
 * lines, adblock rules and v2fly entries in one file. Each line is read by the grammar of its own
 * shape.
 */

import { isAdblockLine, isCosmeticLine, parseAdblockLine } from './parse-adblock.ts'
import type { RuleIntake } from './intake.ts'
import { isHostsAddress, parseHostsLine } from './parse-hosts.ts'
import { parsePlainLine } from './parse-plain.ts'
import { isV2flyLine, parseV2flyLine } from './parse-v2fly.ts'

/**
 * True for a whole-line comment or an `[Adblock Plus 2.0]` head, given without blanks at its ends.
 */
export function isFreeComment(line: string, adblock: boolean): boolean {
  const sign = line.charCodeAt(0)
  if (sign === 0x23) return !(adblock && isCosmeticLine(line))
  // ! ; [
  if (sign === 0x21 || sign === 0x3b) return true
  if (sign === 0x5b) return /^\[[^\]]*\]$/.test(line) && !/^\[[\da-f:.]+\]$/i.test(line)
  return line.startsWith('//')
}

/** Reads one line, blanks at its ends taken off. */
export function parseFreeLine(line: string, adblock: boolean, intake: RuleIntake): void {
  if (isFreeComment(line, adblock)) intake.comment()
  else if (isAdblockLine(line) || (adblock && line.startsWith('#'))) parseAdblockLine(line, intake)
  else if (isV2flyLine(line) || /\s[@&]\S+$/.test(line)) parseV2flyLine(line, intake)
  else if (isHostsLine(line)) parseHostsLine(line, intake)
  else parsePlainLine(line, intake)
}

/** An address, and behind it something that is no comment. */
export function isHostsLine(line: string): boolean {
  const blank = line.search(/\s/)
  return blank > 0 && isHostsAddress(line.slice(0, blank)) && !/^\s*#/.test(line.slice(blank))
}
