/**
 * The benchmark of the parts: `npm run bench:micro [MILLISECONDS]`.
 *
 * Every part is proved right, then timed by tinybench over some hundred real names, so that no
 * cache of the processor knows the answer. Prints one table and writes `bench/results/micro.json`.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { Bench } from 'tinybench'
import { Matcher } from '../../src/trie/lookup.ts'
import { openTrie } from '../../src/trie/open.ts'
import { AskedName } from '../../src/dataplane/query.ts'
import { compileFiles, listedNames, popularNames, REAL_LISTS, storedTexts } from '../trie/corpus.ts'
import { clientParts } from './clients.ts'
import { answerParts, batchParts, cacheParts, wireParts, type Corpus, type Part } from './parts.ts'
import { questionOf } from './questions.ts'

const RESULTS = 'bench/results'
const NAMES = 2048
const TIME_MS = 1000
const NS_PER_MS = 1e6

interface Row {
  readonly part: string
  /** Nanoseconds an operation: median and 99th percentile of the means of many. */
  readonly ns: number
  readonly nsP99: number
}

async function loadCorpus(): Promise<Corpus> {
  const { image } = await compileFiles(REAL_LISTS)
  const trie = openTrie(image)
  const matcher = new Matcher(trie)
  const asked = new AskedName()
  const isListed = (name: string): boolean => {
    asked.take(questionOf(name, 0).message, 12)
    return matcher.find(asked.octets, 0) !== 0
  }
  const listed = listedNames(storedTexts(trie), NAMES)
  const unlisted = popularNames().filter((name) => !isListed(name))
  return { image, listed, unlisted: unlisted.slice(0, NAMES) }
}

async function time(parts: readonly Part[], timeMs: number): Promise<Row[]> {
  const bench = new Bench({ time: timeMs, warmupTime: timeMs / 4 })
  for (const { name, run } of parts) bench.add(name, run)
  await bench.run()
  return bench.tasks.map(({ name, result }, index) => {
    if (result.state !== 'completed') throw new Error(`${name}: ${result.state}`)
    const { p50, p99 } = result.latency
    const perOperation = NS_PER_MS / parts[index]!.operations
    return { part: name, ns: Math.round(p50 * perOperation), nsP99: Math.round(p99 * perOperation) }
  })
}

function printTable(machine: string, rows: readonly Row[]): void {
  const width = Math.max(...rows.map(({ part }) => part.length))
  const lines = rows.map(
    ({ part, ns, nsP99 }) =>
      `${part.padEnd(width)}  ${String(ns).padStart(7)}  ${String(nsP99).padStart(7)}`,
  )
  const head = `${'ns an operation'.padEnd(width)}   median      p99`
  process.stdout.write(`${[machine, head, ...lines].join('\n')}\n`)
}

const timeMs = Number(process.argv[2] ?? TIME_MS)
if (!(timeMs > 0)) throw new Error('usage: npm run bench:micro [-- MILLISECONDS_A_PART]')
const corpus = await loadCorpus()
const answers = await answerParts(corpus)
const batch = await batchParts()
try {
  const parts = [
    ...wireParts(corpus),
    ...cacheParts(corpus),
    ...clientParts(),
    ...answers.parts,
    ...batch.parts,
  ]
  const rows = await time(parts, timeMs)
  const machine = { node: process.version, cpu: cpus()[0]?.model ?? 'unknown' }
  printTable(`${machine.cpu}, Node ${machine.node}`, rows)
  mkdirSync(RESULTS, { recursive: true })
  const file = join(RESULTS, 'micro.json')
  writeFileSync(file, `${JSON.stringify({ machine, rows }, undefined, 2)}\n`)
} finally {
  answers.close()
  batch.close()
}
