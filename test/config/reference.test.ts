import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { expect, test } from 'vitest'
import { variableOf } from '../../src/controlplane/config/environment.ts'
import { leafPaths, schemaAt } from '../../src/controlplane/config/keys.ts'
import { loadConfig } from '../../src/controlplane/config/load.ts'
import { referencePage, schemaFile } from '../../src/controlplane/config/reference.ts'
import { ConfigSchema } from '../../src/controlplane/config/schema.ts'
import { shownKeys, shownYaml } from '../../src/controlplane/config/show.ts'

const paths = leafPaths(['NAME'])

test('the generated files are what the schema says', () => {
  expect(readFileSync('niveau3.schema.json', 'utf8')).toBe(schemaFile())
  expect(readFileSync('CONFIGURATION.md', 'utf8')).toBe(referencePage())
})

test('every key has a description, and its place in the reference', () => {
  const page = referencePage()
  for (const path of paths) {
    expect(schemaAt(path)?.description, path.join('.')).toMatch(/\w{3}.*[.]/)
    expect(page).toContain(`### \`${path.join('.')}\``)
    expect(page).toContain(`\`${variableOf(path)}\``)
  }
  expect(paths.length).toBeGreaterThan(30)
})

test('no two keys share an environment variable', () => {
  expect(new Set(paths.map(variableOf)).size).toBe(paths.length)
})

test('no group of the JSON Schema takes unknown keys', () => {
  const open: string[] = []
  const visit = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return
    if ('properties' in node && !('additionalProperties' in node)) open.push(path)
    for (const [key, child] of Object.entries(node)) visit(child, `${path}/${key}`)
  }
  visit(JSON.parse(schemaFile()), '')
  expect(open).toEqual([])
})

test('the examples of the reference are accepted', () => {
  const examples = [...referencePage().matchAll(/```yaml\n([\s\S]*?)```/g)].map(
    (found) => found[1]!,
  )
  expect(examples.length).toBeGreaterThan(0)
  for (const text of examples) {
    const config = loadConfig({ source: { name: 'example', text }, environment: {} })
    expect(config.dataplane.listen.length).toBeGreaterThan(0)
  }
})

test('what config show prints is a configuration with the same meaning', () => {
  const text = 'workers: 3\ncategories: {adult: {response: null}}\nupstreams: ["[::1]:53"]'
  const config = loadConfig({ source: { name: 'n.yaml', text }, environment: {} })
  for (const withOrigin of [false, true]) {
    const shown = shownYaml(shownKeys(config), withOrigin)
    const again = loadConfig({ source: { name: 'shown', text: shown }, environment: {} })
    expect(again.dataplane).toEqual(config.dataplane)
    expect(again.control).toEqual(config.control)
  }
})

test('changed keys are those that differ from their default, with their origin', () => {
  const text = 'block: {ttlSeconds: 60}\ncache: {octetsMax: 2MiB}'
  const config = loadConfig({ source: { name: 'n.yaml', text }, environment: {} })
  const changed = shownKeys(config).filter((key) => key.isChanged)
  expect(changed).toEqual([
    { path: ['cache', 'octetsMax'], value: '2MiB', origin: 'n.yaml:2:20', isChanged: true },
  ])
})

test('the defaults of the schema are accepted by it', () => {
  const defaults = ConfigSchema.parse({})
  expect(ConfigSchema.parse(parse(JSON.stringify(defaults)))).toEqual(defaults)
})
