/**
 * Every packet of clients and a million mutations of them (by default a tenth of that), slow,
 * flooding, idle and deaf TCP clients: `npm run bench:hostile`.
 */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import { describeRun, expectFlat, expectServed, runHostile } from '../support/hostile-suite.ts'

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
      mutations: { count: MUTATIONS / 2, perSecondMax: 8000 },
      slow: { count: 1000, perSecondMax: 500 },
      leaving: { count: 500, perSecondMax: 100 },
      idle: { count: 2000, perSecondMax: 500 },
      unread: { count: 50, perSecondMax: 10 },
      unreadQuestions: 10_000,
      holdMs: 5000,
    })
    process.stdout.write(`${describeRun(result)}\n`)
    expectFlat(result, { liveMiB: 2, rssMiB: 24, descriptors: 16 })
    expectServed(result)
  },
  TIMEOUT_MS,
)
