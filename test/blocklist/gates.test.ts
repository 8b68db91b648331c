import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { EssentialNames } from '../../src/controlplane/blocklist/essential.ts'
import type { SuffixPolicy } from '../../src/controlplane/blocklist/list-source.ts'
import { nameToText, nameToWire } from '../../src/controlplane/blocklist/name-text.ts'
import {
  SUFFIX_ICANN,
  SUFFIX_NONE,
  SUFFIX_PRIVATE,
  SUFFIX_UNKNOWN_TLD,
  suffixKind,
} from '../../src/controlplane/blocklist/suffix-gate.ts'
import { readText, reasons } from './reading.ts'

function wire(name: string): Uint8Array {
  const octets = nameToWire(name)
  if (typeof octets === 'string') throw new Error(`${name}: ${octets}`)
  return octets
}

describe('public suffixes', () => {
  test.each([
    ['com', SUFFIX_ICANN, 'a top-level domain'],
    ['onion', SUFFIX_ICANN, 'a special one that the list has'],
    ['com.cn', SUFFIX_ICANN, 'below one'],
    ['bologna.it', SUFFIX_ICANN, 'a city'],
    ['gob.mx', SUFFIX_ICANN, 'a government'],
    ['xn--p1ai', SUFFIX_ICANN, 'punycode'],
    ['xn--55qx5d.cn', SUFFIX_ICANN, 'punycode below'],
    ['ck', SUFFIX_ICANN, 'stands only as *.ck'],
    ['foo.ck', SUFFIX_ICANN, 'matches *.ck'],
    ['www.ck', SUFFIX_NONE, 'an exception, !www.ck'],
    ['kawasaki.jp', SUFFIX_ICANN, 'stands only as *.kawasaki.jp'],
    ['city.kawasaki.jp', SUFFIX_NONE, 'an exception'],
    ['blogspot.com', SUFFIX_PRIVATE, 'a host of blogs'],
    ['ngrok.io', SUFFIX_PRIVATE, 'tunnels'],
    ['eth.link', SUFFIX_PRIVATE, 'stands only as *.eth.link'],
    ['in.net', SUFFIX_PRIVATE, 'a reseller'],
    ['tor', SUFFIX_UNKNOWN_TLD, 'one label unknown'],
    ['x.tor', SUFFIX_NONE, 'two labels of it'],
    ['example.com', SUFFIX_NONE, 'a registered name'],
    ['a.blogspot.com', SUFFIX_NONE, 'a blog'],
    ['a.b.c.d.e.f.g.com', SUFFIX_NONE, 'deep below'],
    ['a\\.com.cn', SUFFIX_NONE, 'a dot inside a label is no border'],
  ])('%s is %i: %s', (name, kind) => {
    const octets = wire(name)
    expect(suffixKind(octets, octets.length)).toBe(kind)
  })

  const list = 'com.cn\nblogspot.com\ntor\nplain.example\n'
  test.each<[string, boolean, SuffixPolicy, string[], string]>([
    ['adult', false, {}, ['plain.example'], 'a subscribed list'],
    ['games', false, {}, ['plain.example'], 'any other category'],
    ['vpn', false, {}, ['blogspot.com', 'plain.example'], 'vpn keeps private suffixes'],
    ['darkweb', false, {}, ['blogspot.com', 'plain.example'], 'so does darkweb'],
    ['adult', true, {}, ['blogspot.com', 'tor', 'plain.example'], 'so does a curated list'],
    ['adult', false, { icann: 'keep' }, ['com.cn', 'plain.example'], 'icann overruled'],
    ['adult', false, { private: 'keep' }, ['blogspot.com', 'plain.example'], 'private overruled'],
    ['vpn', false, { private: 'refuse' }, ['plain.example'], 'the other way round'],
    ['adult', true, { private: 'refuse' }, ['tor', 'plain.example'], 'for a curated list too'],
  ])(
    'a list of %s, curated %s, with %j keeps %j: %s',
    async (category, curated, publicSuffixes, kept) => {
      const source = { category, curated, publicSuffixes }
      const { rules, report } = await readText(list, { source })
      expect(rules).toEqual(kept.map((name) => `block ${name}`))
      expect(report.refusedCount + (reasons(report)['single-label'] ?? 0)).toBe(4 - kept.length)
    },
  )

  test('a refused rule is reported with its line and reason', async () => {
    const { report } = await readText('x.example\n*.com.cn\nblogspot.com\n.\n')
    expect(report.refused).toEqual([
      { rule: 'com.cn', line: 2, reason: 'icann-suffix' },
      { rule: 'blogspot.com', line: 3, reason: 'private-suffix' },
      { rule: '.', line: 4, reason: 'root' },
    ])
  })

  test('an exception on a public suffix stands: it opens its own list only', async () => {
    const { rules } = await readText('@@||com.cn^\n@@||blogspot.com^\n')
    expect(rules).toEqual(['except com.cn', 'except blogspot.com'])
  })
})

