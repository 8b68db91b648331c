/** `npm run bench:peers`: the comparison of whole servers that anyone can repeat (README.md). */
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { rmSync } from 'node:fs'
import { cpus, loadavg, release, tmpdir, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { freePort } from '../../test/support/ports.ts'
import { type Command, pinSelf } from './children.ts'
import { type BlockList, type ListKey, makeList } from './lists.ts'
import { type Options, USAGE, UsageError, readOptions } from './options.ts'
import { withTable } from '../readme-table.ts'
import { type Results, markdown } from './report.ts'
import { type Findings, type ListResult, listResult } from './results.ts'
import { type Server, versionOf } from './servers/server.ts'
import { type Upstream, startUpstream } from './upstream.ts'
import { type Visit, visit } from './visit.ts'

const RESULTS = 'bench/results/peers.json'
const README = 'README.md'

/** Folders of this run, on disk and in memory, removed at its end whatever happens. */
interface Folders {
  readonly disk: string
  readonly memory: string
}

/** One server that is ready to be visited, or the reason why it never will be. */
interface Candidate {
  readonly server: Server
  readonly version: string
  readonly port: number
  readonly command: Command | undefined
  readonly visits: Visit[]
  readonly failures: string[]
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

async function makeFolders(): Promise<Folders> {
  const disk = await mkdtemp(join(tmpdir(), 'niveau3-peers-'))
  const memory = await mkdtemp('/dev/shm/niveau3-peers-')
  process.once('exit', () => {
    for (const folder of [disk, memory]) rmSync(folder, { recursive: true, force: true })
  })
  return { disk, memory }
}

async function makeCandidate(
  server: Server,
  list: BlockList,
  upstream: Upstream,
  folders: Folders,
): Promise<Candidate> {
  const name = `${server.key}-${list.key}`
  const folder = join(folders.disk, name)
  const memoryFolder = join(folders.memory, name)
  await mkdir(folder)
  await mkdir(memoryFolder)
  const port = await freePort()
  const site = { folder, memoryFolder, port, upstreamPort: upstream.port, list }
  try {
    const version = await server.version()
    const command = await server.prepare(site)
    return { server, version, port, command, visits: [], failures: [] }
  } catch (error) {
    const failures = [`cannot be had: ${reasonOf(error)}`]
    say(`${server.title} ${failures.join('')}`)
    return { server, version: '', port, command: undefined, visits: [], failures }
  }
}

/** Runs all rounds with one list; each round begins with another server. */
async function runList(
  key: ListKey,
  options: Options,
  upstream: Upstream,
  folders: Folders,
): Promise<ListResult> {
  const workloads = options.workloads[key]
  say(`${key}: reading lists, writing queries and configurations`)
  const data = process.env['NIVEAU3_DATA'] ?? '../shared/data'
  const list = await makeList(key, data, folders.disk, options.seconds)
  const candidates: Candidate[] = []
  for (const server of options.servers) {
    candidates.push(await makeCandidate(server, list, upstream, folders))
  }
  const ready = candidates.filter(({ command }) => command !== undefined)
  for (let round = 0; round < options.rounds; round++) {
    for (let turn = 0; turn < ready.length; turn++) {
      const candidate = ready[(round + turn) % ready.length]
      if (candidate?.command === undefined) continue
      const { server, command, port } = candidate
      const { cores, seconds } = options
      const seed = round + 1
      const plan = { server, command, port, list, upstream, cores, workloads, seconds, seed }
      try {
        const found = await visit(plan)
        candidate.visits.push(found)
        say(`${key} round ${round + 1} ${server.key}: ${lineOf(found)}`)
      } catch (error) {
        candidate.failures.push(`round ${round + 1}: ${reasonOf(error)}`)
        say(`${key} round ${round + 1} ${server.key} FAILED: ${reasonOf(error)}`)
      }
    }
  }
  const findings: Findings[] = candidates
  return listResult(list, workloads, findings)
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}

/** One visit in one line, to watch a run by. */
function lineOf(found: Visit): string {
  const figures = Object.entries(found.workloads).map(
    ([key, { cpuUsPerQuery, serverBusy, othersBusy, stolen }]) =>
      `${key} ${cpuUsPerQuery.toFixed(2)} us (core: ${percent(serverBusy)}, ` +
      `others ${percent(othersBusy)}, host ${percent(stolen)})`,
  )
  const faults = Object.entries(found.failures).map(([key, why]) => `${key} FAILED: ${why}`)
  return [`start ${found.startMs.toFixed(0)} ms`, ...figures, ...faults].join(', ')
}

async function machineOf(options: Options): Promise<Results['machine']> {
  const { server, client, upstream } = options.cores
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown processor',
    cores: cpus().length,
    memoryOctets: totalmem(),
    kernel: release(),
    node: process.versions.node,
    loadBefore: loadavg(),
    pinning: `server on core ${server}, dnsperf on core ${client}, upstream on core ${upstream}`,
  }
}

async function writeResults(results: Results): Promise<void> {
  await mkdir(resolve(RESULTS, '..'), { recursive: true })
  await writeFile(RESULTS, `${JSON.stringify(results, undefined, 2)}\n`)
  say(`written: ${RESULTS}`)
  const readme = await readFile(README, 'utf8').catch(() => '')
  const next = withTable(readme, 'peers', markdown(results))
  if (next === undefined) say(`${README} has no markers for the tables: it stays as it is`)
  else await writeFile(README, next)
}

async function runAll(options: Options): Promise<number> {
  const machine = await machineOf(options)
  const dnsperf = await versionOf('dnsperf', ['-h'], /Version (\S+)/)
  await pinSelf(options.cores.client)
  const folders = await makeFolders()
  const upstream = await startUpstream(folders.disk, options.cores.upstream)
  const lists: ListResult[] = []
  try {
    for (const key of ['117k', '826k'] as const) {
      if (options.workloads[key].length === 0) continue
      lists.push(await runList(key, options, upstream, folders))
    }
  } finally {
    await upstream.stop()
  }
  const { rounds, seconds } = options
  const finishedAt = new Date().toISOString()
  const results = {
    machine,
    upstream: upstream.title,
    dnsperf,
    rounds,
    seconds,
    finishedAt,
    lists,
  }
  process.stdout.write(
    options.json ? `${JSON.stringify(results, undefined, 2)}\n` : `${markdown(results)}\n`,
  )
  if (options.write) await writeResults(results)
  else say('a trial: neither the results file nor README was written (--write does)')
  const hasFailed = lists.some((list) => list.servers.some(({ failures }) => failures.length > 0))
  return hasFailed ? 1 : 0
}

async function main(): Promise<number> {
  process.env['NIVEAU3_CACHE_DIR'] ??= resolve('.cache/programs')
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
  try {
    const options = readOptions(process.argv.slice(2))
    if (options !== 'help') return await runAll(options)
    process.stdout.write(USAGE)
    return 0
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\n\n${USAGE}`)
    return 2
  }
}

process.exitCode = await main()
