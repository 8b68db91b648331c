import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import {
  isSingleLabel,
  nameToText,
  nameToWire,
  type NameFault,
} from '../../src/controlplane/blocklist/name-text.ts'
import { NAME_OCTETS_MAX } from '../../src/wire/name.ts'

/** Wire names of any octets but upper-case letters, which are written in lower case. */
const wireNames = fc
  .array(
    fc
      .uint8Array({ minLength: 1, maxLength: 63 })
      .map((label) =>
        label.map((octet) => (octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet)),
      ),
    { maxLength: 12 },
  )
  .map((labels) => {
    const octets: number[] = []
    for (const label of labels) {
      if (octets.length + label.length + 2 > NAME_OCTETS_MAX) break
      octets.push(label.length, ...label)
    }
    return Uint8Array.from([...octets, 0])
  })

function text(name: string): string {
  const wire = nameToWire(name)
  if (typeof wire === 'string') throw new Error(`${name}: ${wire}`)
  return nameToText(wire)
}

describe('names from text', () => {
  test.each([
    ['example.com', 'example.com', 'a plain name'],
    ['example.com.', 'example.com', 'a trailing dot is the root'],
    ['EXAMPLE.Com', 'example.com', 'ASCII letters fold'],
    ['.', '.', 'the root itself'],
    ['_8080._https.-x-.com', '_8080._https.-x-.com', 'underscores and hyphens stand anywhere'],
    ['a\\.b.com', 'a\\.b.com', 'an escaped dot is no border'],
    ['\\097.com', 'a.com', 'a decimal escape is its octet'],
    ['\\065.com', 'a.com', 'an escaped capital folds as well'],
    ['\\000\\255.com', '\\000\\255.com', 'any octet'],
    ['\\@\\;\\".com', '\\@\\;\\".com', 'signs of zone files'],
    ['порно.me', 'xn--m1abbbg.me', 'U-labels by UTS-46'],
    ['LUCÉ.fr', 'xn--luc-dma.fr', 'folded by UTS-46'],
    ['faß.de', 'xn--fa-hia.de', 'nontransitional'],
    ['a_b.порно.me', 'a_b.xn--m1abbbg.me', 'an ASCII label beside a U-label stays'],
    ['xn--33-ymd.порно.me', 'xn--33-ymd.xn--m1abbbg.me', 'punycode is never validated'],
    ['é。com', 'xn--9ca.com', 'the ideographic full stop'],
    ['１２３.com', '123.com', 'full-width digits are no IPv4 address'],
    ['xn--33-ymd.xyz', 'xn--33-ymd.xyz', 'punycode that IDNA refuses'],
  ])('%s is %s: %s', (name, expected) => {
    expect(text(name)).toBe(expected)
  })

  test.each<[string, NameFault]>([
    ['', 'empty'],
    ['a..b', 'empty-label'],
    ['.a', 'empty-label'],
    ['..', 'empty-label'],
    ['x'.repeat(64), 'label-too-long'],
    ['é'.repeat(64), 'label-too-long'],
    ['é'.repeat(100_000), 'name-too-long'],
    [`${'x'.repeat(63)}.`.repeat(4), 'name-too-long'],
    ['a\\', 'escape'],
    ['a\\25', 'escape'],
    ['a\\256', 'escape'],
    ['xn--é.com', 'idna'],
    ['é\\.com', 'idna'],
    ['é b.a', 'idna'],
    ['é%2e.a', 'idna'],
    ['é:80', 'idna'],
    ['\u00AD\u00AD.é', 'idna'],
    ['\uFFFD.com', 'encoding'],
  ])('%s is no name: %s', (name, fault) => {
    expect(nameToWire(name)).toBe(fault)
  })

  test('the longest name has 255 octets', () => {
    const name = `${'x'.repeat(63)}.`.repeat(3) + 'y'.repeat(61)
    expect(nameToWire(name)).toHaveLength(255)
    expect(nameToWire(`${name}y`)).toBe('name-too-long')
  })

  test('any name comes back from its text', () => {
    fc.assert(
      fc.property(wireNames, (wire) => {
        expect(nameToWire(nameToText(wire))).toEqual(wire)
      }),
    )
  })

  test('no text throws, and what is written is a name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (name) => {
        const wire = nameToWire(name)
        if (typeof wire === 'string') return
        expect(wire.length).toBeLessThanOrEqual(NAME_OCTETS_MAX)
        expect(nameToWire(nameToText(wire))).toEqual(wire)
      }),
    )
  })

  test('a single label is told from two', () => {
    expect(isSingleLabel(Uint8Array.of(1, 97, 0))).toBe(true)
    expect(isSingleLabel(Uint8Array.of(1, 97, 1, 98, 0))).toBe(false)
    expect(isSingleLabel(Uint8Array.of(0))).toBe(false)
  })
})
