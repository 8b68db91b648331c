import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { sourcesBelow } from '../support/architecture/source.ts'
import type { RowId } from './conforms.ts'
import { ROWS, evidenceIn, writeTable } from './table.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const evidence = sourcesBelow(ROOT, 'test')
  .filter(({ path }) => path.endsWith('.test.ts'))
  .flatMap(evidenceIn)

/** Rows that no test shows yet. None may be added; a tagged row is taken out. */
const AWAITED: readonly RowId[] = []

test('every row is shown by a test, or says why not', () => {
  const shown = new Set(evidence.map(({ row }) => row))
  const bare = [...ROWS]
    .filter(([id, row]) => !shown.has(id) && !row.doesNotApply && !row.deviates)
    .map(([id]) => id)
  expect(bare.filter((id) => !AWAITED.some((awaited) => awaited === id))).toEqual([])
})

test('every tag names a row that is ours to hold', () => {
  const astray = evidence.filter(({ row }) => ROWS.get(row)?.doesNotApply ?? !ROWS.has(row))
  expect(astray).toEqual([])
})

test('a row that does not hold has a reason, and the two reasons exclude each other', () => {
  const odd = [...ROWS].filter(([, { doesNotApply, deviates }]) => {
    const reasons = [doesNotApply, deviates].filter((reason) => reason !== undefined)
    return reasons.length > 1 || reasons.some((reason) => reason.length < 20)
  })
  expect(odd).toEqual([])
})

test('the page is what the tests say (npm run conformance writes it)', async () => {
  await expect(writeTable(evidence)).toMatchFileSnapshot(join(ROOT, 'test/conformance.md'))
})
