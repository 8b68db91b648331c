import { expect, test } from 'vitest'
import {
  momentText,
  parseDuration,
  parseMoment,
  spanText,
} from '../../src/controlplane/overrule/duration.ts'

test.each([
  ['90s', 90],
  ['10m', 600],
  ['2h', 7200],
  ['3d', 259_200],
  ['1h30m', 5400],
])('%s are %i seconds', (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds)
})

test.each(['', '10', 'm', '1w', '-1h', '1.5h', '0s', '4000d', '10m ', 'h1'])(
  '"%s" is no span',
  (text) => {
    expect(() => parseDuration(text)).toThrow('write it as 90s, 10m, 2h, 3d')
  },
)

function local(...parts: [number, number, number, number?, number?]): number {
  return new Date(...parts).getTime()
}

test('moments are times of day, dates, or both, in the zone of the machine', () => {
  const now = new Date(2026, 10, 24, 12, 0, 0).getTime()
  expect(parseMoment('18:00', now)).toBe(local(2026, 10, 24, 18, 0))
  expect(parseMoment('9:30', now)).toBe(local(2026, 10, 25, 9, 30))
  expect(parseMoment('12:00', now)).toBe(local(2026, 10, 25, 12, 0))
  expect(parseMoment('2026-12-01', now)).toBe(local(2026, 11, 1))
  expect(parseMoment('2026-12-01T18:00', now)).toBe(local(2026, 11, 1, 18, 0))
  expect(parseMoment('2026-12-01 18:00', now)).toBe(local(2026, 11, 1, 18, 0))
  expect(parseMoment('2026-12-01T18:00Z', now)).toBe(Date.UTC(2026, 11, 1, 18, 0))
  for (const text of ['24:00', '2026-13-01', 'tomorrow', '1', '2026']) {
    expect(() => parseMoment(text, now)).toThrow('is no moment')
  }
  expect(() => parseMoment('2026-11-24', now)).toThrow('has passed')
})

test('spans and moments are told in two units, and to the second', () => {
  expect([1000, 5_400_000, 93_784_000, 0, -5].map(spanText)).toEqual([
    '1s',
    '1h 30m',
    '1d 2h',
    '0s',
    '0s',
  ])
  expect(momentText(new Date(2026, 0, 2, 3, 4, 5).getTime())).toBe('2026-01-02 03:04:05')
})
