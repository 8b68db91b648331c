/**
 * Lengths of the best prefix code (Huffman) for given counts, with an upper bound on the length.
 */

/**
 * Writes a code length for every symbol with a count above 0 into `lengths`, 0 for the others.
 *
 * A lone symbol gets 1 bit: no symbol may be free, or two names could have one code. The result
 * depends on the counts alone. Lengths over `lengthMax` are brought down by halving the counts.
 */
export function codeLengths(
  counts: Uint32Array,
  first: number,
  size: number,
  lengthMax: number,
  lengths: Uint8Array,
): void {
  const live: number[] = []
  for (let symbol = 0; symbol < size; symbol++) {
    lengths[first + symbol] = 0
    if (counts[first + symbol]! > 0) live.push(symbol)
  }
  if (live.length === 0) return
  if (live.length === 1) {
    lengths[first + live[0]!] = 1
    return
  }
  let weights = live.map((symbol) => counts[first + symbol]!)
  for (;;) {
    const depths = huffmanDepths(weights)
    if (Math.max(...depths) <= lengthMax) {
      for (const [index, symbol] of live.entries()) lengths[first + symbol] = depths[index]!
      return
    }
    weights = weights.map((weight) => Math.ceil(weight / 2))
  }
}

/** Two queues: sorted leaves, and inner nodes, which come out in order by themselves. */
function huffmanDepths(weights: readonly number[]): Uint8Array {
  const leaves = weights.length
  const order = Uint32Array.from({ length: leaves }, (_, index) => index).sort(
    (a, b) => weights[a]! - weights[b]! || b - a,
  )
  const sums = new Float64Array(leaves * 2)
  const parents = new Uint32Array(leaves * 2)
  for (let index = 0; index < leaves; index++) sums[index] = weights[order[index]!]!
  let leaf = 0
  let inner = leaves
  for (let made = leaves; made < leaves * 2 - 1; made++) {
    for (let side = 0; side < 2; side++) {
      const takeLeaf = leaf < leaves && (inner >= made || sums[leaf]! <= sums[inner]!)
      const taken = takeLeaf ? leaf++ : inner++
      sums[made]! += sums[taken]!
      parents[taken] = made
    }
  }
  const depths = new Uint8Array(leaves)
  const nodeDepths = new Uint8Array(leaves * 2)
  for (let node = leaves * 2 - 3; node >= 0; node--) {
    nodeDepths[node] = Math.min(255, nodeDepths[parents[node]!]! + 1)
    if (node < leaves) depths[order[node]!] = nodeDepths[node]!
  }
  return depths
}
