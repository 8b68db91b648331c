/**
 * Unbound settings: `local-zone: "x" TYPE` (the name and all below it) and `local-data: "x A SINK"`
 * (the name alone).
 *
 * A `redirect` or `static` zone answers from its data: with a sink address it blocks, with a real
 * address or a CNAME it rewrites (safe search). The data may stand anywhere in the file, so it is
 * read twice: first for these names, then for the rules.
 */

import { commentStart } from './comment-start.ts'
import type { RuleIntake } from './intake.ts'
import { isSinkAddress } from './parse-hosts.ts'
import { ACTION_BLOCK, COVERS_SELF, COVERS_SUBTREE } from './rule.ts'

/** Zone types that refuse, deny or null every name of the zone. */
const BLOCKING_TYPES = new Set([
  'deny',
  'refuse',
  'static',
  'redirect',
  'inform_deny',
  'inform_redirect',
  'always_refuse',
  'always_nxdomain',
  'always_nodata',
  'always_deny',
  'always_null',
])
/** Zone types whose names are answered from local data. */
const ANSWERING_TYPES = new Set(['static', 'redirect', 'inform_redirect'])

/** Signs such as `{` in front are slips that real files have. */
const SETTING = /^[^\w"']*([a-z][a-z0-9-]*):\s*(.*)$/i
const ZONE = /^(?:"([^"]*)"|'([^']*)'|(\S+))\s+([a-z_]+)$/i
const QUOTED = /^(?:"([^"]*)"?|'([^']*)'?|(.*))$/

/** True for a line that blocks or answers a name. */
export function isUnboundLine(line: string): boolean {
  return /^[^\w"']*local-(?:zone|data):/i.test(line)
}

interface LocalData {
  readonly name: string
  readonly type: string
  readonly value: string
}

/** Reads `x [TTL] [IN] TYPE VALUE` (RFC 1035 5.1). */
function localData(rest: string): LocalData | undefined {
  const [, double, single, bare] = QUOTED.exec(rest) ?? []
  const words = (double ?? single ?? bare ?? '').trim().split(/\s+/)
  const [name = ''] = words
  // A TTL and a class at most, in either order.
  let at = 1
  while (at < 3 && /^(?:\d+[smhdw]?|IN)$/i.test(words[at] ?? '')) at += 1
  const [type, value] = words.slice(at, at + 2)
  if (name === '' || type === undefined || value === undefined) return undefined
  return { name, type: type.toUpperCase(), value }
}

function isSink(data: LocalData): boolean {
  return (data.type === 'A' || data.type === 'AAAA') && isSinkAddress(data.value)
}

function key(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}

/** Reads one file; made anew for each reading, with the names that the first one found. */
export class UnboundParser {
  /** Names whose data is a real address or another name, without the trailing dot. */
  readonly rewritten = new Set<string>()
  readonly #intake: RuleIntake

  constructor(intake: RuleIntake) {
    this.#intake = intake
  }

  /** First reading. */
  note(line: string): void {
    const [, setting = '', rest = ''] = SETTING.exec(uncommented(line)) ?? []
    if (setting.toLowerCase() !== 'local-data') return
    const data = localData(rest)
    if (data !== undefined && /^(?:A|AAAA|CNAME)$/.test(data.type) && !isSink(data)) {
      this.rewritten.add(key(data.name))
    }
  }

  /** Second reading: one line, blanks at its ends taken off. */
  line(line: string): void {
    const text = uncommented(line)
    if (text === '') {
      this.#intake.comment()
      return
    }
    const [, setting = '', rest = ''] = SETTING.exec(text) ?? []
    if (setting.toLowerCase() === 'local-zone') this.#zone(rest, text)
    else if (setting.toLowerCase() === 'local-data') this.#data(rest, text)
    else this.#intake.skip(setting === '' ? 'malformed' : 'directive', text)
  }

  #zone(rest: string, text: string): void {
    const [, double, single, bare, type = ''] = ZONE.exec(rest) ?? []
    const name = double ?? single ?? bare
    const kind = type.toLowerCase()
    if (name === undefined) this.#intake.skip('malformed', text)
    else if (!BLOCKING_TYPES.has(kind)) this.#intake.skip('not-blocking', text)
    else if (ANSWERING_TYPES.has(kind) && this.rewritten.has(key(name))) {
      this.#intake.skip('rewrite', text)
    } else this.#intake.name(name, true, COVERS_SUBTREE, ACTION_BLOCK)
  }

  #data(rest: string, text: string): void {
    const data = localData(rest)
    if (data === undefined) this.#intake.skip('malformed', text)
    else if (isSink(data)) this.#intake.name(data.name, true, COVERS_SELF, ACTION_BLOCK)
    else if (/^(?:A|AAAA|CNAME)$/.test(data.type)) this.#intake.skip('rewrite', text)
    else this.#intake.skip('zone-record', text)
  }
}

function uncommented(line: string): string {
  return line.slice(0, commentStart(line, '#', `"'`)).trim()
}
