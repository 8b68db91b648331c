/** The lists and the questions of the benchmark. */

import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { gunzipSync } from 'node:zlib'

import { EssentialNames } from '../../src/controlplane/blocklist/essential.ts'
import { readList, type ListReport } from '../../src/controlplane/blocklist/read-list.ts'
import { compile, type CompiledLists } from '../../src/controlplane/compiler/compile.ts'
import { storedNames } from '../../src/trie/stored-names.ts'
import type { Trie } from '../../src/trie/open.ts'
import { seeded } from './generate-names.ts'

export const DATA = resolve(process.env['NIVEAU3_DATA'] ?? '../shared/data')

export const REAL_LISTS = [
  ['adult', 'adult/union-open.txt.gz'],
  ['vpn', 'vpn/ut1-vpn.txt.gz'],
  ['vpn', 'vpn/ut1-redirector.txt.gz'],
  ['vpn', 'vpn/ut1-doh.txt'],
] as const

const SEED = 20_261_122

/** Questions as they stand in messages: wire names one behind the other. */
export interface Questions {
  readonly octets: Uint8Array
  readonly starts: Uint32Array
}

export async function compileFiles(
  files: readonly (readonly [category: string, file: string])[],
): Promise<CompiledLists<ListReport>> {
  const essential = EssentialNames.none()
  const sources = files.map(([category, file]) => {
    return { name: file, category, file: resolve(DATA, file), curated: false }
  })
  return compile(sources, { readList: (source, sink) => readList(source, sink, { essential }) })
}

export function textOf(wire: Uint8Array): string {
  const labels: string[] = []
  for (let at = 0; wire[at]! !== 0; at += wire[at]! + 1) {
    labels.push(Buffer.from(wire.subarray(at + 1, at + 1 + wire[at]!)).toString('latin1'))
  }
  return labels.join('.')
}

export function storedTexts(trie: Trie): string[] {
  return Array.from(storedNames(trie), ({ name }) => textOf(name))
}

/** Names that people ask for: 20,000 popular ones, in a random order. */
export function popularNames(): string[] {
  const file = gunzipSync(readFileSync(join(DATA, 'allow/misp-cisco_top20k.json.gz')))
  const { list } = JSON.parse(file.toString()) as { list: string[] }
  return shuffled(list.filter((name) => /^[a-z0-9._-]+$/i.test(name)))
}

/** Stored names and names below them, in a random order. */
export function listedNames(stored: readonly string[], count: number): string[] {
  const random = seeded(SEED)
  return Array.from({ length: count }, (_, index) => {
    const name = stored[Math.floor(random() * stored.length)]!
    return index % 2 === 0 || name.length > 240 ? name : `www.${name}`
  })
}

export function shuffled(names: readonly string[]): string[] {
  const random = seeded(SEED)
  const order = [...names]
  for (let index = order.length - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1))
    ;[order[index], order[other]] = [order[other]!, order[index]!]
  }
  return order
}

export function questionsOf(names: readonly string[]): Questions {
  const starts = new Uint32Array(names.length)
  const octets = new Uint8Array(names.reduce((sum, name) => sum + name.length + 2, 0))
  let at = 0
  for (const [index, name] of names.entries()) {
    starts[index] = at
    for (const label of name.split('.')) {
      octets[at] = label.length
      octets.set(Buffer.from(label, 'latin1'), at + 1)
      at += label.length + 1
    }
    at++
  }
  return { octets, starts }
}
