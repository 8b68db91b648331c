import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ACTION_BLOCK,
  ACTION_EXCEPT,
  COVERS_BELOW,
  COVERS_SELF,
  COVERS_SUBTREE,
} from '../../src/controlplane/blocklist/rule.ts'
import {
  compareImages,
  type ImageComparison,
} from '../../src/controlplane/blocklist/safety/compare-images.ts'
import { shareFaults } from '../../src/controlplane/blocklist/safety/list-contract.ts'
import { SafetyConfig } from '../../src/controlplane/config/schema-lists.ts'
import { openTrie, type Trie } from '../../src/trie/open.ts'
import { storedNames } from '../../src/trie/stored-names.ts'
import { buildFrom, decide, labelsOf, type ModelList, type ModelRule } from '../compiler/model.ts'

const block = (name: string, coverage: ModelRule['coverage'] = COVERS_SUBTREE): ModelRule => ({
  labels: name.split('.'),
  coverage,
  action: ACTION_BLOCK,
})
const except = (name: string): ModelRule => ({ ...block(name), action: ACTION_EXCEPT })

const opened = (lists: readonly ModelList[]): Trie => openTrie(buildFrom(lists).image)
const adult = (...rules: readonly ModelRule[]): ModelList[] => [
  { name: 'adult', category: 'adult', rules },
]

function figures({ added, moved, newNames, oldNames, removed }: ImageComparison) {
  return {
    old: oldNames,
    new: newNames,
    added: added.names,
    removed: removed.names,
    moved: moved.names,
  }
}

async function compared(before: readonly ModelList[], after: readonly ModelList[]) {
  return figures(await compareImages(opened(before), opened(after)))
}

describe('two images are compared by what they do', () => {
  const many = Array.from({ length: 40 }, (_, index) => `n${index}.example`)

  test('an exception below a rule that stays is a name removed, and its end a name added', async () => {
    const closed = adult(...many.map((name) => block(name)))
    const open = adult(
      ...many.map((name) => block(name)),
      ...many.slice(0, 30).map((name) => except(`shop.${name}`)),
    )
    expect(await compared(closed, open)).toEqual({
      old: 40,
      new: 40,
      added: 0,
      removed: 30,
      moved: 0,
    })
    expect(await compared(open, closed)).toEqual({
      old: 40,
      new: 40,
      added: 30,
      removed: 0,
      moved: 0,
    })
    const comparison = await compareImages(opened(closed), opened(open))
    expect(comparison.removed.byCategory).toEqual({ adult: 30 })
    expect(comparison.removed.samples).toContain('shop.n7.example')
    const faults = shareFaults(comparison, SafetyConfig.parse({}))
    expect(faults.map(({ gate }) => gate)).toEqual(['removed-share'])
  })

  test('a rule that no longer covers what lies below its name has lost something', async () => {
    const before = adult(block('x.example'), block('y.example', COVERS_SELF))
    const after = adult(block('x.example', COVERS_SELF), block('y.example'))
    expect(await compared(before, after)).toEqual({
      old: 2,
      new: 2,
      added: 1,
      removed: 1,
      moved: 0,
    })
  })

  test('a rule that takes the place of those below it removes nothing', async () => {
    const before = adult(block('a.x.example'), block('b.x.example'))
    const after = adult(block('x.example'))
    expect(await compared(before, after)).toEqual({
      old: 2,
      new: 1,
      added: 1,
      removed: 0,
      moved: 0,
    })
  })
})

const LABELS = ['a', 'b', 'c', 'ab']
const labels = fc.array(fc.constantFrom(...LABELS), { minLength: 1, maxLength: 4 })
const rule = fc.record<ModelRule>({
  labels,
  coverage: fc.constantFrom(COVERS_SELF, COVERS_BELOW, COVERS_SUBTREE, COVERS_SUBTREE),
  action: fc.constantFrom(ACTION_BLOCK, ACTION_BLOCK, ACTION_EXCEPT),
})
const lists = fc
  .array(
    fc.tuple(fc.constantFrom('adult', 'vpn'), fc.array(rule, { minLength: 1, maxLength: 12 })),
    { minLength: 1, maxLength: 3 },
  )
  .map((drawn) =>
    drawn.map(([category, rules], index): ModelList => ({
      name: `list-${index}`,
      category,
      rules,
    })),
  )

/** All names of up to five labels: one more than rules have. */
const UNIVERSE = Array.from({ length: 5 })
  .reduce<string[][][]>(
    (byDepth) => [
      ...byDepth,
      byDepth.at(-1)!.flatMap((name) => LABELS.map((label) => [label, ...name])),
    ],
    [[[]]],
  )
  .slice(1)
  .flat()

test('every name that opens, closes or moves is counted once, whatever the rules are', async () => {
  await fc.assert(
    fc.asyncProperty(lists, lists, async (before, after) => {
      const tries = [opened(before), opened(after)] as const
      const stored = new Set(
        tries.flatMap((trie) => [...storedNames(trie)].map(({ name }) => labelsOf(name).join('.'))),
      )
      const expected = { added: 0, removed: 0, moved: 0 }
      for (const text of stored) {
        const name = text.split('.')
        const points = [name, ['no-rule-has-this', ...name]]
        const pairs = points.map((point) => [decide(before, point), decide(after, point)] as const)
        const isOpened = pairs.some(([old, next]) => old.list !== '' && next.list === '')
        const isClosed = pairs.some(([old, next]) => old.list === '' && next.list !== '')
        const isMoved = pairs.some(
          ([old, next]) => old.categories.join() !== next.categories.join(),
        )
        if (isOpened) expected.removed += 1
        if (isClosed) expected.added += 1
        if (isMoved && !isOpened && !isClosed) expected.moved += 1
      }
      const comparison = await compareImages(...tries)
      expect(figures(comparison)).toMatchObject(expected)
      const isOpen = UNIVERSE.some(
        (name) => decide(before, name).list !== '' && decide(after, name).list === '',
      )
      expect(comparison.removed.names > 0).toBe(isOpen)
      const isClosed = UNIVERSE.some(
        (name) => decide(before, name).list === '' && decide(after, name).list !== '',
      )
      expect(comparison.added.names > 0).toBe(isClosed)
    }),
    { numRuns: 60 },
  )
})
