/** What code that runs once per query may not do (style guide, "Hot path"). */
import {
  type Fault,
  type Source,
  type SyntaxNode,
  childrenOf,
  functionName,
  isFunction,
  lineAt,
  nameOf,
  nodeIn,
} from './source.ts'
import { COLD_FILES } from './exceptions.ts'

/** Folders whose code runs once per query. */
const HOT_FOLDERS = ['src/wire/', 'src/trie/', 'src/sys/', 'src/dataplane/']

/** Functions that run once per start, connection set-up or end, by how their names begin. */
const COLD_NAME = /^(create|open|start|stop|close)(?![a-z])|^constructor$/

/** Methods that make a list or call a function for each element. */
const LIST_METHODS = new Set(['map', 'filter', 'split', 'forEach', 'reduce', 'flatMap'])

/** Calls whose function argument runs again and again, however cold the place where it is made. */
const REPEATING_CALLS = new Set(['on', 'addListener', 'addEventListener', 'setInterval'])

/** Where the walk stands. */
interface Place {
  /** True: what runs here runs once per query. */
  readonly hot: boolean
  /** The innermost named function, empty at module level. */
  readonly within: string
  readonly parent: SyntaxNode | undefined
}

/** True for a file under the hot-path rules. */
export function isHot(path: string): boolean {
  if (COLD_FILES.some((cold) => cold.path === path)) return false
  return HOT_FOLDERS.some((folder) => path.startsWith(folder))
}

/** Returns every broken hot-path rule of one file. */
export function hotPathFaults(source: Source): Fault[] {
  const faults: Fault[] = []
  visit(source, source.program, { hot: false, within: '', parent: undefined }, faults)
  return faults
}

function visit(source: Source, node: SyntaxNode, place: Place, faults: Fault[]): void {
  if (isType(node)) return
  const broken = place.hot ? brokenRule(node, place.parent) : undefined
  if (broken !== undefined) report(source, node, place, broken, faults)
  let inner: Place = { ...place, parent: node }
  if (isFunction(node)) {
    const name = functionName(node, place.parent)
    const within = name === '' ? place.within : name
    inner = { hot: bodyIsHot(node, place, name), within, parent: node }
    if (inner.hot) reportSignature(source, node, inner, faults)
  }
  for (const child of childrenOf(node)) visit(source, child, inner, faults)
}

function report(
  source: Source,
  node: SyntaxNode,
  place: Place,
  [rule, message]: readonly [string, string],
  faults: Fault[],
): void {
  const line = lineAt(source.text, node.start)
  faults.push({ path: source.path, line, rule, message, within: place.within })
}

/** An async function and a rest parameter are faults of the function, not of a place in it. */
function reportSignature(source: Source, node: SyntaxNode, place: Place, faults: Fault[]): void {
  if (node['async'] === true) {
    report(source, node, place, ['async', 'an async function makes a promise per call'], faults)
  }
  const parameters = Array.isArray(node['params']) ? (node['params'] as SyntaxNode[]) : []
  if (parameters.some((parameter) => parameter.type === 'RestElement')) {
    report(source, node, place, ['spread', 'a rest parameter makes a list per call'], faults)
  }
}

/** A function is hot unless its name is cold, or it is a callback of cold code that runs once. */
function bodyIsHot(node: SyntaxNode, place: Place, name: string): boolean {
  if (COLD_NAME.test(name)) return false
  if (place.hot) return true
  const isCallback = node.type !== 'FunctionDeclaration' && place.parent?.type === 'CallExpression'
  if (isCallback && place.parent !== undefined) {
    return REPEATING_CALLS.has(calledName(place.parent))
  }
  const isExecutor = place.parent?.type === 'NewExpression'
  // A helper that stands inside a cold function is called by it alone.
  return !isExecutor && !(place.within !== '' && COLD_NAME.test(place.within))
}

function brokenRule(
  node: SyntaxNode,
  parent: SyntaxNode | undefined,
): readonly [string, string] | undefined {
  switch (node.type) {
    case 'AwaitExpression':
      return ['async', 'await gives the turn away in the middle of a query']
    case 'ArrowFunctionExpression':
      return ['closure', 'a closure is made per call; use a function at module level']
    case 'FunctionExpression':
      if (parent?.type === 'MethodDefinition') return undefined
      return ['closure', 'a closure is made per call; use a function at module level']
    case 'SpreadElement':
      return ['spread', 'spread makes a copy per call']
    case 'NewExpression':
      return ['new', 'an object is made per call; make it at start and reuse it']
    case 'ObjectExpression':
    case 'ArrayExpression':
      return ['literal', 'an object is made per call; make it at start and reuse it']
    case 'TemplateLiteral':
      return ['template', 'text is made per call; octets need none']
    case 'TryStatement':
      return ['try', 'hot code reports by sentinels, not by exceptions']
    case 'CallExpression':
      if (!LIST_METHODS.has(calledName(node))) return undefined
      return ['list-method', `.${calledName(node)}() makes a list or calls a closure; use a loop`]
    case 'MemberExpression':
      if (nameOf(nodeIn(node, 'object')) !== 'console') return undefined
      return ['console', 'the data plane never logs']
    default:
      return undefined
  }
}

/** The method's or function's name of a call. */
function calledName(call: SyntaxNode): string {
  const callee = nodeIn(call, 'callee')
  if (callee === undefined) return ''
  return callee.type === 'MemberExpression' ? nameOf(nodeIn(callee, 'property')) : nameOf(callee)
}

/** Types leave no trace in the program that runs. */
function isType(node: SyntaxNode): boolean {
  return (
    node.type.startsWith('TS') &&
    !['TSAsExpression', 'TSNonNullExpression', 'TSSatisfiesExpression'].includes(node.type)
  )
}
