/**
 * Memory: `npm run bench:memory`, with the lists of `NIVEAU3_DATA`.
 *
 * Resident memory of the server as an operator starts it, from the image of the large list: with
 * 10,000 answers cached and one, two and three workers; and how much it grows when the cache of
 * one worker is filled to its limit and beyond. Every answer is checked by its rcode, and that the
 * cache is full by the metrics.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../test/support/ports.ts'
import { type Child, pinSelf, run, startPinned } from '../peers/children.ts'
import { drive } from '../peers/dnsperf.ts'
import { makeList, type BlockList } from '../peers/lists.ts'
import { readMemory } from '../peers/proc.ts'
import { startUpstream } from '../peers/upstream.ts'
import { WORKLOADS } from '../peers/workloads.ts'

const PROGRAM = resolve('dist/bin.js')
const RESULTS = 'bench/results'
const SERVER_CPU = 0
const LOAD_CPU = 1
const MB = 1e6
const CACHE_OCTETS = 64 * 1024 * 1024
/** Names that fill the cache whichever part of it keeps them, with some to spare. */
const FILLING_NAMES = 400_000
const WORKERS_MAX = 3
const COMPILE_MS_MAX = 300_000
const READY_MS_MAX = 30_000
const LOOK_MS = 100
/** Time in which a server that is left alone gives back what it can. */
const SETTLE_MS = 3000
const SECONDS_MAX = 120

/** What was measured, in octets. */
interface Findings {
  /** With 10,000 answers cached; by workers. */
  readonly byWorkers: readonly number[]
  readonly beforeFilling: number
  readonly afterFilling: number
  /** What the cache says that it holds. */
  readonly cacheOctets: number
}

interface Bench {
  readonly folder: string
  readonly image: string
  readonly list: BlockList
  readonly upstreamPort: number
}

interface Server {
  readonly child: Child
  readonly port: number
  readonly metricsPort: number
}

async function startServer(bench: Bench, workers: number): Promise<Server> {
  const port = await freePort()
  const metricsPort = await freePort()
  // As `npm start` and the first line of the program have it.
  const args = ['--max-semi-space-size=2', PROGRAM, 'serve', '--image', bench.image]
  args.push('--workers', String(workers), '--listen', `127.0.0.1:${port}`)
  args.push('--metrics', `127.0.0.1:${metricsPort}`)
  args.push('--upstream', `udp://127.0.0.1:${bench.upstreamPort}`)
  args.push('--state-dir', mkdtempSync(join(bench.folder, 'state-')))
  const child = startPinned({ program: process.execPath, args, cwd: bench.folder }, SERVER_CPU)
  const endMs = performance.now() + READY_MS_MAX
  while (!child.output().includes('"event":"ready"')) {
    if (!child.isRunning() || performance.now() > endMs) {
      throw new Error(`the server is not ready\n${child.output()}`)
    }
    await sleep(LOOK_MS)
  }
  return { child, port, metricsPort }
}

/** Asks every line of a file once. */
async function askAll({ port }: Server, file: string, rcode: string): Promise<void> {
  const cached = WORKLOADS.find(({ key }) => key === 'cached')!
  const options = { port, cpu: LOAD_CPU, file, seconds: SECONDS_MAX, once: true }
  const { sent, completed, rcodes } = await drive(cached, options)
  if (completed !== sent || rcodes[rcode] !== sent) {
    throw new Error(`${sent} queries, ${completed} answers: ${JSON.stringify(rcodes)}`)
  }
}

async function residentOctets({ child }: Server): Promise<number> {
  await sleep(SETTLE_MS)
  return readMemory(child.pid).rssOctets
}

async function cacheOctets({ metricsPort }: Server): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
  const found = /^niveau3_cache_(?:octets|bytes)(?:\{[^}]*tier="memory"[^}]*\})? (\S+)$/m.exec(page)
  if (found === null) throw new Error('the metrics do not say how full the cache is')
  return Number(found[1])
}

