import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LIMITED, LIMIT_PENDING, createCounters } from '../../src/dataplane/counters.ts'
import { QuestionKey } from '../../src/dataplane/question-key.ts'
import type { Pending } from '../../src/dataplane/upstream/pending.ts'
import { WaitingQueries } from '../../src/dataplane/upstream/waiting-queries.ts'
import { ParsedQuery } from '../../src/wire/query.ts'
import { wireOf } from '../compiler/model.ts'
import { makeSettings } from '../support/dataplane.ts'

/** The question for the name of that one label; six of them have three hashes between them. */
function keyOf(number: number): QuestionKey {
  const name = wireOf([`n${number}`])
  const key = new QuestionKey(name, 0)
  key.set(name.length, 1, 0, (number % 3) * 8192)
  return key
}

const QUERY = new ParsedQuery(new Uint8Array(0))

describe('the table of open questions', () => {
  test('finds what is open and nothing else, whatever shares a hash', () => {
    const step = fc.tuple(fc.constantFrom('open', 'take'), fc.integer({ min: 0, max: 5 }))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const table = new WaitingQueries(createCounters())
        const model = new Map<number, Pending>()
        for (const [what, number] of steps) {
          const open = model.get(number)
          if (what === 'open' && open === undefined) {
            model.set(number, table.open(keyOf(number), QUERY, makeSettings({}))!)
          } else if (what === 'take' && open !== undefined) {
            table.take(open)
            model.delete(number)
          }
          for (let each = 0; each <= 5; each++) {
            expect(table.find(keyOf(each))).toBe(model.get(each) ?? null)
          }
          expect(table.questions).toBe(model.size)
        }
        table.close()
        expect(table.questions).toBe(0)
        for (let each = 0; each <= 5; each++) expect(table.find(keyOf(each))).toBeNull()
        // What an upstream still answers after that finds nobody, and breaks nothing.
        for (const pending of model.values()) expect(table.take(pending)).toBeNull()
        expect(table.questions).toBe(0)
      }),
    )
  })

  test('opens no more than the limit, and counts what it refuses', () => {
    const counters = createCounters()
    const table = new WaitingQueries(counters)
    const few = makeSettings({ limits: { pendingMax: 2 } })
    expect([0, 1, 2].map((number) => table.open(keyOf(number), QUERY, few) !== null)).toEqual([
      true,
      true,
      false,
    ])
    expect(counters[LIMITED + LIMIT_PENDING]).toBe(1)
  })
})
