import { randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ACTION_BLOCK,
  ACTION_EXCEPT,
  COVERS_BELOW,
  COVERS_SELF,
  COVERS_SUBTREE,
} from '../../src/controlplane/blocklist/rule.ts'
import { countChangedVerdicts } from '../../src/controlplane/generations/changed-verdicts.ts'
import { AskedName } from '../../src/dataplane/query.ts'
import { RECENT_NAMES, RecentNames, createRecentNames } from '../../src/dataplane/recent-names.ts'
import { openTrie, type Trie } from '../../src/trie/open.ts'
import { buildFrom, decide, wireOf, type ModelList, type ModelRule } from '../compiler/model.ts'

const KEY = randomBytes(16)
const NONE = new Set<string>()

/** A recorder whose clock jumps a second with each name: its budget never ends. */
function recorder() {
  const memory = createRecentNames(KEY)
  const recent = new RecentNames(memory)
  const asked = new AskedName()
  let nowMs = 0
  const note = (labels: readonly string[], stepMs = 1000): void => {
    asked.take(wireOf(labels), 0)
    recent.note(asked, (nowMs += stepMs))
  }
  return { memory, note }
}

function imageOf(names: readonly string[], category = 'adult'): Trie {
  const rules = names.map((name): ModelRule => {
    return { labels: name.split('.'), coverage: COVERS_SUBTREE, action: ACTION_BLOCK }
  })
  return openTrie(buildFrom([{ name: 'own', category, rules }]).image)
}

const label = fc.constantFrom('a', 'b', 'c', 'www', 'x-y')
const labels = fc.array(label, { minLength: 1, maxLength: 6 })
const rule = fc.record<ModelRule>({
  labels,
  coverage: fc.constantFrom(COVERS_SELF, COVERS_BELOW, COVERS_SUBTREE, COVERS_SUBTREE),
  action: fc.constantFrom(ACTION_BLOCK, ACTION_BLOCK, ACTION_EXCEPT),
})
const lists = fc
  .array(fc.tuple(fc.constantFrom('adult', 'vpn', 'darkweb'), fc.array(rule, { maxLength: 8 })), {
    minLength: 1,
    maxLength: 3,
  })
  .map((drawn): ModelList[] =>
    drawn.map(([category, rules], index) => ({ name: `list${index}`, category, rules })),
  )

describe('names that were asked lately', () => {
  test('change their verdicts by a plan as often as a judge who knows them says', () => {
    fc.assert(
      fc.property(lists, lists, fc.array(labels, { maxLength: 40 }), (before, after, names) => {
        const { memory, note } = recorder()
        for (const name of names) note(name)
        const off = new Set(['vpn'])
        const isBlocked = (model: ModelList[], name: readonly string[]): boolean =>
          decide(model, name).categories.some((category) => !off.has(category))
        const distinct = [...new Set(names.map((name) => name.join('.')))].map((name) =>
          name.split('.'),
        )
        const changes = distinct.map((name) => [isBlocked(before, name), isBlocked(after, name)])
        expect(
          countChangedVerdicts(
            { key: KEY, blocks: [memory.words] },
            openTrie(buildFrom(before).image),
            openTrie(buildFrom(after).image),
            off,
          ),
        ).toEqual({
          names: distinct.length,
          newlyBlocked: changes.filter(([was, will]) => !was && will).length,
          newlyOpen: changes.filter(([was, will]) => was && !will).length,
        })
      }),
      { numRuns: 100 },
    )
  })

  test('are counted once, whichever worker was asked, in whatever letters, however often', () => {
    const [first, second] = [recorder(), recorder()]
    for (let i = 0; i < 50; i++) {
      first.note(['www', 'Casino', 'example'])
      second.note(['WWW', 'casino', 'example'])
      second.note(['open', 'example'])
    }
    const blocks = [first.memory.words, second.memory.words]
    expect([blocks[0]![0], blocks[1]![0]]).toEqual([1, 2])
    const changed = countChangedVerdicts(
      { key: KEY, blocks },
      imageOf(['bad.example']),
      imageOf(['casino.example']),
      NONE,
    )
    expect(changed).toEqual({ names: 2, newlyBlocked: 1, newlyOpen: 0 })
  })

  test('push the oldest out when there are too many, and come back when they are asked again', () => {
    const { memory, note } = recorder()
    note(['first', 'example'])
    for (let i = 0; i < RECENT_NAMES; i++) note([`n${i}`, 'example'])
    const count = (): object =>
      countChangedVerdicts(
        { key: KEY, blocks: [memory.words] },
        imageOf(['x.example']),
        imageOf(['first.example']),
        NONE,
      )
    expect(count()).toEqual({ names: RECENT_NAMES, newlyBlocked: 0, newlyOpen: 0 })
    note(['first', 'example'])
    expect(count()).toEqual({ names: RECENT_NAMES, newlyBlocked: 1, newlyOpen: 0 })
  })

  test('a flood of random names costs no more than 200 records a second', () => {
    const { memory, note } = recorder()
    for (let i = 0; i < 5000; i++) note([`r${i}`, 'example'], 0.1)
    expect(memory.words[0]).toBe(200)
    note(['calm', 'example'])
    expect(memory.words[0]).toBe(201)
  })

  test('a name of more labels than are kept is judged by itself and by those near the root', () => {
    const { memory, note } = recorder()
    const deep = [...Array.from({ length: 20 }, (_, index) => `l${index}`), 'deep', 'example']
    note(deep)
    const planned = (...names: readonly string[]): number =>
      countChangedVerdicts(
        { key: KEY, blocks: [memory.words] },
        imageOf(['x.example']),
        imageOf(names),
        NONE,
      ).newlyBlocked
    expect(planned(deep.join('.'))).toBe(1)
    expect(planned('deep.example')).toBe(1)
    expect(planned('l19.deep.example')).toBe(1)
    expect(planned('l18.deep.example')).toBe(0)
  })

  test('what is kept holds no octet of a name, and means nothing under another key', () => {
    const { memory, note } = recorder()
    note(['secretly-asked', 'example'])
    const octets = Buffer.from(Int32Array.from(memory.words).buffer)
    expect(octets.includes('secretly')).toBe(false)
    const other = { key: randomBytes(16), blocks: [memory.words] }
    const changed = countChangedVerdicts(other, imageOf(['x.y']), imageOf(['example']), NONE)
    expect(changed).toEqual({ names: 1, newlyBlocked: 0, newlyOpen: 0 })
  })
})
