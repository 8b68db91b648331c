/** Whether a figure grows: the line through its samples. */

/** One look at a figure. */
export interface Sample {
  readonly atSeconds: number
  readonly value: number
}

/**
 * Returns by what share of itself the figure grew from the first sample to the last, by the
 * straight line that fits all samples best (least squares): 0.01 for one per cent, below 0 when it
 * fell.
 *
 * @throws Error for fewer than two moments.
 */
export function growthOf(samples: readonly Sample[]): number {
  const first = samples[0]
  const last = samples.at(-1)
  if (first === undefined || last === undefined || first.atSeconds === last.atSeconds) {
    throw new Error('a slope needs samples of two moments')
  }
  const meanAt = mean(samples.map(({ atSeconds }) => atSeconds))
  const meanValue = mean(samples.map(({ value }) => value))
  const sum = (of: (sample: Sample) => number): number =>
    samples.reduce((total, sample) => total + of(sample), 0)
  const slope =
    sum(({ atSeconds, value }) => (atSeconds - meanAt) * (value - meanValue)) /
    sum(({ atSeconds }) => (atSeconds - meanAt) ** 2)
  const grown = slope * (last.atSeconds - first.atSeconds)
  if (grown === 0) return 0
  const start = meanValue - slope * (meanAt - first.atSeconds)
  // From nothing to something is no share of it.
  return start <= 0 ? Math.sign(grown) * Number.POSITIVE_INFINITY : grown / start
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** What became of a figure over the whole run. */
export interface Trend {
  readonly figure: string
  readonly first: number
  readonly last: number
  /** Growth after the warm-up, as `growthOf` has it. */
  readonly growth: number
  readonly isSteady: boolean
}

/** Returns the trend after the warm-up: steady when the figure grew by `growthMax` or less. */
export function trendOf(
  figure: string,
  samples: readonly Sample[],
  warmUpSeconds: number,
  growthMax: number,
): Trend {
  const warm = samples.filter(({ atSeconds }) => atSeconds >= warmUpSeconds)
  const growth = growthOf(warm)
  return {
    figure,
    first: warm[0]!.value,
    last: warm.at(-1)!.value,
    growth,
    isSteady: growth <= growthMax,
  }
}
