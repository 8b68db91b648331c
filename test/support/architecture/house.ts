/** Rules for every file: sizes, docstrings, words, and paths that only one machine has. */
import {
  type Fault,
  type Source,
  type SyntaxNode,
  childrenOf,
  functionName,
  isFunction,
  isNode,
  lineAt,
  nameOf,
  nodeIn,
} from './source.ts'

const FUNCTION_LINES_MAX = 70
const FILE_LINES_MAX = 400
/** A test file mirrors one source file, and its tables are long. */
const TEST_FILE_LINES_MAX = 600
const LINE_COLUMNS_MAX = 100
/** Text this long cannot be broken to fit: its line may be longer. */
const UNBREAKABLE_COLUMNS = 40

/** Words that promise work or excuse its absence. */
const BANNED: readonly RegExp[] = [
  /\bTODO\b/,
  /\bFIXME\b/,
  /\bHACK\b/,
  /\bXXX\b/,
  /\bfor now\b/i,
  /\btoys?\b/i,
  // A stub resolver and a stub zone are terms of the DNS (RFC 9499).
  /\bstub(bed|s)?\b(?!(-| )(resolver|zone))/i,
  /\bsimplified\b/i,
  /\bin a real deployment\b/i,
]

/** Folders that only one machine has. */
const MACHINE_PATH = /(?<![\w.~-])\/(?:work|root|Users|home\/[a-z]\w*)(?:\/|\b)/

/** Hosts that packages come from: the clients know them, the project names none. */
const REGISTRY_HOST = /\b(?:registry\.npmjs\.org|deb\.debian\.org|pypi\.org|static\.crates\.io)\b/

/** Returns every broken size rule of one file. */
export function sizeFaults(source: Source): Fault[] {
  const faults: Fault[] = []
  const lines = source.text.split('\n')
  const count = source.text.endsWith('\n') ? lines.length - 1 : lines.length
  const countMax = source.path.startsWith('src/') ? FILE_LINES_MAX : TEST_FILE_LINES_MAX
  if (count > countMax) {
    faults.push(fault(source, count, 'file-lines', `${count} lines, ${countMax} allowed`))
  }
  const texts = textLines(source)
  for (const [index, line] of lines.entries()) {
    if (line.length <= LINE_COLUMNS_MAX || texts.has(index + 1)) continue
    faults.push(fault(source, index + 1, 'columns', `${line.length} columns`))
  }
  functionFaults(source, source.program, undefined, faults)
  return faults
}

/**
 * Returns every exported thing of one file that no docstring introduces. Classes, constants, types
 * and a file's only function may lean on the docstring at the top; several functions have one each.
 */
export function docstringFaults(source: Source): Fault[] {
  const faults: Fault[] = []
  const hasHeader = hasHeaderDocstring(source)
  const body = Array.isArray(source.program['body']) ? (source.program['body'] as unknown[]) : []
  const exported = body.filter(isNode).filter((statement) => statement.type.startsWith('Export'))
  const functions = exported.filter((statement) => {
    const declaration = nodeIn(statement, 'declaration')
    return declaration !== undefined && !isNoFunction(declaration)
  })
  for (const statement of exported) {
    const declaration = nodeIn(statement, 'declaration')
    if (declaration === undefined || hasDocstring(source, statement)) continue
    if (hasHeader && (functions.length === 1 || isNoFunction(declaration))) continue
    const line = lineAt(source.text, statement.start)
    faults.push(fault(source, line, 'docstring', `${declaredName(declaration)} has no docstring`))
  }
  return faults
}

/** Returns every banned word and machine path of any text file. */
export function wordFaults(path: string, text: string): Fault[] {
  const faults: Fault[] = []
  for (const [index, line] of text.split('\n').entries()) {
    for (const pattern of [...BANNED, MACHINE_PATH, REGISTRY_HOST]) {
      const match = pattern.exec(line)
      if (match === null) continue
      const rule = BANNED.includes(pattern) ? 'word' : 'machine'
      faults.push({ path, line: index + 1, rule, message: `"${match[0]}"`, within: '' })
    }
  }
  return faults
}

function fault(source: Source, line: number, rule: string, message: string): Fault {
  return { path: source.path, line, rule, message, within: '' }
}

/** Lines with a long string or regular expression, or inside a template: nothing breaks those. */
function textLines(source: Source): Set<number> {
  const lines = new Set<number>()
  const visit = (node: SyntaxNode): void => {
    const isText = node.type === 'TemplateLiteral' || node.type === 'Literal'
    if (isText && node.end - node.start > UNBREAKABLE_COLUMNS) addLines(source, node, lines)
    for (const child of childrenOf(node)) visit(child)
  }
  visit(source.program)
  return lines
}

function addLines(
  source: Source,
  range: { readonly start: number; readonly end: number },
  lines: Set<number>,
): void {
  const last = lineAt(source.text, range.end)
  for (let line = lineAt(source.text, range.start); line <= last; line++) lines.add(line)
}

function functionFaults(
  source: Source,
  node: SyntaxNode,
  parent: SyntaxNode | undefined,
  faults: Fault[],
): void {
  if (isFunction(node) && !isTestGroup(parent)) {
    const first = lineAt(source.text, node.start)
    const lines = lineAt(source.text, node.end) - first + 1
    if (lines > FUNCTION_LINES_MAX) {
      const name = functionName(node, parent)
      faults.push(fault(source, first, 'function-lines', `${name} has ${lines} lines`))
    }
  }
  for (const child of childrenOf(node)) functionFaults(source, child, node, faults)
}

/** The function of `describe` holds tests; each of those is measured. */
function isTestGroup(parent: SyntaxNode | undefined): boolean {
  if (parent?.type !== 'CallExpression') return false
  let callee = nodeIn(parent, 'callee')
  while (callee?.type === 'MemberExpression' || callee?.type === 'CallExpression') {
    callee = nodeIn(callee, callee.type === 'CallExpression' ? 'callee' : 'object')
  }
  return nameOf(callee) === 'describe'
}

/** True where a docstring ends just before the statement. */
function hasDocstring(source: Source, statement: SyntaxNode): boolean {
  return source.comments.some(
    (comment) =>
      comment.type === 'Block' &&
      comment.value.startsWith('*') &&
      comment.end <= statement.start &&
      /^[ \t]*\n?[ \t]*$/.test(source.text.slice(comment.end, statement.start)),
  )
}

/** True where the file begins with a docstring that belongs to no single statement. */
function hasHeaderDocstring(source: Source): boolean {
  const first = source.comments.find((comment) => !comment.value.startsWith('!'))
  if (first === undefined || first.type !== 'Block' || !first.value.startsWith('*')) return false
  const before = source.text.slice(0, first.start).replace(/^#!.*/, '')
  const after = source.text.slice(first.end)
  return before.trim() === '' && /^\s*(\n\s*\n|import\b|$)/.test(after)
}

function isNoFunction(declaration: SyntaxNode): boolean {
  if (isFunction(declaration)) return false
  const list: unknown = declaration['declarations']
  const declarators = Array.isArray(list) ? list.filter(isNode) : []
  return !declarators.some((declarator) => {
    const value = nodeIn(declarator, 'init')
    return value !== undefined && isFunction(value)
  })
}

function declaredName(declaration: SyntaxNode): string {
  const own = nameOf(nodeIn(declaration, 'id'))
  if (own !== '') return own
  const list = declaration['declarations']
  const first: unknown = Array.isArray(list) ? list[0] : undefined
  return isNode(first) ? nameOf(nodeIn(first, 'id')) : declaration.type
}
