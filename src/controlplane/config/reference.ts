/** niveau3.schema.json and CONFIGURATION.md, written from the schema. */

import { variableOf } from './environment.ts'
import { jsonSchema, type SchemaNode } from './keys.ts'
import { isGroup } from './plain.ts'

/** How a key that the operator names is written in the reference. */
const NAMED = 'NAME'

/** The JSON Schema file, for editors: `# yaml-language-server: $schema=niveau3.schema.json`. */
export function schemaFile(): string {
  return `${JSON.stringify(jsonSchema(), allowNull, 2)}\n`
}

/** Where the text `null` is a choice, the YAML null that `response: null` is means the same. */
function allowNull(_key: string, value: unknown): unknown {
  const choices: unknown = isGroup(value) ? value['enum'] : undefined
  if (!isGroup(value) || !Array.isArray(choices) || !choices.includes('null')) return value
  return { ...value, type: ['string', 'null'], enum: [...choices, null] }
}

const INTRODUCTION = `# Configuration

<!-- Written by "npm run generate" from src/controlplane/config/schema.ts. Do not edit. -->

niveau3 needs no configuration: every key has a default. What is to differ stands in \`niveau3.yaml\`
(YAML 1.2), and is looked for in this order: \`--config FILE\`, the variable \`NIVEAU3_CONFIG\`,
\`./niveau3.yaml\`, \`/etc/niveau3/niveau3.yaml\`.

- Flags win over the environment, which wins over the file. Groups are merged key by key; lists are
  replaced whole. Of \`lists\` and \`image\` the one of the higher layer counts.
- Each key has an environment variable: two underscores lead into a group, one separates words. Lists
  of texts are separated by commas; other lists and groups are YAML (\`[{category: vpn, file: a.txt}]\`).
  An empty variable counts as unset, an unknown \`NIVEAU3_...\` is an error. In the variable of a
  category the hyphens of its name are underscores.
- Amounts of octets are whole numbers, or text with \`KiB\`, \`MiB\` or \`GiB\`. Times are whole numbers in
  the unit that the key names. IPv6 addresses in brackets need quotes in YAML: \`"[::1]:53"\`.
- Paths are relative to the folder of the file; in variables and flags, to the working directory.
- A key with nothing after it counts as left out. An unknown key is an error.

\`niveau3 config check\` tells every problem at once, with its line; \`niveau3 config show --origin\` tells
where each value came from. Editors check and complete the file with
\`# yaml-language-server: $schema=niveau3.schema.json\` in its first line.

\`\`\`yaml
# One resolver for the networks of two centres.
listen: ["10.20.0.53:53", "[fd00:20::53]:53"]
allowFrom: [10.20.0.0/16, "fd00:20::/32"]
upstreams: ["9.9.9.9", "tcp://[2620:fe::fe]"]
categories:
  adult:
    response: address
    ipv4: 10.20.0.80
cache:
  octetsMax: 128MiB
\`\`\`
`

/** The reference page. */
export function referencePage(): string {
  return `${INTRODUCTION}\n${groupSections('Keys of the top level', jsonSchema(), [])}`
}

function groupSections(title: string, node: SchemaNode, path: readonly string[]): string {
  const entries = Object.entries(node.properties ?? {})
  const leaves = entries.filter(([, child]) => child.type !== 'object')
  const heading = path.length === 0 ? `## ${title}` : `## \`${title}\``
  const described = node.description === undefined ? '' : `${node.description}\n\n`
  const rows = leaves.map(([key, child]) => leafRows([...path, key], child)).join('')
  const own = leaves.length > 0 ? `${heading}\n\n${described}${rows}` : ''
  const below = entries.map(([key, child]) => sectionOf(key, child, [...path, key])).join('')
  return own + below
}

function sectionOf(key: string, node: SchemaNode, path: readonly string[]): string {
  if (node.type !== 'object') return ''
  const { additionalProperties } = node
  if (typeof additionalProperties !== 'object') return groupSections(path.join('.'), node, path)
  const described = { ...additionalProperties, description: node.description ?? key }
  const named = [...path, NAMED]
  if (additionalProperties.type !== 'object') {
    const heading = `## \`${named.join('.')}\`\n\n${node.description ?? key}\n\n`
    return heading + leafRows(named, additionalProperties)
  }
  return groupSections(named.join('.'), described, named)
}

/** One key: its facts in one line, what it is for, and the keys of its elements. */
function leafRows(path: readonly string[], node: SchemaNode): string {
  const facts = [typeOf(node), ...rangeOf(node), ...defaultOf(node)].join('; ')
  const variable = `variable \`${variableOf(path)}\``
  const lines = [
    `### \`${path.join('.')}\``,
    '',
    `${facts}; ${variable}.`,
    '',
    node.description ?? '',
  ]
  const elements = Object.entries(node.items?.properties ?? {}).map(([key, child]) => {
    const needed = node.items?.required?.includes(key) ? 'required' : 'optional'
    return `- \`${key}\` (${typeOf(child)}, ${needed}): ${child.description ?? ''}`
  })
  if (elements.length > 0) lines.push('', ...elements)
  return `${lines.join('\n')}\n\n`
}

function typeOf(node: SchemaNode): string {
  if (node.enum) return `one of ${node.enum.map((choice) => `\`${choice}\``).join(', ')}`
  if (node['x-unit'] === 'octets') return 'amount of octets'
  switch (node.type) {
    case 'array':
      return node.items?.type === 'object' ? 'list of groups' : 'list of texts'
    case 'integer':
      return 'whole number'
    case 'object':
      return 'group'
    case 'boolean':
      return '`true` or `false`'
    default:
      return 'text'
  }
}

function rangeOf(node: SchemaNode): readonly string[] {
  const min = node['x-min'] ?? node.minimum
  const max = node['x-max'] ?? node.maximum
  return min === undefined || max === undefined ? [] : [`${min} to ${max}`]
}

function defaultOf(node: SchemaNode): readonly string[] {
  if (node.default === undefined) return []
  if (!Array.isArray(node.default)) return [`default \`${plain(node.default)}\``]
  const texts = node.default.map((element) => `\`${plain(element)}\``)
  return [`default ${texts.length > 0 ? texts.join(', ') : 'empty'}`]
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
