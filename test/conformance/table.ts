/** The conformance table: its rows, the tests that show them, the page written from both. */
import {
  childrenOf,
  isNode,
  lineAt,
  nameOf,
  nodeIn,
  type Source,
  type SyntaxNode,
} from '../support/architecture/source.ts'
import { ATTACK_ROWS } from './rows-attacks.ts'
import { RFC_ROWS } from './rows-rfc.ts'
import type { Row } from './row.ts'

/** A test that shows what a row says. */
export interface Evidence {
  readonly row: string
  /** Of the test file, relative to the repository. */
  readonly path: string
  readonly name: string
}

/** Every row by its id, RFCs first. */
export const ROWS: ReadonlyMap<string, Row> = new Map<string, Row>([
  ...Object.entries(RFC_ROWS),
  ...Object.entries(ATTACK_ROWS),
])

/** Finds every call of `conforms` in a file; throws where it is not made of literals. */
export function evidenceIn(source: Source): Evidence[] {
  const found: Evidence[] = []
  const visit = (node: SyntaxNode, title: string): void => {
    if (isCallOf(node, ['conforms'])) found.push(...evidenceOf(source, node, title.trimEnd()))
    const within = isCallOf(node, ['describe', 'test']) ? title + titleOf(node) : title
    for (const child of childrenOf(node)) visit(child, within)
  }
  visit(source.program, '')
  return found
}

/** True for `name(...)`, `name.each(...)(...)` and the like. */
function isCallOf(node: SyntaxNode, names: readonly string[]): boolean {
  if (node.type !== 'CallExpression') return false
  let callee = nodeIn(node, 'callee')
  while (callee !== undefined && callee.type !== 'Identifier') {
    callee = nodeIn(callee, 'callee') ?? nodeIn(callee, 'object')
  }
  return names.includes(nameOf(callee))
}

/** The name of a test, or of a block of tests, and a space; empty where it is no literal. */
function titleOf(call: SyntaxNode): string {
  const title = literal(argumentsOf(call)[0])
  return title === undefined ? '' : `${title} `
}

function evidenceOf(source: Source, call: SyntaxNode, name: string): Evidence[] {
  const rows = argumentsOf(call).map(literal)
  if (name === '' || rows.length === 0 || rows.includes(undefined)) {
    const line = lineAt(source.text, call.start)
    throw new Error(`${source.path}:${line}: conforms takes row ids as literals, within a test`)
  }
  return rows.map((row) => ({ row: row!, path: source.path, name }))
}

function argumentsOf(call: SyntaxNode): SyntaxNode[] {
  const list = call['arguments']
  return Array.isArray(list) ? list.filter(isNode) : []
}

function literal(node: SyntaxNode | undefined): string | undefined {
  const value = node?.['value']
  return node?.type === 'Literal' && typeof value === 'string' ? value : undefined
}

/** What the table says of a row. */
export function statusOf(row: Row, evidence: readonly Evidence[]): string {
  if (row.doesNotApply !== undefined) return `does not apply: ${row.doesNotApply}`
  if (row.deviates !== undefined) return `deviates: ${row.deviates}`
  return evidence.length === 0 ? 'not shown yet' : 'holds'
}

/** Returns the page. */
export function writeTable(evidence: readonly Evidence[]): string {
  const byRow = new Map<string, Evidence[]>([...ROWS.keys()].map((id) => [id, []]))
  for (const item of evidence) byRow.get(item.row)?.push(item)
  const statuses = [...ROWS].map(([id, row]) => statusOf(row, byRow.get(id)!))
  const holds = statuses.filter((status) => status === 'holds').length
  return `# Conformance

What a filtering forwarder has to do, and the tests that show it. Written from the tests by
\`npm run conformance\`; how to tag one stands in test/conformance/conforms.ts.

**${holds} of ${ROWS.size} rows hold.**

## RFCs

${writeRows(Object.keys(RFC_ROWS), byRow)}

## Attacks and bugs

${writeRows(Object.keys(ATTACK_ROWS), byRow)}
`
}

function writeRows(ids: readonly string[], byRow: ReadonlyMap<string, Evidence[]>): string {
  const lines = ['| Row | Source | Behaviour | Status | Shown by |', '|---|---|---|---|---|']
  for (const id of ids) {
    const row = ROWS.get(id)!
    const evidence = byRow.get(id)!
    const status = statusOf(row, evidence)
    lines.push(`| ${id} | ${row.source} | ${row.says} | ${status} | ${shownBy(evidence)} |`)
  }
  return lines.join('\n')
}

/** Tests by file, each file once. */
function shownBy(evidence: readonly Evidence[]): string {
  const files = new Map<string, string[]>()
  for (const { path, name } of evidence) {
    const text = name.replaceAll('|', '\\|')
    files.set(path, [...(files.get(path) ?? []), `"${text}"`])
  }
  return [...files]
    .map(([path, names]) => `${path.replace(/^test\//, '')}: ${names.join('; ')}`)
    .join('<br>')
}
