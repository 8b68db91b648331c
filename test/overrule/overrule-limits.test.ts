/** What happens at the limits: of the disk, of the number of entries, and of the clock. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  ENTRIES_MAX,
  GONE_MAX,
  OVERRULE_SCHEMA,
  idOf,
  type Entry,
} from '../../src/controlplane/overrule/entry.ts'
import type { OverruleKeeper } from '../../src/controlplane/overrule/overrule-keeper.ts'
import { AddRules } from '../../src/controlplane/overrule/requests.ts'
import { ME, auditLines, openKeeper, stateFolder } from './keeper.ts'

vi.setConfig({ testTimeout: 120_000 })
const HOUR_MS = 3_600_000

afterEach(() => {
  vi.useRealTimers()
})

function allowing(keeper: OverruleKeeper, name: string, fields: object = {}) {
  const request = { action: 'allow', names: [name], reason: 'a test', ...fields }
  return keeper.add(AddRules.parse(request), ME)
}

const pausing = (keeper: OverruleKeeper, seconds: number) =>
  keeper.pause({ seconds, category: null, site: null, reason: 'a test' }, ME)

function ruleEntries(count: number, isGone: boolean, firstMs: number): Entry[] {
  return Array.from({ length: count }, (_, index): Entry => {
    const about = { kind: 'rule', name: `n${index}.example`, exact: false, site: null } as const
    const versionMs = firstMs + index
    const rest = { gone: isGone, user: 'u', reason: '', category: null, versionMs, untilMs: null }
    return { id: idOf(about), ...about, action: 'allow', ...rest }
  })
}

const stateOf = (entries: readonly Entry[]) => ({ schema: OVERRULE_SCHEMA, revision: 1, entries })

/** Lets what does not wait for a timer come about. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turn()
}

describe('on the disk', () => {
  test('what has ended and cannot be dropped is tried again a minute later, not at once', async () => {
    const folder = await stateFolder()
    const said: Record<string, unknown>[] = []
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] })
    const keeper = await openKeeper(folder, { said })
    keeper.store.follow(() => Promise.resolve())
    await allowing(keeper, 'a.example', { untilMs: Date.now() + 1000 })
    await rm(folder, { recursive: true })
    await writeFile(folder, 'no directory')
    const failures = () => said.filter(({ event }) => event === 'overrule_end_failed').length
    vi.advanceTimersByTime(1001)
    await until(() => failures() === 1 && vi.getTimerCount() === 1)
    vi.advanceTimersByTime(59_000)
    for (let round = 0; round < 200; round++) await turn()
    expect(failures()).toBe(1)
    vi.advanceTimersByTime(1001)
    await until(() => failures() === 2 && vi.getTimerCount() === 1)
    await rm(folder)
    await mkdir(folder)
    vi.advanceTimersByTime(60_001)
    await until(() => keeper.store.exportState().entries[0]!.gone)
    await keeper.store.close()
  })

  test('what could not be told of in the audit log is not done', async () => {
    const folder = await stateFolder()
    const keeper = await openKeeper(folder)
    await mkdir(join(folder, 'audit.ndjson'))
    await expect(allowing(keeper, 'a.example')).rejects.toMatchObject({ code: 'ERR_WRITE' })
    expect(keeper.list()).toMatchObject({ revision: 0, rules: [] })
    expect((await openKeeper(folder)).list()).toMatchObject({ revision: 0, rules: [] })
    await rm(join(folder, 'audit.ndjson'), { recursive: true })
    await allowing(keeper, 'a.example')
    expect(await auditLines(folder)).toHaveLength(1)
  })
})

describe('as many as there may be', () => {
  test('the oldest gone ones are forgotten, so that what is written can be read', async () => {
    const folder = await stateFolder()
    const nowMs = Date.now() - HOUR_MS
    const gone = ruleEntries(GONE_MAX, true, nowMs)
    await writeFile(join(folder, 'overrule.json'), JSON.stringify(stateOf(gone)))
    const keeper = await openKeeper(folder)
    await allowing(keeper, 'new.example')
    await keeper.remove({ targets: ['new.example'] }, ME)
    const { entries } = (await openKeeper(folder)).store.exportState()
    expect(entries).toHaveLength(GONE_MAX)
    expect(entries.some(({ id }) => id === gone[0]!.id)).toBe(false)
    expect(entries.some(({ id }) => id === gone[1]!.id)).toBe(true)
    const again = await keeper.store.importState(stateOf(gone.slice(0, 5)), ME)
    expect(again).toEqual({ changed: [], refused: 1 })
  })

  test('of what another box has the newest that fit are taken, and the others counted', async () => {
    const keeper = await openKeeper(await stateFolder())
    const theirs = ruleEntries(ENTRIES_MAX + 3, false, Date.now() - HOUR_MS)
    const first = await keeper.store.importState(stateOf(theirs), ME)
    expect(first.refused).toBe(3)
    expect(first.changed).toHaveLength(ENTRIES_MAX)
    expect(first.changed).not.toContain(theirs[2]!.id)
    expect(await keeper.store.importState(stateOf(theirs), ME)).toEqual({ changed: [], refused: 3 })
    const removed = { ...theirs[9]!, gone: true, versionMs: Date.now() }
    const closing = await keeper.store.importState(stateOf([theirs[2]!, removed]), ME)
    expect(closing).toEqual({ changed: [removed.id, theirs[2]!.id], refused: 0 })
  })
})

describe('when the clock is set back', () => {
  test('a pause and a rule that is for a time last no longer for it', async () => {
    let monotonicMs = 1_000_000
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => monotonicMs)
    vi.useFakeTimers({ toFake: ['Date'] })
    const startMs = Date.now()
    const keeper = await openKeeper(await stateFolder())
    await pausing(keeper, 60)
    await allowing(keeper, 'a.example', { untilMs: startMs + 120_000 })
    vi.setSystemTime(startMs - 24 * HOUR_MS)
    monotonicMs += 30_000
    const left = () => keeper.store.overlay.pauses.map(({ untilMs }) => untilMs - Date.now())
    expect(left()).toEqual([30_000])
    monotonicMs += 30_001
    expect(left()).toEqual([])
    expect(keeper.list().rules).toHaveLength(1)
    monotonicMs += 60_000
    expect(keeper.list().rules).toEqual([])
    clock.mockRestore()
  })

  test('a pause that was made in the future has ended, and new changes are of this day', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const folder = await stateFolder()
    const laterMs = Date.now() + 24 * HOUR_MS
    const nowMs = Date.now()
    vi.setSystemTime(laterMs)
    const before = await openKeeper(folder)
    await pausing(before, 600)
    await allowing(before, 'a.example')
    vi.setSystemTime(nowMs)
    const keeper = await openKeeper(folder)
    expect(keeper.list()).toMatchObject({ pauses: [], rules: [{ name: 'a.example' }] })
    await pausing(keeper, 600)
    expect(keeper.list().pauses).toMatchObject([{ until: new Date(nowMs + 600_000).toISOString() }])
    expect(keeper.store.nextVersionMs() - nowMs).toBeLessThan(HOUR_MS)
    const other = await openKeeper(await stateFolder())
    const taken = await other.store.importState(keeper.store.exportState(), ME)
    expect(taken).toMatchObject({ changed: [expect.stringMatching(/^p-/)], refused: 1 })
  })
})
