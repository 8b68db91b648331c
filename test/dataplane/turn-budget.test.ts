import { expect, test } from 'vitest'
import { TurnBudget } from '../../src/dataplane/transport/turn-budget.ts'

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Spends until nothing is left; returns how many answers that took. */
function exhaust(budget: TurnBudget, octets: number): number {
  let answers = 0
  while (!budget.isSpent) {
    budget.spend(octets)
    answers++
  }
  return answers
}

test('a turn ends after 256 answers, or after 256 KiB of them', async () => {
  const budget = new TurnBudget()
  expect(exhaust(budget, 100)).toBe(256)
  await nextTurn()
  expect(budget.isSpent).toBe(false)
  expect(exhaust(budget, 65_536)).toBe(4)
})

test('those who wait are called in the next turn, in order, until it is spent as well', async () => {
  const budget = new TurnBudget()
  exhaust(budget, 10)
  const called: string[] = []
  const goOn = (name: string) => (): void => {
    if (budget.isSpent) budget.wait(goOn(name))
    else {
      called.push(name)
      exhaust(budget, 10)
    }
  }
  for (const name of ['first', 'second', 'third']) budget.wait(goOn(name))
  expect(called).toEqual([])
  await nextTurn()
  expect(called).toEqual(['first'])
  await nextTurn()
  await nextTurn()
  expect(called).toEqual(['first', 'second', 'third'])
})

test('who has more for every turn does not go before those who had none', async () => {
  const budget = new TurnBudget()
  const called: string[] = []
  /** A connection that spends the whole turn whenever it gets one. */
  const connection = (name: string) => {
    const goOn = (): void => {
      if (!budget.isSpent) {
        called.push(name)
        exhaust(budget, 10)
      }
      budget.wait(goOn)
    }
    return goOn
  }
  exhaust(budget, 10)
  for (const name of ['first', 'second', 'third']) budget.wait(connection(name))
  for (let turn = 0; turn < 7; turn++) await nextTurn()
  expect(called).toEqual(['first', 'second', 'third', 'first', 'second', 'third', 'first'])
})
