/**
 * Every packet of clients and a million mutations of them (by default a tenth of that), slow,
 * flooding, idle and deaf TCP clients: `npm run bench:hostile`. What it asserts holds on any
 * machine; what an honest client waits is printed, beside what one waits at a server that nobody
 * attacks.
 */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import { describeRun, runHostile } from '../support/hostile-suite.ts'

const DATA = resolve(process.env['NIVEAU3_DATA'] ?? '../shared/data')
const INDEX = resolve(DATA, 'packets/index.tsv')
if (!existsSync(INDEX)) {
  throw new Error(`no packets in ${DATA}; set NIVEAU3_DATA to the folder that holds them`)
}
const MUTATIONS = Number(process.env['HOSTILE_MUTATIONS'] ?? 100_000)
const TIMEOUT_MS = 900_000

const corpus = readFileSync(INDEX, 'utf8')
  .trim()
  .split('\n')
  .slice(1)
  .map((line) => readFileSync(resolve(DATA, line.split('\t')[0]!)))
  .filter((packet) => packet.length > 0)

test(
  'hostile clients cost an honest one no answer, and the server nothing that lasts',
  async () => {
    conforms('tcp-exhaustion', 'random-subdomains')
    expect(corpus.length).toBeGreaterThan(500)
    const result = await runHostile({
      corpus,
      seed: 20_261_124,
      mutations: MUTATIONS,
      mutationsPerSecond: 5000,
      idleConnections: 2000,
      slowConnections: 1000,
      slowMs: 10_000,
      floodConnections: 500,
      unreadConnections: 50,
      unreadQuestions: 10_000,
    })
    process.stdout.write(`${describeRun(result)}\n`)
    for (const { attack, service, after } of result.observations) {
      expect(service.lost, `${attack}: answers lost`).toBe(0)
      expect(after.descriptors - result.before.descriptors, `${attack}: descriptors`).toBeLessThan(
        16,
      )
      expect(after.rssMiB - result.before.rssMiB, `${attack}: MiB more`).toBeLessThan(64)
    }
  },
  TIMEOUT_MS,
)
