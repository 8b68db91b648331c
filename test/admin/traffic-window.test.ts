import { expect, test } from 'vitest'
import { TrafficWindow } from '../../src/controlplane/admin/traffic-window.ts'
import {
  OUTCOME_BLOCKED,
  OUTCOME_CACHED,
  OUTCOME_ERROR,
  OUTCOME_FORWARDED,
  DROPPED,
  UPSTREAM_DURATION_SUM_MS,
  UPSTREAM_RESPONSES,
  clearUpstreams,
  countReply,
  createCounters,
  replyCodeOf,
} from '../../src/dataplane/counters.ts'

function setUp() {
  const counters = createCounters()
  const clock = { ms: 0 }
  const window = new TrafficWindow(
    () => counters,
    () => clock.ms,
  )
  window.look()
  const reply = (times: number, outcome: number, rcode: number, ms: number): void => {
    for (let i = 0; i < times; i++) countReply(counters, replyCodeOf(outcome, rcode), ms)
  }
  /** Lets time go by, with the looks that a server takes. */
  const pass = (seconds: number): void => {
    for (let i = 0; i < seconds / 10; i++) {
      clock.ms += 10_000
      window.look()
    }
  }
  return { clock, counters, pass, reply, window }
}

test('rates, shares and times are those since the oldest look', () => {
  const { clock, counters, reply, window } = setUp()
  reply(50, OUTCOME_CACHED, 0, 0.04)
  reply(25, OUTCOME_BLOCKED, 3, 0.04)
  reply(23, OUTCOME_FORWARDED, 0, 20)
  reply(2, OUTCOME_ERROR, 2, 4000)
  counters[DROPPED] = 25
  clock.ms = 10_000
  const traffic = window.traffic()
  expect(traffic).toMatchObject({
    seconds: 10,
    answersPerSecond: 10,
    blockedShare: 0.25,
    cachedShare: 0.5,
    servfailShare: 0.02,
    droppedShare: 0.2,
  })
  expect(traffic.p50Ms).toBeLessThanOrEqual(0.05)
  expect(traffic.p99Ms).toBeGreaterThan(2500)
})

test('what is more than five minutes ago counts no more', () => {
  const { pass, reply, window } = setUp()
  reply(1000, OUTCOME_FORWARDED, 2, 5000)
  pass(290)
  expect(window.traffic()).toMatchObject({ seconds: 290, servfailShare: 1 })
  reply(300, OUTCOME_CACHED, 0, 0.01)
  pass(290)
  expect(window.traffic()).toMatchObject({ seconds: 300, servfailShare: 0, answersPerSecond: 1 })
  pass(300)
  expect(window.traffic()).toMatchObject({ answersPerSecond: 0, p50Ms: null, p99Ms: null })
})

test('an upstream has a mean of its replies, which starts anew with other upstreams', () => {
  const { counters, window } = setUp()
  expect(window.upstreamMs(1)).toBeNull()
  counters[UPSTREAM_RESPONSES + 1] = 4
  counters[UPSTREAM_DURATION_SUM_MS + 1] = 50
  expect(window.upstreamMs(1)).toBe(12.5)
  expect(window.upstreamMs(0)).toBeNull()
  window.look()
  clearUpstreams(counters)
  counters[UPSTREAM_RESPONSES + 1] = 2
  counters[UPSTREAM_DURATION_SUM_MS + 1] = 6
  expect(window.upstreamMs(1)).toBe(3)
})
