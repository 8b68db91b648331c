import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { AddRules, ImportRules } from '../../src/controlplane/overrule/requests.ts'
import type { OverruleKeeper } from '../../src/controlplane/overrule/overrule-keeper.ts'
import { ME, auditLines, openKeeper, stateFolder } from './keeper.ts'

afterEach(() => {
  vi.useRealTimers()
})

function adding(
  keeper: OverruleKeeper,
  action: 'allow' | 'deny',
  names: string | readonly string[],
  fields: object = {},
) {
  const request = { action, names: [names].flat(), reason: 'a test', ...fields }
  return keeper.add(AddRules.parse(request), ME)
}

function pausing(keeper: OverruleKeeper, seconds: number, category: string | null = null) {
  return keeper.pause({ seconds, category, site: null, reason: 'a test' }, ME)
}

/** The rules in force, shortly. */
function rulesOf(keeper: OverruleKeeper): readonly string[] {
  return keeper
    .list()
    .rules.map(({ what, name, exact, site }) =>
      [what, name, ...(exact ? ['exact'] : []), ...(site === null ? [] : [`at ${site}`])].join(' '),
    )
}

describe('rules', () => {
  test('outlive a restart, with who made them and why', async () => {
    const folder = await stateFolder()
    const keeper = await openKeeper(folder)
    await adding(keeper, 'allow', ['WWW.Example.com', 'other.example.'])
    await adding(keeper, 'deny', 'bad.example', { exact: true, site: 'lyon', category: 'vpn' })
    const again = await openKeeper(folder)
    expect(rulesOf(again)).toEqual(
      ['allow www.example.com', 'deny bad.example exact at lyon', 'allow other.example'].toSorted(
        (a, b) => rulesOf(keeper).indexOf(a) - rulesOf(keeper).indexOf(b),
      ),
    )
    expect(again.list()).toEqual(keeper.list())
    expect(again.list().rules[0]).toMatchObject({ reason: 'a test', user: ME.user, until: null })
    expect(again.store.revision).toBe(2)
  })

  test('for the same names at the same place replace each other', async () => {
    const keeper = await openKeeper(await stateFolder())
    await adding(keeper, 'allow', 'a.example')
    const change = await adding(keeper, 'deny', 'a.example')
    expect(change.removed).toMatchObject([{ what: 'allow' }])
    expect(change.added).toMatchObject([{ what: 'deny', category: 'denied' }])
    await adding(keeper, 'allow', 'a.example', { exact: true })
    await adding(keeper, 'allow', 'a.example', { site: 'lyon' })
    expect(rulesOf(keeper)).toHaveLength(3)
  })

  test('are removed by id or by name, all or none', async () => {
    const keeper = await openKeeper(await stateFolder())
    const { added } = await adding(keeper, 'allow', ['a.example', 'b.example'])
    await adding(keeper, 'deny', 'b.example', { exact: true })
    await expect(keeper.remove({ targets: ['B.example', 'c.example'] }, ME)).rejects.toMatchObject({
      code: 'ERR_NO_STATE',
    })
    expect(rulesOf(keeper)).toHaveLength(3)
    const change = await keeper.remove({ targets: ['B.example', added[0]!.id] }, ME)
    expect(change.removed).toHaveLength(3)
    expect(rulesOf(keeper)).toEqual([])
  })

  test('end by themselves, in force and on the disk', async () => {
    const folder = await stateFolder()
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] })
    const keeper = await openKeeper(folder)
    const applied: number[] = []
    keeper.store.follow(async ({ rules }) => void applied.push(rules.length))
    await adding(keeper, 'allow', 'a.example', { untilMs: Date.now() + 7_200_000 })
    await adding(keeper, 'allow', 'b.example')
    vi.advanceTimersByTime(7_199_999)
    expect(rulesOf(keeper)).toHaveLength(2)
    const dropped = new Promise<void>((resolve) => keeper.store.onChange(() => resolve()))
    vi.advanceTimersByTime(60_001)
    vi.useRealTimers()
    await dropped
    expect(applied).toEqual([1, 2, 1])
    await keeper.store.close()
    expect((await auditLines(folder)).at(-1)).toMatchObject({
      what: 'rule-end',
      by: 'schedule',
      removed: [{ name: 'a.example' }],
    })
    const gone = keeper.store.exportState().entries.find(({ gone: isGone }) => isGone)
    expect(gone).toMatchObject({ name: 'a.example' })
  })

  test.each([
    ['deny', 'com', {}, 'whole registry'],
    ['allow', 'co.uk', {}, 'whole registry'],
    ['deny', 'github.io', {}, 'belongs to many'],
    ['deny', 'lan', {}, 'top-level domain'],
    ['deny', 'help.example', {}, 'essential name'],
    ['deny', 'www.help.example', {}, 'belongs to help.example'],
    ['deny', 'www.help.example', { exact: true }, 'belongs to help.example'],
  ] as const)('%s %s takes --force', async (action, name, fields, why) => {
    const keeper = await openKeeper(await stateFolder())
    const refused = adding(keeper, action, ['fine.example', name], fields)
    await expect(refused).rejects.toMatchObject({ code: 'ERR_RULE_REFUSED' })
    await expect(refused).rejects.toThrow(why)
    expect(rulesOf(keeper)).toEqual([])
    await adding(keeper, action, name, { ...fields, force: true })
    expect(rulesOf(keeper)).toHaveLength(1)
  })

  test.each([
    ['allow', 'hidden.onion', {}, 'ERR_RULE_REFUSED', 'special name'],
    ['allow', 'use-application-dns.net', { force: true }, 'ERR_RULE_REFUSED', 'special name'],
    ['allow', '.', {}, 'ERR_USAGE', 'no name'],
    ['deny', 'a..b', {}, 'ERR_USAGE', 'no name'],
    ['deny', 'a.example', { site: 'lion' }, 'ERR_USAGE', 'did you mean lyon?'],
    ['deny', 'a.example', { category: 'adlt' }, 'ERR_USAGE', 'did you mean adult?'],
    ['allow', 'a.example', { category: 'adult' }, 'ERR_USAGE', 'allow needs none'],
    ['allow', 'a.example', { untilMs: 1 }, 'ERR_USAGE', 'has ended'],
  ] as const)('%s %s %o is refused with %s', async (action, name, fields, code, why) => {
    const keeper = await openKeeper(await stateFolder())
    const refused = adding(keeper, action, name, fields)
    await expect(refused).rejects.toMatchObject({ code })
    await expect(refused).rejects.toThrow(why)
  })

  test('tell what they do not do: essential names below a denial stay open', async () => {
    const keeper = await openKeeper(await stateFolder())
    const { notes } = await adding(keeper, 'deny', 'parent.example')
    expect(notes).toEqual(['essential names below parent.example stay open: deep.parent.example'])
    const allowed = await adding(keeper, 'allow', 'help.example')
    expect(allowed.notes).toEqual(['help.example is essential: no list blocks help.example'])
  })

  test('are imported all or none', async () => {
    const keeper = await openKeeper(await stateFolder())
    const rules = [
      { action: 'allow', name: 'a.example', reason: 'one' },
      { action: 'deny', name: 'com', reason: 'two' },
    ]
    const asked = ImportRules.parse({ rules })
    await expect(keeper.importRules(asked, ME)).rejects.toMatchObject({ code: 'ERR_RULE_REFUSED' })
    expect(rulesOf(keeper)).toEqual([])
    await keeper.importRules({ ...asked, force: true }, ME)
    expect(rulesOf(keeper)).toEqual(['deny com', 'allow a.example'])
  })
})