async function measure(bench: Bench, warm: string, filling: string): Promise<Findings> {
  const byWorkers: number[] = []
  for (let workers = 1; workers <= WORKERS_MAX; workers++) {
    const server = await startServer(bench, workers)
    try {
      // More than once: the kernel spreads clients over workers, and each has a cache of its own.
      for (let round = 0; round < 2 * workers; round++) await askAll(server, warm, 'NOERROR')
      byWorkers.push(await residentOctets(server))
    } finally {
      await server.child.end()
    }
  }
  const server = await startServer(bench, 1)
  try {
    await askAll(server, warm, 'NOERROR')
    const beforeFilling = await residentOctets(server)
    await askAll(server, filling, 'NOERROR')
    const afterFilling = await residentOctets(server)
    return { byWorkers, beforeFilling, afterFilling, cacheOctets: await cacheOctets(server) }
  } finally {
    await server.child.end()
  }
}

/** Every name twice, within a block that the newcomers' part holds: from there it moves on. */
function writeFilling(path: string, list: BlockList): void {
  const lines = Array.from({ length: FILLING_NAMES }, (_, index) => {
    const label = (Math.imul(index, 0x9e3779b1) >>> 0).toString(36)
    return `m${label}.${list.allowed[index % list.allowed.length] ?? ''} A\n`
  })
  const block = 20_000
  const text: string[] = []
  for (let at = 0; at < lines.length; at += block) {
    const part = lines.slice(at, at + block).join('')
    text.push(part, part)
  }
  writeFileSync(path, text.join(''))
}

function print(names: number, findings: Findings): void {
  const { byWorkers, beforeFilling, afterFilling } = findings
  const [one = 0] = byWorkers
  const rows = byWorkers.map((octets, index) => {
    const more =
      index === 0 ? '' : `, ${((octets - byWorkers[index - 1]!) / MB).toFixed(1)} MB more`
    return `${index + 1} workers: ${(octets / MB).toFixed(1)} MB${more}`
  })
  const growth = (afterFilling - beforeFilling) / CACHE_OCTETS
  const share = (findings.cacheOctets / CACHE_OCTETS).toFixed(2)
  process.stdout.write(
    [
      `${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}; ${names} names, 10,000 answers`,
      ...rows,
      `filling the cache (${share} of its limit of ${(CACHE_OCTETS / MB).toFixed(1)} MB): ` +
        `${(beforeFilling / MB).toFixed(1)} -> ${(afterFilling / MB).toFixed(1)} MB, ` +
        `${growth.toFixed(2)} times the limit`,
      `targets: ${(one / MB).toFixed(0)} <= 110 MB; each further worker <= 30 MB; <= 1.3 times`,
    ].join('\n') + '\n',
  )
}

const folder = mkdtempSync(join(tmpdir(), 'niveau3-memory-'))
try {
  await pinSelf(LOAD_CPU)
  const data = process.env['NIVEAU3_DATA'] ?? '../shared/data'
  const list = await makeList('826k', data, folder, 0)
  const image = join(folder, 'large.n3')
  const compile = ['lists', 'compile', '--out', image, '--blocklist', `adult=${list.file}`]
  await run(process.execPath, [PROGRAM, ...compile], COMPILE_MS_MAX, { cwd: folder })
  const warm = join(folder, 'warm')
  writeFileSync(warm, list.allowed.map((name) => `${name} A\n`).join(''))
  const filling = join(folder, 'filling')
  writeFilling(filling, list)
  const upstream = await startUpstream(folder, LOAD_CPU)
  try {
    const bench = { folder, image, list, upstreamPort: upstream.port }
    const findings = await measure(bench, warm, filling)
    print(list.names.length, findings)
    mkdirSync(RESULTS, { recursive: true })
    const machine = { node: process.version, cpu: cpus()[0]?.model ?? 'unknown' }
    const result = {
      machine,
      names: list.names.length,
      cacheLimitOctets: CACHE_OCTETS,
      ...findings,
    }
    writeFileSync(join(RESULTS, 'memory.json'), `${JSON.stringify(result, undefined, 2)}\n`)
  } finally {
    await upstream.stop()
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
