/**
 * Learns the code model from the names themselves: which contexts are worth telling apart, and how
 * often each symbol follows in each.
 */

import { followContexts } from '../../trie/code-model.ts'
import type { ContextTree } from '../../trie/code-model.ts'
import { STATES_MAX } from '../../trie/layout.ts'

/** Symbols of the longest context. */
const CONTEXT_SYMBOLS_MAX = 6
/** Uses below which a context is not even considered. */
const CONTEXT_USES_MIN = 48
/** What a state costs: bits of the image for itself and for each symbol that it has. */
const STATE_BITS = 12
const SYMBOL_BITS = 2.5
/** What a state must earn besides, since each makes the lookup's tables larger. */
const GAIN_BITS_MIN = 500
/** Counters of one pass: bounds its memory to 64 MiB. */
const COUNTERS_MAX = 1 << 24

/** The names as symbols, one behind the other. */
export interface SymbolSequences {
  /** Symbols, the boundary included. */
  readonly symbols: number
  readonly flat: Uint8Array
  /** First symbol of each sequence in `flat`; one more entry than sequences. */
  readonly starts: Uint32Array
}

export interface TrainedModel {
  readonly tree: ContextTree
  /** By state * symbols + symbol. */
  readonly counts: Uint32Array
}

/** The contexts so far, growing level by level. */
interface Contexts {
  readonly symbols: number
  readonly parents: number[]
  readonly olders: number[]
  readonly depths: number[]
  /** The state whose context lacks the newest symbol: how a lookup gets here. */
  readonly prefixes: number[]
  readonly childOf: Map<number, number>
}

/** A context that might become a state. */
interface Candidate {
  readonly parent: number
  readonly older: number
  readonly prefix: number
  readonly gain: number
}

/** Learns contexts one symbol longer at a time, as long as they pay; then counts. */
export function trainModel(sequences: SymbolSequences): TrainedModel {
  const { symbols } = sequences
  const contexts: Contexts = {
    symbols,
    parents: [0],
    olders: [0],
    depths: [0],
    prefixes: [0],
    childOf: new Map(),
  }
  for (let older = 0; older <= symbols; older++) {
    addContext(contexts, { parent: 0, older, prefix: 0, gain: 0 })
  }
  for (let depth = 2; depth <= CONTEXT_SYMBOLS_MAX; depth++) {
    const room = STATES_MAX - contexts.parents.length
    const candidates = findCandidates(sequences, contexts, depth)
    // The best by gain, then in the order of the tree.
    const chosen = candidates.toSorted(compareGain).slice(0, room).toSorted(compareTree)
    for (const candidate of chosen) addContext(contexts, candidate)
    if (chosen.length === 0) break
  }
  return { tree: contexts, counts: countSymbols(sequences, contexts) }
}

function compareGain(a: Candidate, b: Candidate): number {
  return b.gain - a.gain || compareTree(a, b)
}

function compareTree(a: Candidate, b: Candidate): number {
  return a.parent - b.parent || a.older - b.older
}

function childKey(contexts: Contexts, parent: number, older: number): number {
  return parent * (contexts.symbols + 1) + older
}

function addContext(contexts: Contexts, { parent, older, prefix }: Candidate): void {
  contexts.childOf.set(childKey(contexts, parent, older), contexts.parents.length)
  contexts.parents.push(parent)
  contexts.olders.push(older)
  contexts.depths.push(contexts.depths[parent]! + 1)
  contexts.prefixes.push(prefix)
}

/** The number of `start`'s state: the context that is only the start of a name. */
function startOf({ olders, symbols }: Contexts): number {
  return olders.indexOf(symbols)
}

/** Counts, for every state of depth - 1 and every symbol before its context, what follows. */
function findCandidates(
  sequences: SymbolSequences,
  contexts: Contexts,
  depth: number,
): Candidate[] {
  const { symbols, depths } = contexts
  const olderSymbols = symbols + 1
  const group = olderSymbols * symbols
  const parents: number[] = []
  const rowOf = new Int32Array(depths.length).fill(-1)
  for (const [state, stateDepth] of depths.entries()) {
    if (stateDepth !== depth - 1 || (parents.length + 1) * group > COUNTERS_MAX) continue
    rowOf[state] = parents.length
    parents.push(state)
  }
  const counts = new Uint32Array(parents.length * group)
  countExtensions(sequences, contexts, depth, rowOf, counts)
  const candidates: Candidate[] = []
  const total = new Float64Array(symbols)
  for (const [row, parent] of parents.entries()) {
    total.fill(0)
    for (let index = 0; index < group; index++) {
      total[index % symbols]! += counts[row * group + index]!
    }
    const before = bitsPerSymbol(total)
    for (let older = 0; older < olderSymbols; older++) {
      // The shorter context that a lookup comes from must be a state as well.
      const prefix = contexts.childOf.get(childKey(contexts, contexts.prefixes[parent]!, older))
      const first = row * group + older * symbols
      const own = counts.subarray(first, first + symbols)
      const gain = prefix === undefined ? 0 : gainOf(own, before)
      if (prefix !== undefined && gain >= GAIN_BITS_MIN) {
        candidates.push({ parent, older, prefix, gain })
      }
    }
  }
  return candidates
}

/** The hot loop of training: one step a symbol. */
function countExtensions(
  sequences: SymbolSequences,
  contexts: Contexts,
  depth: number,
  rowOf: Int32Array,
  counts: Uint32Array,
): void {
  const { flat, starts, symbols } = sequences
  const next = followContexts(contexts)
  const group = (symbols + 1) * symbols
  const start = startOf(contexts)
  for (let sequence = 0; sequence + 1 < starts.length; sequence++) {
    const first = starts[sequence]!
    const end = starts[sequence + 1]!
    let state = start
    for (let at = first; at < end; at++) {
      const symbol = flat[at]!
      const row = rowOf[state]!
      // Before `at` stand the start mark and at - first symbols; the older one is depth back.
      const back = at - depth
      if (row >= 0 && back >= first - 1) {
        const older = back >= first ? flat[back]! : symbols
        const index = row * group + older * symbols + symbol
        counts[index]!++
      }
      state = next[state * symbols + symbol]!
    }
  }
}

/** Bits that each symbol takes under these counts, one at least. */
function bitsPerSymbol(counts: Float64Array): Float64Array {
  const sum = counts.reduce((total, count) => total + count, 0)
  return counts.map((count) => (count === 0 ? 0 : Math.max(1, Math.log2(sum / count))))
}

/** Bits saved when a context has its own codes. */
function gainOf(own: Uint32Array, before: Float64Array): number {
  let sum = 0
  for (const count of own) sum += count
  if (sum < CONTEXT_USES_MIN) return 0
  let gain = -STATE_BITS
  for (let symbol = 0; symbol < own.length; symbol++) {
    const count = own[symbol]!
    if (count === 0) continue
    gain += count * (before[symbol]! - Math.max(1, Math.log2(sum / count))) - SYMBOL_BITS
  }
  return gain
}

function countSymbols(sequences: SymbolSequences, contexts: Contexts): Uint32Array {
  const { flat, starts, symbols } = sequences
  const next = followContexts(contexts)
  const counts = new Uint32Array(contexts.parents.length * symbols)
  const start = startOf(contexts)
  for (let sequence = 0; sequence + 1 < starts.length; sequence++) {
    const end = starts[sequence + 1]!
    let state = start
    for (let at = starts[sequence]!; at < end; at++) {
      const index = state * symbols + flat[at]!
      counts[index]!++
      state = next[index]!
    }
  }
  return counts
}
