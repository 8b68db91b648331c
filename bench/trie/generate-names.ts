/**
 * Names of the same shape as a real list: a Markov chain over the octets of its names, so that
 * lengths, labels and top-level domains come out alike, and with a seed, so that they come again.
 */

/** Octets before the one that is drawn: of most names, and of the others. */
const ORDER = 6
const SHORT_ORDER = 5
const END = 10
const BUCKETS = 1 << 22
const OCTETS_MAX = 200

/** A small generator of random numbers in [0, 1): the same seed, the same numbers (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b_79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The corpus, and for each context (hashed) the places at which it is followed by an octet. */
interface Chain {
  readonly order: number
  readonly corpus: Uint8Array
  readonly starts: Uint32Array
  readonly places: Uint32Array
}

function contextAt(octets: Uint8Array, end: number, order: number): number {
  let hash = 0
  for (let at = Math.max(0, end - order); at < end; at++) {
    // What stands before the end of the last name does not count.
    hash = octets[at] === END ? 1 : Math.imul(hash ^ octets[at]!, 0x0100_0193) + 0x9e37
  }
  return (Math.imul(hash, 0x2c1b_3c6d) >>> 10) & (BUCKETS - 1)
}

function trainChain(names: readonly string[], order: number): Chain {
  const corpus = Buffer.from(`\n${names.join('\n')}\n`, 'latin1')
  const starts = new Uint32Array(BUCKETS + 2)
  for (let at = 1; at < corpus.length; at++) starts[contextAt(corpus, at, order) + 2]!++
  for (let bucket = 2; bucket < starts.length; bucket++) starts[bucket]! += starts[bucket - 1]!
  const places = new Uint32Array(corpus.length)
  for (let at = 1; at < corpus.length; at++)
    places[starts[contextAt(corpus, at, order) + 1]!++] = at
  return { order, corpus, starts, places }
}

/**
 * Returns `count` different names, sorted.
 *
 * @param surprise share of names, out of 1, that are drawn from the shorter context: sets how well
 *   all of them can be compressed.
 */
export function generateNames(
  names: readonly string[],
  count: number,
  seed: number,
  surprise: number,
): string[] {
  const chain = trainChain(names, ORDER)
  const shortChain = trainChain(names, SHORT_ORDER)
  const random = seeded(seed)
  const made = new Set<string>()
  const octets = Buffer.alloc(OCTETS_MAX + 2)
  octets[0] = END
  while (made.size < count) {
    const end = drawName(random() < surprise ? shortChain : chain, random, octets)
    const name = octets.toString('latin1', 1, end)
    if (isName(name)) made.add(name)
  }
  return [...made].toSorted()
}

/** Writes one name behind the first octet of `octets`; returns its end. */
function drawName(
  { order, corpus, starts, places }: Chain,
  random: () => number,
  octets: Buffer,
): number {
  let end = 1
  while (end <= OCTETS_MAX) {
    const bucket = contextAt(octets, end, order)
    const first = starts[bucket]!
    const size = starts[bucket + 1]! - first
    const drawn = size === 0 ? END : corpus[places[first + Math.floor(random() * size)]!]!
    if (drawn === END) return end
    octets[end++] = drawn
  }
  return end
}

function isName(name: string): boolean {
  const labels = name.split('.')
  return labels.length > 1 && labels.every((label) => label.length > 0 && label.length < 64)
}
