import { describe, expect, test } from 'vitest'
import { growthOf, trendOf, type Sample } from '../../bench/soak/slope.ts'

function samplesOf(values: readonly number[]): Sample[] {
  return values.map((value, index) => ({ atSeconds: index * 2, value }))
}

describe('the growth of a figure', () => {
  test.each([
    { values: [50, 50, 50, 50], growth: 0, why: 'nothing changes' },
    { values: [100, 100.25, 100.5, 100.75, 101], growth: 0.01, why: 'one per cent, evenly' },
    { values: [100, 99, 98], growth: -0.02, why: 'it falls' },
    { values: [0, 0, 0], growth: 0, why: 'there is nothing, and nothing comes' },
    { values: [0, 1, 2], growth: Number.POSITIVE_INFINITY, why: 'there was nothing' },
  ])('is $growth when $why', ({ values, growth }) => {
    expect(growthOf(samplesOf(values))).toBeCloseTo(growth, 10)
  })

  test('is that of the line through all samples, not of the first and the last', () => {
    const sawtooth = Array.from({ length: 400 }, (_, index) => 100 + (index % 10))
    expect(sawtooth.at(-1)! / sawtooth[0]!).toBeGreaterThan(1.08)
    expect(Math.abs(growthOf(samplesOf(sawtooth)))).toBeLessThan(0.005)
    const leak = sawtooth.map((value, index) => value + index * 0.01)
    expect(growthOf(samplesOf(leak))).toBeCloseTo(4 / 104.5, 2)
  })

  test('does not depend on how often somebody looked', () => {
    const line = [0, 1, 5, 6, 20].map((atSeconds) => ({ atSeconds, value: 200 + atSeconds }))
    expect(growthOf(line)).toBeCloseTo(0.1, 10)
  })

  test.each([{ samples: [] }, { samples: [{ atSeconds: 1, value: 1 }] }])(
    'is an error for too few samples: $samples',
    ({ samples }) => {
      expect(() => growthOf(samples)).toThrow('two moments')
    },
  )
})

describe('the trend', () => {
  const samples = samplesOf([10, 60, 100, 100, 100, 101])

  test('leaves the warm-up out', () => {
    expect(trendOf('timers', samples, 4, 0.01)).toMatchObject({ first: 100, last: 101 })
    expect(trendOf('timers', samples, 4, 0.01).isSteady).toBe(true)
    expect(trendOf('timers', samples, 0, 0.01).isSteady).toBe(false)
  })

  test('is not steady just above what is allowed', () => {
    const leak = samplesOf([100, 101, 102])
    expect(trendOf('timers', leak, 0, 0.02).isSteady).toBe(true)
    expect(trendOf('timers', leak, 0, 0.019).isSteady).toBe(false)
  })
})
