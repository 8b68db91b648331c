/** A full cycle of subscribed lists over real data: what an operator sees in a year. */
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { GenerationStore } from '../../src/controlplane/generations/generation-store.ts'
import { makeInstallation, type Installation } from '../generations/installation.ts'

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
  const first = await house.update()
  expect(first.kind).toBe('built')
  expect(first.faults).toEqual([])
  expect(first.outcomes.map(({ outcome }) => outcome)).toEqual(['updated', 'updated', 'updated'])
  const [ut1] = first.outcomes
  expect(ut1?.sections.map(({ section, use }) => `${section} ${use}`)).toEqual([
    'vpn black',
    'redirector black',
    'doh black',
    'liste_bu white',
  ])
  expect(ut1?.report?.exceptions).toBeGreaterThan(2000)
  expect(first.probes).toBeGreaterThan(1000)

  await put('hagezi', 'adult/hagezi-nsfw-2026-05.dnsmasq.conf.gz')
  await put('sw', 'adult/shadowwhisperer-adult-2026.txt.gz')
  const second = await house.update()
  expect(second.kind).toBe('built')
  const [, hagezi, sw] = second.outcomes
  expect(hagezi?.outcome).toBe('updated')
  expect(hagezi?.comparison?.added.names).toBe(37_246)
  // 17,368 lines are gone; 15 of their names are covered by a new rule above them.
  expect(hagezi?.comparison?.removed.names).toBe(17_353)
  expect(sw?.outcome).toBe('refused')
  expect(sw?.why).toMatch(/^141327 of 261249 names would no longer be blocked \(54 %\)$/)

  const forced = await house.update({
    force: ['sw:removed-share'],
    reason: 'the author has cleaned up',
  })
  expect(forced.kind).toBe('built')
  expect(forced.outcomes[2]).toMatchObject({ outcome: 'updated', forced: true })
  expect(forced.comparison?.removed.names).toBeGreaterThan(100_000)

  const store = new GenerationStore(house.folder)
  expect(await store.numbers()).toEqual([3, 2, 1])
  await store.setCurrent(2, { since: new Date().toISOString(), why: 'a test' })
  expect(await house.served()).toMatch(/^2 /)
  expect(await house.blocks('nordvpn.com')).toBe(true)
})
