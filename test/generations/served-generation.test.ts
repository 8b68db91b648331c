import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadFilter } from '../../src/controlplane/filter.ts'
import { GenerationStore } from '../../src/controlplane/generations/generation-store.ts'
import { findServedGeneration } from '../../src/controlplane/generations/served-generation.ts'
import { makeInstallation, manyNames, type Installation } from './installation.ts'

let house: Installation
let store: GenerationStore

/** Two generations, the second in force. */
beforeEach(async () => {
  house = await makeInstallation()
  store = new GenerationStore(house.folder)
  const file = join(house.folder, 'house.txt')
  await house.subscribe({ name: 'house', url: pathToFileURL(file).href })
  for (const names of [100, 110]) {
    await writeFile(file, manyNames(names))
    expect((await house.update()).kind).toBe('built')
  }
})
afterEach(() => house.remove())

const damageCurrent = () => writeFile(join(house.folder, 'current.json'), '{')
const servedNumber = async () => (await findServedGeneration(house.folder)).served?.number
const generations = () => join(house.folder, 'generations')

/** What may befall the state directory under a running server. */
const DAMAGES: readonly (readonly [string, string, () => Promise<void>])[] = [
  ['a damaged current.json', 'ERR_STATE', damageCurrent],
  ['a lost current.json', 'ERR_STATE', () => rm(join(house.folder, 'current.json'))],
  [
    'a damaged image',
    'ERR_IMAGE',
    async () => writeFile((await store.find(2)).imageFile, 'damaged'),
  ],
  [
    'the loss of its generation',
    'ERR_NO_STATE',
    async () => rm((await store.find(2)).folder, { recursive: true }),
  ],
  [
    'generations that cannot be listed',
    'ERR_PERMISSION',
    async () => {
      await rm(generations(), { recursive: true })
      await writeFile(generations(), 'no folder')
    },
  ],
  [
    'an empty state directory',
    'ERR_NO_STATE',
    async () => {
      await rm(generations(), { recursive: true })
      await rm(join(house.folder, 'current.json'))
    },
  ],
]

describe('a reload', () => {
  test.each(DAMAGES)('is refused over %s: %s', async (_what, code, damage) => {
    const running = await loadFilter(house.control)
    expect(running.generation).toBe(2)
    await damage()
    await expect(loadFilter(house.control, running)).rejects.toMatchObject({ code })
  })

  test('takes the generation that is named', async () => {
    const running = await loadFilter(house.control)
    await store.rollBack(1, null)
    expect((await loadFilter(house.control, running)).generation).toBe(1)
  })
})

describe('a start', () => {
  test('without a readable current.json never serves what a rollback has taken out of force', async () => {
    await store.rollBack(1, { since: new Date().toISOString(), why: 'blocks a bank' })
    await damageCurrent()
    expect(await servedNumber()).toBe(1)
    await rm(join(house.folder, 'current.json'))
    expect(await servedNumber()).toBe(1)
  })

  test('serves again what was put in force again', async () => {
    await store.rollBack(1, null)
    await store.rollBack(2, null)
    expect(await servedNumber()).toBe(2)
    await damageCurrent()
    expect(await servedNumber()).toBe(2)
  })

  test('passes over a generation without the category of address rules, and names it', async () => {
    const [file, own] = ['house.txt', 'own.txt'].map((name) => join(house.folder, name)) as [
      string,
      string,
    ]
    await writeFile(own, manyNames(50, 0, 'own.example'))
    const adult = { name: 'house', url: pathToFileURL(file).href }
    const homemade = { name: 'own', url: pathToFileURL(own).href, category: 'homemade' }
    await house.subscribe(adult, homemade)
    expect((await house.update()).generation?.number).toBe(3)
    await house.subscribe(adult)
    expect((await house.update()).generation?.number).toBe(4)
    const rulesOf = (category: string) => ({
      ...house.control,
      addressSources: [{ category, prefixes: ['203.0.113.0/24'], files: [] }],
    })
    const { generation, passedOver } = await loadFilter(rulesOf('homemade'))
    expect(generation).toBe(3)
    expect(passedOver).toEqual([
      expect.stringContaining('generation 4: categories.homemade: address rules need a list'),
    ])
    await expect(loadFilter(rulesOf('nowhere'))).rejects.toMatchObject({ code: 'ERR_CONFIG' })
  })

  test('says when the generations cannot be listed', async () => {
    await rm(generations(), { recursive: true })
    await writeFile(generations(), 'no folder')
    await expect(loadFilter(house.control)).rejects.toMatchObject({ code: 'ERR_PERMISSION' })
  })
})
