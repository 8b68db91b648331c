/** Spans and moments as operators write them: `90s`, `10m`, `2h`, `3d`; `18:00`, `2026-12-01`. */

import { OperationalError } from '../../base/errors.ts'
import { DAY_S, HOUR_S, MINUTE_S, SECOND_MS } from '../../base/units.ts'

const UNIT_SECONDS: Readonly<Record<string, number>> = {
  s: 1,
  m: MINUTE_S,
  h: HOUR_S,
  d: DAY_S,
}
/** Longer is for good. */
const SECONDS_MAX = 3650 * DAY_S

/**
 * Parses a span such as `90s`, `10m`, `2h`, `3d` or `1h30m`; returns seconds.
 *
 * @throws OperationalError ERR_USAGE.
 */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d{1,9})([smhd])/g)]
  const isWhole = parts.length > 0 && parts.map(([part]) => part).join('') === text
  const seconds = parts.reduce(
    (sum, [, count, unit]) => sum + Number(count) * (UNIT_SECONDS[unit ?? ''] ?? 0),
    0,
  )
  if (isWhole && seconds > 0 && seconds <= SECONDS_MAX) return seconds
  const why = isWhole ? 'is not between 1s and 3650d' : 'is no span of time'
  throw new OperationalError('ERR_USAGE', `"${text}" ${why}: write it as 90s, 10m, 2h, 3d or 1h30m`)
}

/**
 * Parses a moment in the future: a date, which means its beginning, a date and time, or a time of
 * day, which means the next; without a zone those of this machine. Returns milliseconds.
 *
 * @throws OperationalError ERR_USAGE.
 */
export function parseMoment(text: string, nowMs: number): number {
  const clock = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(text)
  const atMs =
    clock === null ? dateMs(text) : nextClockMs(Number(clock[1]), Number(clock[2]), nowMs)
  if (Number.isNaN(atMs)) {
    const forms = '18:00, 2026-12-01, 2026-12-01T18:00 or 2026-12-01T18:00Z'
    throw new OperationalError('ERR_USAGE', `"${text}" is no moment: write it as ${forms}`)
  }
  if (atMs > nowMs) return atMs
  throw new OperationalError('ERR_USAGE', `${text} has passed`)
}

function dateMs(text: string): number {
  const form = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?)?$/
  if (!form.test(text)) return Number.NaN
  // A date alone would be one of UTC to the language: midnight here is meant.
  return Date.parse(text.length === 10 ? `${text}T00:00` : text.replace(' ', 'T'))
}

function nextClockMs(hours: number, minutes: number, nowMs: number): number {
  const at = new Date(nowMs)
  at.setHours(hours, minutes, 0, 0)
  if (at.getTime() <= nowMs) at.setDate(at.getDate() + 1)
  return at.getTime()
}

/** A span for people: its two largest units, `2h`, `1d 3h`, `59s`. */
export function spanText(milliseconds: number): string {
  let rest = Math.max(0, Math.round(milliseconds / SECOND_MS))
  const parts: string[] = []
  for (const [unit, seconds] of Object.entries(UNIT_SECONDS).toReversed()) {
    const count = Math.floor(rest / seconds)
    rest -= count * seconds
    if (count > 0) parts.push(`${count}${unit}`)
  }
  return parts.slice(0, 2).join(' ') || '0s'
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}

/** A moment for people, in the zone of this machine: `2026-12-01 18:00:00`. */
export function momentText(atMs: number): string {
  const at = new Date(atMs)
  const date = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join('-')
  return `${date} ${[at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':')}`
}

/** When something ends, for people: `2026-12-01 18:00:00 (1h 59m)`. */
export function endText(until: string): string {
  const atMs = Date.parse(until)
  return `${momentText(atMs)} (${spanText(atMs - Date.now())})`
}
