import { expect, test } from 'vitest'
import { HOUR_S, MINUTE_S, SECOND_MS } from '../../src/base/units.ts'
import { ListVersions, type ListStatus } from '../../src/controlplane/generations/list-versions.ts'
import { dueAtMs, dueLists } from '../../src/controlplane/generations/schedule.ts'
import { loadSubscriptions } from '../../src/controlplane/generations/subscriptions.ts'
import { makeInstallation } from './installation.ts'

const CHECKED_MS = Date.parse('2026-11-01T00:00:00.000Z')
const DAILY = { intervalHours: 24 }

function statusAfter(failures: number): ListStatus {
  return {
    schema: 'niveau3.list-status/1',
    checkedAt: new Date(CHECKED_MS).toISOString(),
    outcome: failures === 0 ? 'unchanged' : 'failed',
    why: '',
    failures,
  }
}

/** Minutes from the last check to the next. */
function waitMinutes(failures: number, chance = 0): number {
  return (dueAtMs(DAILY, statusAfter(failures), chance) - CHECKED_MS) / SECOND_MS / MINUTE_S
}

test('a list is due after its interval, up to a tenth later by chance', () => {
  expect(waitMinutes(0)).toBe(24 * 60)
  expect(waitMinutes(0, 0.5)).toBeCloseTo(24 * 60 * 1.05)
  expect(dueAtMs(DAILY, undefined, 1)).toBe(0)
})

test('after failures it is asked sooner, then less and less often, never rarer than its interval', () => {
  expect([1, 2, 3, 4].map((failures) => waitMinutes(failures))).toEqual([15, 30, 60, 120])
  expect(waitMinutes(8)).toBe(24 * 60)
  expect(waitMinutes(1000)).toBe(24 * 60)
})

test('lists that are off or pinned are never due', async () => {
  const house = await makeInstallation()
  const list = { url: 'https://lists.example/x' }
  await house.subscribe(
    { ...list, name: 'new' },
    { ...list, name: 'off', enabled: false },
    { ...list, name: 'pinned', pinned: true },
    { ...list, name: 'fresh' },
  )
  await new ListVersions(house.folder, 'fresh').saveStatus(statusAfter(0))
  const subscriptions = (await loadSubscriptions(house.folder)) ?? []
  const soonMs = CHECKED_MS + HOUR_S * SECOND_MS
  expect(await dueLists(house.folder, subscriptions, soonMs)).toEqual(['new'])
  const laterMs = CHECKED_MS + 25 * HOUR_S * SECOND_MS
  expect(await dueLists(house.folder, subscriptions, laterMs)).toEqual(['new', 'fresh'])
  await house.remove()
})
