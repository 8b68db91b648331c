/** The steps of the benchmark, one a process: prints its figures as JSON. */

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

import { Bench } from 'tinybench'

import { readImage, writeImage } from '../../src/controlplane/compiler/image-file.ts'
import { Matcher } from '../../src/trie/lookup.ts'
import { openTrie } from '../../src/trie/open.ts'
import { SortedNames, SuffixSet } from './baselines.ts'
import {
  compileFiles,
  DATA,
  listedNames,
  popularNames,
  questionsOf,
  REAL_LISTS,
  storedTexts,
  type Questions,
} from './corpus.ts'
import { generateNames } from './generate-names.ts'

const MB = 1e6
const GENERATED = 5_000_000
const SMALL = 100_000
const SEED = 7
/** Chosen so that `xz -9` needs as much for a generated name as for a real one. */
const SURPRISE = 0.01
const LISTED = 20_000
const ROUNDS = 15

type Figures = Record<string, number | string>
type Ask = (octets: Uint8Array, start: number) => boolean

async function compileStep(
  files: readonly (readonly [string, string])[],
  file: string,
): Promise<Figures> {
  const start = performance.now()
  const { image, names } = await compileFiles(files)
  const ms = Math.round(performance.now() - start)
  const { user, system } = process.cpuUsage()
  const rssMb = Math.round((process.resourceUsage().maxRSS * 1024) / MB)
  await writeImage(file, image)
  const { sections } = openTrie(image)
  return {
    names,
    ms,
    cpuMs: Math.round((user + system) / 1000),
    rssMb,
    mb: Number((image.byteLength / MB).toFixed(2)),
    octetsPerName: Number((image.byteLength / names).toFixed(3)),
    ...Object.fromEntries(sections.map(({ name, octets }) => [`octets of ${name}`, octets])),
  }
}

/** From disk to a trie that answers, as at a start: the median of several. */
async function openStep(file: string): Promise<Figures> {
  const times: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now()
    openTrie(await readImage(file))
    times.push(performance.now() - start)
  }
  return { ms: rounded(median(times)), firstMs: rounded(times[0]!) }
}

async function lookupsStep(file: string): Promise<Figures> {
  const trie = openTrie(await readImage(file))
  const matcher = new Matcher(trie)
  const ask: Ask = (octets, start) => matcher.find(octets, start) !== 0
  const stored = storedTexts(trie)
  const judge = new SuffixSet(stored)
  const { miss, hit } = questions(stored, judge)
  verify(ask, miss, false)
  verify(ask, hit, true)
  const [missNs, hitNs] = await timed(ask, miss, hit)
  return {
    misses: miss.starts.length,
    hits: hit.starts.length,
    missNs: missNs!,
    hitNs: hitNs!,
    missNsP99: p99(ask, miss),
    hitNsP99: p99(ask, hit),
  }
}

async function baselinesStep(file: string): Promise<Figures> {
  const stored = storedTexts(openTrie(await readImage(file)))
  const empty = memory()
  const set = new SuffixSet(stored.map((name) => Buffer.from(name).toString('latin1')))
  const setMb = rounded((memory() - empty) / MB)
  const before = memory()
  const sorted = new SortedNames(stored.map((name) => Buffer.from(name).toString('latin1')))
  const sortedMb = rounded((memory() - before) / MB)
  const { miss, hit } = questions(stored, set)
  const figures: Figures = { setMb, sortedMb }
  for (const [name, judge] of [
    ['set', set],
    ['sorted', sorted],
  ] as const) {
    const ask: Ask = (octets, start) => judge.has(octets, start)
    verify(ask, miss, false)
    verify(ask, hit, true)
    const [missNs, hitNs] = await timed(ask, miss, hit)
    figures[`${name}MissNs`] = missNs!
    figures[`${name}HitNs`] = hitNs!
  }
  return figures
}

function questions(stored: readonly string[], judge: SuffixSet): Record<'miss' | 'hit', Questions> {
  const popular = popularNames().filter((name) => {
    const one = questionsOf([name])
    return !judge.has(one.octets, 0)
  })
  return { miss: questionsOf(popular), hit: questionsOf(listedNames(stored, LISTED)) }
}

function verify(ask: Ask, { octets, starts }: Questions, expected: boolean): void {
  for (const start of starts) {
    if (ask(octets, start) !== expected) throw new Error(`wrong answer at ${start}`)
  }
}

/** Nanoseconds a lookup, each the median over rounds of the mean over all questions. */
async function timed(ask: Ask, ...sets: Questions[]): Promise<number[]> {
  const bench = new Bench({ time: 1500, warmupTime: 500 })
  let found = 0
  for (const [index, { octets, starts }] of sets.entries()) {
    bench.add(`${index}`, () => {
      for (const start of starts) if (ask(octets, start)) found++
    })
  }
  await bench.run()
  if (found === 0) throw new Error('no name was found')
  return bench.tasks.map((task, index) => {
    const { result } = task
    if (result.state !== 'completed') throw new Error(`the benchmark is ${result.state}`)
    return Math.round((result.latency.p50 * MB) / sets[index]!.starts.length)
  })
}

/** The 99th percentile of single lookups, less the median cost of reading the clock. */
function p99(ask: Ask, { octets, starts }: Questions): number {
  const clock = Float64Array.from({ length: 10_000 }, () => {
    const start = performance.now()
    return performance.now() - start
  })
  const times = Float64Array.from(starts, (start) => {
    const before = performance.now()
    ask(octets, start)
    return performance.now() - before
  })
  return Math.round((times.toSorted()[Math.floor(times.length * 0.99)]! - median(clock)) * MB)
}

function generateStep(folder: string): Figures {
  const file = join(DATA, REAL_LISTS[0][1])
  const real = gunzipSync(readFileSync(file)).toString('latin1').trim().split('\n')
  const names = generateNames(real, GENERATED, SEED, SURPRISE)
  const step = GENERATED / SMALL
  writeFileSync(join(folder, 'large.txt'), `${names.join('\n')}\n`)
  const small = names.filter((_, index) => index % step === 0)
  writeFileSync(join(folder, 'small.txt'), `${small.join('\n')}\n`)
  return {
    count: names.length,
    seed: SEED,
    xzOctetsPerName: xzPerName(names),
    xzReal: xzPerName(real),
  }
}

function xzPerName(names: readonly string[]): number {
  const { stdout } = spawnSync('xz', ['-9', '-c'], {
    input: `${names.toSorted().join('\n')}\n`,
    maxBuffer: 1 << 30,
  })
  return rounded(stdout.length / names.length)
}

function memory(): number {
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function median(values: readonly number[] | Float64Array): number {
  return Float64Array.from(values).sort()[Math.floor(values.length / 2)]!
}

function rounded(value: number): number {
  return Number(value.toFixed(2))
}

async function main([step = '', ...args]: string[]): Promise<Figures> {
  const [first = '', second = ''] = args
  switch (step) {
    case 'compile-real':
      return compileStep(REAL_LISTS, first)
    case 'compile-file':
      return compileStep([['adult', first]], second)
    case 'open':
      return openStep(first)
    case 'lookups':
      return lookupsStep(first)
    case 'baselines':
      return baselinesStep(first)
    case 'generate':
      return generateStep(first)
    default:
      throw new Error(`no step ${step}`)
  }
}

process.stdout.write(JSON.stringify(await main(process.argv.slice(2))))
