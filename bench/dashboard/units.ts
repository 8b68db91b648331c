/** Numbers as Grafana's units show them. */

interface Step {
  readonly from: number
  readonly divisor: number
  readonly suffix: string
}

const MINUTE_S = 60
const HOUR_S = 3600
const DAY_S = 86_400

const COUNTS = scaled(['', ' K', ' M', ' G'], 1000)
const OCTETS = scaled([' B', ' KiB', ' MiB', ' GiB', ' TiB'], 1024)
/** Below 100 seconds in seconds: a person reads 90 s at once. */
const SECONDS: readonly Step[] = [
  { from: 2 * DAY_S, divisor: DAY_S, suffix: ' d' },
  { from: 2 * HOUR_S, divisor: HOUR_S, suffix: ' h' },
  { from: 100, divisor: MINUTE_S, suffix: ' min' },
  { from: 1, divisor: 1, suffix: ' s' },
  { from: 1e-3, divisor: 1e-3, suffix: ' ms' },
  { from: 0, divisor: 1e-6, suffix: ' µs' },
]

/**
 * Returns the value with its unit, to three digits: `1.25 ms`, `12.3%`, `340 /s`.
 *
 * @param unit as `fieldConfig.defaults.unit` says it; one that is not known here throws.
 */
export function withUnit(unit: string, value: number): string {
  switch (unit) {
    case 'short':
      return inSteps(COUNTS, value)
    case 'reqps':
    case 'ops':
      return `${inSteps(COUNTS, value)}/s`
    case 'bytes':
      return inSteps(OCTETS, value)
    case 's':
      return value === 0 ? '0 s' : inSteps(SECONDS, value)
    case 'percentunit':
      return `${digits(value * 100)}%`
    default:
      throw new Error(`the unit ${unit} is not known: add it to bench/dashboard/units.ts`)
  }
}

/** The base in which round numbers of a unit are round. */
export function baseOf(unit: string): 1000 | 1024 {
  return unit === 'bytes' ? 1024 : 1000
}

/** The largest step first; each begins at its divisor, the smallest at nothing. */
function scaled(suffixes: readonly string[], base: number): readonly Step[] {
  const steps = suffixes.map((suffix, power) => {
    const divisor = base ** power
    return { from: power === 0 ? 0 : divisor, divisor, suffix }
  })
  return steps.toReversed()
}

function inSteps(steps: readonly Step[], value: number): string {
  // Half a digit below a step is shown as the step: 999.9 is 1 K.
  const shown = Math.abs(value) * (1 + 5e-4)
  const { divisor, suffix } = steps.find(({ from }) => shown >= from)!
  return `${digits(value / divisor)}${suffix}`
}

function digits(value: number): string {
  const size = Math.abs(value)
  if (size >= 100) return value.toFixed(0)
  return String(Number(size >= 1 ? value.toFixed(size >= 10 ? 1 : 2) : value.toPrecision(3)))
}
