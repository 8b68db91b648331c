/**
 * Chooses the suffix dictionary: suffixes that so many stored names share that each earns a symbol.
 */

import { DICTIONARY_NODES_MAX, LABELS_MAX } from '../../trie/layout.ts'
import { NameTable } from './name-table.ts'
import type { ResolvedNames } from './resolve-rules.ts'

/** Labels of the longest suffix that is looked at. */
const SUFFIX_LABELS_MAX = 4
/** Names that must share a suffix: one of one label, and a longer one, which takes more octets. */
const TOP_USES_MIN = 2
const DEEP_USES_MIN = 8

const ROOT_NODE = 0

/** The dictionary and where each stored name hangs in it. */
export interface SuffixChoice {
  /** Parent of each node; parents come before children, children in octet order of their labels. */
  readonly parents: readonly number[]
  /** The node's label with its length octet; empty for the root. */
  readonly labels: readonly Uint8Array[]
  /** The node of the longest suffix of each stored name, by position in `stored`. */
  readonly nodeOf: Uint16Array
  /** Octets of each stored name that stand in front of that suffix; 0: the name is the node. */
  readonly restOctets: Uint8Array
}

/** Counts suffixes, keeps the frequent ones and finds each name's longest. */
export function chooseSuffixes(resolved: ResolvedNames): SuffixChoice {
  const suffixes = countSuffixes(resolved)
  const nodeNumbers = new Map<number, number>()
  const { parents, labels } = numberNodes(suffixes, nodeNumbers)
  const { names, stored } = resolved
  const nodeOf = new Uint16Array(stored.length)
  const restOctets = new Uint8Array(stored.length)
  const starts = new Uint32Array(LABELS_MAX)
  for (let index = 0; index < stored.length; index++) {
    const name = stored[index]!
    const start = names.start(name)
    const end = start + names.octets(name)
    const count = labelStarts(names.arena, start, starts)
    let node = ROOT_NODE
    let rest = end - 1
    for (let label = count - 1; label >= Math.max(0, count - SUFFIX_LABELS_MAX); label--) {
      const suffix = suffixes.table.find(names.arena, starts[label]!, end - starts[label]!)
      const found = nodeNumbers.get(suffix)
      if (found === undefined) break
      node = found
      rest = starts[label]!
    }
    nodeOf[index] = node
    restOctets[index] = rest - start
  }
  return { parents, labels, nodeOf, restOctets }
}

interface SuffixCounts {
  readonly table: NameTable
  /** Stored names below each suffix. */
  readonly uses: Uint32Array
}

function countSuffixes({ names, stored }: ResolvedNames): SuffixCounts {
  const table = new NameTable()
  let uses = new Uint32Array(1 << 12)
  const starts = new Uint32Array(LABELS_MAX)
  for (const name of stored) {
    const start = names.start(name)
    const end = start + names.octets(name)
    const count = labelStarts(names.arena, start, starts)
    for (let label = Math.max(1, count - SUFFIX_LABELS_MAX); label < count; label++) {
      const suffix = table.intern(names.arena, starts[label]!, end - starts[label]!)
      if (suffix >= uses.length) {
        const wider = new Uint32Array(uses.length * 2)
        wider.set(uses)
        uses = wider
      }
      uses[suffix]!++
    }
  }
  return { table, uses }
}

/** Numbers the frequent suffixes, level by level, and fills `nodeNumbers` by suffix number. */
function numberNodes(
  suffixes: SuffixCounts,
  nodeNumbers: Map<number, number>,
): { parents: number[]; labels: Uint8Array[] } {
  const { table } = suffixes
  const frequent = frequentSuffixes(suffixes)
  const parents = [ROOT_NODE]
  const labels = [new Uint8Array(0)]
  for (let depth = 1; depth <= SUFFIX_LABELS_MAX; depth++) {
    const level = frequent
      .filter((suffix) => table.labels(suffix) === depth)
      .map((suffix) => {
        const start = table.start(suffix)
        const labelEnd = start + 1 + table.arena[start]!
        const above = table.find(table.arena, labelEnd, table.start(suffix + 1) - labelEnd)
        const parent = depth === 1 ? ROOT_NODE : nodeNumbers.get(above)!
        return { suffix, parent, label: table.arena.slice(start, labelEnd) }
      })
      .toSorted((a, b) => a.parent - b.parent || Buffer.compare(a.label, b.label))
    for (const { suffix, parent, label } of level) {
      nodeNumbers.set(suffix, parents.length)
      parents.push(parent)
      labels.push(label)
    }
  }
  return { parents, labels }
}

/** A suffix has at least as many uses as a longer one that ends in it, so parents are kept too. */
function frequentSuffixes({ table, uses }: SuffixCounts): number[] {
  for (let factor = 1; ; factor *= 2) {
    const frequent: number[] = []
    for (let suffix = 0; suffix < table.count; suffix++) {
      const least = table.labels(suffix) === 1 ? TOP_USES_MIN : DEEP_USES_MIN
      if (uses[suffix]! >= least * factor) frequent.push(suffix)
    }
    if (frequent.length < DICTIONARY_NODES_MAX) return frequent
  }
}

function labelStarts(arena: Uint8Array, start: number, starts: Uint32Array): number {
  let count = 0
  for (let at = start; arena[at]! !== 0; at += arena[at]! + 1) starts[count++] = at
  return count
}
