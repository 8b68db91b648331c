/**
 * dnsmasq settings: `address=/x/`, `local=/x/`, `server=/x/` (the name and all below it).
 *
 * `address=/x/ADDRESS` blocks with a sink address (or `#`, which stands for both null addresses)
 * and rewrites with any other; `server=/x/#` sends a name below a blocked one to the usual servers
 * again, an exception.
 */

import type { RuleIntake } from './intake.ts'
import { isSinkAddress } from './parse-hosts.ts'
import { ACTION_BLOCK, ACTION_EXCEPT, COVERS_SUBTREE } from './rule.ts'

const DOMAIN_SETTING = /^(address|local|server)\s*=\s*\/(.*)$/
const SETTING = /^[a-z0-9-]+(?:\s*=.*)?$/i

/** True for a line that gives names an answer or a server. */
export function isDnsmasqLine(line: string): boolean {
  return DOMAIN_SETTING.test(line)
}

/** Reads one line that is neither blank nor a comment. */
export function parseDnsmasqLine(line: string, intake: RuleIntake): void {
  const text = line.replace(/\s#.*$/, '').trim()
  const [, key, value = ''] = DOMAIN_SETTING.exec(text) ?? []
  if (key === undefined) {
    intake.skip(SETTING.test(text) ? 'directive' : 'malformed', text)
    return
  }
  const parts = value.split('/')
  const target = parts.pop() ?? ''
  if (parts.length === 0) {
    intake.skip('malformed', text)
    return
  }
  for (const name of parts) parseTarget(key, name, target.trim(), text, intake)
}

function parseTarget(
  key: string,
  name: string,
  target: string,
  text: string,
  intake: RuleIntake,
): void {
  const answers = key === 'address'
  if (target !== '' && target !== '#' && answers && !isSinkAddress(target)) {
    intake.skip('rewrite', text)
  } else if (target !== '' && target !== '#' && !answers) intake.skip('not-blocking', text)
  // `server=//` speaks of names without a dot.
  else if (name === '') intake.skip('directive', text)
  else if (/^\*[^.]/.test(name)) intake.skip('pattern', text)
  else {
    const action = target === '#' && !answers ? ACTION_EXCEPT : ACTION_BLOCK
    const host = name === '#' || name === '*' ? '.' : name.replace(/^\*?\./, '')
    intake.name(host, false, COVERS_SUBTREE, action)
  }
}
