/**
 * Adblock filters, as far as DNS can enforce them: `||x^` (the name and all below it), `|x^` (the
 * name alone), both with `@@` as exceptions. Everything that looks into pages, paths, types or
 * clients is counted.
 */

import type { RuleIntake } from './intake.ts'
import type { NotRuleReason } from './not-rule.ts'
import {
  ACTION_BLOCK,
  ACTION_EXCEPT,
  COVERS_BELOW,
  COVERS_SELF,
  COVERS_SUBTREE,
  type Coverage,
  type RuleAction,
} from './rule.ts'

/**
 * Modifiers that leave a rule as wide as the name itself: priority, and "everything of this host".
 * All others narrow it (`$third-party`, `$client`, `$dnstype`), turn it around (`$denyallow`,
 * `$badfilter`) or answer something else (`$dnsrewrite`): obeyed in full they would block more than
 * their author meant.
 */
const NEUTRAL_MODIFIERS = new Set(['important', 'all', 'document', 'doc'])
const COSMETIC = /#(?:@|\?|\$|%|@\?|@\$|@%|\$\?)?#|\$@?\$/
const SCHEME = /^(?:https?|wss?):\/\//i

/** True for a line that only an adblock filter has. */
export function isAdblockLine(line: string): boolean {
  return (
    line.startsWith('||') ||
    line.startsWith('@@') ||
    line.startsWith('|') ||
    (line.startsWith('/') && /\/(?:\$[\w~,=|.-]+)?$/.test(line) && line.length > 2) ||
    /^[^\s/]*#(?:@|\?|\$|%|@\?|@\$|@%|\$\?)?#\S/.test(line) ||
    /^[^\s/]+(?:\^(?:\$|$)|\$@?\$)/.test(line)
  )
}

/** True for `##` with a selector behind it, which free-form lists use for headings. */
export function isCosmeticLine(line: string): boolean {
  return /^#(?:@|\?|\$|%|@\?|@\$|@%|\$\?)?#\S/.test(line)
}

/** Reads one line that is neither blank nor a comment. */
export function parseAdblockLine(line: string, intake: RuleIntake): void {
  const action = line.startsWith('@@') ? ACTION_EXCEPT : ACTION_BLOCK
  const body = action === ACTION_EXCEPT ? line.slice(2) : line
  if (COSMETIC.test(body)) {
    intake.skip('cosmetic', line)
    return
  }
  if (body.startsWith('/')) {
    intake.skip(/\/(?:\$[^/]*)?$/.test(body.slice(1)) ? 'regex' : 'path', line)
    return
  }
  const dollar = body.indexOf('$')
  const pattern = dollar < 0 ? body : body.slice(0, dollar)
  if (dollar >= 0 && !isNeutral(body.slice(dollar + 1))) {
    intake.skip('modifier', line)
    return
  }
  if (pattern.startsWith('||')) parseHost(pattern.slice(2), COVERS_SUBTREE, action, line, intake)
  else if (pattern.startsWith('|')) {
    parseHost(pattern.slice(1).replace(SCHEME, ''), COVERS_SELF, action, line, intake)
  } else parseUnanchored(pattern, action, line, intake)
}

function isNeutral(modifiers: string): boolean {
  return modifiers.split(',').every((modifier) => NEUTRAL_MODIFIERS.has(modifier.trim()))
}

/** The host behind an anchor, up to `^`, `|` or the end of the rule. */
function parseHost(
  pattern: string,
  coverage: Coverage,
  action: RuleAction,
  line: string,
  intake: RuleIntake,
): void {
  const closed = pattern.replace(/\^?\|?$/, '')
  const below = coverage === COVERS_SUBTREE && closed.startsWith('*.')
  const host = below ? closed.slice(2) : closed
  const reason = notWholeHost(host, closed.length < pattern.length)
  if (reason !== undefined) intake.skip(reason, line)
  else intake.token(host === '*' ? '.' : host, below ? COVERS_BELOW : coverage, action)
}

function notWholeHost(host: string, closed: boolean): NotRuleReason | undefined {
  if (host === '') return 'malformed'
  if (/[/?]/.test(host) && !/^[^/?]+\/$/.test(host)) return 'path'
  if (host !== '*' && /[*^|]/.test(host)) return 'pattern'
  // `||ads.` without `^` goes on behind the dot: the start of many names.
  return !closed && host.endsWith('.') ? 'pattern' : undefined
}

/** Without an anchor a filter is a piece of a URL; only a bare name is taken for what it says. */
function parseUnanchored(
  pattern: string,
  action: RuleAction,
  line: string,
  intake: RuleIntake,
): void {
  if (action === ACTION_EXCEPT || /[*^|]/.test(pattern)) intake.skip('pattern', line)
  else if (/\s/.test(pattern)) intake.skip('prose', line)
  else intake.token(pattern, COVERS_SUBTREE, action)
}
