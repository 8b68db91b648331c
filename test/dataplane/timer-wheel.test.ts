import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { NEVER, Timed, TimerWheel } from '../../src/dataplane/upstream/timer-wheel.ts'

/** How late the wheel may be: one tick. */
const TICK_MS = 16

function takeAll(wheel: TimerWheel, nowMs: number): Timed[] {
  const taken = []
  for (let due = wheel.take(nowMs); due !== null; due = wheel.take(nowMs)) taken.push(due)
  return taken
}

test('gives out exactly what is due, at most one tick late and never early', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('add'), which: fc.nat(15), ms: fc.nat(90_000) }),
    fc.record({ kind: fc.constant('remove'), which: fc.nat(15), ms: fc.constant(0) }),
    fc.record({ kind: fc.constant('pass'), which: fc.constant(0), ms: fc.nat(70_000) }),
  )
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), fc.array(step), (startMs, steps) => {
      const wheel = new TimerWheel()
      const items = Array.from({ length: 16 }, () => new Timed())
      const model = new Set<Timed>()
      let nowMs = startMs
      takeAll(wheel, nowMs)
      for (const { kind, which, ms } of steps) {
        const item = items[which]!
        if (kind === 'add' && !model.has(item)) {
          wheel.add(item, nowMs + ms)
          model.add(item)
        } else if (kind === 'remove') {
          // What does not wait may be removed as well: nothing happens.
          wheel.remove(item)
          model.delete(item)
        } else if (kind === 'pass') {
          nowMs += ms
          for (const due of takeAll(wheel, nowMs)) {
            expect(model.delete(due)).toBe(true)
            expect(due.deadlineMs).toBeLessThanOrEqual(nowMs)
          }
          for (const left of model) expect(left.deadlineMs).toBeGreaterThan(nowMs - TICK_MS)
        }
        expect(wheel.size).toBe(model.size)
      }
    }),
  )
})

test('whoever calls it when it says so takes everything within one tick of its time', () => {
  const waits = fc.array(fc.nat(100_000), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(fc.nat(1_000_000), waits, (startMs, lengths) => {
      const wheel = new TimerWheel()
      takeAll(wheel, startMs)
      for (const ms of lengths) wheel.add(new Timed(), startMs + ms)
      let calls = 0
      for (let nowMs = wheel.nextMs; nowMs !== NEVER; nowMs = wheel.nextMs) {
        for (const due of takeAll(wheel, nowMs)) {
          expect(nowMs - due.deadlineMs).toBeLessThanOrEqual(TICK_MS)
          expect(nowMs).toBeGreaterThanOrEqual(due.deadlineMs)
        }
        // A slot is looked at once a round, due or not, and 100 s are at most four rounds.
        expect(calls++).toBeLessThanOrEqual(lengths.length * 4)
      }
      expect(wheel.size).toBe(0)
    }),
  )
})

test('what is taken out may wait again at once', () => {
  const wheel = new TimerWheel()
  const item = new Timed()
  wheel.add(item, 100)
  expect(wheel.take(120)).toBe(item)
  wheel.add(item, 110)
  expect(wheel.take(111)).toBeNull()
  expect(wheel.take(120)).toBe(item)
  expect(wheel.take(160)).toBeNull()
  expect(wheel.nextMs).toBe(NEVER)
})
