/** Who may import whom (the ranks of the house). */
import { posix } from 'node:path'
import { type Fault, type Source, type SyntaxNode, childrenOf, lineAt, nodeIn } from './source.ts'

/** Rank of each room: a file imports lower ranks, or its own room. */
const RANKS: Readonly<Record<string, number>> = {
  base: 0,
  wire: 1,
  trie: 1,
  sys: 1,
  dataplane: 2,
  controlplane: 3,
  bin: 4,
  'load-program': 4,
}

/** Rooms that may use whatever Node and the packages offer. */
const IN_CONTROL = new Set(['controlplane', 'bin', 'load-program'])

/** Folders of the data plane that do not know each other. */
const DATAPLANE_ROOMS = new Set(['transport', 'policy', 'cache', 'upstream'])

/** Files of the data plane that every room of it may import; they import none of the rooms. */
const DATAPLANE_SHARED = new Set([
  'address-table.ts',
  'build-address-table.ts',
  'client.ts',
  'counters.ts',
  'query.ts',
  'question-key.ts',
  'redis-counters.ts',
  'settings.ts',
])

/** The only files of the data plane that know all its rooms. */
const DATAPLANE_ASSEMBLY = ['pipeline.ts', 'arrivals.ts', 'worker.ts']

/** Packages by the folder that may use them; a room that is not here uses none. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  'src/dataplane/cache': ['lru-cache', 'ioredis'],
  'src/sys': ['koffi'],
  'src/dataplane/upstream': ['undici'],
  'src/dataplane/policy': ['ipaddr.js'],
}

/** Node's own modules by the folder or file that may use them, outside the control plane. */
const NODE_MODULES: Readonly<Record<string, readonly string[]>> = {
  'src/sys': ['node:dgram', 'node:fs', 'node:net', 'node:os'],
  'src/dataplane/transport': ['node:dgram', 'node:net', 'node:tls', 'node:http2'],
  'src/dataplane/upstream': ['node:dgram', 'node:net', 'node:tls', 'node:http', 'node:crypto'],
  // The seed of clients' keys, once per start.
  'src/dataplane/transport/client-key.ts': ['node:crypto'],
  // The start of its hash, once per start.
  'src/dataplane/question-key.ts': ['node:crypto'],
  'src/dataplane/worker-thread.ts': ['node:worker_threads'],
  // HMAC of a question, AES-GCM of an answer.
  'src/dataplane/cache': ['node:crypto'],
  // The image's checksum, once per start.
  'src/trie/digest.ts': ['node:crypto'],
}

/** Files of the command line that every command may import; the others are commands. */
const CLI_SHARED: readonly string[] = [
  'amounts.ts',
  'interruption.ts',
  'observing.ts',
  'screen.ts',
  'top-screen.ts',
  'top-view.ts',
  'cli.ts',
  'dns-exchange.ts',
  'dns-text.ts',
  'explained-filter.ts',
  'filter-image.ts',
  'finding.ts',
  'list-bars.ts',
  'admin-client.ts',
  'check-steps.ts',
  'perform.ts',
  'server-options.ts',
  'fleet-state.ts',
  'names-and-types.ts',
  'overrule-desk.ts',
  'overruled.ts',
  'progress.ts',
  'rule-search.ts',
  'terminal.ts',
  'verdict.ts',
  'whole-number.ts',
]

/** An import as the source writes it. */
interface Import {
  readonly specifier: string
  readonly line: number
}

/** Returns every broken import rule of one file of src. */
export function importFaults(source: Source, cliShared = CLI_SHARED): Fault[] {
  const faults: Fault[] = []
  if (posix.basename(source.path) === 'index.ts') {
    faults.push(fault(source, 1, 'barrel', 'index.ts hides where things stand; name the file'))
  }
  const imports = importsOf(source)
  for (const { specifier, line } of imports) {
    const message = refusal(source.path, specifier, cliShared)
    if (message !== undefined) faults.push(fault(source, line, 'import', message))
  }
  const rooms = dataplaneRoomsOf(source.path, imports)
  if (rooms.length > 1) {
    const only = DATAPLANE_ASSEMBLY.join(' and ')
    faults.push(fault(source, 1, 'import', `only ${only} may import ${rooms.join(' and ')}`))
  }
  return faults
}