describe('pauses', () => {
  test('last no longer than the configuration lets them', async () => {
    const keeper = await openKeeper(await stateFolder(), { pauseSecondsMax: 600 })
    await expect(pausing(keeper, 601)).rejects.toThrow('10m at most')
    await pausing(keeper, 600, 'adult')
    expect(keeper.list().pauses).toMatchObject([{ what: 'pause', category: 'adult' }])
  })

  test('written by hand, or made by another box, are cut to that as well', async () => {
    const long = await openKeeper(await stateFolder())
    await pausing(long, 14_400)
    const short = await openKeeper(await stateFolder(), { pauseSecondsMax: 60 })
    await short.store.importState(long.store.exportState(), ME)
    const [pause] = short.store.overlay.pauses
    expect(pause!.untilMs - Date.now()).toBeLessThanOrEqual(60_000)
    expect(pause!.untilMs - Date.now()).toBeGreaterThan(0)
  })

  test('are ended by resume, all or those of a category', async () => {
    const keeper = await openKeeper(await stateFolder())
    await expect(keeper.resume({}, ME)).rejects.toThrow('nothing is paused')
    await pausing(keeper, 600)
    await pausing(keeper, 600, 'adult')
    await expect(keeper.resume({ category: 'vpn' }, ME)).rejects.toThrow('no such pause')
    await keeper.resume({ category: 'adult' }, ME)
    expect(keeper.list().pauses).toMatchObject([{ category: null }])
    await keeper.resume({}, ME)
    expect(keeper.store.overlay.pauses).toEqual([])
  })
})

