import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { QuestionKey } from '../../src/dataplane/question-key.ts'
import { FailureCache, NO_FAILURE } from '../../src/dataplane/upstream/failure-cache.ts'

/** A key with that hash, for the name of one label. */
function keyOf(label: string, hash: number): QuestionKey {
  const octets = Buffer.from(`${String.fromCharCode(label.length)}${label}\0`, 'latin1')
  const key = new QuestionKey(octets, 0)
  key.set(octets.length, 1, 0, hash)
  return key
}

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
          const key = keyOf(`q${question}`, question % 2)
          if (kind === 'note') {
            cache.note(key, question, true, nowMs)
            lastMs.set(question, nowMs)
            expect(cache.find(key, nowMs + 999)).toBe(question)
            expect(cache.find(key, nowMs + 30_000)).toBe(NO_FAILURE)
          } else if (kind === 'forget') {
            cache.forget(key)
            lastMs.delete(question)
            expect(cache.find(key, nowMs)).toBe(NO_FAILURE)
          } else {
            const found = cache.find(key, nowMs)
            expect([question, NO_FAILURE]).toContain(found)
            if (!lastMs.has(question)) expect(found).toBe(NO_FAILURE)
          }
        }
      }),
    )
  })

  test('lets go of what nobody reached when somebody is reached again', () => {
    const cache = new FailureCache(30)
    cache.note(keyOf('unreached', 1), 2, false, 0)
    cache.note(keyOf('refused', 2), 5, true, 0)
    cache.recover()
    expect(cache.find(keyOf('unreached', 1), 500)).toBe(NO_FAILURE)
    expect(cache.find(keyOf('refused', 2), 500)).toBe(5)
  })

  test('keeps a failure for a second even where the configuration allows less', () => {
    const cache = new FailureCache(0)
    for (let nowMs = 0; nowMs < 5000; nowMs += 1000) {
      cache.note(keyOf('a', 1), 2, true, nowMs)
      expect(cache.find(keyOf('a', 1), nowMs + 999)).toBe(2)
      expect(cache.find(keyOf('a', 1), nowMs + 1000)).toBe(NO_FAILURE)
    }
  })
})