/** Every import of a file: static, exported from, dynamic, and of types. */
export function importsOf(source: Source): Import[] {
  const found: Import[] = []
  const visit = (node: SyntaxNode): void => {
    const from = nodeIn(node, 'source')
    const isImport = /^(Import|Export\w+)Declaration$|^ImportExpression$|^TSImportType$/
    if (from !== undefined && isImport.test(node.type)) {
      const specifier = from['value']
      found.push({
        specifier: typeof specifier === 'string' ? specifier : '(computed)',
        line: lineAt(source.text, node.start),
      })
    }
    for (const child of childrenOf(node)) visit(child)
  }
  visit(source.program)
  return found
}

function fault(source: Source, line: number, rule: string, message: string): Fault {
  return { path: source.path, line, rule, message, within: '' }
}

/** Says why a file may not import so; undefined when it may. */
function refusal(
  path: string,
  specifier: string,
  cliShared: readonly string[],
): string | undefined {
  if (specifier === '(computed)') return 'a computed import hides what is imported'
  if (specifier.startsWith('node:')) return nodeRefusal(path, specifier)
  if (!specifier.startsWith('.')) return packageRefusal(path, specifier)
  if (!specifier.endsWith('.ts')) return `${specifier} does not end in .ts`
  const target = posix.join(posix.dirname(path), specifier)
  if (!target.startsWith('src/')) return `${specifier} leaves src`
  const [from, to] = [roomOf(path), roomOf(target)]
  const [fromRank, toRank] = [RANKS[from], RANKS[to]]
  if (fromRank === undefined) return `${from} is no room of the house`
  if (toRank === undefined) return `${to} is no room of the house`
  if (from !== to && toRank >= fromRank) return `${from} may not import ${to}`
  if (from === 'dataplane' && to === 'dataplane') return dataplaneRefusal(path, target)
  return cliRefusal(path, target, cliShared)
}

function roomOf(path: string): string {
  return (path.split('/')[1] ?? '').replace(/\.ts$/, '')
}

/** The rooms that a file at the top of the data plane imports, where it may know one at most. */
function dataplaneRoomsOf(path: string, imports: readonly Import[]): string[] {
  const [, plane, file, ...deeper] = path.split('/')
  if (plane !== 'dataplane' || file === undefined || deeper.length > 0) return []
  if (DATAPLANE_ASSEMBLY.includes(file)) return []
  const targets = imports.map(({ specifier }) => posix.join('src/dataplane', specifier))
  const rooms = targets.map((target) => target.split('/')[2] ?? '')
  return [...new Set(rooms)].filter((room) => DATAPLANE_ROOMS.has(room))
}

function dataplaneRefusal(path: string, target: string): string | undefined {
  const [from, to] = [path.split('/').slice(2), target.split('/').slice(2)]
  const [fromFirst = '', toFirst = ''] = [from[0], to[0]]
  const toRoom = DATAPLANE_ROOMS.has(toFirst)
  if (from.length === 1) {
    return toRoom && DATAPLANE_SHARED.has(fromFirst)
      ? `${fromFirst} may not import ${toFirst}`
      : undefined
  }
  if (!DATAPLANE_ROOMS.has(fromFirst)) return `${fromFirst} is no room of the data plane`
  if (fromFirst === toFirst || DATAPLANE_SHARED.has(toFirst)) return undefined
  return `${fromFirst} may not import ${to.join('/')}`
}

function cliRefusal(
  path: string,
  target: string,
  cliShared: readonly string[],
): string | undefined {
  const cli = 'src/controlplane/cli/'
  if (!path.startsWith(cli) || !target.startsWith(cli) || path === `${cli}main.ts`) return undefined
  const to = target.slice(cli.length)
  return cliShared.includes(to) ? undefined : `a command may not import the command ${to}`
}

function nodeRefusal(path: string, specifier: string): string | undefined {
  const room = roomOf(path)
  if (IN_CONTROL.has(room)) return undefined
  return allowed(NODE_MODULES, path, specifier) ? undefined : `${room} may not import ${specifier}`
}

function packageRefusal(path: string, specifier: string): string | undefined {
  const room = roomOf(path)
  if (IN_CONTROL.has(room)) return undefined
  return allowed(PACKAGES, path, specifier) ? undefined : `${room} may not import ${specifier}`
}

function allowed(
  table: Readonly<Record<string, readonly string[]>>,
  path: string,
  specifier: string,
): boolean {
  return Object.entries(table).some(
    ([place, names]) =>
      (path === place || path.startsWith(`${place}/`)) && names.includes(specifier),
  )
}
