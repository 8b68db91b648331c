/** niveau3.yaml as a tree of plain values that remembers where each of them stands. */

import { createRequire } from 'node:module'
import type * as Yaml from 'yaml'
import type { Document, Pair, YAMLError } from 'yaml'
import type { KeyPath, PathStep } from './keys.ts'
import { isGroup } from './plain.ts'
import type { Origin, Problem } from './problems.ts'

const require = createRequire(import.meta.url)

/** The parser, loaded by the first file: a server without one starts sooner. */
function yaml(): typeof Yaml {
  const loaded: typeof Yaml = require('yaml')
  return loaded
}

/** A file with more characters than this is not a configuration. */
const FILE_CHARS_MAX = 4 * 1024 * 1024

export interface YamlSource {
  /** The top-level map as it stands, nulls included; empty when the file cannot be read as one. */
  readonly tree: Readonly<Record<string, unknown>>
  readonly problems: readonly Problem[]
  /** False when the text is no YAML map at all, so that `tree` says nothing about it. */
  readonly isWhole: boolean
  /** Where the value at a path stands, or its key, or the nearest group around it. */
  readonly locate: (path: KeyPath, part: 'key' | 'value') => Origin
}

/** Parses YAML 1.2 text; `file` is the name that problems carry. */
export function parseYaml(text: string, file: string): YamlSource {
  const { LineCounter, parseDocument } = yaml()
  const lineCounter = new LineCounter()
  const at = (offset: number): Origin => {
    const { line, col } = lineCounter.linePos(offset)
    return { kind: 'file', file, line: Math.max(1, line), column: Math.max(1, col) }
  }
  if (text.length > FILE_CHARS_MAX) {
    const message = `the file is larger than ${FILE_CHARS_MAX} characters`
    return unreadable([{ code: 'ERR_CONFIG', message, origin: at(0) }], at)
  }
  const document = parseDocument(text, { lineCounter, prettyErrors: false, stringKeys: true })
  const problems = [...document.errors, ...document.warnings].map((error) =>
    yamlProblem(error, text, at(error.pos[0])),
  )
  // A duplicate key leaves the rest of the tree readable: its problems are worth telling as well.
  const isReadable = document.errors.every((error) => error.code === 'DUPLICATE_KEY')
  if (!isReadable) return unreadable(problems, at)
  // An alias may hold itself or grow a million values: no configuration needs one.
  const aliases = aliasProblems(document, at)
  if (aliases.length > 0) return unreadable([...problems, ...aliases], at)
  const tree: unknown = document.toJS()
  if (tree === null || tree === undefined)
    return { tree: {}, problems, isWhole: true, locate: () => at(0) }
  if (!isGroup(tree)) {
    const message = 'the file must hold keys and values, such as "workers: 2"'
    return unreadable([...problems, { code: 'ERR_CONFIG', message, origin: at(0) }], at)
  }
  return {
    tree,
    problems,
    isWhole: true,
    locate: (path, part) => at(offsetOf(document, path, part)),
  }
}

function unreadable(problems: readonly Problem[], at: (offset: number) => Origin): YamlSource {
  return { tree: {}, problems, isWhole: false, locate: () => at(0) }
}

function aliasProblems(document: Document, at: (offset: number) => Origin): readonly Problem[] {
  const problems: Problem[] = []
  yaml().visit(document, {
    Alias(_key, { source, range }) {
      const message = `the alias *${source} is not taken`
      const origin = at(range?.[0] ?? 0)
      problems.push({ code: 'ERR_CONFIG', message, origin, suggestion: 'write the value out' })
    },
  })
  return problems
}

function yamlProblem(error: YAMLError, text: string, origin: Origin): Problem {
  const line = origin.kind === 'file' ? (text.split('\n')[origin.line - 1] ?? '') : ''
  if (error.code === 'DUPLICATE_KEY') {
    const key = /^[\w-]+/.exec(text.slice(error.pos[0]))?.[0] ?? 'key'
    const message = `key "${key}" is given twice in the same group`
    return { code: 'ERR_CONFIG', message, origin, suggestion: 'keep one of them' }
  }
  const address = /\[[0-9a-f:.%]*:[0-9a-f:.%]*\](:\d+)?/i.exec(line)?.[0]
  const suggestion = address && { suggestion: `put quotes around it: "${address}"` }
  return { code: 'ERR_CONFIG', message: `not YAML: ${error.message}`, origin, ...suggestion }
}

function offsetOf(document: Document, path: KeyPath, part: 'key' | 'value'): number {
  let node: unknown = document.contents
  let offset = startOf(node) ?? 0
  for (const [index, step] of path.entries()) {
    const child = childOf(node, step)
    if (child === undefined) break
    const isLast = index === path.length - 1
    const key = startOf(child.key)
    const value = startOf(child.value)
    offset = (isLast && part === 'key' ? (key ?? value) : (value ?? key)) ?? offset
    node = child.value
  }
  return offset
}

function childOf(node: unknown, step: PathStep) {
  const { isMap, isScalar, isSeq } = yaml()
  if (isSeq(node) && typeof step === 'number') return { key: undefined, value: node.items[step] }
  if (!isMap(node)) return undefined
  return node.items.find((pair: Pair) => isScalar(pair.key) && String(pair.key.value) === step)
}

function startOf(node: unknown): number | undefined {
  return yaml().isNode(node) ? node.range?.[0] : undefined
}
