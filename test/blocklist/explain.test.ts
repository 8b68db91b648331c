import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { EssentialNames } from '../../src/controlplane/blocklist/essential.ts'
import { findRules, ruleCovers, type FoundRule } from '../../src/controlplane/blocklist/explain.ts'
import { nameToWire } from '../../src/controlplane/blocklist/name-text.ts'
import {
  ACTION_BLOCK,
  ACTION_EXCEPT,
  COVERS_BELOW,
  COVERS_SELF,
  COVERS_SUBTREE,
} from '../../src/controlplane/blocklist/rule.ts'

function wire(name: string): Uint8Array {
  const octets = nameToWire(name)
  if (typeof octets === 'string') throw new Error(`${name}: ${octets}`)
  return octets
}

async function find(list: string, name: string, essential: string[] = []): Promise<FoundRule[]> {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-explain-'))
  try {
    const file = join(folder, 'list.txt')
    await writeFile(file, list)
    const source = { name: 'x', category: 'adult', curated: false, file }
    return await findRules(source, wire(name), { essential: EssentialNames.of(essential) })
  } finally {
    await rm(folder, { recursive: true })
  }
}

test('every rule that covers a name is found with its line and text', async () => {
  const list =
    '# head\nother.example\n0.0.0.0 A.example # why\r\n||a.example^$important\n' +
    '@@||b.a.example^\n|b.a.example^\n'
  expect(await find(list, 'b.a.example')).toEqual([
    {
      line: 3,
      text: '0.0.0.0 A.example # why',
      ruleName: 'a.example',
      coverage: COVERS_SUBTREE,
      action: ACTION_BLOCK,
      fate: 'obeyed',
    },
    {
      line: 4,
      text: '||a.example^$important',
      ruleName: 'a.example',
      coverage: COVERS_SUBTREE,
      action: ACTION_BLOCK,
      fate: 'obeyed',
    },
    {
      line: 5,
      text: '@@||b.a.example^',
      ruleName: 'b.a.example',
      coverage: COVERS_SUBTREE,
      action: ACTION_EXCEPT,
      fate: 'obeyed',
    },
    {
      line: 6,
      text: '|b.a.example^',
      ruleName: 'b.a.example',
      coverage: COVERS_SELF,
      action: ACTION_BLOCK,
      fate: 'obeyed',
    },
  ])
})

test('the halves of an RPZ pair are found for the names that they cover', async () => {
  const zone = 'a.example CNAME .\n*.a.example CNAME .\n'
  expect((await find(zone, 'a.example')).map(({ line }) => line)).toEqual([1])
  expect((await find(zone, 'x.a.example')).map(({ line }) => line)).toEqual([2])
})

test('refused and exempted rules are found and say that they do not act', async () => {
  const list = 'com.cn\nameli.fr\nwww.ameli.fr\n'
  expect(await find(list, 'x.com.cn')).toMatchObject([{ line: 1, fate: 'refused' }])
  expect(await find(list, 'www.ameli.fr', ['ameli.fr'])).toMatchObject([
    { line: 2, text: 'ameli.fr', fate: 'exempted' },
    { line: 3, text: 'www.ameli.fr', fate: 'exempted' },
  ])
})

test('a name that no rule covers has none', async () => {
  expect(await find('a.example\nfull:b.example\n', 'x.b.example')).toEqual([])
})

test('a rule covers a name exactly when the labels say so', () => {
  const label = fc.constantFrom('a', 'b', '\\001a', '\\001a\\000')
  const name = fc.array(label, { minLength: 1, maxLength: 4 })
  const coverages = fc.constantFrom(COVERS_SELF, COVERS_BELOW, COVERS_SUBTREE)
  fc.assert(
    fc.property(name, name, coverages, (rule, asked, coverage) => {
      const same = rule.join('.') === asked.join('.')
      const below =
        asked.length > rule.length && asked.slice(-rule.length).join('.') === rule.join('.')
      const expected =
        (same && (coverage & COVERS_SELF) !== 0) || (below && (coverage & COVERS_BELOW) !== 0)
      const octets = wire(rule.join('.'))
      expect(ruleCovers(octets, octets.length, coverage, wire(asked.join('.')))).toBe(expected)
    }),
    { numRuns: 500 },
  )
})
