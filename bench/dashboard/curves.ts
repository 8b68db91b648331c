/** What Prometheus answered, as curves that can be drawn. */
import type { Panel, PrometheusSeries } from '../../test/support/dashboard.ts'

/** A curve: one value for each second of the picture, undefined where there is none. */
export interface Curve {
  readonly name: string
  readonly values: readonly (number | undefined)[]
  /** Values below this curve that it stands on, where panels stack. */
  readonly floor: readonly number[]
}

/** A panel with the curves of all its expressions. */
export interface Chart {
  readonly title: string
  readonly unit: string
  readonly isStacked: boolean
  readonly fillOpacity: number
  readonly curves: readonly Curve[]
}

/**
 * Returns the chart of a panel. Curves that are 0 throughout are left out, as long as one is not:
 * most reasons and outcomes never come, and their names would hide the others.
 *
 * @param answers one for each of the panel's targets.
 * @param start of the picture, Unix seconds, as in the range that was asked for.
 */
export function chartOf(
  panel: Panel,
  answers: readonly (readonly PrometheusSeries[])[],
  start: number,
  seconds: number,
): Chart {
  const { unit = 'short', custom } = panel.fieldConfig?.defaults ?? {}
  const named = answers.flatMap((answer, index) =>
    answer.map((series) => ({
      name: nameOf(panel.targets?.[index]?.legendFormat ?? '', series.metric),
      values: onGrid(series, start, seconds),
    })),
  )
  const moving = named.filter(({ values }) => values.some((value) => (value ?? 0) !== 0))
  const isStacked = custom?.stacking?.mode === 'normal'
  const shown = moving.length === 0 ? named : moving
  return {
    title: panel.title,
    unit,
    isStacked,
    fillOpacity: (custom?.fillOpacity ?? 0) / 100,
    curves: stacked(shown, isStacked, seconds),
  }
}

/** Returns the highest point of a chart. */
export function topOf({ curves }: Chart): number {
  const points = curves.flatMap(({ values, floor }) =>
    values.map((value, index) => (value ?? 0) + (floor[index] ?? 0)),
  )
  return Math.max(0, ...points)
}

/** `{{label}}` of a legend becomes the label's value, as in Grafana. */
export function nameOf(format: string, labels: Readonly<Record<string, string>>): string {
  return format.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, label: string) => labels[label] ?? '').trim()
}

function onGrid(
  { values }: PrometheusSeries,
  start: number,
  seconds: number,
): readonly (number | undefined)[] {
  const bySecond = new Map(values.map(([at, value]) => [Math.round(at - start), Number(value)]))
  return Array.from({ length: seconds + 1 }, (_, second) => {
    const value = bySecond.get(second)
    return value !== undefined && Number.isFinite(value) ? value : undefined
  })
}

function stacked(
  named: readonly Omit<Curve, 'floor'>[],
  isStacked: boolean,
  seconds: number,
): readonly Curve[] {
  let floor: readonly number[] = Array.from({ length: seconds + 1 }, () => 0)
  return named.map(({ name, values }) => {
    const curve = { name, values, floor }
    if (isStacked) floor = floor.map((below, index) => below + (values[index] ?? 0))
    return curve
  })
}
