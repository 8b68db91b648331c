import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { DeadlineList, Pending } from '../../src/dataplane/upstream/pending.ts'

/** All that the list holds, forwards and backwards. */
function contentsOf(list: DeadlineList): Pending[] {
  const forwards: Pending[] = []
  for (let at = list.first; at !== null; at = at.later) forwards.push(at)
  const backwards: Pending[] = []
  for (let at = forwards.at(-1) ?? null; at !== null; at = at.earlier) backwards.push(at)
  expect(backwards.toReversed()).toEqual(forwards)
  return forwards
}

test('the list is a queue from which any question may leave', () => {
  const steps = fc.array(fc.record({ add: fc.boolean(), which: fc.nat(7) }), { maxLength: 60 })
  fc.assert(
    fc.property(steps, (moves) => {
      const list = new DeadlineList()
      const pool = Array.from({ length: 8 }, () => new Pending())
      const model: Pending[] = []
      let nowMs = 0
      for (const { add, which } of moves) {
        const pending = pool[which]!
        const at = model.indexOf(pending)
        if (add && at === -1) {
          list.append(pending, nowMs++)
          model.push(pending)
        } else if (!add) {
          // What is not in the list may be removed as well: nothing happens.
          list.remove(pending)
          if (at !== -1) model.splice(at, 1)
        }
        const contents = contentsOf(list)
        expect(contents.length).toBe(model.length)
        expect(contents.every((held, index) => held === model[index])).toBe(true)
        expect(list.first).toBe(model[0] ?? null)
      }
    }),
  )
})
