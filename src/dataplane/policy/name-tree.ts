/**
 * Names and all that stand above them, as a tree of labels in typed arrays: a look-up walks from
 * the last label down and ends where the tree does, for most names at the second label. It makes no
 * string and no object. Immutable.
 */
import { ROOT_HASH, prependLabel } from '../../trie/suffix-hash.ts'

/** The node of the root of all names. */
export const ROOT = 0
/** No name of the tree has this label here. */
export const NO_NODE = -1

/** The tree of a set of names. A node has a higher number than the one above it. */
export class NameTree {
  /** How many nodes there are, the root included. */
  readonly size: number
  /** The node of each name that the tree was made of, in their order. */
  readonly nodesOfNames: readonly number[]
  /** By node: the one above it; `NO_NODE` for the root. */
  readonly parents: Int32Array
  /** By node: hash of its name, and where its label stands in `#octets`, behind its length. */
  readonly #hashes: Int32Array
  readonly #labels: Int32Array
  readonly #octets: Uint8Array
  /** Open addressing: number of a node and 1, or 0. */
  readonly #slots: Int32Array

  /** @param names wire names in lower case. */
  constructor(names: readonly Uint8Array[]) {
    const nodes: Node[] = [{ hash: ROOT_HASH, parent: NO_NODE, label: new Uint8Array(0) }]
    const known = new Map<string, number>()
    this.nodesOfNames = names.map((name) => createNodes(name, nodes, known))
    this.size = nodes.length
    this.parents = Int32Array.from(nodes, ({ parent }) => parent)
    this.#hashes = Int32Array.from(nodes, ({ hash }) => hash)
    this.#labels = new Int32Array(nodes.length)
    this.#octets = new Uint8Array(nodes.reduce((octets, { label }) => octets + label.length, 0))
    this.#slots = new Int32Array(1 << Math.max(3, 32 - Math.clz32(2 * nodes.length)))
    const mask = this.#slots.length - 1
    let octets = 0
    for (const [node, { hash, label }] of nodes.entries()) {
      this.#labels[node] = octets
      this.#octets.set(label, octets)
      octets += label.length
      if (node === ROOT) continue
      let slot = hash & mask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
      this.#slots[slot] = node + 1
    }
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

  #isLabel(node: number, octets: Uint8Array, start: number): boolean {
    const own = this.#labels[node]!
    const length = octets[start]!
    for (let at = 0; at <= length; at++) {
      if (this.#octets[own + at] !== octets[start + at]) return false
    }
    return true
  }
}

interface Node {
  readonly hash: number
  readonly parent: number
  /** Behind its length; empty for the root. */
  readonly label: Uint8Array
}

/** Makes the nodes of a name and of all above it, where they are missing; returns its own. */
function createNodes(name: Uint8Array, nodes: Node[], known: Map<string, number>): number {
  const starts = []
  for (let at = 0; name[at] !== 0; at += 1 + name[at]!) starts.push(at)
  let node = ROOT
  for (const start of starts.toReversed()) {
    const key = Buffer.from(name.subarray(start)).toString('latin1')
    const next = known.get(key) ?? nodes.length
    if (next === nodes.length) {
      const hash = prependLabel(nodes[node]!.hash, name, start)
      nodes.push({ hash, parent: node, label: name.slice(start, start + 1 + name[start]!) })
      known.set(key, next)
    }
    node = next
  }
  return node
}
