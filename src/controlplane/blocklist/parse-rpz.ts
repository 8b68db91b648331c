/**
 * RPZ zone files (draft-vixie-dnsop-dns-rpz): `x` covers the name alone, `*.x` only what lies
 * below.
 *
 * `CNAME .`, `CNAME *.`, `CNAME rpz-drop.` and sink addresses block; `CNAME rpz-passthru.` is an
 * exception; any other CNAME or address rewrites. Master-file syntax as in RFC 1035 5.1, read
 * leniently: an SOA whose parentheses do not match must not swallow the rules behind it.
 */

import { commentStart } from './comment-start.ts'
import type { RuleIntake } from './intake.ts'
import { isSinkAddress } from './parse-hosts.ts'
import { ACTION_BLOCK, ACTION_EXCEPT, COVERS_BELOW, COVERS_SELF, type RuleAction } from './rule.ts'

const TYPE =
  /^(?:A|AAAA|CNAME|SOA|NS|TXT|MX|PTR|SRV|DNAME|NAPTR|HTTPS|SVCB|CAA|DS|DNSKEY|RRSIG|NSEC3?|SPF)$/i
const CLASS = /^(?:IN|CH|HS)$/i
const TTL = /^\d[smhdw\d]*$/i
const TRIGGER = /(?:^|\.)rpz-(?:ip|client-ip|nsip|nsdname)$/i
/** Lines that a record in parentheses may go on for; SOA records take five to seven. */
const CONTINUED_LINES_MAX = 32

interface RpzRecord {
  readonly owner: string
  readonly type: string
  readonly data: string
}

/** True for a line that only a zone file has. */
export function isRpzLine(line: string): boolean {
  return (
    /^\$(?:TTL|ORIGIN|INCLUDE)\s/i.test(line) ||
    /^(?:\S+\s+)?(?:\d\w*\s+)?(?:IN\s+)?(?:SOA|NS)\s+\S+/i.test(line) ||
    /^\S+\s+(?:\d\w*\s+)?(?:IN\s+)?(?:CNAME\s+\S+|A\s+[\d.]+|AAAA\s+[\da-f:.]+)\s*(?:;.*)?$/i.test(
      line,
    )
  )
}

/** Reads one zone file; holds the origin, the zone's apex and the last owner. */
export class RpzParser {
  readonly #intake: RuleIntake
  /** `$ORIGIN`, lower case, without the trailing dot; empty while none is known. */
  #origin = ''
  /** The zone's own name, which policy names are relative to. */
  #apex = ''
  #owner = ''
  /** Open parentheses, and for how many lines. */
  #depth = 0
  #continuedLines = 0

  constructor(intake: RuleIntake) {
    this.#intake = intake
  }

  /** Reads one line, blanks at its start kept: they mean the last owner. */
  line(line: string): void {
    const text = uncommented(line)
    if (text.trim() === '') {
      this.#intake.comment()
      return
    }
    if (this.#isContinued(text)) {
      this.#intake.skip('zone-record', text)
      return
    }
    this.#depth = Math.max(0, parentheses(text))
    this.#continuedLines = 0
    if (text.startsWith('$')) this.#directive(text)
    else this.#record(text)
  }

  /** True while a record is open, unless the line plainly starts a record of its own. */
  #isContinued(text: string): boolean {
    if (this.#depth === 0) return false
    this.#continuedLines += 1
    const starts = !/^\s/.test(text) && isRpzLine(text)
    if (starts || this.#continuedLines > CONTINUED_LINES_MAX) return false
    this.#depth = Math.max(0, this.#depth + parentheses(text))
    return true
  }

  #directive(text: string): void {
    const [directive = '', value = ''] = text.trim().split(/\s+/)
    const name = directive.toUpperCase()
    if (name === '$ORIGIN') this.#origin = this.#absolute(value.replace(/;$/, ''))
    this.#intake.skip(name === '$INCLUDE' ? 'include' : 'directive', text)
  }

