/**
 * What differs between two images, counted on names: a name is removed when the old image blocks
 * it and the new one does not, whether its rule is gone or an exception opens it. A list that keeps
 * its size but changes its names shows here.
 */

import { setImmediate } from 'node:timers/promises'

import { Matcher } from '../../../trie/lookup.ts'
import type { Trie } from '../../../trie/open.ts'
import { storedNames } from '../../../trie/stored-names.ts'
import { nameToText } from '../name-text.ts'

/** Names between two looks at the event loop, which may have a signal to tell. */
const SLICE_NAMES = 4096
const SAMPLES_MAX = 20

/** The names of one kind of difference. */
export interface Difference {
  readonly names: number
  readonly byCategory: Readonly<Record<string, number>>
  /** A few of them, spread evenly. */
  readonly samples: readonly string[]
}

export interface ImageComparison {
  /** Names that the old image blocks. */
  readonly oldNames: number
  readonly newNames: number
  readonly added: Difference
  readonly removed: Difference
  /** Names that both block, each in another set of categories. */
  readonly moved: Difference
}

export interface CompareOptions {
  readonly samplesMax?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Compares two images; about 6 us a name. The signal's reason is thrown when it is aborted.
 *
 * Every name that either image stores is looked at once, as itself and as all that lies below it:
 * between stored names no verdict changes, so nothing that opens or closes is missed. An exception
 * below a rule that stays is a removed name, and so is a rule that no longer covers what is below.
 */
export async function compareImages(
  before: Trie,
  after: Trie,
  options: CompareOptions = {},
): Promise<ImageComparison> {
  const samplesMax = options.samplesMax ?? SAMPLES_MAX
  const [added, removed, moved] = [0, 1, 2].map(() => new DifferenceCounter(samplesMax))
  const judge = (name: Uint8Array, old: Verdicts, next: Verdicts): void => {
    const isOpened = opens(old.self, next.self) || opens(old.below, next.below)
    const isClosed = opens(next.self, old.self) || opens(next.below, old.below)
    if (isOpened) removed!.add(name, categoriesOf(before, openedBits(old, next)))
    if (isClosed) added!.add(name, categoriesOf(after, openedBits(next, old)))
    if (isOpened || isClosed) return
    const isMoved =
      !sameCategories(before, old.self, after, next.self) ||
      !sameCategories(before, old.below, after, next.below)
    if (isMoved) moved!.add(name, categoriesOf(before, old.self | old.below))
  }
  const oldNames = await walk(before, after, options, (name, own, other) => {
    judge(name, own, other)
  })
  const newNames = await walk(after, before, options, (name, own, other, isKnown) => {
    if (!isKnown) judge(name, other, own)
  })
  return { oldNames, newNames, added: added!.end(), removed: removed!.end(), moved: moved!.end() }
}

/** The category bits of a name and of all below it that no longer stored name covers. */
interface Verdicts {
  readonly self: number
  readonly below: number
}

function opens(bits: number, nextBits: number): boolean {
  return bits !== 0 && nextBits === 0
}

/** What is blocked under `old` and open under `next`. */
function openedBits(old: Verdicts, next: Verdicts): number {
  return (next.self === 0 ? old.self : 0) | (next.below === 0 ? old.below : 0)
}

/**
 * Tells of each name that `own` stores what both images do with it, and whether `other` stores it
 * as well; returns how many of them `own` blocks.
 */
async function walk(
  own: Trie,
  other: Trie,
  { signal }: CompareOptions,
  tell: (name: Uint8Array, own: Verdicts, other: Verdicts, isKnown: boolean) => void,
): Promise<number> {
  const matcher = new Matcher(other)
  let names = 0
  let slice = 0
  for (const { name, self, below } of storedNames(own)) {
    slice += 1
    if (slice % SLICE_NAMES === 0) {
      await setImmediate()
      signal?.throwIfAborted()
    }
    if (self !== 0 || below !== 0) names += 1
    const selfBits = matcher.find(name, 0)
    const isKnown = matcher.ruleStart === 0
    // A name that is not stored is under its nearest stored ancestor, as all below it is.
    const belowBits = isKnown ? matcher.find(belowOf(name), 0) : selfBits
    tell(name, { self, below }, { self: selfBits, below: belowBits }, isKnown)
  }
  return names
}

const NAME_OCTETS_MAX = 255

/** A name below that no list holds; of the longest names, below which none can be, the name. */
function belowOf(name: Uint8Array): Uint8Array {
  if (name.length + 2 > NAME_OCTETS_MAX) return name
  return Buffer.concat([Buffer.from([1, 0]), name])
}

function sameCategories(a: Trie, aBits: number, b: Trie, bBits: number): boolean {
  return categoriesOf(a, aBits).join() === categoriesOf(b, bBits).join()
}

const names = new WeakMap<Trie, Map<number, readonly string[]>>()

/** The categories of a bit set by name, sorted; two images number them differently. */
function categoriesOf(trie: Trie, bits: number): readonly string[] {
  let known = names.get(trie)
  if (known === undefined) {
    known = new Map()
    names.set(trie, known)
  }
  let categories = known.get(bits)
  if (categories === undefined) {
    categories = trie.categories.filter((_, bit) => (bits & (1 << bit)) !== 0).toSorted()
    known.set(bits, categories)
  }
  return categories
}

/** Counts names and keeps an even sample of them without knowing how many will come. */
class DifferenceCounter {
  readonly #samplesMax: number
  readonly #byCategory: Record<string, number> = {}
  #samples: string[] = []
  #stride = 1
  #names = 0

  constructor(samplesMax: number) {
    this.#samplesMax = samplesMax
  }

  add(name: Uint8Array, categories: readonly string[]): void {
    for (const category of categories) {
      this.#byCategory[category] = (this.#byCategory[category] ?? 0) + 1
    }
    if (this.#names % this.#stride === 0) this.#samples.push(nameToText(name))
    this.#names += 1
    if (this.#samples.length <= this.#samplesMax * 2) return
    this.#samples = this.#samples.filter((_, index) => index % 2 === 0)
    this.#stride *= 2
  }

  end(): Difference {
    const step = Math.max(1, this.#samples.length / Math.max(1, this.#samplesMax))
    const count = Math.min(this.#samples.length, this.#samplesMax)
    const samples = Array.from({ length: count }, (_, index) => {
      return this.#samples[Math.floor(index * step)] ?? ''
    })
    return { names: this.#names, byCategory: this.#byCategory, samples }
  }
}
