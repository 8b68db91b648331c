/**
 * What the shared cache costs: a forwarded query with Redis against one without, in one run, at
 * full load. Every name is asked once, so that each query is a miss in memory, a miss in Redis, an
 * upstream query and a write: the most that Redis can cost. The figure is niveau3's own processor
 * time; what redis-server takes stands beside it.
 *
 * 80 queries outstanding make batches of some 32 look-ups.
 *
 *   npm run bench:redis -- [--rounds N] [--queries N] [--outstanding N] [--readme]
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { freePort } from '../../test/support/ports.ts'
import { program } from '../../test/support/programs.ts'
import { askAll } from '../peers/ask.ts'
import { type Child, pinSelf, run, startPinned } from '../peers/children.ts'
import { type Drive, drive } from '../peers/dnsperf.ts'
import { cpuMsBetween, readCpu } from '../peers/proc.ts'
import { startUpstream } from '../peers/upstream.ts'
import type { Workload } from '../peers/workloads.ts'
import { withTable } from '../readme-table.ts'

/** The measured server has a core for itself; all others share the rest. */
const SERVER_CPU = 0
const OTHERS_CPU = 1
const PROGRAM = resolve('dist/bin.js')
const READY_MS_MAX = 30_000
const LOOK_MS = 50
const ROUND_SECONDS_MAX = 60
/** What the shared cache may cost, and what is aimed at. */
const TARGET_US = 20
const AIM_US = 12

/** One server under test. */
interface Subject {
  readonly title: string
  readonly port: number
  readonly metricsPort: number
  readonly child: Child
}

interface Round {
  readonly usPerQuery: number
  readonly redisUsPerQuery: number
  readonly perSecond: number
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    queries: { type: 'string', default: '60000' },
    outstanding: { type: 'string', default: '80' },
    readme: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
const queries = Number(values.queries)
const workload: Workload = {
  key: 'forwarded',
  title: 'every query forwarded',
  queries: 'forwarded',
  transport: 'udp',
  clients: 8,
  outstanding: Number(values.outstanding),
  forwardedShare: 1,
  lists: [],
}

let names = 0

/** Writes names that were never asked before. */
async function freshNames(folder: string, count: number): Promise<string> {
  const lines: string[] = []
  for (let index = 0; index < count; index++) lines.push(`q${names++}.bench.example A`)
  const file = join(folder, 'names')
  await writeFile(file, `${lines.join('\n')}\n`)
  return file
}

async function startSubject(
  title: string,
  folder: string,
  upstreamPort: number,
  more: readonly string[],
): Promise<Subject> {
  const [port, metricsPort] = [await freePort(), await freePort()]
  const args = [PROGRAM, 'serve', '--workers', '1', '--listen', `127.0.0.1:${port}`]
  args.push(
    '--upstream',
    `udp://127.0.0.1:${upstreamPort}`,
    '--metrics',
    `127.0.0.1:${metricsPort}`,
  )
  args.push('--state-dir', join(folder, title.replaceAll(' ', '-')), ...more)
  const child = startPinned({ program: process.execPath, args, cwd: folder }, SERVER_CPU)
  const subject = { title, port, metricsPort, child }
  await eventually(`${title} answers`, child, async () => {
    const [said] = await askAll(port, ['ready.bench.example'])
    return said?.verdict === 'answered'
  })
  return subject
}

async function eventually(
  what: string,
  child: Child,
  condition: () => Promise<boolean>,
): Promise<void> {
  const endMs = Date.now() + READY_MS_MAX
  while (!(await condition().catch(() => false))) {
    if (!child.isRunning() || Date.now() > endMs) throw new Error(`not: ${what}\n${child.output()}`)
    await new Promise((resolveWait) => setTimeout(resolveWait, LOOK_MS))
  }
}

async function metric({ metricsPort }: Subject, sample: string): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
  const line = page.split('\n').find((each) => each.startsWith(`${sample} `))
  return line === undefined ? 0 : Number(line.slice(sample.length))
}

