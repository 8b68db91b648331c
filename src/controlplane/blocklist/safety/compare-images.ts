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

/** Compares two images; about 5 us a name. The signal's reason is thrown when it is aborted. */
export async function compareImages(
  before: Trie,
  after: Trie,
  options: CompareOptions = {},
): Promise<ImageComparison> {
  const samplesMax = options.samplesMax ?? SAMPLES_MAX
  const [added, removed, moved] = [0, 1, 2].map(() => new DifferenceCounter(samplesMax))
  const oldNames = await walk(before, after, options, (name, ownBits, otherBits) => {
    const own = categoriesOf(before, ownBits)
    if (otherBits === 0) removed!.add(name, own)
    else if (own.join() !== categoriesOf(after, otherBits).join()) moved!.add(name, own)
  })
  const newNames = await walk(after, before, options, (name, ownBits, otherBits) => {
    if (otherBits === 0) added!.add(name, categoriesOf(after, ownBits))
  })
  return { oldNames, newNames, added: added!.end(), removed: removed!.end(), moved: moved!.end() }
}

/** Tells of each name that `own` blocks what `other` does with it; returns how many there are. */
async function walk(
  own: Trie,
  other: Trie,
  { signal }: CompareOptions,
  tell: (name: Uint8Array, ownBits: number, otherBits: number) => void,
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
    const bits = self === 0 ? below : self
    if (bits === 0) continue
    names += 1
    // A rule on what lies below a name alone is asked about by some name below it.
    tell(name, bits, matcher.find(self === 0 ? belowOf(name) : name, 0))
  }
  return names
}

const NAME_OCTETS_MAX = 255

function belowOf(name: Uint8Array): Uint8Array {
  if (name.length + 2 > NAME_OCTETS_MAX) return name
  return Buffer.concat([Buffer.from([1, 0x2d]), name])
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
