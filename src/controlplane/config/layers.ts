/**
 * The layers of a configuration, one over the other: defaults, file, environment, flags. The higher
 * layer wins key by key; groups are merged, lists are replaced whole.
 */

import { schemaAt, valueAt, type KeyPath } from './keys.ts'
import { isGroup } from './plain.ts'
import type { Origin } from './problems.ts'
import type { YamlSource } from './yaml-source.ts'

/** One value that the environment or a flag sets over the file. */
export interface Override {
  readonly path: readonly string[]
  readonly value: unknown
  readonly origin: Origin
}

export interface Layered {
  /** What was given, before defaults. */
  readonly tree: Record<string, unknown>
  /** Where the value at `path` came from; for a group, where the group was given. */
  readonly originOf: (path: KeyPath, part?: 'key' | 'value') => Origin
}

const DEFAULT: Origin = { kind: 'default' }

/** Puts overrides, in their order, over what the file says. */
export function layer(file: YamlSource | undefined, overrides: readonly Override[]): Layered {
  const tree = structuredClone({ ...file?.tree })
  const leaves = overrides.flatMap(splitGroups)
  for (const { path, value } of leaves) assign(tree, path, value)
  return {
    tree: withoutNulls(tree, []),
    originOf: (path, part = 'value') => {
      const above = leaves.findLast((leaf) => isWithin(path, leaf.path))
      if (above) return above.origin
      if (file && valueAt(file.tree, path) !== undefined) return file.locate(path, part)
      const below = leaves.findLast((leaf) => isWithin(leaf.path, path))
      return below?.origin ?? DEFAULT
    },
  }
}

/** A group given as a whole is merged into the file's key by key. */
function splitGroups(override: Override): readonly Override[] {
  const { path, value, origin } = override
  if (!isGroup(value)) return [override]
  return Object.entries(value).flatMap(([key, child]) =>
    splitGroups({ path: [...path, key], value: child, origin }),
  )
}

function assign(tree: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let group = tree
  for (const key of path.slice(0, -1)) {
    const child = Object.hasOwn(group, key) ? group[key] : undefined
    const next = isGroup(child) ? child : {}
    define(group, key, next)
    group = next
  }
  define(group, path.at(-1)!, value)
}

/**
 * A key with nothing after it counts as left out: every line of its group may be commented out.
 * Only where the text `null` is one of the choices (`response: null`), YAML's null means that text.
 */
function withoutNulls(group: Record<string, unknown>, path: KeyPath): Record<string, unknown> {
  const entries = Object.entries(group)
  return Object.fromEntries(
    entries.flatMap(([key, child]) => keptEntry(key, child, [...path, key])),
  )
}

function keptEntry(key: string, value: unknown, path: KeyPath): readonly [string, unknown][] {
  if (value === null) return schemaAt(path)?.enum?.includes('null') ? [[key, 'null']] : []
  return [[key, kept(value, path)]]
}

function kept(value: unknown, path: KeyPath): unknown {
  if (Array.isArray(value)) return value.map((each, index) => kept(each, [...path, index]))
  return isGroup(value) ? withoutNulls(value, path) : value
}

/** Also for a key called `__proto__`, which an assignment would treat as something else. */
function define(group: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(group, key, { value, enumerable: true, writable: true, configurable: true })
}

function isWithin(path: KeyPath, group: KeyPath): boolean {
  return group.length <= path.length && group.every((step, index) => path[index] === step)
}
