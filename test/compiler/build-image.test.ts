import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import {
  ACTION_BLOCK,
  ACTION_EXCEPT,
  COVERS_BELOW,
  COVERS_SELF,
  COVERS_SUBTREE,
} from '../../src/controlplane/blocklist/rule.ts'
import { RuleCollector } from '../../src/controlplane/compiler/rule-collector.ts'
import { Matcher } from '../../src/trie/lookup.ts'
import { openTrie } from '../../src/trie/open.ts'
import type { Trie } from '../../src/trie/open.ts'
import { storedNames } from '../../src/trie/stored-names.ts'
import { buildFrom, decide, folded, labelsOf, wireOf } from './model.ts'
import type { Labels, ModelList, ModelRule } from './model.ts'

function block(name: string): ModelRule {
  return { labels: name.split('.'), coverage: COVERS_SUBTREE, action: ACTION_BLOCK }
}

function except(name: string): ModelRule {
  return { labels: name.split('.'), coverage: COVERS_SUBTREE, action: ACTION_EXCEPT }
}

function list(category: string, rules: readonly ModelRule[], name = category): ModelList {
  return { name, category, rules }
}

function opened(lists: readonly ModelList[]): Trie {
  return openTrie(buildFrom(lists).image)
}

function categoriesOf(trie: Trie, bits: number): string[] {
  return trie.categories.filter((_, bit) => (bits & (1 << bit)) !== 0)
}

/** Asks for the name at an odd offset, as it stands in a real message. */
function ask(trie: Trie, matcher: Matcher, labels: Labels): { categories: string[]; list: string } {
  const message = Buffer.concat([Buffer.alloc(13, 7), wireOf(labels), Buffer.alloc(4, 1)])
  const bits = matcher.find(message, 13)
  return {
    categories: categoriesOf(trie, bits),
    list: matcher.list === -1 ? '' : trie.lists[matcher.list]!.name,
  }
}

function blocked(trie: Trie, name: string): string[] {
  return ask(trie, new Matcher(trie), name.split('.')).categories
}

/** Few different octets and labels, so that names meet; now and then any octet at all. */
const labelArbitrary = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom('a', 'b', 'ab', 'aa', 'com', 'B', 'x-y', 'a'.repeat(63)),
  },
  {
    weight: 2,
    arbitrary: fc
      .array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 5 })
      .map((octets) => Buffer.from(octets).toString('latin1')),
  },
)

const labelsArbitrary = fc
  .array(labelArbitrary, { minLength: 1, maxLength: 5 })
  .filter((labels) => wireOf(labels).length <= 255)

const ruleArbitrary = fc.record<ModelRule>({
  labels: labelsArbitrary,
  coverage: fc.constantFrom(COVERS_SELF, COVERS_BELOW, COVERS_SUBTREE, COVERS_SUBTREE),
  action: fc.constantFrom(ACTION_BLOCK, ACTION_BLOCK, ACTION_EXCEPT),
})

const listsArbitrary = fc
  .array(fc.tuple(fc.constantFrom('adult', 'vpn', 'darkweb'), fc.array(ruleArbitrary)), {
    minLength: 1,
    maxLength: 4,
  })
  .map((drawn) =>
    drawn.map(([category, rules], index): ModelList => ({ name: `l${index}`, category, rules })),
  )

/** Names worth asking: those of the rules, names below and above them, and others. */
function questions(lists: readonly ModelList[], others: readonly Labels[]): Labels[] {
  const ruled = lists.flatMap(({ rules }) => rules.map(({ labels }) => labels))
  const near = ruled.flatMap((labels) => [
    labels,
    labels.slice(1),
    ['www', ...labels],
    ['a', 'b', ...labels],
    labels.map((label) => label.toUpperCase()),
  ])
  return [...near, ...others].filter((labels) => labels.length > 0 && wireOf(labels).length <= 255)
}

