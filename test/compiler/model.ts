/**
 * The rules as the design states them, by the plainest means: the judge of the compiler's tests.
 */

import { ACTION_EXCEPT, COVERS_BELOW, COVERS_SELF } from '../../src/controlplane/blocklist/rule.ts'
import type { Coverage, RuleAction } from '../../src/controlplane/blocklist/rule.ts'
import { buildImage } from '../../src/controlplane/compiler/build-image.ts'
import type { BuiltImage, ListFacts } from '../../src/controlplane/compiler/build-image.ts'
import { RuleCollector } from '../../src/controlplane/compiler/rule-collector.ts'

/** Labels from the left, each a latin1 string of any octets. */
export type Labels = readonly string[]

export interface ModelRule {
  readonly labels: Labels
  readonly coverage: Coverage
  readonly action: RuleAction
}

export interface ModelList {
  readonly name: string
  readonly category: string
  readonly rules: readonly ModelRule[]
}

export function wireOf(labels: Labels): Uint8Array {
  const parts = labels.flatMap((label) => [
    Buffer.from([label.length]),
    Buffer.from(label, 'latin1'),
  ])
  return Buffer.concat([...parts, Buffer.from([0])])
}

export function labelsOf(name: Uint8Array): string[] {
  const labels: string[] = []
  for (let at = 0; name[at]! !== 0; at += name[at]! + 1) {
    labels.push(Buffer.from(name.subarray(at + 1, at + 1 + name[at]!)).toString('latin1'))
  }
  return labels
}

export function folded(labels: Labels): string[] {
  return labels.map((label) => label.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase()))
}

function factsOf(list: ModelList): ListFacts {
  return {
    name: list.name,
    category: list.category,
    source: `${list.name}.txt`,
    sha256: Buffer.from(list.name).toString('hex').padEnd(64, '0'),
    octets: 0,
    date: '',
    licence: '',
    attribution: '',
  }
}

/** Compiles the lists; names are folded as a parser would have done. */
export function buildFrom(lists: readonly ModelList[]): BuiltImage {
  const collector = new RuleCollector()
  for (const list of lists) {
    const sink = collector.addList(list.name)
    for (const [index, rule] of list.rules.entries()) {
      const name = wireOf(folded(rule.labels))
      sink.add(name, name.length, rule.coverage, rule.action, index + 1)
    }
  }
  return buildImage(collector, lists.map(factsOf))
}

export interface ModelAnswer {
  readonly categories: readonly string[]
  /** Name of the winning list, '' when nothing blocks. */
  readonly list: string
}

/** Decides a name by walking every rule of every list. */
export function decide(lists: readonly ModelList[], asked: Labels): ModelAnswer {
  const name = folded(asked)
  const categories = new Set<string>()
  let winner: { list: string; category: string; labels: number } | undefined
  for (const list of lists) {
    let best = -1
    let blocks = false
    for (const rule of list.rules) {
      if (!covers(rule, name) || rule.labels.length < best) continue
      if (rule.labels.length > best) blocks = true
      best = rule.labels.length
      if (rule.action === ACTION_EXCEPT) blocks = false
    }
    if (best === -1 || !blocks) continue
    categories.add(list.category)
    const candidate = { list: list.name, category: list.category, labels: best }
    if (winner === undefined || precedes(candidate, winner)) winner = candidate
  }
  return { categories: [...categories].toSorted(), list: winner?.list ?? '' }
}

function covers(rule: ModelRule, name: readonly string[]): boolean {
  const labels = folded(rule.labels)
  const extra = name.length - labels.length
  if (extra < 0 || labels.some((label, index) => name[extra + index] !== label)) return false
  return (rule.coverage & (extra === 0 ? COVERS_SELF : COVERS_BELOW)) !== 0
}

type Candidate = { list: string; category: string; labels: number }

function precedes(a: Candidate, b: Candidate): boolean {
  if (a.labels !== b.labels) return a.labels > b.labels
  return a.category === b.category ? a.list < b.list : a.category < b.category
}
