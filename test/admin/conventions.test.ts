import { beforeAll, describe, expect, test } from 'vitest'
import { Metrics } from '../../src/controlplane/admin/metrics.ts'
import { RCODE_NAMES } from '../../src/controlplane/admin/rcode-names.ts'
import { UPDATE_RESULTS } from '../../src/controlplane/admin/server-facts.ts'
import { REFUSALS } from '../../src/controlplane/fleet/refusals.ts'
import { VERDICTS } from '../../src/controlplane/probe/ask-one.ts'
import { NO_PROBE } from '../../src/controlplane/probe/probe-facts.ts'
import * as counters from '../../src/dataplane/counters.ts'
import * as redis from '../../src/dataplane/redis-counters.ts'
import { listFacts, serverFacts, subscribedFacts } from '../support/server-facts.ts'
import { readOpenMetrics, type Family } from './openmetrics.ts'

/** Every label of ours with the values that it can have; an operator's are those of the facts. */
const UPSTREAMS = ['udp://192.0.2.1:53', 'tls://dns.example@192.0.2.2:853']
const SITES = ['default', 'lyon', 'nantes']
const LISTS = ['ut1-adult', 'ut1-vpn']
const CATEGORIES = ['darkweb', 'adult', 'vpn']
const CLOSED: Readonly<Record<string, readonly string[]>> = {
  action: [...counters.DECISION_ACTIONS, 'pass', 'deny', 'remove', 'pause', 'resume'],
  category: [...CATEGORIES, 'denied', 'private-address', 'none', 'essential', 'all'],
  check: ['workers', 'filter', 'upstreams'],
  code: [...Array.from({ length: 30 }, (_, code) => String(code)), 'other'],
  direction: ['sent', 'received'],
  family: counters.FAMILIES,
  kind: counters.SIGNALS,
  le: [],
  limit: counters.LIMITS,
  list: LISTS,
  node: [process.versions.node],
  outcome: counters.OUTCOMES,
  proto: counters.PROTOS,
  rcode: RCODE_NAMES,
  reason: [
    ...counters.DROP_REASONS,
    ...counters.FAILURE_REASONS,
    ...redis.REDIS_ERRORS,
    ...redis.REDIS_REJECTIONS,
    ...REFUSALS,
  ],
  result: [
    ...UPDATE_RESULTS,
    ...counters.CACHE_RESULTS,
    ...redis.REDIS_RESULTS,
    ...redis.REDIS_WRITES,
    ...VERDICTS,
    'success',
    'failure',
  ],
  site: SITES,
  status: counters.HTTP_STATUSES.map(String),
  tier: ['memory', 'redis'],
  type: counters.QUESTION_TYPES,
  upstream: UPSTREAMS,
  version: ['1.2.3'],
}

/** Units that are none of Prometheus's base units (Prometheus, metric and label naming). */
const FOREIGN = ['ms', 'milliseconds', 'us', 'ns', 'minutes', 'hours', 'days', 'age', 'octets']
const FOREIGN_UNITS = new RegExp(
  `_(${[...FOREIGN, 'kb', 'mib', 'percent', 'ratio'].join('|')})(_|$)`,
)

const facts = serverFacts({
  probe: {
    ...NO_PROBE,
    success: new Map([...CATEGORIES, 'essential'].map((name) => [name, true])),
  },
  upstreams: UPSTREAMS,
  sites: SITES,
  certificateExpiresAtSeconds: 1_800_000_000,
  checks: ['workers', 'filter', 'upstreams'].map((check) => ({ check, ok: true, why: '' })),
  filter: {
    categories: CATEGORIES,
    rules: CATEGORIES.map((category) => ({ category, rules: 5 })),
    lists: LISTS.map(listFacts),
    subscriptions: LISTS.map(subscribedFacts),
    isHeld: false,
    fleetImage: {
      generation: 3,
      builtAtSeconds: 1_700_000_000,
      succeededAtSeconds: 1_700_000_100,
      failures: 0,
      refusals: {},
    },
    generation: 1,
    memoryOctets: 4096,
  },
})

let ours: readonly Family[]
let all: readonly Family[]

beforeAll(async () => {
  all = readOpenMetrics((await new Metrics(() => facts, 0).render(true)).body)
  ours = all.filter(({ name }) => name.startsWith('niveau3_'))
})

test('there are metrics to hold to the conventions', () => {
  expect(ours.length).toBeGreaterThan(60)
  expect(all.filter(({ name }) => !/^(niveau3|process|nodejs)_/.test(name))).toEqual([])
})

test('names are lower case words with one underscore between them', () => {
  const odd = ours.filter(({ name }) => !/^niveau3(_[a-z][a-z0-9]*)+$/.test(name))
  expect(odd.map(({ name }) => name)).toEqual([])
})

test('units are base units, and no name holds another', () => {
  expect(ours.map(({ name }) => name).filter((name) => FOREIGN_UNITS.test(name))).toEqual([])
  const histograms = ours.filter(({ type }) => type === 'histogram')
  expect(histograms.length).toBeGreaterThan(4)
  expect(histograms.filter(({ name }) => !/_(seconds|bytes)$/.test(name))).toEqual([])
})

