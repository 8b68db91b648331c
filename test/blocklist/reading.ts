/** Reads lists that a test writes down as text, and shows their rules as sentences. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { EssentialNames } from '../../src/controlplane/blocklist/essential.ts'
import { nameToText } from '../../src/controlplane/blocklist/name-text.ts'
import {
  readList,
  type ListReport,
  type ListSource,
  type ReadOptions,
} from '../../src/controlplane/blocklist/read-list.ts'
import {
  ACTION_BLOCK,
  COVERS_BELOW,
  COVERS_SELF,
  type RuleSink,
} from '../../src/controlplane/blocklist/rule.ts'

export interface Reading {
  /** `block x.com`, `block only x.com`, `block below x.com`, `except ...`, in line order. */
  readonly rules: string[]
  /** Line of each rule. */
  readonly lines: number[]
  readonly report: ListReport
}

export function collector(): RuleSink & { rules: string[]; lines: number[] } {
  const rules: string[] = []
  const lines: number[] = []
  return {
    rules,
    lines,
    add(name, octets, coverage, action, line) {
      const verb = action === ACTION_BLOCK ? 'block' : 'except'
      const reach = coverage === COVERS_SELF ? ' only' : coverage === COVERS_BELOW ? ' below' : ''
      rules.push(`${verb}${reach} ${nameToText(name, octets)}`)
      lines.push(line)
    },
  }
}

export interface ReadingOptions extends ReadOptions {
  readonly source?: Partial<ListSource>
  readonly essential?: readonly string[]
}

/** Writes the content into a file of its own, reads it as a list and takes the file away. */
export async function readText(
  content: string | Uint8Array,
  options: ReadingOptions = {},
): Promise<Reading> {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-list-'))
  try {
    const file = join(folder, 'list.txt')
    await writeFile(file, content)
    return await readFile(file, options)
  } finally {
    await rm(folder, { recursive: true })
  }
}

export async function readFile(file: string, options: ReadingOptions = {}): Promise<Reading> {
  const sink = collector()
  const essential = EssentialNames.of(options.essential ?? [])
  const source = { name: 'a list', category: 'adult', curated: false, ...options.source, file }
  const report = await readList(source, sink, { essential }, options)
  return { rules: sink.rules, lines: sink.lines, report }
}

/** The reasons that were counted, without the zeros. */
export function reasons(report: ListReport): Record<string, number> {
  return Object.fromEntries(Object.entries(report.notRules).filter(([, count]) => count > 0))
}
