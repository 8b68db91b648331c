/** The picture: a row of numbers above charts, as SVG in the colours of Grafana's dark theme. */
import { topOf, type Chart, type Curve } from './curves.ts'
import { type Box, elapsed, grid, inRows, position, timeMarks, valueMarks } from './scale.ts'
import { baseOf, withUnit } from './units.ts'

/** Pixels of the picture; its height follows from the number of charts. */
export const WIDTH = 1600
/** The family of the font that the picture is drawn with. */
export const FONT = 'DejaVu Sans'

const EDGE = 18
const GAP = 10
const HEADER = 50
const STAT_HEIGHT = 88
const CHART_HEIGHT = 256
const COLUMNS = 3
/** Inside of a chart's box: room for the title, the values, the times and the legend. */
const INSIDE = { top: 40, left: 76, right: 20, legendRow: 20, times: 24, bottom: 10 }
const VALUE_MARKS_MAX = 5
const TIME_MARKS_MAX = 6
/** Mean width of a character, in parts of the font's size. */
const CHARACTER = 0.62
const LEGEND_SIZE = 12
const LEGEND_MARK = 20
const LEGEND_GAP = 16

const PAPER = '#111217'
const PANEL = '#181b1f'
const BORDER = '#2a2d33'
const GRID = '#2b2e35'
const TEXT = '#d8d9dd'
const FAINT = '#9a9da6'
const CURVES = [
  '#73bf69',
  '#f2cc0c',
  '#5794f2',
  '#ff9830',
  '#f2495c',
  '#b877d9',
  '#8ab8ff',
  '#37b3a6',
  '#ffa6b0',
  '#c8f2c2',
]
const STATES: Readonly<Record<string, string>> = { green: '#73bf69', red: '#f2495c' }
const NUMBER = '#8ab8ff'

/** One number above the charts. */
export interface Stat {
  readonly title: string
  readonly text: string
  /** A colour's name in the panel's mapping; undefined where it has none. */
  readonly color: string | undefined
}

/** A chart and the row of the dashboard where it stands. */
export interface PlacedChart extends Chart {
  readonly row: string
}

/**
 * Returns the SVG of the picture.
 *
 * @param seconds that the charts span.
 */
export function draw(
  title: string,
  stats: readonly Stat[],
  charts: readonly PlacedChart[],
  seconds: number,
): string {
  const area = { x: EDGE, y: HEADER, width: WIDTH - 2 * EDGE }
  const statBoxes = grid(stats.length, stats.length, area, { height: STAT_HEIGHT, gap: GAP })
  const below = { ...area, y: HEADER + STAT_HEIGHT + GAP }
  const boxes = grid(charts.length, COLUMNS, below, { height: CHART_HEIGHT, gap: GAP })
  const height = (boxes.at(-1)?.y ?? 0) + CHART_HEIGHT + EDGE
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}"`,
    ` font-family="${FONT}">`,
    `<rect width="${WIDTH}" height="${height}" fill="${PAPER}"/>`,
    words(title, { x: EDGE, y: 33, size: 19, fill: TEXT }),
    ...stats.map((stat, index) => drawStat(stat, statBoxes[index]!)),
    ...charts.map((chart, index) => drawChart(chart, boxes[index]!, seconds)),
    '</svg>',
  ].join('\n')
}

function drawStat({ title, text, color }: Stat, box: Box): string {
  const fill = color === undefined ? NUMBER : (STATES[color] ?? TEXT)
  const middle = box.x + box.width / 2
  return [
    panel(box),
    words(title, { x: box.x + 12, y: box.y + 24, size: 13, fill: TEXT }),
    words(text, { x: middle, y: box.y + 66, size: 30, fill, anchor: 'middle' }),
  ].join('\n')
}

function drawChart(chart: PlacedChart, box: Box, seconds: number): string {
  const colored = chart.curves.map((curve, index) => ({
    curve,
    color: CURVES[index % CURVES.length]!,
  }))
  const rows = inRows(colored, ({ curve }) => legendWidth(curve), box.width - 32)
  const legendTop = box.y + box.height - INSIDE.bottom - rows.length * INSIDE.legendRow
  const plot = {
    x: box.x + INSIDE.left,
    y: box.y + INSIDE.top,
    width: box.width - INSIDE.left - INSIDE.right,
    height: legendTop - INSIDE.times - box.y - INSIDE.top,
  }
  const marks = valueMarks(topOf(chart), VALUE_MARKS_MAX, baseOf(chart.unit))
  const top = marks.at(-1)!
  return [
    panel(box),
    `<text x="${box.x + 12}" y="${box.y + 25}" font-size="14" fill="${FAINT}">`,
    `${escaped(chart.row)} <tspan fill="${TEXT}" font-weight="bold">${escaped(chart.title)}`,
    '</tspan></text>',
    ...marks.map((mark) => valueMark(plot, mark, top, chart.unit)),
    ...timeMarks(seconds, TIME_MARKS_MAX).map((mark) => timeMark(plot, mark, seconds)),
    ...colored.map(({ curve, color }) => drawCurve(curve, color, plot, top, chart)),
    ...rows.flatMap((row, index) =>
      legendRow(row, box.x + 16, legendTop + index * INSIDE.legendRow),
    ),
  ].join('\n')
}

