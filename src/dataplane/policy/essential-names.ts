/**
 * The names that no list may block, as the data plane holds them: a few hundred, each covering the
 * name and all below it. Asked only when a list would block.
 */
import { ROOT_HASH, prependLabel } from '../../trie/suffix-hash.ts'
import type { AskedName } from '../query.ts'
import { NO_NODE, NameTree, ROOT } from './name-tree.ts'

/** No essential name covers the asked one. */
export const NOT_ESSENTIAL = -1

/** Look-ups of a name and its parents; immutable, but for the field that speaks of the last one. */
export class EssentialNames {
  readonly #tree: NameTree
  /** After `find` and `covers`: a name of the set lies strictly below the asked one. */
  liesAbove = false
  /** By node: it is a name of the set. */
  readonly #isName: Uint8Array
  /** By node: one stands below it. Under it NXDOMAIN would deny too much (RFC 8020). */
  readonly #isAbove: Uint8Array

  /**
   * @param wireNames wire names in lower case, one after another, as `blocklists/essential.txt`
   * lists them.
   */
  constructor(wireNames: Uint8Array) {
    const names = []
    for (let start = 0, at = 0; start < wireNames.length; start = at) {
      while (wireNames[at] !== 0) at += 1 + wireNames[at]!
      at++
      names.push(wireNames.subarray(start, at))
    }
    const tree = new NameTree(names)
    this.#tree = tree
    this.#isName = new Uint8Array(tree.size)
    this.#isAbove = new Uint8Array(tree.size)
    for (const node of tree.nodesOfNames) this.#isName[node] = 1
    for (let node = ROOT + 1; node < tree.size; node++) this.#isAbove[tree.parents[node]!] = 1
  }

  /** True when the asked name is an essential name or lies below one. */
  covers(asked: AskedName): boolean {
    return this.find(asked) !== NOT_ESSENTIAL
  }

  /** Returns which label the longest essential name begins with, or `NOT_ESSENTIAL`. */
  find(asked: AskedName): number {
    const { labelStarts, octets } = asked
    let found = NOT_ESSENTIAL
    let node = ROOT
    let hash = ROOT_HASH
    for (let label = asked.labels - 1; label >= 0; label--) {
      const start = labelStarts[label]!
      hash = prependLabel(hash, octets, start)
      node = this.#tree.child(node, hash, octets, start)
      if (node === NO_NODE) break
      if (this.#isName[node] === 1) found = label
    }
    this.liesAbove = node !== NO_NODE && this.#isAbove[node] === 1
    return found
  }
}
