/** The server under test: the built program, as an operator starts it, on free loopback ports. */
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { freePort } from './ports.ts'
import {
  type Exit,
  type Process,
  type ProcessOptions,
  runToEnd,
  startProcess,
} from './processes.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const PROGRAM = join(REPOSITORY, 'dist/bin.js')

export interface Niveau3Options {
  /** Upstreams as `--upstream` takes them, or anything that has an endpoint. */
  readonly upstreams?: readonly (string | { readonly endpoint: string })[]
  /** Category to names (or lines in any list format) that a file is made of. */
  readonly blocklists?: Readonly<Record<string, readonly string[]>>
  /** Category to a list file that exists. */
  readonly blocklistFiles?: Readonly<Record<string, string>>
  readonly image?: string
  /** Text of a configuration file. */
  readonly config?: string
  /** Address to listen on, default 127.0.0.1. */
  readonly address?: '127.0.0.1' | '::1'
  /** Further arguments. */
  readonly args?: readonly string[]
  readonly process?: ProcessOptions
}

/** Tests compare counts from one line to the next: a page for each, and no questions of its own. */
const MEASURED = { NIVEAU3_METRICS__PAGE_MS_MIN: '0', NIVEAU3_PROBE__INTERVAL_SECONDS: '0' }

/** A running server. */
export interface Niveau3 {
  readonly address: string
  readonly port: number
  readonly metricsPort: number
  /** `127.0.0.1:PORT`, as command lines take it. */
  readonly endpoint: string
  readonly process: Process
  /** A folder of its own, with the lists and the state; removed when the server has ended. */
  readonly folder: string
  /** What the ready line says. */
  readonly ready: Readonly<Record<string, unknown>>
  /** GETs a path of the metrics address. */
  get(path: string): Promise<Response>
  /** The text of `/metrics`. */
  metrics(): Promise<string>
  /** The value of one sample of `/metrics`, 0 where it is absent. Labels may stand in any order. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>
  /** Sends SIGTERM and resolves with the exit. */
  stop(): Promise<Exit>
}

/** Starts `niveau3 serve` and resolves when it says that it is ready and `/readyz` agrees. */
export async function startNiveau3(options: Niveau3Options = {}): Promise<Niveau3> {
  await expectFreshBuild()
  const address = options.address ?? '127.0.0.1'
  const port = await freePort()
  const metricsPort = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-test-'))
  const endpoint = `${address.includes(':') ? `[${address}]` : address}:${port}`
  const args = [PROGRAM, 'serve', '--listen', endpoint, '--metrics', `127.0.0.1:${metricsPort}`]
  args.push('--state-dir', join(folder, 'state'), ...(await listArguments(options, folder)))
  for (const upstream of options.upstreams ?? []) {
    args.push('--upstream', typeof upstream === 'string' ? upstream : upstream.endpoint)
  }
  // One cache and one upstream socket pool: what a test sends next meets what it sent before.
  if (options.args?.includes('--workers') !== true) args.push('--workers', '1')
  args.push(...(options.args ?? []))
  const child = await startProcess(process.execPath, args, {
    cwd: folder,
    ready: { line: /"event":"ready"/ },
    cleanUp: () => rm(folder, { recursive: true, force: true }),
    ...options.process,
    env: { ...ownEnvironmentOnly(), ...MEASURED, ...options.process?.env },
  })
  const get = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${metricsPort}${path}`)
  const metrics = async (): Promise<string> => (await get('/metrics')).text()
  const readyLine = await child.line(/"event":"ready"/)
  const readiness = await get('/readyz')
  if (readiness.status !== 200) {
    const said = await readiness.text()
    throw new Error(`ready, but /readyz answers ${readiness.status}: ${said}\n${child.output()}`)
  }
  return {
    address,
    port,
    metricsPort,
    endpoint,
    process: child,
    folder,
    ready: JSON.parse(readyLine) as Record<string, unknown>,
    get,
    metrics,
    metric: async (name, labels) => sampleOf(await metrics(), name, labels ?? {}),
    stop: () => child.end(),
  }
}

/** Runs a command of the built program to its end. */
export async function runNiveau3(
  args: readonly string[],
  options: ProcessOptions & { readonly timeoutMs?: number } = {},
): Promise<Exit & { readonly stdout: string; readonly stderr: string }> {
  await expectFreshBuild()
  const env = { ...ownEnvironmentOnly(), ...options.env }
  return runToEnd(process.execPath, [PROGRAM, ...args], { ...options, env })
}

/** Returns the value of one sample of the Prometheus text format, 0 where it is absent. */
export function sampleOf(
  text: string,
  name: string,
  labels: Readonly<Record<string, string>>,
): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  for (const line of text.split('\n')) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (match === null || match[1] !== name) continue
    const given = match[2] === undefined || match[2] === '' ? [] : match[2].split(',')
    if (given.length !== wanted.length) continue
    if (wanted.every((label) => given.includes(label))) return Number(match[3])
  }
  return 0
}

async function listArguments(options: Niveau3Options, folder: string): Promise<string[]> {
  const args: string[] = []
  for (const [category, lines] of Object.entries(options.blocklists ?? {})) {
    const file = join(folder, `${category}.txt`)
    await writeFile(file, `${lines.join('\n')}\n`)
    args.push('--blocklist', `${category}=${file}`)
  }
  for (const [category, file] of Object.entries(options.blocklistFiles ?? {})) {
    args.push('--blocklist', `${category}=${file}`)
  }
  if (options.image !== undefined) args.push('--image', options.image)
  if (options.config !== undefined) {
    const file = join(folder, 'niveau3.yaml')
    await writeFile(file, options.config)
    args.push('--config', file)
  }
  return args
}

/** Takes away the NIVEAU3_ variables of the test run: only a test configures its server. */
function ownEnvironmentOnly(): Record<string, undefined> {
  const names = Object.keys(process.env).filter((name) => name.startsWith('NIVEAU3_'))
  return Object.fromEntries(names.map((name) => [name, undefined]))
}

/** Tests of yesterday's build mislead: the build must be younger than every source file. */
async function expectFreshBuild(): Promise<void> {
  const built = await stat(PROGRAM).catch(() => undefined)
  if (built === undefined) throw new Error('dist/bin.js is missing: run "npm run build" first')
  const source = join(REPOSITORY, 'src')
  for (const entry of await readdir(source, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = join(entry.parentPath, entry.name)
    if ((await stat(file)).mtimeMs > built.mtimeMs) {
      throw new Error(`${file} is younger than dist/bin.js: run "npm run build" first`)
    }
  }
}