describe('an image against the naive model', () => {
  test('every name gets the categories and the list that the rules say', () => {
    fc.assert(
      fc.property(listsArbitrary, fc.array(labelsArbitrary), (lists, others) => {
        const trie = opened(lists)
        const matcher = new Matcher(trie)
        for (const labels of questions(lists, others)) {
          const expected = decide(lists, labels)
          const got = ask(trie, matcher, labels)
          expect(got.categories).toEqual(expected.categories)
          expect(got.list === '').toBe(expected.list === '')
        }
      }),
      { numRuns: 1500 },
    )
  })

  test('where it stores the name, the winning list is the model’s too', () => {
    fc.assert(
      fc.property(listsArbitrary, (lists) => {
        const trie = opened(lists)
        const matcher = new Matcher(trie)
        for (const { name } of storedNames(trie)) {
          expect(ask(trie, matcher, labelsOf(name))).toEqual(decide(lists, labelsOf(name)))
        }
      }),
      { numRuns: 500 },
    )
  })

  test('"whole" is said only when nothing below is blocked for less', () => {
    fc.assert(
      fc.property(listsArbitrary, (lists) => {
        const trie = opened(lists)
        const matcher = new Matcher(trie)
        const names = questions(lists, [])
        for (const labels of names) {
          const { categories } = ask(trie, matcher, labels)
          if (categories.length === 0 || !matcher.whole) continue
          const suffix = folded(labels)
          for (const other of names) {
            const tail = folded(other).slice(other.length - suffix.length)
            if (other.length <= suffix.length || tail.join() !== suffix.join()) continue
            expect(decide(lists, other).categories).toEqual(expect.arrayContaining(categories))
          }
        }
      }),
      { numRuns: 500 },
    )
  })

  test('the same lists in another order give the same octets', () => {
    fc.assert(
      fc.property(listsArbitrary, (lists) => {
        const image = Buffer.from(buildFrom(lists).image)
        expect(Buffer.from(buildFrom(lists.toReversed()).image).equals(image)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  test('the stored names are the rules’ names less the redundant ones', () => {
    fc.assert(
      fc.property(listsArbitrary, (lists) => {
        const trie = opened(lists)
        const stored = new Map<string, string[]>()
        for (const { name, below } of storedNames(trie)) {
          expect(stored.has(labelsOf(name).join('\n'))).toBe(false)
          stored.set(labelsOf(name).join('\n'), categoriesOf(trie, below))
        }
        expect(stored.size).toBe(trie.names)
        for (const { rules } of lists) {
          for (const { labels } of rules) {
            if (stored.has(folded(labels).join('\n'))) continue
            // Redundant: it and what is below it agree with the nearest stored ancestor.
            const ancestor = folded(labels)
              .map((_, index, all) => all.slice(index).join('\n'))
              .find((suffix) => stored.has(suffix))
            const around = ancestor === undefined ? [] : stored.get(ancestor)!
            expect(decide(lists, labels).categories).toEqual(around)
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('the rules of the house', () => {
  test('a rule for example.com covers the names below it, in any letter case', () => {
    const trie = opened([list('adult', [block('example.com')])])
    expect(blocked(trie, 'example.com')).toEqual(['adult'])
    expect(blocked(trie, 'WWW.Example.COM')).toEqual(['adult'])
    expect(blocked(trie, 'notexample.com')).toEqual([])
    expect(blocked(trie, 'com')).toEqual([])
  })

  test('only ASCII letters are folded', () => {
    const rule = {
      labels: ['[', '{', '@'],
      coverage: COVERS_SUBTREE,
      action: ACTION_BLOCK,
    } as const
    const trie = opened([list('adult', [rule])])
    expect(ask(trie, new Matcher(trie), ['[', '{', '@']).categories).toEqual(['adult'])
    expect(ask(trie, new Matcher(trie), ['{', '{', '@']).categories).toEqual([])
    expect(ask(trie, new Matcher(trie), ['[', '[', '@']).categories).toEqual([])
    expect(ask(trie, new Matcher(trie), ['[', '{', '`']).categories).toEqual([])
  })

  test('an exception opens a name for its own list only', () => {
    const lists = [
      list('adult', [block('example.com'), except('ok.example.com')], 'one'),
      list('vpn', [block('example.com')], 'two'),
    ]
    const trie = opened(lists)
    expect(blocked(trie, 'ok.example.com')).toEqual(['vpn'])
    expect(blocked(trie, 'www.example.com')).toEqual(['adult', 'vpn'])
  })

  test('a name opened by an exception matches, blocks nothing and names its own start', () => {
    const trie = opened([list('adult', [block('example.com'), except('ok.example.com')])])
    const matcher = new Matcher(trie)
    expect(matcher.find(wireOf(['a', 'ok', 'example', 'com']), 0)).toBe(0)
    expect(matcher).toMatchObject({ matched: true, ruleStart: 2, list: -1, whole: false })
  })

  test('a name above an opened one is not blocked as a whole, its neighbour is', () => {
    const trie = opened([list('adult', [block('example.com'), except('a.ok.example.com')])])
    const matcher = new Matcher(trie)
    expect(matcher.find(wireOf(['example', 'com']), 0)).toBe(1)
    expect(matcher.whole).toBe(false)
    expect(matcher.find(wireOf(['OK', 'example', 'com']), 0)).toBe(1)
    expect(matcher).toMatchObject({ whole: false, ruleStart: 3 })
    expect(matcher.find(wireOf(['www', 'example', 'com']), 0)).toBe(1)
    expect(matcher.whole).toBe(true)
  })

  test('a rule for the name alone blocks neither what is below nor the whole', () => {
    const rule: ModelRule = {
      labels: ['example', 'com'],
      coverage: COVERS_SELF,
      action: ACTION_BLOCK,
    }
    const trie = opened([list('adult', [rule])])
    const matcher = new Matcher(trie)
    expect(matcher.find(wireOf(rule.labels), 0)).toBe(1)
    expect(matcher.whole).toBe(false)
    expect(matcher.find(wireOf(['www', ...rule.labels]), 0)).toBe(0)
    expect(matcher.matched).toBe(true)
  })

  test('a rule for what is below leaves the name itself alone', () => {
    const rule: ModelRule = {
      labels: ['onion', 'ws'],
      coverage: COVERS_BELOW,
      action: ACTION_BLOCK,
    }
    const trie = opened([list('darkweb', [rule])])
    expect(blocked(trie, 'onion.ws')).toEqual([])
    expect(blocked(trie, 'a.b.onion.ws')).toEqual(['darkweb'])
  })

  test('the list with the longest rule wins, ties go by category and name', () => {
    const trie = opened([
      list('vpn', [block('a.example.com')], 'long'),
      list('adult', [block('example.com')], 'z'),
      list('adult', [block('example.com')], 'y'),
    ])
    const matcher = new Matcher(trie)
    expect(ask(trie, matcher, ['a', 'example', 'com']).list).toBe('long')
    expect(ask(trie, matcher, ['b', 'example', 'com']).list).toBe('y')
  })

  test('redundant names are dropped and counted, duplicates too', () => {
    const { lists, names } = buildFrom([
      list('adult', [block('example.com'), block('www.example.com'), block('Example.com')]),
    ])
    expect(names).toBe(1)
    expect(lists[0]).toMatchObject({ rules: 3, duplicates: 1, kept: 1, redundant: 1 })
  })

  test('an empty list makes an image that matches nothing', () => {
    const trie = opened([list('adult', [])])
    expect(trie.names).toBe(0)
    expect([...storedNames(trie)]).toEqual([])
    expect(blocked(trie, 'example.com')).toEqual([])
  })

  test('a rule for the root is refused with its line', () => {
    const sink = new RuleCollector().addList('bad.txt')
    expect(() => sink.add(Uint8Array.of(0), 1, COVERS_SUBTREE, ACTION_BLOCK, 7)).toThrow(
      /bad\.txt, line 7: a rule for the root/,
    )
  })

  test('names of 127 labels and of 255 octets are stored and found', () => {
    const many = Array.from({ length: 127 }, (_, index) => String.fromCodePoint(97 + (index % 26)))
    const wide = ['x'.repeat(61), ...['y', 'z', 'w'].map((letter) => letter.repeat(63))]
    const rare = Array.from({ length: 4 }, (_, index) => '\u00ff'.repeat(index === 0 ? 61 : 63))
    const rules = [many, wide, rare].map((labels): ModelRule => {
      expect(wireOf(labels)).toHaveLength(255)
      return { labels, coverage: COVERS_SUBTREE, action: ACTION_BLOCK }
    })
    const trie = opened([list('adult', rules)])
    const matcher = new Matcher(trie)
    for (const { labels } of rules) {
      expect(ask(trie, matcher, labels).categories).toEqual(['adult'])
      expect(ask(trie, matcher, labels.slice(1)).categories).toEqual([])
      expect(ask(trie, matcher, ['q', ...labels.slice(1)]).categories).toEqual([])
    }
    expect([...storedNames(trie)].map(({ name }) => labelsOf(name))).toEqual(
      expect.arrayContaining(rules.map(({ labels }) => labels)),
    )
  })

  test('names that differ only in a late octet of a long shared suffix are told apart', () => {
    const suffix = ['shared'.repeat(8), 'suffix'.repeat(9), 'blogspot', 'com']
    const rules = Array.from({ length: 300 }, (_, index) =>
      block([`n${index * 2}`, ...suffix].join('.')),
    )
    const trie = opened([list('adult', rules)])
    for (let index = 0; index < 600; index++) {
      const expected = index % 2 === 0 ? ['adult'] : []
      expect(blocked(trie, [`n${index}`, ...suffix].join('.'))).toEqual(expected)
    }
  })

  test('thousands of names whose codes begin with the same word are told apart', () => {
    const start = 'q'.repeat(55)
    const rules = Array.from({ length: 3000 }, (_, index) => block(`${start}${index * 3}.com`))
    const trie = opened([list('adult', rules), list('vpn', rules.slice(0, 100))])
    expect(trie.blocks.heads.length).toBeGreaterThan(trie.blocks.rootBlocks)
    const matcher = new Matcher(trie)
    for (let index = 0; index < 9100; index++) {
      const isListed = index % 3 === 0 && index < 9000
      const { categories } = ask(trie, matcher, ['www', `${start}${index}`, 'com'])
      const expected = index < 300 ? ['adult', 'vpn'] : ['adult']
      expect(categories).toEqual(isListed ? expected : [])
    }
    expect([...storedNames(trie)]).toHaveLength(3000)
  })

  test('names that repeat one octet are told apart by their length alone', () => {
    const rules = Array.from({ length: 31 }, (_, index) =>
      block(`${'x'.repeat(index * 2 + 1)}.com`),
    )
    const trie = opened([list('adult', rules)])
    for (let octets = 1; octets <= 63; octets++) {
      const expected = octets % 2 === 1 && octets < 63 ? ['adult'] : []
      expect(blocked(trie, `${'x'.repeat(octets)}.com`)).toEqual(expected)
    }
  })

  test('names of every octet are stored, the rarer octets in the plain names', () => {
    const octets = Array.from({ length: 256 }, (_, octet) => octet).filter((octet) => {
      return octet < 65 || octet > 90
    })
    const labels = octets.map((octet) => Buffer.from([octet, 46, octet]).toString('latin1'))
    const rules = labels.map((label): ModelRule => {
      return { labels: [label, 'com'], coverage: COVERS_SUBTREE, action: ACTION_BLOCK }
    })
    const opening: ModelRule = { ...rules.at(-1)!, action: ACTION_EXCEPT }
    const below = { ...opening, labels: ['ok', ...opening.labels] }
    const trie = opened([list('adult', [...rules, block('plain.com'), below])])
    expect(trie.plain.count).toBeGreaterThan(100)
    const matcher = new Matcher(trie)
    for (const label of labels) {
      expect(ask(trie, matcher, [label, 'com']).categories).toEqual(['adult'])
      expect(ask(trie, matcher, ['www', label, 'com']).categories).toEqual(['adult'])
      expect(ask(trie, matcher, [`${label}a`, 'com']).categories).toEqual([])
    }
    expect(ask(trie, matcher, below.labels).categories).toEqual([])
    expect(matcher).toMatchObject({ matched: true, ruleStart: 13 })
  })
})