function valueMark(plot: Box, mark: number, top: number, unit: string): string {
  const y = rounded(position(mark, top, plot.y + plot.height, plot.y))
  const right = plot.x + plot.width
  return [
    `<path d="M${plot.x} ${y}H${right}" stroke="${GRID}"/>`,
    words(withUnit(unit, mark), {
      x: plot.x - 8,
      y: y + 4,
      size: 12,
      fill: FAINT,
      anchor: 'end',
    }),
  ].join('')
}

function timeMark(plot: Box, mark: number, seconds: number): string {
  const x = rounded(position(mark, seconds, plot.x, plot.x + plot.width))
  const bottom = plot.y + plot.height
  return [
    `<path d="M${x} ${plot.y}V${bottom}" stroke="${GRID}"/>`,
    words(elapsed(mark), { x, y: bottom + 18, size: 12, fill: FAINT, anchor: 'middle' }),
  ].join('')
}

/** A line for each run of values, and what lies below it down to its floor. */
function drawCurve(curve: Curve, color: string, plot: Box, top: number, chart: Chart): string {
  const last = curve.values.length - 1
  const at = (second: number, value: number): string => {
    const x = position(second, last, plot.x, plot.x + plot.width)
    return `${rounded(x)} ${rounded(position(value, top, plot.y + plot.height, plot.y))}`
  }
  const floor = (second: number): number => curve.floor[second] ?? 0
  return runs(curve.values)
    .map((seconds) => {
      const upper = seconds.map((second) => at(second, floor(second) + curve.values[second]!))
      const lower = seconds.toReversed().map((second) => at(second, floor(second)))
      const opacity = chart.isStacked ? Math.max(0.3, chart.fillOpacity) : chart.fillOpacity
      const area = `<path d="M${[...upper, ...lower].join('L')}Z" fill="${color}"`
      const line = `<path d="M${upper.join('L')}" fill="none" stroke="${color}"`
      return (
        `${area} fill-opacity="${opacity}"/>` +
        `${line} stroke-width="1.8" stroke-linejoin="round" stroke-linecap="round"/>`
      )
    })
    .join('\n')
}

/** Seconds that have a value, in unbroken runs. */
function runs(values: readonly (number | undefined)[]): readonly (readonly number[])[] {
  const found: number[][] = []
  for (const [second, value] of values.entries()) {
    if (value === undefined) continue
    if (second === 0 || values[second - 1] === undefined) found.push([])
    found.at(-1)!.push(second)
  }
  return found
}

function legendWidth({ name }: Curve): number {
  return LEGEND_MARK + name.length * LEGEND_SIZE * CHARACTER + LEGEND_GAP
}

function legendRow(
  row: readonly { readonly curve: Curve; readonly color: string }[],
  left: number,
  top: number,
): readonly string[] {
  let x = left
  return row.map(({ curve, color }) => {
    const mark = `<rect x="${rounded(x)}" y="${top + 8}" width="13" height="4" fill="${color}"/>`
    const name = words(curve.name, {
      x: rounded(x + LEGEND_MARK),
      y: top + 15,
      size: LEGEND_SIZE,
      fill: TEXT,
    })
    x += legendWidth(curve)
    return mark + name
  })
}

function panel({ x, y, width, height }: Box): string {
  const size = `width="${rounded(width)}" height="${height}"`
  return `<rect x="${rounded(x)}" y="${y}" ${size} rx="3" fill="${PANEL}" stroke="${BORDER}"/>`
}

interface Style {
  readonly x: number
  readonly y: number
  readonly size: number
  readonly fill: string
  readonly anchor?: 'start' | 'middle' | 'end'
}

function words(text: string, { x, y, size, fill, anchor = 'start' }: Style): string {
  const place = `x="${rounded(x)}" y="${y}" text-anchor="${anchor}"`
  return `<text ${place} font-size="${size}" fill="${fill}">${escaped(text)}</text>`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10
}