describe('essential names', () => {
  const essential = EssentialNames.of(['ofpra.gouv.fr', 'ameli.fr', 'a.b.ameli.fr'])

  test.each<[name: string, by: string | undefined, why: string]>([
    ['ofpra.gouv.fr', 'ofpra.gouv.fr', 'itself'],
    ['www.ofpra.gouv.fr', 'ofpra.gouv.fr', 'below'],
    ['a.b.ameli.fr', 'ameli.fr', 'the highest one names it'],
    ['gouv.fr', undefined, 'above'],
    ['xameli.fr', undefined, 'no border of labels'],
    ['ameli.fr.example', undefined, 'in front'],
  ])('%s is covered by %s: %s', (name, by) => {
    expect(essential.covers(wire(name))).toBe(by)
  })

  test('names above an essential name know it', () => {
    expect(essential.isAbove(wire('gouv.fr'))).toBe(true)
    expect(essential.below(wire('fr'))).toEqual(['ofpra.gouv.fr', 'ameli.fr', 'a.b.ameli.fr'])
    expect(essential.isAbove(wire('ofpra.gouv.fr'))).toBe(false)
    expect(essential.isAbove(wire('example'))).toBe(false)
  })

  test('covering and being above agree with comparing texts', () => {
    const label = fc.constantFrom('a', 'b', 'c')
    const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'))
    fc.assert(
      fc.property(fc.array(name, { maxLength: 6 }), name, (names, asked) => {
        const essential = EssentialNames.of(names)
        const covered = names.some((one) => `.${asked}`.endsWith(`.${one}`))
        const above = names.some((one) => one.endsWith(`.${asked}`))
        expect(essential.covers(wire(asked)) !== undefined).toBe(covered)
        expect(essential.isAbove(wire(asked))).toBe(above)
        expect(essential.size).toBe(new Set(names).size)
      }),
    )
  })

  test('a rule on or below one is exempted, a rule above is kept, both are reported', async () => {
    const { rules, report } = await readText(
      'www.ameli.fr\nameli.fr\nfr.example\nassurance.example\n',
      { essential: ['ameli.fr', 'a.assurance.example'] },
    )
    expect(rules).toEqual(['block fr.example', 'block assurance.example'])
    expect(report.exemptedCount).toBe(2)
    expect(report.aboveCount).toBe(1)
    expect(report.essentialHits).toEqual([
      { rule: 'www.ameli.fr', line: 1, essential: 'ameli.fr', kind: 'exempted' },
      { rule: 'ameli.fr', line: 2, essential: 'ameli.fr', kind: 'exempted' },
      { rule: 'assurance.example', line: 4, essential: 'a.assurance.example', kind: 'above' },
    ])
  })

  test('an exact rule above one does not touch it', async () => {
    const { report } = await readText('full:gouv.example\n', { essential: ['ofpra.gouv.example'] })
    expect(report.aboveCount).toBe(0)
  })

  test('a file of them is read with comments, and refused for a line that is no name', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'niveau3-essential-'))
    try {
      const [good, bad] = [join(folder, 'good.txt'), join(folder, 'bad.txt')]
      await writeFile(good, '\uFEFF# health\r\nAmeli.fr   # insurance\r\n\r\nlucé.fr\r\n')
      await writeFile(bad, 'ameli.fr\nthe insurance\n')
      const names = (await EssentialNames.load([good])).names.map((name) => nameToText(name))
      expect(names).toEqual(['ameli.fr', 'xn--luc-dma.fr'])
      await expect(EssentialNames.load([good, bad])).rejects.toMatchObject({
        code: 'ERR_LIST',
        file: bad,
        line: 2,
      })
      const missing = join(folder, 'missing.txt')
      await expect(EssentialNames.load([missing])).rejects.toMatchObject({ file: missing })
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
