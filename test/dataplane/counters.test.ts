import { describe, expect, test } from 'vitest'
import {
  DURATION_BOUNDS_MS,
  DURATION_BUCKETS,
  DURATION_SUM_MS,
  FAILURE_REASONS,
  FAMILIES,
  OUTCOMES,
  PROTOS,
  QUERIES,
  QUESTION_TYPES,
  RCODE_SLOTS,
  RESPONSES,
  UPSTREAMS_MAX,
  UPSTREAM_FAILURES,
  UPSTREAM_UP,
  count,
  countReply,
  createCounters,
  failureSlot,
  querySlot,
  replyCodeOf,
  responseSlot,
} from '../../src/dataplane/counters.ts'

describe('counters', () => {
  test('every query has a slot within its group, and other types share one', () => {
    const slots = new Set<number>()
    for (let proto = 0; proto < PROTOS.length; proto++) {
      for (let family = 0; family < FAMILIES.length; family++) {
        for (let type = 0; type <= 65_535; type++) slots.add(querySlot(proto, family, type))
      }
    }
    expect(slots.size).toBe(PROTOS.length * FAMILIES.length * QUESTION_TYPES.length)
    expect(Math.min(...slots)).toBe(QUERIES)
    expect(Math.max(...slots)).toBe(RESPONSES - 1)
  })

  test.each([
    [1, 'A'],
    [28, 'AAAA'],
    [65, 'HTTPS'],
    [64, 'SVCB'],
    [12, 'PTR'],
    [16, 'TXT'],
    [15, 'MX'],
    [2, 'NS'],
    [33, 'SRV'],
    [6, 'SOA'],
    [255, 'ANY'],
    [0, 'other'],
    [257, 'other'],
    [65_281, 'other'],
  ] as const)('type %d counts as %s', (type, label) => {
    expect(QUESTION_TYPES[querySlot(0, 0, type) - QUERIES]).toBe(label)
  })

  test('every response has a slot within its group, whatever the rcode', () => {
    const slots = new Set<number>()
    for (let outcome = 0; outcome < OUTCOMES.length; outcome++) {
      for (const rcode of [0, 5, 15, 16, 17, 23, 4095]) slots.add(responseSlot(outcome, rcode))
    }
    expect(Math.min(...slots)).toBe(RESPONSES)
    expect(Math.max(...slots)).toBe(RESPONSES + OUTCOMES.length * RCODE_SLOTS - 1)
    expect(responseSlot(0, 4095)).toBe(responseSlot(0, 17))
  })

  test('failures of the last upstream stay within their group', () => {
    const last = failureSlot(UPSTREAMS_MAX - 1, FAILURE_REASONS.length - 1)
    expect(last).toBe(UPSTREAM_UP - 1)
    expect(failureSlot(0, 0)).toBe(UPSTREAM_FAILURES)
  })

  test.each([
    { ms: 0, bucket: 0, why: 'below the first bound' },
    { ms: 0.05, bucket: 0, why: 'a bound belongs to its bucket' },
    { ms: 0.0501, bucket: 1, why: 'above the first bound' },
    { ms: 5000, bucket: 15, why: 'the last bound' },
    { ms: 5000.1, bucket: 16, why: 'above all bounds' },
    { ms: Number.POSITIVE_INFINITY, bucket: 16, why: 'above all bounds' },
  ])('$ms ms counts in bucket $bucket: $why', ({ ms, bucket }) => {
    const counters = createCounters()
    countReply(counters, replyCodeOf(1, 0), ms)
    const buckets = DURATION_BOUNDS_MS.length + 1
    expect(counters[DURATION_BUCKETS + buckets + bucket]).toBe(1)
    expect(counters[DURATION_SUM_MS + 1]).toBe(ms)
  })

  test('a block is shared memory: what one thread counts another reads', () => {
    const counters = createCounters()
    count(counters, QUERIES)
    expect(counters.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(new Float64Array(counters.buffer)[QUERIES]).toBe(1)
  })
})
