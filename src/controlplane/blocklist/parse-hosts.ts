/**
 * Hosts files: `0.0.0.0 name name ...`.
 *
 * A line blocks only when its address is a sink, one that leads nowhere; with any other address it
 * rewrites (`216.239.38.120 google.com` switches safe search on). hosts(5) means the exact name,
 * but lists in this form enumerate what they have met of a site (`x`, `www.x`, ...), so that a rule
 * here covers what lies below too, as in every other form.
 */

import { isIP, isIPv4, isIPv6 } from 'node:net'

import type { RuleIntake } from './intake.ts'
import { isSingleLabel } from './name-text.ts'
import { normalizeToken } from './normalize.ts'
import { ACTION_BLOCK, COVERS_SUBTREE } from './rule.ts'

/** Names that hosts files give to the machine itself and to groups of machines. */
const LOCAL_NAME =
  /^(?:localhost[46]?(?:\.localdomain[46]?)?|local|localdomain|broadcasthost|ip6-[\w-]+)$/i

/** True for an address that leads nowhere: unspecified or loopback. */
export function isSinkAddress(text: string): boolean {
  if (text === '0.0.0.0' || text === '127.0.0.1' || text === '0') return true
  if (isIPv4(text)) return text.startsWith('127.')
  if (!isIPv6(text)) return false
  const digits = text.replaceAll(/[0:]/g, '')
  return digits === '' || (digits === '1' && text.endsWith('1'))
}

/** True when the first column of a line is an address of a hosts file. */
export function isHostsAddress(text: string): boolean {
  return text === '0' || isIP(text) !== 0
}

/** Reads one line that is neither blank nor a comment and starts with an address. */
export function parseHostsLine(line: string, intake: RuleIntake): void {
  const hash = line.indexOf('#')
  const text = hash < 0 ? line : line.slice(0, hash)
  const [address = '', ...names] = text.split(/\s+/).filter((word) => word !== '')
  if (names.length === 0) {
    intake.skip('address', address)
    return
  }
  const sink = isSinkAddress(address)
  for (const name of names) {
    if (LOCAL_NAME.test(name) || name === '0.0.0.0') intake.skip('local-name', name)
    else if (!sink) intake.skip('rewrite', line)
    else parseHostName(name, intake)
  }
}

/** A single label here is a machine's short name or a stray word, never a top-level domain. */
function parseHostName(name: string, intake: RuleIntake): void {
  const reason = normalizeToken(name, intake)
  if (reason !== undefined) intake.skip(reason, name)
  else if (isSingleLabel(intake.wire)) intake.skip('single-label', name)
  else intake.rule(COVERS_SUBTREE, ACTION_BLOCK)
}
