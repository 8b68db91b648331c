/**
 * The keys of niveau3.yaml as data, read from the JSON Schema that zod writes: what the
 * environment, the suggestions, the reference page and `config show` need to know about each of
 * them.
 */

import * as z from 'zod'
import { isGroup } from './plain.ts'
import { ConfigSchema } from './schema.ts'

/** The part of JSON Schema (draft 7) that our schema uses. */
export interface SchemaNode {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly additionalProperties?: SchemaNode | boolean
  readonly items?: SchemaNode
  readonly required?: readonly string[]
  readonly enum?: readonly string[]
  readonly anyOf?: readonly SchemaNode[]
  readonly minimum?: number
  readonly maximum?: number
  readonly 'x-unit'?: string
  readonly 'x-min'?: string
  readonly 'x-max'?: string
}

/** One step of a path into the configuration: a key, or the index of a list element. */
export type PathStep = string | number
export type KeyPath = readonly PathStep[]

let written: SchemaNode | undefined

/** The JSON Schema (draft 7, what YAML editors read) of niveau3.yaml. */
export function jsonSchema(): SchemaNode {
  written ??= parseSchema(z.toJSONSchema(ConfigSchema, { io: 'input', target: 'draft-7' }))
  return written
}

/** By way of its text: zod's own type allows all of JSON Schema, ours only what we write. */
function parseSchema(schema: object): SchemaNode {
  const title = 'niveau3.yaml: configuration of niveau3, a DNS resolver that filters'
  const node: SchemaNode = JSON.parse(JSON.stringify({ title, ...schema }))
  return node
}

/** Returns what may stand at a path, or undefined when nothing may. */
export function schemaAt(path: KeyPath): SchemaNode | undefined {
  let node: SchemaNode | undefined = jsonSchema()
  for (const step of path) {
    if (node === undefined) return undefined
    node = typeof step === 'number' ? node.items : childOf(node, step)
  }
  return node
}

function childOf(node: SchemaNode, key: string): SchemaNode | undefined {
  if (node.properties && Object.hasOwn(node.properties, key)) return node.properties[key]
  return typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined
}

/** `cache.octetsMax`, `lists[1].file`. */
export function formatPath(path: KeyPath): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else text += text === '' ? step : `.${step}`
  }
  return text
}

/** The value at a path of a plain tree, or undefined. */
export function valueAt(tree: unknown, path: KeyPath): unknown {
  let value: unknown = tree
  for (const step of path) {
    value = childAt(value, step)
  }
  return value
}

function childAt(value: unknown, step: PathStep): unknown {
  if (Array.isArray(value)) return typeof step === 'number' ? value[step] : undefined
  return isGroup(value) && Object.hasOwn(value, step) ? value[step] : undefined
}

/**
 * Every key that takes a value of its own, in the order of the schema. A group whose keys the
 * operator names (`categories`) appears once for each of `named`.
 */
export function leafPaths(named: readonly string[]): readonly (readonly string[])[] {
  const paths: string[][] = []
  const visit = (node: SchemaNode, path: string[]): void => {
    for (const [key, child] of childrenOf(node, named)) {
      if (child.type === 'object') visit(child, [...path, key])
      else paths.push([...path, key])
    }
  }
  visit(jsonSchema(), [])
  return paths
}

/** The keys of a group with their schemas; operator-named keys are those of `named`. */
export function childrenOf(
  node: SchemaNode,
  named: readonly string[],
): readonly (readonly [string, SchemaNode])[] {
  const { additionalProperties } = node
  if (typeof additionalProperties === 'object') {
    return named.map((key) => [key, additionalProperties] as const)
  }
  return Object.entries(node.properties ?? {})
}
