import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatOctets, parseOctets } from '../../src/controlplane/config/quantities.ts'
import { editDistance, nearest } from '../../src/controlplane/config/suggest.ts'

test.each([
  ['upstream', 'upstreams'],
  ['adutl', 'adult'],
  ['nxdomian', 'nxdomain'],
  ['allow_from', 'allowFrom'],
  ['Listen', 'listen'],
  ['wrokers', 'workers'],
  ['x', undefined],
  ['zzzzzz', undefined],
])('"%s" suggests %s', (word, expected) => {
  const known = ['listen', 'allowFrom', 'upstreams', 'workers', 'adult', 'vpn', 'nxdomain']
  expect(nearest(word, known)).toBe(expected)
})

test('edit distance is a metric that counts a swap of neighbours as one', () => {
  expect(editDistance('ab', 'ba')).toBe(1)
  expect(editDistance('', 'abc')).toBe(3)
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
      const edits = editDistance(a, b)
      expect(edits).toBe(editDistance(b, a))
      expect(edits === 0).toBe(a === b)
      expect(edits).toBeLessThanOrEqual(Math.max(a.length, b.length))
      expect(edits).toBeGreaterThanOrEqual(Math.abs(a.length - b.length))
    }),
  )
})

test.each([
  [1024, 1024],
  ['1024', 1024],
  ['1KiB', 1024],
  ['64 MiB', 67_108_864],
  ['2gib', 2_147_483_648],
])('%s is %i octets', (text, octets) => {
  expect(parseOctets(text)).toBe(octets)
})

test.each([
  ['64MB', 'write 64MiB'],
  ['64m', 'write 64MiB'],
  ['1.5MiB', /KiB, MiB or GiB/],
  ['', /KiB, MiB or GiB/],
  ['-1', /KiB, MiB or GiB/],
])('"%s" is no amount of octets, and the unit is suggested', (text, suggestion) => {
  expect(parseOctets(text)).toHaveProperty('suggestion', expect.stringMatching(suggestion))
})

test('what formatOctets writes, parseOctets reads back', () => {
  fc.assert(fc.property(fc.nat(), (octets) => parseOctets(formatOctets(octets)) === octets))
  expect(formatOctets(64 * 1024 * 1024)).toBe('64MiB')
})