  #record(text: string): void {
    const words = text.trim().split(/\s+/)
    let at = 0
    if (!/^\s/.test(text)) {
      this.#owner = this.#absolute(words[0] ?? '')
      at = 1
    }
    // A TTL and a class at most, in either order (RFC 1035 5.1).
    for (let skipped = 0; skipped < 2; skipped += 1) {
      const word = words[at] ?? ''
      if (TYPE.test(word) || (!TTL.test(word) && !CLASS.test(word))) break
      at += 1
    }
    const [type = '', data = ''] = words.slice(at, at + 2)
    if (!TYPE.test(type)) {
      // What is left of an SOA whose parenthesis was never opened stands behind blanks.
      this.#intake.skip(/^\s/.test(text) ? 'zone-record' : 'malformed', text)
      return
    }
    this.#policy({ owner: this.#owner, type: type.toUpperCase(), data }, text)
  }

  #policy(record: RpzRecord, text: string): void {
    const { type, data } = record
    if (type === 'SOA') this.#apex = record.owner
    const trigger = this.#relative(record.owner)
    if (type !== 'CNAME' && type !== 'A' && type !== 'AAAA') this.#intake.skip('zone-record', text)
    else if (TRIGGER.test(trigger)) this.#intake.skip('rpz-trigger', text)
    else {
      const verdict = type === 'CNAME' ? this.#cname(data, trigger) : sinkVerdict(data)
      if (verdict === 'rewrite' || verdict === 'not-blocking') this.#intake.skip(verdict, text)
      else this.#rule(trigger, verdict)
    }
  }

  #cname(target: string, trigger: string): RuleAction | 'rewrite' | 'not-blocking' {
    const name = target.toLowerCase()
    if (name === '.' || name === '*.' || name === '*' || name === 'rpz-drop.') return ACTION_BLOCK
    // The first form of passthru, from before the drafts: a name that leads to itself.
    if (name === 'rpz-passthru.' || name.replace(/\.$/, '') === trigger) return ACTION_EXCEPT
    return name === 'rpz-tcp-only.' ? 'not-blocking' : 'rewrite'
  }

  #rule(trigger: string, action: RuleAction): void {
    if (trigger === '' || trigger === '*') {
      this.#intake.name('.', true, trigger === '' ? COVERS_SELF : COVERS_BELOW, action)
    } else if (trigger.startsWith('*.')) {
      this.#intake.name(trigger.slice(2), true, COVERS_BELOW, action)
    } else if (/(?:^|\.)\*(?:\.|$)/.test(trigger)) this.#intake.skip('pattern', trigger)
    else this.#intake.name(trigger, true, COVERS_SELF, action)
  }

  /** The whole name of an owner, lower case, without the trailing dot. */
  #absolute(owner: string): string {
    const name = owner.toLowerCase()
    if (name === '@') return this.#origin
    if (name.endsWith('.') && !name.endsWith('\\.')) return name.slice(0, -1)
    return this.#origin === '' ? name : `${name}.${this.#origin}`
  }

  /** The policy name: the owner without the zone's apex, or all of it where it lies outside. */
  #relative(owner: string): string {
    const apex = this.#apex === '' ? this.#origin : this.#apex
    if (apex === '') return owner
    if (owner === apex) return ''
    return owner.endsWith(`.${apex}`) ? owner.slice(0, -apex.length - 1) : owner
  }
}

function sinkVerdict(address: string): RuleAction | 'rewrite' {
  return isSinkAddress(address) ? ACTION_BLOCK : 'rewrite'
}

/** Parentheses that open less those that close, outside quotes and escapes. */
function parentheses(text: string): number {
  let depth = 0
  for (const sign of text.replaceAll(/\\.|"[^"]*"/g, '')) {
    if (sign === '(') depth += 1
    else if (sign === ')') depth -= 1
  }
  return depth
}

function uncommented(line: string): string {
  return line.slice(0, commentStart(line, ';', '"'))
}
