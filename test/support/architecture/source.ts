/** A source file with its syntax tree, as the architecture rules read it. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync } from 'oxc-parser'

/** A node of the ESTree: its kind, where it stands, and fields by kind. */
export interface SyntaxNode {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [field: string]: unknown
}

export interface Comment {
  readonly type: 'Line' | 'Block'
  readonly value: string
  readonly start: number
  readonly end: number
}

export interface Source {
  /** Relative to the repository, with `/`. */
  readonly path: string
  readonly text: string
  readonly program: SyntaxNode
  readonly comments: readonly Comment[]
}

/** One broken rule at one place. */
export interface Fault {
  readonly path: string
  /** 1-based. */
  readonly line: number
  readonly rule: string
  readonly message: string
  /** The innermost named function around it; empty at module level. */
  readonly within: string
}

const IGNORED_FOLDERS = new Set(['node_modules', 'dist', '.cache', '.git'])

/** Parses one file; throws where it is not TypeScript. */
export function parseSource(path: string, text: string): Source {
  const { program, comments, errors } = parseSync(path, text)
  const error = errors[0]
  if (error !== undefined) throw new Error(`${path}: ${error.message}`)
  return { path, text, program: program as unknown as SyntaxNode, comments }
}

/** Returns the paths of all files below a folder that end so, sorted. */
export function filesBelow(root: string, folder: string, ends: readonly string[]): string[] {
  const found: string[] = []
  if (!existsSync(join(root, folder))) return found
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) {
      if (!IGNORED_FOLDERS.has(entry.name)) found.push(...filesBelow(root, path, ends))
    } else if (ends.some((end) => entry.name.endsWith(end))) {
      found.push(path)
    }
  }
  return found.toSorted()
}

/** Reads and parses every TypeScript file below a folder. */
export function sourcesBelow(root: string, folder: string): Source[] {
  return filesBelow(root, folder, ['.ts']).map((path) =>
    parseSource(path, readFileSync(join(root, path), 'utf8')),
  )
}

/** Returns the 1-based line of an offset. */
export function lineAt(text: string, offset: number): number {
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) {
    line++
  }
  return line
}

/** Returns the nodes directly below a node. */
export function childrenOf(node: SyntaxNode): SyntaxNode[] {
  const children: SyntaxNode[] = []
  for (const value of Object.values(node)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (isNode(item)) children.push(item)
    }
  }
  return children
}

/** True for a value of a node's field that is itself a node. */
export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value
}

/** Returns the node in a field, where there is one. */
export function nodeIn(node: SyntaxNode, field: string): SyntaxNode | undefined {
  const value = node[field]
  return isNode(value) ? value : undefined
}

/** Returns the name that an identifier (private ones too) or string key says, else empty. */
export function nameOf(node: SyntaxNode | undefined): string {
  const name = node?.['name'] ?? node?.['value']
  return typeof name === 'string' ? name : ''
}

export function isFunction(node: SyntaxNode): boolean {
  return (
    node.type === 'FunctionDeclaration' ||
    node.type === 'FunctionExpression' ||
    node.type === 'ArrowFunctionExpression'
  )
}

/** Returns the name a function goes by: its own, its method's, or its variable's; else empty. */
export function functionName(node: SyntaxNode, parent: SyntaxNode | undefined): string {
  const own = nameOf(nodeIn(node, 'id'))
  if (own !== '' || parent === undefined) return own
  if (parent.type === 'VariableDeclarator') return nameOf(nodeIn(parent, 'id'))
  if (
    parent.type === 'MethodDefinition' ||
    parent.type === 'PropertyDefinition' ||
    parent.type === 'Property'
  ) {
    return nameOf(nodeIn(parent, 'key'))
  }
  return ''
}
