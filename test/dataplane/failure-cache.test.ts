import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FailureCache, NO_FAILURE } from '../../src/dataplane/upstream/failure-cache.ts'

describe('the failure cache', () => {
  test('never says of a question what another one did, whatever collides', () => {
    const step = fc.record({
      kind: fc.constantFrom('note', 'forget', 'find'),
      question: fc.nat(5),
      passMs: fc.nat(3000),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const cache = new FailureCache(30)
        const lastMs = new Map<number, number>()
        let nowMs = 1000
        for (const { kind, question, passMs } of steps) {
          nowMs += passMs
          // Two slots for six questions.
          const key = `q${question}`
          const hash = question % 2
          if (kind === 'note') {
            cache.note(key, hash, question, true, nowMs)
            lastMs.set(question, nowMs)
            expect(cache.find(key, hash, nowMs + 999)).toBe(question)
            expect(cache.find(key, hash, nowMs + 30_000)).toBe(NO_FAILURE)
          } else if (kind === 'forget') {
            cache.forget(key, hash)
            lastMs.delete(question)
            expect(cache.find(key, hash, nowMs)).toBe(NO_FAILURE)
          } else {
            const found = cache.find(key, hash, nowMs)
            expect([question, NO_FAILURE]).toContain(found)
            if (!lastMs.has(question)) expect(found).toBe(NO_FAILURE)
          }
        }
      }),
    )
  })

  test('lets go of what nobody reached when somebody is reached again', () => {
    const cache = new FailureCache(30)
    cache.note('unreached', 1, 2, false, 0)
    cache.note('refused', 2, 5, true, 0)
    cache.recover()
    expect(cache.find('unreached', 1, 500)).toBe(NO_FAILURE)
    expect(cache.find('refused', 2, 500)).toBe(5)
  })

  test('keeps a failure for a second even where the configuration allows less', () => {
    const cache = new FailureCache(0)
    for (let nowMs = 0; nowMs < 5000; nowMs += 1000) {
      cache.note('a', 1, 2, true, nowMs)
      expect(cache.find('a', 1, nowMs + 999)).toBe(2)
      expect(cache.find('a', 1, nowMs + 1000)).toBe(NO_FAILURE)
    }
  })
})
