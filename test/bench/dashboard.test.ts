/** The picture of the dashboard: its scales and words, and that the one in the repository is it. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { chartOf, nameOf, topOf } from '../../bench/dashboard/curves.ts'
import { draw, WIDTH, type PlacedChart } from '../../bench/dashboard/draw.ts'
import { elapsed, grid, inRows, timeMarks, valueMarks } from '../../bench/dashboard/scale.ts'
import { withUnit } from '../../bench/dashboard/units.ts'
import { readDashboard, type Panel, type PrometheusSeries } from '../support/dashboard.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const PICTURE = 'deploy/grafana/dashboard.png'
const OCTETS_MAX = 200_000
const PNG_SIGNATURE = '89504e470d0a1a0a'
const WIDTH_AT = 16
const HEIGHT_AT = 20

describe('a value has its unit and three digits', () => {
  test.each([
    ['reqps', 0, '0/s'],
    ['reqps', 391.4, '391/s'],
    ['reqps', 12_500, '12.5 K/s'],
    ['ops', 2.5, '2.5/s'],
    ['short', 0, '0'],
    ['short', 0.075, '0.075'],
    ['short', 999.9, '1 K'],
    ['short', 1_750_000, '1.75 M'],
    ['percentunit', 0.1994, '19.9%'],
    ['s', 0, '0 s'],
    ['s', 0.000_025, '25 µs'],
    ['s', 0.0233, '23.3 ms'],
    ['s', 1.5, '1.5 s'],
    ['s', 90, '90 s'],
    ['s', 600, '10 min'],
    ['s', 7200, '2 h'],
    ['s', 259_200, '3 d'],
    ['bytes', 512, '512 B'],
    ['bytes', 134_217_728, '128 MiB'],
  ])('%s %d is %s', (unit, value, text) => {
    expect(withUnit(unit, value)).toBe(text)
  })

  test('every unit of the dashboard is known, and no other is guessed', () => {
    const units = readDashboard().panels.flatMap(({ fieldConfig }) => {
      const unit = fieldConfig?.defaults.unit
      return unit === undefined ? [] : [unit]
    })
    for (const unit of new Set(units)) expect(withUnit(unit, 1)).not.toBe('')
    expect(() => withUnit('parsec', 1)).toThrow('parsec')
  })
})

describe('an axis of values ends at the first round value that holds all', () => {
  test.each([
    [0, 1000, [0, 1]],
    [1, 1000, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [461, 1000, [0, 100, 200, 300, 400, 500]],
    [0.024, 1000, [0, 0.005, 0.01, 0.015, 0.02, 0.025]],
    [120 * 1024 ** 2, 1024, [0, 32, 64, 96, 128].map((mebi) => mebi * 1024 ** 2)],
    [3 * 1024, 1024, [0, 1024, 2048, 3072]],
  ] as const)('%d in base %d', (max, base, marks) => {
    expect(valueMarks(max, 5, base)).toEqual(marks)
  })
})

test.each([
  [120, 6, [0, 30, 60, 90, 120]],
  [60, 6, [0, 10, 20, 30, 40, 50, 60]],
  [7200, 4, [0, 3600, 7200]],
] as const)('an axis of %d seconds has its marks at round moments', (span, most, marks) => {
  expect(timeMarks(span, most)).toEqual(marks)
})

test.each([
  [0, '0:00'],
  [90, '1:30'],
  [600, '10:00'],
] as const)('%d seconds are %s', (seconds, text) => {
  expect(elapsed(seconds)).toBe(text)
})

test('panels lie in rows, fill the width and do not touch', () => {
  const boxes = grid(4, 3, { x: 10, y: 20, width: 320 }, { height: 50, gap: 10 })
  expect(boxes).toEqual([
    { x: 10, y: 20, width: 100, height: 50 },
    { x: 120, y: 20, width: 100, height: 50 },
    { x: 230, y: 20, width: 100, height: 50 },
    { x: 10, y: 80, width: 100, height: 50 },
  ])
})

test('a legend goes on in the next row before it leaves its panel', () => {
  expect(inRows([4, 4, 4, 12, 1], (width) => width, 10)).toEqual([[4, 4], [4], [12], [1]])
  expect(inRows([], () => 1, 10)).toEqual([])
})

test('a curve has the name that the panel gives it', () => {
  expect(nameOf('{{proto}} {{ family }}', { proto: 'udp', family: '4' })).toBe('udp 4')
  expect(nameOf('{{absent}} up', {})).toBe('up')
})

/** A series that begins at second 100. */
function series(outcome: string, values: readonly string[]): PrometheusSeries {
  return { metric: { outcome }, values: values.map((value, second) => [100 + second, value]) }
}

function panel(mode: string): Panel {
  return {
    title: 'Answers',
    type: 'timeseries',
    fieldConfig: { defaults: { unit: 'reqps', custom: { stacking: { mode } } } },
    targets: [{ expr: 'x', legendFormat: '{{outcome}}' }],
  }
}

describe('a chart', () => {
  const answers = [
    [series('a', ['1', '2']), series('never', ['0', '0']), series('b', ['3', 'NaN'])],
  ]

  test('stands its curves on each other where the panel stacks', () => {
    const { curves } = chartOf(panel('normal'), answers, 100, 1)
    expect(curves).toEqual([
      { name: 'a', values: [1, 2], floor: [0, 0] },
      { name: 'b', values: [3, undefined], floor: [1, 2] },
    ])
    expect(topOf(chartOf(panel('normal'), answers, 100, 1))).toBe(4)
    expect(topOf(chartOf(panel('none'), answers, 100, 1))).toBe(3)
  })

  test('keeps curves of nothing but 0 when there is nothing else', () => {
    const zero = [[series('never', ['0', '0'])]]
    expect(chartOf(panel('none'), zero, 100, 1).curves.map(({ name }) => name)).toEqual(['never'])
  })

  test('is drawn without a line where a value is missing, and its words are escaped', () => {
    const chart: PlacedChart = { ...chartOf(panel('none'), answers, 100, 1), row: 'A & <B>' }
    const svg = draw('title', [{ title: 'Ready', text: 'yes', color: 'green' }], [chart], 1)
    expect(svg).toContain('A &amp; &lt;B&gt;')
    expect(svg).not.toMatch(/NaN|undefined/)
    expect(svg.match(/stroke-linecap/g)).toHaveLength(2)
  })
})

describe('the picture in the repository', () => {
  test('is a PNG of that width and small enough for a page', () => {
    const octets = readFileSync(join(ROOT, PICTURE))
    expect(octets.subarray(0, 8).toString('hex')).toBe(PNG_SIGNATURE)
    expect(octets.readUInt32BE(WIDTH_AT)).toBe(WIDTH)
    expect(octets.readUInt32BE(HEIGHT_AT)).toBeGreaterThan(WIDTH / 2)
    expect(octets.length).toBeLessThan(OCTETS_MAX)
  })

  test('is shown by the README', () => {
    expect(readFileSync(join(ROOT, 'README.md'), 'utf8')).toMatch(
      new RegExp(`!\\[[^\\]]+\\]\\(${PICTURE.replaceAll('.', '\\.')}\\)`),
    )
  })
})
