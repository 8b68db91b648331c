/**
 * Names and all that stand above them, as a tree of labels in typed arrays: a look-up walks from
 * the last label down and ends where the tree does, for most names at the second label. It makes no
 * string and no object. Nothing changes once it is made.
 */
import { ROOT_HASH, prependLabel } from '../../trie/suffix-hash.ts'

/** The node of the root of all names. */
export const ROOT = 0
/** No name of the tree has this label here. */
export const NO_NODE = -1

/** The tree of a set of names. A node has a higher number than the one above it. */
export class NameTree {
  #size = 1
  /** The node of each name that the tree was made of, in their order. */
  readonly nodesOfNames: readonly number[]
  /** By node: the one above it; `NO_NODE` for the root. */
  readonly parents: Int32Array
  /** By node: hash of its name, and where its label stands in `#octets`, behind its length. */
  readonly #hashes: Int32Array
  readonly #labels: Int32Array
  readonly #octets: Uint8Array
  #octetsUsed = 0
  /** Open addressing: number of a node and 1, or 0. */
  readonly #slots: Int32Array

  /** @param names wire names in lower case. */
  constructor(names: readonly Uint8Array[]) {
    const octetsMax = names.reduce((octets, { length }) => octets + length, 0)
    const labels = names.reduce((count, name) => count + countLabels(name), 0)
    this.parents = new Int32Array(labels + 1)
    this.parents[ROOT] = NO_NODE
    this.#hashes = new Int32Array(labels + 1)
    this.#hashes[ROOT] = ROOT_HASH
    this.#labels = new Int32Array(labels + 1)
    this.#octets = new Uint8Array(octetsMax)
    this.#slots = new Int32Array(1 << Math.max(3, 32 - Math.clz32(2 * (labels + 1))))
    this.nodesOfNames = names.map((name) => this.#createNodes(name))
  }

  /** How many nodes there are, the root included. */
  get size(): number {
    return this.#size
  }

  /**
   * Returns the node below `parent` with the label whose length octet stands at `start`, or
   * `NO_NODE`.
   *
   * @param hash of the name from that label on, by `prependLabel`.
   */
  child(parent: number, hash: number, octets: Uint8Array, start: number): number {
    const slots = this.#slots
    const mask = slots.length - 1
    for (let step = 0, slot = hash & mask; step <= mask; step++, slot = (slot + 1) & mask) {
      const node = slots[slot]! - 1
      if (node === NO_NODE) return NO_NODE
      if (this.#hashes[node] !== hash || this.parents[node] !== parent) continue
      if (this.#isLabel(node, octets, start)) return node
    }
    return NO_NODE
  }

  /** Adds a name and all above it, where they are missing; returns its node. */
  #createNodes(name: Uint8Array): number {
    const starts = []
    for (let at = 0; name[at] !== 0; at += 1 + name[at]!) starts.push(at)
    let node = ROOT
    for (const start of starts.toReversed()) {
      const hash = prependLabel(this.#hashes[node]!, name, start)
      const known = this.child(node, hash, name, start)
      node = known === NO_NODE ? this.#addNode(node, hash, name, start) : known
    }
    return node
  }

  #addNode(parent: number, hash: number, name: Uint8Array, start: number): number {
    const node = this.#size++
    this.parents[node] = parent
    this.#hashes[node] = hash
    this.#labels[node] = this.#octetsUsed
    const label = name.subarray(start, start + 1 + name[start]!)
    this.#octets.set(label, this.#octetsUsed)
    this.#octetsUsed += label.length
    const mask = this.#slots.length - 1
    let slot = hash & mask
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
    this.#slots[slot] = node + 1
    return node
  }

  #isLabel(node: number, octets: Uint8Array, start: number): boolean {
    const own = this.#labels[node]!
    const length = octets[start]!
    for (let at = 0; at <= length; at++) {
      if (this.#octets[own + at] !== octets[start + at]) return false
    }
    return true
  }
}

function countLabels(name: Uint8Array): number {
  let labels = 0
  for (let at = 0; name[at] !== 0; at += 1 + name[at]!) labels++
  return labels
}
