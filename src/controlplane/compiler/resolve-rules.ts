/**
 * From rules to verdicts: what is blocked at each name and below it, once all lists, exceptions and
 * overlaps have had their say.
 */

import { OperationalError } from '../../base/errors.ts'
import { LABELS_MAX, VALUES_MAX } from '../../trie/layout.ts'
import { prependLabel, ROOT_HASH } from '../../trie/suffix-hash.ts'
import { COVERS_BELOW, COVERS_SELF } from '../blocklist/rule.ts'
import { NO_NAME } from './name-table.ts'
import type { NameTable } from './name-table.ts'
import { EXCEPT_SHIFT } from './rule-collector.ts'
import type { RuleCollector } from './rule-collector.ts'

export const NO_LIST = -1

/**
 * What holds at a stored name: category bits and winning list, for itself and for the names below.
 */
export interface Verdict {
  readonly self: number
  readonly selfList: number
  readonly below: number
  readonly belowList: number
  /** Whether no stored name lies below. */
  readonly leaf: boolean
}

/** The names that an image stores, with their verdicts. */
export interface ResolvedNames {
  readonly names: NameTable
  /** Numbers of the stored names in `names`, in no particular order. */
  readonly stored: Uint32Array
  /** Index into `values` of each of `stored`. */
  readonly valueOf: Uint16Array
  /** The distinct verdicts, the most frequent first. */
  readonly values: readonly Verdict[]
  /**
   * Sorted hashes of every name that has, somewhere below it, a stored name with fewer categories
   * than the names around it: for these, "all below is blocked" cannot be said.
   */
  readonly openings: Uint32Array
  /**
   * Per list, in canonical order: names of its blocking rules that are stored, and that are not.
   */
  readonly kept: readonly number[]
  readonly redundant: readonly number[]
}

/** The canonical number and category bit of each collected list. */
export interface ListPlace {
  readonly rank: number
  readonly categoryBit: number
}

const NOTHING: Verdict = { self: 0, selfList: NO_LIST, below: 0, belowList: NO_LIST, leaf: true }
const NOT_STORED = 0xffff_ffff

/** Resolves the rules of `collector`, whose list `i` stands at `places[i]` in the image. */
export function resolveRules(
  collector: RuleCollector,
  places: readonly ListPlace[],
): ResolvedNames {
  return new Resolution(collector, places).run()
}

/** The state of one resolution. */
class Resolution {
  readonly #rules: RuleCollector
  readonly #names: NameTable
  readonly #places: readonly ListPlace[]
  readonly #parents: Int32Array
  /** Verdict number of each name, `NOT_STORED` for a redundant one. */
  readonly #verdictOf: Uint32Array
  readonly #verdicts: Verdict[] = [NOTHING]
  readonly #verdictNumbers = new Map<string, number>()
  /** Verdicts of names without ancestors and with one record, by record word: nearly all names. */
  readonly #simple = new Map<number, number>()
  readonly #selfSeen: Uint32Array
  readonly #belowSeen: Uint32Array
  #stamp = 0
  /** 1 for every name with a stored name below it. */
  readonly #isInner: Uint8Array
  readonly #openings = new Set<number>()

  constructor(collector: RuleCollector, places: readonly ListPlace[]) {
    this.#rules = collector
    this.#names = collector.names
    this.#places = places
    this.#parents = new Int32Array(this.#names.count)
    this.#verdictOf = new Uint32Array(this.#names.count).fill(NOT_STORED)
    this.#isInner = new Uint8Array(this.#names.count)
    this.#selfSeen = new Uint32Array(places.length)
    this.#belowSeen = new Uint32Array(places.length)
    this.#intern(NOTHING)
  }

  run(): ResolvedNames {
    const order = namesByLabels(this.#names)
    let storedCount = 0
    for (const name of order) {
      this.#parents[name] = this.#names.parent(name)
      const number = this.#verdict(name)
      const verdict = this.#verdicts[number]!
      const ancestor = this.#storedAncestor(name)
      const around = ancestor === NO_NAME ? NOTHING : this.#verdicts[this.#verdictOf[ancestor]!]!
      if (verdict.self === around.below && verdict.below === around.below) continue
      this.#verdictOf[name] = number
      storedCount++
      if (ancestor !== NO_NAME) this.#isInner[ancestor] = 1
      if ((verdict.self & verdict.below & around.below) !== around.below) this.#addOpening(name)
    }
    return this.#finish(storedCount)
  }

  #storedAncestor(name: number): number {
    let ancestor = this.#parents[name]!
    while (ancestor !== NO_NAME && this.#verdictOf[ancestor] === NOT_STORED) {
      ancestor = this.#parents[ancestor]!
    }
    return ancestor
  }

