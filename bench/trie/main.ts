/**
 * The benchmark of the compiled blocklist: `npm run bench:trie`.
 *
 * Each step runs in a process of its own, so that its memory is its own; `--only real` leaves the
 * generated names out and keeps their last figures. Prints one table and writes
 * `bench/results/trie.json`.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withTable } from '../readme-table.ts'

const STEPS = fileURLToPath(new URL('./steps.js', import.meta.url))
const RESULTS = 'bench/results'
const README = 'README.md'
const OUTPUT_OCTETS_MAX = 1 << 20

type Figures = Record<string, number | string>

/** One row of the table: figure, its value, and what the issue asks for. */
type Row = readonly [figure: string, value: string, target: string]

function run(step: string, ...args: string[]): Figures {
  const output = execFileSync(process.execPath, ['--expose-gc', STEPS, step, ...args], {
    encoding: 'utf8',
    maxBuffer: OUTPUT_OCTETS_MAX,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return JSON.parse(output) as Figures
}

function realRows(folder: string): { figures: Record<string, Figures>; rows: Row[] } {
  const image = join(folder, 'real.n3')
  const built = run('compile-real', image)
  const opened = run('open', image)
  const trie = run('lookups', image)
  const baselines = run('baselines', image)
  const rows: Row[] = [
    ['names stored', `${built['names']}`, ''],
    ['image, octets a name', `${built['octetsPerName']}`, '<= 8.0, aim 6'],
    ['miss, ns (median of means)', `${trie['missNs']}`, '<= 200'],
    ['miss, ns p99', `${trie['missNsP99']}`, 'reported'],
    ['hit, ns (median of means)', `${trie['hitNs']}`, '<= 500'],
    ['hit, ns p99', `${trie['hitNsP99']}`, 'reported'],
    ['text to image, ms (CPU ms)', `${built['ms']} (${built['cpuMs']})`, '<= 4000'],
    ['text to image, peak RSS MB', `${built['rssMb']}`, '<= 600'],
    ['open and verify, ms', `${opened['ms']}`, '<= 20'],
    ['Set of suffixes: miss / hit, ns', `${baselines['setMissNs']} / ${baselines['setHitNs']}`, ''],
    ['Set of suffixes: memory, MB', `${baselines['setMb']}`, 'image <= an eighth'],
    [
      'sorted array: miss / hit, ns',
      `${baselines['sortedMissNs']} / ${baselines['sortedHitNs']}`,
      '',
    ],
    ['sorted array: memory, MB', `${baselines['sortedMb']}`, ''],
  ]
  return { figures: { built, opened, trie, baselines }, rows }
}

type GeneratedFigures = Record<
  'names' | 'smallBuilt' | 'largeBuilt' | 'smallTrie' | 'largeTrie',
  Figures
>

function measureGenerated(folder: string): GeneratedFigures {
  const small = join(folder, 'small.n3')
  const large = join(folder, 'large.n3')
  const names = run('generate', folder)
  const smallBuilt = run('compile-file', join(folder, 'small.txt'), small)
  const largeBuilt = run('compile-file', join(folder, 'large.txt'), large)
  const smallTrie = run('lookups', small)
  const largeTrie = run('lookups', large)
  return { names, smallBuilt, largeBuilt, smallTrie, largeTrie }
}

function generatedRows({ names, largeBuilt, smallTrie, largeTrie }: GeneratedFigures): Row[] {
  const ratio = Number(largeTrie['missNs']) / Number(smallTrie['missNs'])
  return [
    ['generated names (seed)', `${names['count']} (${names['seed']})`, '5000000'],
    ['their xz -9, octets a name', `${names['xzOctetsPerName']}`, `${names['xzReal']} +- 5 %`],
    ['their image, MB', `${largeBuilt['mb']}`, '<= 45'],
    ['their build, ms (CPU ms)', `${largeBuilt['ms']} (${largeBuilt['cpuMs']})`, '<= 30000'],
    ['their build, peak RSS MB', `${largeBuilt['rssMb']}`, '<= 2000'],
    ['miss at 100,000 names, ns', `${smallTrie['missNs']}`, ''],
    ['miss at 5,000,000 names, ns', `${largeTrie['missNs']} (${ratio.toFixed(2)} times)`, '<= 1.5'],
  ]
}

/** The figures of the last run; with `--only real` those of generated names stay as they are. */
function lastFigures(file: string): Partial<GeneratedFigures> {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as GeneratedFigures) : {}
}

function writeReadme(machine: string, rows: readonly Row[]): void {
  const lines = rows.map((row) => `| ${row.join(' | ')} |`)
  const table = [machine, '', '| figure | measured | target |', '|---|--:|---|', ...lines]
  const readme = withTable(readFileSync(README, 'utf8'), 'trie', table.join('\n'))
  if (readme !== undefined) writeFileSync(README, readme)
}

function main(): void {
  const folder = mkdtempSync(join(tmpdir(), 'niveau3-bench-'))
  try {
    const file = join(RESULTS, 'trie.json')
    const before = lastFigures(file)
    const real = realRows(folder)
    const onlyReal = process.argv.includes('--only')
    const generated = onlyReal ? before : measureGenerated(folder)
    const rows = [...real.rows]
    if (generated.names !== undefined) rows.push(...generatedRows(generated as GeneratedFigures))
    const machine = { node: process.version, cpu: cpus()[0]?.model ?? 'unknown' }
    const width = Math.max(...rows.map(([figure]) => figure.length))
    const table = rows.map(([figure, value, target]) => {
      return `${figure.padEnd(width)}  ${value.padStart(22)}  ${target}`
    })
    process.stdout.write(`${machine.cpu}, Node ${machine.node}\n${table.join('\n')}\n`)
    mkdirSync(RESULTS, { recursive: true })
    const results = { ...before, machine, ...real.figures, ...generated }
    writeFileSync(file, `${JSON.stringify(results, undefined, 2)}\n`)
    writeReadme(`${machine.cpu}, Node.js ${machine.node}:`, rows)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

main()