async function measure(subject: Subject, redis: Child, folder: string): Promise<Round> {
  const file = await freshNames(folder, queries)
  const before = [readCpu(subject.child.pid), readCpu(redis.pid)] as const
  const options = { port: subject.port, cpu: OTHERS_CPU, file, seconds: ROUND_SECONDS_MAX }
  const seen: Drive = await drive(workload, { ...options, once: true })
  const after = [readCpu(subject.child.pid), readCpu(redis.pid)] as const
  if (seen.completed < queries * 0.99 || seen.rcodes['NOERROR'] !== seen.completed) {
    throw new Error(`${subject.title}: ${JSON.stringify(seen)}`)
  }
  const perQuery = (index: 0 | 1): number =>
    (1000 * cpuMsBetween(before[index], after[index])) / seen.completed
  return {
    usPerQuery: perQuery(0),
    redisUsPerQuery: perQuery(1),
    perSecond: seen.completed / seen.seconds,
  }
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((left, right) => left - right)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/** Mean look-ups of one MGET, as the server counts its calls. */
async function batchSize(port: number, lookups: number): Promise<number> {
  const cli = await program('redis-cli')
  const text = await run(cli, ['-p', String(port), 'info', 'commandstats'], READY_MS_MAX)
  const calls = Number(/cmdstat_mget:calls=(\d+)/.exec(text)?.[1] ?? Number.NaN)
  return lookups / calls
}

async function main(folder: string): Promise<string> {
  await pinSelf(OTHERS_CPU)
  const upstream = await startUpstream(folder, OTHERS_CPU)
  const redisPort = await freePort()
  const server = await program('redis-server')
  const args = ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--dir', folder]
  const redis = startPinned({ program: server, args }, OTHERS_CPU)
  const without = await startSubject('without Redis', folder, upstream.port, [])
  const url = ['--redis', `redis://127.0.0.1:${redisPort}`]
  const shared = await startSubject('with Redis', folder, upstream.port, url)
  await eventually(
    'Redis is up',
    redis,
    async () => (await metric(shared, 'niveau3_redis_up')) === 1,
  )
  // What runs for the first time is not what is measured.
  await measure(without, redis, folder)
  await measure(shared, redis, folder)
  const seen: { without: Round[]; shared: Round[] } = { without: [], shared: [] }
  for (let round = 0; round < rounds; round++) {
    seen.without.push(await measure(without, redis, folder))
    seen.shared.push(await measure(shared, redis, folder))
  }
  const result = 'niveau3_cache_lookups_total{tier="redis",result='
  const lookups = await metric(shared, `${result}"miss"}`)
  const left = await metric(shared, `${result}"unavailable"}`)
  const hedged = await metric(shared, 'niveau3_redis_hedged_total')
  const stored = await metric(shared, 'niveau3_redis_writes_total{result="stored"}')
  const batch = await batchSize(redisPort, lookups)
  for (const child of [without.child, shared.child, redis]) await child.end()
  await upstream.stop()
  return table(seen, { lookups, left, hedged, stored, batch })
}

function row(what: string, numbers: readonly number[], target = ''): string {
  const sorted = numbers.toSorted((left, right) => left - right)
  const range = `${sorted[0]!.toFixed(1)} .. ${sorted.at(-1)!.toFixed(1)}`
  return `| ${what} | ${median(numbers).toFixed(1)} | ${range} | ${target} |`
}

function table(
  seen: { without: readonly Round[]; shared: readonly Round[] },
  counts: { lookups: number; left: number; hedged: number; stored: number; batch: number },
): string {
  const cost = seen.shared.map((round, index) => round.usPerQuery - seen.without[index]!.usPerQuery)
  const us = (round: Round): number => round.usPerQuery
  return [
    `${cpus()[0]?.model ?? 'unknown processor'}, Node.js ${process.version}, ${rounds} rounds of ` +
      `${queries} forwarded queries each, ${workload.outstanding} outstanding:`,
    '',
    '| us of processor time a query | median | range | target |',
    '|---|--:|--:|---|',
    row('niveau3 without Redis', seen.without.map(us)),
    row('niveau3 with Redis', seen.shared.map(us)),
    row('what Redis costs', cost, `<= ${TARGET_US}, aim ${AIM_US}`),
    row(
      'redis-server itself',
      seen.shared.map((round) => round.redisUsPerQuery),
    ),
    '',
    `${Math.round(counts.batch)} look-ups an MGET; ${counts.lookups} misses, ${counts.stored} stored, ` +
      `${counts.hedged} hedged, ${counts.left} not looked up.`,
  ].join('\n')
}

const folder = await mkdtemp(join(tmpdir(), 'niveau3-bench-redis-'))
try {
  const text = await main(folder)
  process.stdout.write(`${text}\n`)
  if (values.readme) {
    const readme = withTable(await readFile('README.md', 'utf8'), 'redis', text)
    if (readme === undefined) throw new Error('README.md has no place for the table')
    await writeFile('README.md', readme)
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}