  #verdict(name: number): number {
    const newest = this.#rules.newest(name)
    if (this.#parents[name] !== NO_NAME || this.#rules.older(newest) !== 0) {
      return this.#walk(name)
    }
    const key = this.#rules.listOf(newest) * 16 + this.#rules.coverageOf(newest)
    const known = this.#simple.get(key)
    if (known !== undefined) return known
    const number = this.#walk(name)
    this.#simple.set(key, number)
    return number
  }

  /** Goes from the name up to its shortest ancestor; per list, the first rule met decides. */
  #walk(name: number): number {
    this.#stamp++
    const result = { self: 0, selfList: NO_LIST, below: 0, belowList: NO_LIST, leaf: true }
    for (let node = name; node !== NO_NAME; node = this.#parents[node]!) {
      let selfWinner = NO_LIST
      let belowWinner = NO_LIST
      for (
        let record = this.#rules.newest(node);
        record !== 0;
        record = this.#rules.older(record)
      ) {
        const list = this.#rules.listOf(record)
        const coverage = this.#rules.coverageOf(record)
        const { rank, categoryBit } = this.#places[list]!
        const atSelf = node === name ? COVERS_SELF : COVERS_BELOW
        if (this.#blocks(this.#selfSeen, list, coverage, atSelf)) {
          result.self |= categoryBit
          if (selfWinner === NO_LIST || rank < selfWinner) selfWinner = rank
        }
        if (this.#blocks(this.#belowSeen, list, coverage, COVERS_BELOW)) {
          result.below |= categoryBit
          if (belowWinner === NO_LIST || rank < belowWinner) belowWinner = rank
        }
      }
      if (result.selfList === NO_LIST) result.selfList = selfWinner
      if (result.belowList === NO_LIST) result.belowList = belowWinner
    }
    return this.#intern(result)
  }

  /** Whether a record is the first of its list that covers what is asked, and blocks it. */
  #blocks(seen: Uint32Array, list: number, coverage: number, asked: number): boolean {
    if (seen[list] === this.#stamp) return false
    const excepted = ((coverage >>> EXCEPT_SHIFT) & asked) !== 0
    const blocked = (coverage & asked) !== 0
    if (!excepted && !blocked) return false
    seen[list] = this.#stamp
    return !excepted
  }

  #intern(verdict: Verdict): number {
    const key = `${verdict.self},${verdict.selfList},${verdict.below},${verdict.belowList}`
    const known = this.#verdictNumbers.get(key)
    if (known !== undefined) return known
    const number = this.#verdictNumbers.size
    if (number >= VALUES_MAX) {
      throw tooManyVerdicts()
    }
    this.#verdictNumbers.set(key, number)
    this.#verdicts[number] = verdict
    return number
  }

  /** Notes every proper suffix of the name. */
  #addOpening(name: number): void {
    const { arena } = this.#names
    const labelStarts = new Uint32Array(LABELS_MAX)
    let labels = 0
    for (let at = this.#names.start(name); arena[at]! !== 0; at += arena[at]! + 1) {
      labelStarts[labels++] = at
    }
    let hash = ROOT_HASH
    for (let label = labels - 1; label > 0; label--) {
      hash = prependLabel(hash, arena, labelStarts[label]!)
      this.#openings.add(hash >>> 0)
    }
  }

  #finish(storedCount: number): ResolvedNames {
    const uses = new Map<number, number>()
    const stored = new Uint32Array(storedCount)
    let at = 0
    for (let name = 0; name < this.#verdictOf.length; name++) {
      if (this.#verdictOf[name] === NOT_STORED) continue
      stored[at++] = name
      const key = this.#valueKey(name)
      uses.set(key, (uses.get(key) ?? 0) + 1)
    }
    const verdictOf = (key: number): Verdict => {
      return { ...this.#verdicts[key >>> 1]!, leaf: (key & 1) === 1 }
    }
    const ranked = [...uses]
      .map(([key, count]) => ({ key, count, verdict: verdictOf(key) }))
      .toSorted((a, b) => b.count - a.count || compareVerdicts(a.verdict, b.verdict))
    if (ranked.length > VALUES_MAX) throw tooManyVerdicts()
    const rank = new Map(ranked.map(({ key }, index) => [key, index]))
    return {
      names: this.#names,
      stored,
      valueOf: Uint16Array.from(stored, (name) => rank.get(this.#valueKey(name))!),
      values: ranked.map(({ verdict }) => verdict),
      openings: Uint32Array.from(this.#openings).toSorted(),
      ...this.#keptAndRedundant(),
    }
  }

  #valueKey(name: number): number {
    return this.#verdictOf[name]! * 2 + 1 - this.#isInner[name]!
  }

  #keptAndRedundant(): { kept: number[]; redundant: number[] } {
    const kept = this.#places.map(() => 0)
    const redundant = this.#places.map(() => 0)
    const blocks = COVERS_SELF | COVERS_BELOW
    for (let name = 0; name < this.#verdictOf.length; name++) {
      const tally = this.#verdictOf[name] === NOT_STORED ? redundant : kept
      for (
        let record = this.#rules.newest(name);
        record !== 0;
        record = this.#rules.older(record)
      ) {
        if ((this.#rules.coverageOf(record) & blocks) === 0) continue
        tally[this.#places[this.#rules.listOf(record)]!.rank]!++
      }
    }
    return { kept, redundant }
  }
}

function compareVerdicts(a: Verdict, b: Verdict): number {
  return (
    a.self - b.self ||
    a.below - b.below ||
    a.selfList - b.selfList ||
    a.belowList - b.belowList ||
    Number(a.leaf) - Number(b.leaf)
  )
}

function tooManyVerdicts(): OperationalError {
  return new OperationalError(
    'ERR_LIST_TOO_LARGE',
    `the lists overlap in more than ${VALUES_MAX} ways; compile fewer lists into one image`,
  )
}

/** Returns all names, those with fewer labels first, so that ancestors come before descendants. */
function namesByLabels(names: NameTable): Uint32Array {
  const labels = new Uint8Array(names.count)
  const places = new Uint32Array(LABELS_MAX + 2)
  for (let name = 0; name < names.count; name++) {
    labels[name] = names.labels(name)
    places[labels[name]! + 1]!++
  }
  for (let count = 1; count < places.length; count++) places[count]! += places[count - 1]!
  const order = new Uint32Array(names.count)
  for (let name = 0; name < names.count; name++) order[places[labels[name]!]!++] = name
  return order
}
