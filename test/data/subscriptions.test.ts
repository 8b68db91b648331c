/**
 * A full cycle of subscribed lists over real data: what an operator sees in a year, by the built
 * program.
 */
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { EXIT } from '../../src/base/errors.ts'
import { makeInstallation, type Installation } from '../generations/installation.ts'
import { runNiveau3 } from '../support/niveau3.ts'

const RUN_MS_MAX = 120_000
const DATA = resolve(process.env['NIVEAU3_DATA'] ?? '../shared/data')

let house: Installation
let folder: string
beforeAll(async () => {
  house = await makeInstallation()
  folder = await mkdtemp(join(tmpdir(), 'niveau3-cycle-'))
})
afterAll(async () => {
  await house.remove()
  await rm(folder, { recursive: true, force: true })
})

const place = (name: string): string => join(folder, name)
const put = (name: string, file: string) => copyFile(join(DATA, file), place(name))
const urlOf = (name: string): string => pathToFileURL(place(name)).href

/** What `lists update --json` says, as far as it is looked at here. */
interface Updated {
  readonly result: string
  readonly faults: readonly unknown[]
  readonly selfTestQuestions: number
  readonly comparison: Compared | null
  readonly lists: readonly {
    readonly outcome: string
    readonly why: string
    readonly forced: boolean
    readonly comparison: Compared | null
    readonly sections: readonly { readonly section: string; readonly use: string }[]
  }[]
}

interface Compared {
  readonly added: { readonly names: number }
  readonly removed: { readonly names: number }
}

/** Runs a command of `niveau3 lists` on the state directory. */
async function lists(...args: readonly string[]): Promise<{ code: number | null; told: unknown }> {
  const all = ['lists', ...args, '--json', '--state-dir', house.folder]
  const { code, stdout, stderr } = await runNiveau3(all, { timeoutMs: RUN_MS_MAX })
  if (stdout === '') throw new Error(`${args.join(' ')}: ${stderr}`)
  return { code, told: JSON.parse(stdout) }
}

async function update(...args: readonly string[]): Promise<Updated & { code: number | null }> {
  const { code, told } = await lists('update', ...args)
  return { code, ...(told as Updated) }
}

test('UT1, HaGeZi and ShadowWhisperer: update, refusal, force, diff, rollback', async () => {
  await put('ut1', 'ut1/blacklists.tar.gz')
  await put('hagezi', 'adult/hagezi-nsfw-2026-03.onlydomains.txt.gz')
  await put('sw', 'adult/shadowwhisperer-adult-older.txt.gz')
  await house.subscribe(
    {
      name: 'ut1',
      url: urlOf('ut1'),
      format: 'ut1',
      sections: ['vpn', 'redirector', 'doh', 'liste_bu'],
      category: 'vpn',
    },
    { name: 'hagezi', url: urlOf('hagezi') },
    { name: 'sw', url: urlOf('sw') },
  )
  const first = await update()
  expect(first).toMatchObject({ code: EXIT.ok, result: 'built', faults: [] })
  expect(first.lists.map(({ outcome }) => outcome)).toEqual(['updated', 'updated', 'updated'])
  expect(first.lists[0]?.sections.map(({ section, use }) => `${section} ${use}`)).toEqual([
    'vpn black',
    'redirector black',
    'doh black',
    'liste_bu white',
  ])
  expect(first.selfTestQuestions).toBeGreaterThan(1000)

  await put('hagezi', 'adult/hagezi-nsfw-2026-05.dnsmasq.conf.gz')
  await put('sw', 'adult/shadowwhisperer-adult-2026.txt.gz')
  const second = await update()
  expect(second).toMatchObject({ code: EXIT.refused, result: 'built' })
  const [, hagezi, sw] = second.lists
  expect(hagezi?.outcome).toBe('updated')
  expect(hagezi?.comparison?.added.names).toBe(37_246)
  // 17,368 lines are gone; 15 of their names are covered by a new rule above them.
  expect(hagezi?.comparison?.removed.names).toBe(17_353)
  expect(sw?.outcome).toBe('refused')
  expect(sw?.why).toMatch(/^141327 of 261249 names would no longer be blocked \(54 %\)/)

  // The list alone is not enough: all lists together lose as much.
  const reason = ['--reason', 'the author has cleaned up']
  const alone = await update('--force', 'sw', ...reason)
  expect(alone).toMatchObject({ code: EXIT.refused, result: 'refused' })
  expect(alone.faults).toMatchObject([{ gate: 'removed-share' }])
  const forced = await update('--force', 'sw', '--force', 'all:removed-share', ...reason)
  expect(forced).toMatchObject({ code: EXIT.ok, result: 'built' })
  expect(forced.lists[2]).toMatchObject({ outcome: 'updated', forced: true })
  expect(forced.comparison?.removed.names).toBeGreaterThan(100_000)

  expect(await house.served()).toMatch(/^3 /)
  expect((await lists('rollback', '2', '--reason', 'a test')).code).toBe(EXIT.ok)
  expect(await house.served()).toMatch(/^2 /)
  expect(await house.blocks('nordvpn.com')).toBe(true)
})
