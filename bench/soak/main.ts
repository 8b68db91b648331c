/**
 * The soak: `npm run bench:soak -- [--seconds 600] [--warm-up 300] [--ttl 60]`.
 *
 * One worker under half of the load that it can bear: two thirds allowed names from the cache, one
 * third blocked names. Resident memory, descriptors and timers are looked at every few seconds;
 * in the time after the warm-up each may grow by one per cent, and no query may be lost or wrongly
 * answered. Answers live for `--ttl` seconds more or less, so that a steady part of the questions
 * goes upstream.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pinSelf } from '../peers/children.ts'
import { drive, type Drive } from '../peers/dnsperf.ts'
import { WORKLOADS, type Workload } from '../peers/workloads.ts'
import { startServer, startUpstream, type Look, type SoakServer } from './server.ts'
import { trendOf, type Sample, type Trend } from './slope.ts'

const RESULTS = 'bench/results'
const SERVER_CPU = 0
const LOAD_CPU = 1
const NAMES = 1000
const GROWTH_MAX = 0.01
const LOOK_SECONDS = 2
const SATURATION_SECONDS = 5
/**
 * Sockets towards the upstream are retired after two minutes, and all names are fetched together at
 * first: by then their fetches have drifted apart, and the second set of sockets is in use.
 */
const WARM_UP_SECONDS = 300
const CLIENTS = 8
const OUTSTANDING = 100
const FIGURES = ['residentOctets', 'descriptors', 'timers'] as const

interface Options {
  /** Watched, after the warm-up. */
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly ttlSeconds: number
}

function readOptions(): Options {
  const text = { type: 'string' } as const
  const { values } = parseArgs({ options: { seconds: text, 'warm-up': text, ttl: text } })
  const seconds = Number(values.seconds ?? 600)
  const warmUpSeconds = Number(values['warm-up'] ?? WARM_UP_SECONDS)
  const ttlSeconds = Number(values.ttl ?? 60)
  const isUsable = warmUpSeconds >= 0 && ttlSeconds >= 2 && seconds > LOOK_SECONDS * 4
  if (!isUsable) {
    throw new Error(
      `usage: npm run bench:soak -- [--seconds N > ${LOOK_SECONDS * 4}] [--warm-up N] [--ttl N >= 2]`,
    )
  }
  return { seconds, warmUpSeconds, ttlSeconds }
}

function load(
  server: SoakServer,
  file: string,
  seconds: number,
  queriesPerSecond?: number,
): Promise<Drive> {
  const cached = WORKLOADS.find(({ key }) => key === 'cached')!
  const workload: Workload = {
    ...cached,
    clients: CLIENTS,
    outstanding: OUTSTANDING,
    ...(queriesPerSecond === undefined ? {} : { queriesPerSecond }),
  }
  const options = { port: server.port, cpu: LOAD_CPU, file, seconds, once: false }
  return drive(workload, options)
}

/** Looks until the load is over. */
async function watch(server: SoakServer, loaded: Promise<unknown>): Promise<Map<string, Sample[]>> {
  const samples = new Map<string, Sample[]>(FIGURES.map((figure) => [figure, []]))
  let isOver = false
  const over = loaded.finally(() => {
    isOver = true
  })
  over.catch(() => {})
  const startMs = performance.now()
  const isLoaded = (): boolean => !isOver
  while (isLoaded()) {
    const look: Look = server.look()
    const atSeconds = (performance.now() - startMs) / 1000
    for (const figure of FIGURES) samples.get(figure)!.push({ atSeconds, value: look[figure] })
    const mb = (look.residentOctets / 1e6).toFixed(1)
    const line = `${atSeconds.toFixed(0)} s: ${mb} MB, ${look.descriptors} descriptors, ${look.timers} timers`
    process.stderr.write(`${line}\n`)
    const pause = new Promise((resolve) => setTimeout(resolve, LOOK_SECONDS * 1000))
    await Promise.race([pause, over])
  }
  return samples
}

/** What the answers must have been: every third question is for a blocked name. */
function faultsOf({ sent, completed, rcodes }: Drive): string[] {
  const faults: string[] = []
  if (completed !== sent) faults.push(`${sent - completed} of ${sent} queries got no answer`)
  const blocked = rcodes['NXDOMAIN'] ?? 0
  if (Math.abs(blocked - sent / 3) > 1) faults.push(`${blocked} of ${sent} answers are blocks`)
  const others = Object.keys(rcodes).filter((rcode) => !['NOERROR', 'NXDOMAIN'].includes(rcode))
  if (others.length > 0) faults.push(`answers with ${others.join(', ')}`)
  return faults
}

function printTrends(trends: readonly Trend[]): void {
  for (const { figure, first, last, growth, isSteady } of trends) {
    const share = `${(growth * 100).toFixed(2)} %`
    const verdict = isSteady ? 'steady' : 'GROWS'
    process.stdout.write(`${figure.padEnd(15)} ${first} -> ${last}  ${share}  ${verdict}\n`)
  }
}

async function soak(folder: string, options: Options): Promise<void> {
  await pinSelf(LOAD_CPU)
  const upstream = await startUpstream(options.ttlSeconds)
  const blocked = Array.from({ length: NAMES }, (_, index) => `b${index}.blocked.example`)
  const file = join(folder, 'queries')
  const questions = blocked.flatMap((name, index) => [
    `a${index}.allowed.example A`,
    `c${index}.allowed.example A`,
    `${name} A`,
  ])
  writeFileSync(file, `${questions.join('\n')}\n`)
  const server = await startServer(folder, upstream.port, blocked, SERVER_CPU)
  try {
    const { completed, seconds } = await load(server, file, SATURATION_SECONDS)
    const rate = Math.round(completed / seconds / 2)
    process.stderr.write(`one worker bears ${2 * rate} queries a second; half of it now\n`)
    const driven = load(server, file, options.warmUpSeconds + options.seconds, rate)
    const samples = await watch(server, driven)
    const drive_ = await driven
    const trends = FIGURES.map((figure) =>
      trendOf(figure, samples.get(figure)!, options.warmUpSeconds, GROWTH_MAX),
    )
    const faults = faultsOf(drive_)
    const machine = { node: process.version, cpu: cpus()[0]?.model ?? 'unknown' }
    const { sent, completed: answered } = drive_
    process.stdout.write(`${machine.cpu}, Node ${machine.node}; `)
    const span = `${options.warmUpSeconds} + ${options.seconds} s`
    process.stdout.write(`${sent} queries in ${span}, ${answered} answered\n`)
    printTrends(trends)
    for (const fault of faults) process.stdout.write(`FAULT: ${fault}\n`)
    mkdirSync(RESULTS, { recursive: true })
    const result = { machine, ...options, rate, sent, answered, trends }
    writeFileSync(join(RESULTS, 'soak.json'), `${JSON.stringify(result, undefined, 2)}\n`)
    if (faults.length > 0 || !trends.every(({ isSteady }) => isSteady)) process.exitCode = 1
  } finally {
    await server.stop()
    upstream.close()
  }
}

const folder = mkdtempSync(join(tmpdir(), 'niveau3-soak-'))
try {
  await soak(folder, readOptions())
} finally {
  rmSync(folder, { recursive: true, force: true })
}
