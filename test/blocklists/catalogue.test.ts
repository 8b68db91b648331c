import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadCatalogue } from '../../src/controlplane/blocklist/catalogue.ts'
import { SHIPPED_CATEGORIES } from '../../src/controlplane/config/schema.ts'
import { BLOCK_LISTS, coveredBy, curatedNames } from './curated-lists.ts'

const catalogue = await loadCatalogue()

test('the default set covers every category that ships, Toulouse first', () => {
  const defaults = catalogue.sources.filter((source) => source.default)
  const categories = new Set(defaults.map(({ category }) => category))
  for (const category of SHIPPED_CATEGORIES) expect(categories).toContain(category)
  expect(catalogue.sources[0]?.id).toBe('ut1-adult')
  expect(defaults[0]?.id).toBe('ut1-adult')
})

test('each source says what it is, whose it is and how large', () => {
  expect(catalogue.sources.length).toBeGreaterThanOrEqual(20)
  for (const { id, url, licence, attribution, names, intervalHours } of catalogue.sources) {
    expect(new URL(url).protocol, id).toBe('https:')
    expect(licence, id).toMatch(/^[\w.-]+$/)
    expect(attribution, id).toMatch(/https:\/\//)
    expect(names.max, id).toBeGreaterThan(names.min)
    expect(intervalHours, id).toBeGreaterThanOrEqual(12)
  }
  const urls = catalogue.sources.map(({ url }) => url)
  expect(new Set(urls).size).toBe(urls.length)
})

test('what every image must block stands in the curated lists, so that it holds from the start', () => {
  for (const category of SHIPPED_CATEGORIES) {
    const must = catalogue.categories[category]?.mustBlock ?? []
    expect(must.length, category).toBeGreaterThanOrEqual(5)
    for (const name of must) expect(curatedNames(category), name).toContain(name)
  }
})

test('the popular names are many, in order, and on no curated list', async () => {
  const text = await readFile(new URL('../../blocklists/popular.txt', import.meta.url), 'utf8')
  const names: string[] = []
  for (const section of text.split(/^## .*$/m).slice(1)) {
    const own = section.trim().split('\n')
    expect(own).toEqual(own.toSorted())
    names.push(...own)
  }
  for (const name of names) expect(name).toMatch(/^(?:[a-z0-9-]+\.)+[a-z]{2,}$/)
  expect(new Set(names).size).toBe(names.length)
  expect(names.length).toBeGreaterThanOrEqual(500)
  for (const list of BLOCK_LISTS) {
    const blocked = curatedNames(list)
    expect(names.filter((name) => coveredBy(blocked, name) !== undefined)).toEqual([])
  }
})

function source(url: string, more = ''): string {
  return (
    `  - {id: x, url: "${url}", category: adult, licence: MIT, attribution: a, intervalHours: 24, ` +
    `names: {min: 1, max: 2}${more}}\n`
  )
}

test('a catalogue with mistakes names every one of them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-catalogue-'))
  const file = join(folder, 'sources.yaml')
  const head = 'categories: {adult: {mustBlock: [a.example]}}\nsources:\n'
  await writeFile(file, head + source('http://a.example/x') + source('https://b/', ', size: 2'))
  await expect(loadCatalogue(file)).rejects.toThrow(/sources\.0\.url.*; .*size/)
  await writeFile(file, head + source('https://a.example/x') + source('https://a.example/y'))
  await expect(loadCatalogue(file)).rejects.toThrow(/x stands twice/)
  await expect(loadCatalogue(join(folder, 'none'))).rejects.toMatchObject({ code: 'ERR_CONFIG' })
  await rm(folder, { recursive: true })
})