describe('on the disk', () => {
  test('each change is one line of the audit log: who, what, why', async () => {
    const folder = await stateFolder()
    const keeper = await openKeeper(folder)
    await adding(keeper, 'allow', 'a.example')
    await pausing(keeper, 60)
    await keeper.resume({ reason: 'done' }, ME)
    await keeper.remove({ targets: ['a.example'] }, ME)
    const lines = await auditLines(folder)
    const facts = lines.map(({ what, reason, revision }) => [what, reason, revision])
    expect(facts).toEqual([
      ['rule-add', 'a test', 1],
      ['pause', 'a test', 2],
      ['resume', 'done', 3],
      ['rule-remove', '', 4],
    ])
    expect(lines[0]).toMatchObject({ ...ME, added: [{ what: 'allow', name: 'a.example' }] })
  })

  test('a damaged file gives way to its copy, loudly; without one it is told', async () => {
    const folder = await stateFolder()
    const keeper = await openKeeper(folder)
    await adding(keeper, 'deny', 'bad.example')
    const file = join(folder, 'overrule.json')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.slice(0, text.length / 2))
    const said: Record<string, unknown>[] = []
    const again = await openKeeper(folder, { said })
    expect(rulesOf(again)).toEqual(['deny bad.example'])
    expect(said).toMatchObject([{ event: 'overrule_damaged', file }])
    await writeFile(join(folder, 'overrule.copy.json'), '{}')
    const lost = openKeeper(folder)
    await expect(lost).rejects.toMatchObject({ code: 'ERR_STATE', file })
    await expect(lost).rejects.toThrow('restore it from a backup')
  })

  test('what cannot be written changes nothing', async () => {
    const folder = await stateFolder()
    const keeper = await openKeeper(join(folder, 'file'))
    await writeFile(join(folder, 'file'), '')
    const applied: unknown[] = []
    keeper.store.follow(async (overlay) => void applied.push(overlay))
    await expect(adding(keeper, 'allow', 'a.example')).rejects.toMatchObject({ code: 'ERR_WRITE' })
    expect([rulesOf(keeper), applied, keeper.counts.allow]).toEqual([[], [], 0])
  })

  test('changes at the same time come one after the other', async () => {
    const folder = await stateFolder()
    const keeper = await openKeeper(folder)
    const names = Array.from({ length: 10 }, (_, index) => `n${index}.example`)
    await Promise.all(names.map((name) => adding(keeper, 'allow', name)))
    expect(rulesOf(await openKeeper(folder))).toHaveLength(10)
    expect(await readdir(folder)).toHaveLength(3)
  })
})

describe('between boxes', () => {
  test('the last writer wins, and what was removed stays removed', async () => {
    const [a, b] = [await openKeeper(await stateFolder()), await openKeeper(await stateFolder())]
    await adding(a, 'allow', 'x.example')
    expect((await b.store.importState(a.store.exportState(), ME)).changed).toHaveLength(1)
    expect(rulesOf(b)).toEqual(['allow x.example'])
    await b.remove({ targets: ['x.example'] }, ME)
    await b.store.importState(a.store.exportState(), ME)
    expect(rulesOf(b)).toEqual([])
    await a.store.importState(b.store.exportState(), ME)
    expect(rulesOf(a)).toEqual([])
    await adding(a, 'deny', 'x.example')
    await b.store.importState(a.store.exportState(), ME)
    expect(rulesOf(b)).toEqual(['deny x.example'])
    expect(await b.store.importState(a.store.exportState(), ME)).toEqual({
      changed: [],
      refused: 0,
    })
  })

  test('boxes that have heard of each other agree, in whatever order they hear', async () => {
    const step = fc.record({
      box: fc.nat(2),
      what: fc.constantFrom('allow', 'deny', 'remove', 'exchange'),
      name: fc.constantFrom('x.example', 'y.example'),
      from: fc.nat(2),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const boxes = await Promise.all([0, 1, 2].map(async () => openKeeper(await stateFolder())))
        for (const { box, what, name, from } of steps) {
          const keeper = boxes[box]!
          if (what === 'exchange')
            await keeper.store.importState(boxes[from]!.store.exportState(), ME)
          else if (what === 'remove') await keeper.remove({ targets: [name] }, ME).catch(() => 0)
          else await adding(keeper, what, name)
        }
        for (const [to, from] of [
          [0, 1],
          [0, 2],
          [1, 0],
          [2, 0],
        ] as const) {
          await boxes[to]!.store.importState(boxes[from]!.store.exportState(), ME)
        }
        const entries = boxes.map(({ store }) => store.exportState().entries)
        expect(entries[1]).toEqual(entries[0])
        expect(entries[2]).toEqual(entries[0])
      }),
      { numRuns: 15 },
    )
  })

  test('what is no state of a box is refused whole, an entry from the future alone', async () => {
    const [a, b] = [await openKeeper(await stateFolder()), await openKeeper(await stateFolder())]
    await adding(a, 'allow', ['x.example', 'y.example'])
    const state = a.store.exportState()
    const [first, ...others] = state.entries
    const forged = { ...state, entries: [{ ...first, id: 'r-aaaaaaaaaa' }, ...others] }
    for (const wrong of [null, [], {}, { ...state, schema: 'other/1' }, forged]) {
      await expect(b.store.importState(wrong, ME)).rejects.toMatchObject({ code: 'ERR_STATE' })
    }
    const ahead = { ...first!, versionMs: Date.now() + 2 * 3_600_000 }
    const taken = await b.store.importState({ ...state, entries: [ahead, ...others] }, ME)
    expect(taken).toMatchObject({ refused: 1, changed: others.map(({ id }) => id) })
  })
})
