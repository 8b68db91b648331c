/**
 * The environment as a layer of the configuration: `NIVEAU3_CACHE__OCTETS_MAX=128MiB` sets
 * `cache.octetsMax`. Two underscores lead into a group, one separates the words of a key; in names
 * that operators choose (categories) it stands for a hyphen. An empty variable counts as unset.
 */

import { parse } from 'yaml'
import { childrenOf, jsonSchema, leafPaths, type SchemaNode } from './keys.ts'
import type { Override } from './layers.ts'
import type { Problem } from './problems.ts'
import { SHIPPED_CATEGORIES } from './schema.ts'
import { nearest } from './suggest.ts'

const PREFIX = 'NIVEAU3_'
/** Variables of ours that are no configuration keys: where the file is, and what tests read. */
const OWN_VARIABLES: ReadonlySet<string> = new Set([
  'NIVEAU3_CONFIG',
  'NIVEAU3_DATA',
  'NIVEAU3_CACHE_DIR',
  'NIVEAU3_PROGRAMS',
  'NIVEAU3_TEST_REPORT',
])

export interface EnvironmentLayer {
  readonly overrides: readonly Override[]
  readonly problems: readonly Problem[]
}

/** Reads every `NIVEAU3_...` variable; one that sets nothing is a problem, with a suggestion. */
export function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): EnvironmentLayer {
  const overrides: Override[] = []
  const problems: Problem[] = []
  for (const name of Object.keys(environment).toSorted()) {
    const text = environment[name]
    if (!name.startsWith(PREFIX) || OWN_VARIABLES.has(name) || !text) continue
    const origin = { kind: 'environment', name } as const
    const target = findTarget(name)
    if (target === undefined) {
      const near = nearest(name, [...allVariables(), ...OWN_VARIABLES])
      const suggestion = near && { suggestion: `did you mean ${near}?` }
      const message = 'this variable sets no configuration key'
      problems.push({ code: 'ERR_CONFIG', message, origin, ...suggestion })
      continue
    }
    try {
      overrides.push({ path: target.path, value: readValue(text, target.node), origin })
    } catch {
      const message = `${target.path.join('.')}: "${text}" is not YAML`
      problems.push({ code: 'ERR_CONFIG', message, origin })
    }
  }
  return { overrides, problems }
}

/** `cache.octetsMax` is set by `NIVEAU3_CACHE__OCTETS_MAX`. */
export function variableOf(path: readonly string[]): string {
  return PREFIX + path.map(toUpperSnake).join('__')
}

function toUpperSnake(key: string): string {
  return key
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toUpperCase()
}

function allVariables(): readonly string[] {
  return leafPaths(SHIPPED_CATEGORIES).map(variableOf)
}

function findTarget(name: string): { path: readonly string[]; node: SchemaNode } | undefined {
  let node = jsonSchema()
  const path: string[] = []
  for (const word of name.slice(PREFIX.length).split('__')) {
    const named = word === '' ? [] : [word.toLowerCase().replaceAll('_', '-')]
    const child = childrenOf(node, named).find(([key]) => toUpperSnake(key) === word)
    if (child === undefined) return undefined
    path.push(child[0])
    node = child[1]
  }
  return { path, node }
}

/** Texts stay texts; what is not a number where one belongs is left for the schema to refuse. */
function readValue(text: string, node: SchemaNode): unknown {
  switch (node.type) {
    case 'string':
      return text
    case 'boolean':
      return text === 'true' || text === 'false' ? text === 'true' : text
    case 'array':
      if (node.items?.type !== 'string' || text.trimStart().startsWith('[')) return readYaml(text)
      return text.split(',').flatMap((part) => part.trim() || [])
    case 'object':
      return readYaml(text)
    default:
      return /^-?\d+$/.test(text) ? Number(text) : text
  }
}

function readYaml(text: string): unknown {
  return parse(text, { logLevel: 'error', maxAliasCount: 0 })
}