test('times are timestamps, never ages', () => {
  const times = ours.filter(({ name }) => name.includes('timestamp'))
  expect(times.length).toBeGreaterThan(3)
  expect(times.filter(({ name }) => !name.endsWith('_timestamp_seconds'))).toEqual([])
})

test('counters, and nothing else, end in _total', () => {
  for (const { name, samples, type } of ours) {
    expect(name, name).not.toMatch(/_total$/)
    const isCounted = samples.every((sample) => sample.name === `${name}_total`)
    expect(isCounted && samples.length > 0, name).toBe(type === 'counter')
  }
})

test('every label has values of a closed set', () => {
  for (const { name, samples } of ours) {
    for (const { labels } of samples) {
      for (const [label, value] of Object.entries(labels)) {
        expect(Object.keys(CLOSED), name).toContain(label)
        if (label !== 'le') expect(CLOSED[label], `${name}: ${label}`).toContain(value)
      }
    }
  }
})

test('all samples of a metric have the same labels', () => {
  for (const { name, samples, type } of ours) {
    const sets = samples.map(({ labels }) => {
      const names = Object.keys(labels).filter((label) => type !== 'histogram' || label !== 'le')
      return names.toSorted().join()
    })
    expect(new Set(sets).size, name).toBe(1)
  }
})

test('every counter and histogram begins at 0, with all of its series', () => {
  const counting = ours.filter(({ type }) => type !== 'gauge')
  for (const { name, samples } of counting) {
    expect(samples.length, name).toBeGreaterThan(0)
    expect(
      samples.every(({ value }) => value === 0),
      name,
    ).toBe(true)
  }
  const labelledBy = (name: string, label: string): string[] => {
    const family = ours.find((each) => each.name === name)
    return [...new Set(family?.samples.map(({ labels }) => labels[label]!))]
  }
  expect(labelledBy('niveau3_list_updates', 'result')).toEqual([...UPDATE_RESULTS])
  expect(labelledBy('niveau3_dns_dropped', 'reason')).toEqual([...counters.DROP_REASONS])
  expect(labelledBy('niveau3_bypass_signals', 'kind')).toEqual([...counters.SIGNALS])
  expect(labelledBy('niveau3_dns_extended_errors', 'code')).toEqual([
    '3',
    '13',
    '14',
    '15',
    '19',
    '22',
    '23',
  ])
})

test('every histogram rises to +Inf, which is its count', () => {
  // Those of Node have no series before the first event.
  for (const { name, samples } of ours.filter(({ type }) => type === 'histogram')) {
    const groups = new Map<string, Family['samples'][number][]>()
    for (const sample of samples.filter((each) => each.name === `${name}_bucket`)) {
      const { le: _le, ...labels } = sample.labels
      const key = JSON.stringify(labels)
      groups.set(key, [...(groups.get(key) ?? []), sample])
    }
    expect(groups.size, name).toBeGreaterThan(0)
    for (const [labels, buckets] of groups) {
      const bounds = buckets.map(({ labels: { le } }) => Number(le!.replace('+Inf', 'Infinity')))
      expect(bounds, name).toEqual(bounds.toSorted((a, b) => a - b))
      expect(bounds.at(-1), name).toBe(Number.POSITIVE_INFINITY)
      expect(
        bounds.some((bound) => String(bound).length > 12),
        name,
      ).toBe(false)
      const count = samples.find(
        (sample) => sample.name === `${name}_count` && JSON.stringify(sample.labels) === labels,
      )
      expect(buckets.at(-1)?.value, name).toBe(count?.value)
    }
  }
})

test('every metric says what it is, in one sentence', () => {
  const silent = ours.filter(({ help }) => !/^\S.*\.$/.test(help))
  expect(silent.map(({ name }) => name)).toEqual([])
})

describe('a page', () => {
  test('is made once for all who ask within its time, and anew after it', async () => {
    let made = 0
    const metrics = new Metrics(() => {
      made += 1
      return serverFacts()
    }, 60_000)
    const pages = await Promise.all(Array.from({ length: 20 }, () => metrics.render(false)))
    expect(new Set(pages.map(({ body }) => body)).size).toBe(1)
    expect(made).toBe(1)
    await metrics.render(false)
    expect(made).toBe(1)
    const fresh = new Metrics(() => {
      made += 1
      return serverFacts()
    }, 0)
    await fresh.render(false)
    await fresh.render(false)
    expect(made).toBe(3)
  })

  test('that failed is not given again', async () => {
    let isBroken = true
    const metrics = new Metrics(() => {
      if (isBroken) throw new Error('not yet')
      return serverFacts()
    }, 60_000)
    await expect(metrics.render(false)).rejects.toThrow('not yet')
    isBroken = false
    expect((await metrics.render(false)).body).toContain('niveau3_build_info')
  })
})
