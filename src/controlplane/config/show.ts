/** The configuration in force, for `config show`: as YAML for people, as a tree for programs. */

import { isDeepStrictEqual } from 'node:util'
import { stringify } from 'yaml'
import { leafPaths, valueAt } from './keys.ts'
import type { LoadedConfig } from './load.ts'
import { formatOrigin } from './problems.ts'
import { formatOctets } from './quantities.ts'
import { withoutPassword } from './redis-url.ts'
import { CategoryConfig, ConfigSchema, type ConfigValues } from './schema.ts'
import { categoryNames } from './settings.ts'

/** One key in force. */
export interface ShownKey {
  readonly path: readonly string[]
  /** As the operator would write it; undefined for a key that is not set and has no default. */
  readonly value: unknown
  /** `default`, or the place that gave the value. */
  readonly origin: string
  /** Whether the value differs from the default. */
  readonly isChanged: boolean
}

/** Every key, in the order of the reference. */
export function shownKeys(config: LoadedConfig): readonly ShownKey[] {
  const names = categoryNames(config.values)
  const values = withCategories(config.values, names)
  const defaults = withCategories(ConfigSchema.parse({}), names)
  return leafPaths(names).map((path) => {
    const isSystem = path[0] === 'upstreams' && config.control.upstreamsFromSystem
    const own = valueAt(values, path)
    const value = isSystem ? config.dataplane.upstreams.map(({ label }) => label) : own
    const isChanged = !isDeepStrictEqual(own, valueAt(defaults, path))
    const origin = formatOrigin(config.originOf(path))
    return { path, value: displayed(path, value), origin, isChanged }
  })
}

function withCategories(values: ConfigValues, names: readonly string[]): ConfigValues {
  const categories = names.map((name) => {
    const given = Object.hasOwn(values.categories, name) ? values.categories[name] : undefined
    return [name, given ?? CategoryConfig.parse({})] as const
  })
  return { ...values, categories: Object.fromEntries(categories) }
}

function displayed(path: readonly string[], value: unknown): unknown {
  if (path.join('.') === 'redis.url' && typeof value === 'string') return withoutPassword(value)
  const isOctets = path[0] !== 'edns' && /Octets/i.test(path.at(-1)!)
  return isOctets && typeof value === 'number' ? formatOctets(value) : value
}

/** The keys as niveau3.yaml; keys that are not set appear as comments. */
export function shownYaml(keys: readonly ShownKey[], withOrigin: boolean): string {
  const lines: string[] = []
  let group: readonly string[] = []
  for (const key of keys) {
    const parents = key.path.slice(0, -1)
    for (const [depth, parent] of parents.entries()) {
      if (isDeepStrictEqual(parents.slice(0, depth + 1), group.slice(0, depth + 1))) continue
      lines.push(`${'  '.repeat(depth)}${parent}:`)
    }
    group = parents
    lines.push(...keyLines(key, '  '.repeat(parents.length), withOrigin))
  }
  return lines.length > 0 ? `${lines.join('\n')}\n` : ''
}

function keyLines(key: ShownKey, indent: string, withOrigin: boolean): readonly string[] {
  const name = key.path.at(-1)!
  if (key.value === undefined) return [`${indent}# ${name}: ${unsetMeaning(key)}`]
  const origin = withOrigin ? `  # ${key.origin}` : ''
  const { value } = key
  if (Array.isArray(value) && typeof value[0] === 'object') {
    return [`${indent}${name}:${origin}`, ...value.map((each) => `${indent}  - ${flow(each)}`)]
  }
  return [`${indent}${name}: ${flow(value)}${origin}`]
}

function unsetMeaning({ path }: ShownKey): string {
  return path.join('.') === 'lists' ? 'the built-in ones, unless image is set' : 'not set'
}

function flow(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trimEnd()
}
