import { describe, expect, test } from 'vitest'
import { HotUses } from '../../src/dataplane/cache/hot-uses.ts'
import { AskedName } from '../../src/dataplane/query.ts'
import { ParsedQuery } from '../../src/wire/query.ts'

function ask(uses: HotUses, name: string, times: number): void {
  const asked = new AskedName()
  const octets = Buffer.from(`${String.fromCharCode(name.length)}${name}\0`, 'latin1')
  asked.take(octets, 0)
  const query = new ParsedQuery(octets)
  query.type = 1
  for (let time = 0; time < times; time++) uses.note(asked, query)
}

function names(uses: HotUses): readonly string[] {
  return uses.ranked().map(([key]) => key.slice(1, -4))
}

describe('uses', () => {
  test('rank what is asked most', () => {
    const uses = new HotUses(100)
    ask(uses, 'seldom', 1)
    ask(uses, 'often', 50)
    ask(uses, 'sometimes', 7)
    expect(names(uses)).toEqual(['often', 'sometimes', 'seldom'])
  })

  test('keep what is hot when more questions come than are told apart', () => {
    const uses = new HotUses(64)
    for (let round = 0; round < 200; round++) {
      ask(uses, 'hot', 5)
      ask(uses, `cold${round}`, 1)
      expect(uses.ranked().length).toBeLessThanOrEqual(64)
    }
    expect(names(uses)[0]).toBe('hot')
  })

  test('are sampled when there are many, and still rank alike', () => {
    const uses = new HotUses(1000)
    for (let round = 0; round < 100; round++) {
      ask(uses, 'twice', 400)
      ask(uses, 'once', 200)
    }
    const [first, second] = uses.ranked()
    expect(names(uses)).toEqual(['twice', 'once'])
    expect(first![1] / second![1]).toBeGreaterThan(1.6)
    expect(first![1] / second![1]).toBeLessThan(2.5)
  })

  test('fade: what is not asked any more makes room', () => {
    const uses = new HotUses(100)
    ask(uses, 'yesterday', 40)
    for (let interval = 0; interval < 5; interval++) uses.halve()
    ask(uses, 'today', 3)
    expect(names(uses)).toEqual(['today', 'yesterday'])
    for (let interval = 0; interval < 3; interval++) uses.halve()
    expect(names(uses)).toEqual([])
  })
})
