/**
 * The operator's own rules, beside the image: names that pass or are blocked whatever the lists
 * say, everywhere or at one site. A small table that is made anew with every change and swapped
 * between two queries; it never touches the image.
 *
 * The most specific rule wins: the longest name; of one name the rule for itself only before that
 * for all below it, the rule of a site before that of all. What it means beside essential and
 * special names is for the policy to say.
 */
import { ROOT_HASH, prependLabel } from '../../trie/suffix-hash.ts'
import type { AskedName } from '../query.ts'

/** No rule of the operator's decides. */
export const RULE_NONE = 0
export const RULE_ALLOW = 1
export const RULE_DENY = 2

/** One rule as the control plane hands it over. */
export interface OverlayRule {
  /** Wire name, lower case. */
  readonly name: Uint8Array
  readonly action: 'allow' | 'deny'
  /** The name alone; else all names below it as well. */
  readonly exact: boolean
  /** The only site where it holds; empty: everywhere. */
  readonly site: string
  /** Of a denial: how it is counted and answered, and which pauses concern it. */
  readonly category: string
  /** Milliseconds of wall clock; Infinity: until it is removed. */
  readonly untilMs: number
}

/** Blocks that are not made for a while. Special names are no blocks: they stay. */
export interface OverlayPause {
  /** The only category; empty: all of them. */
  readonly category: string
  /** The only site; empty: everywhere. */
  readonly site: string
  readonly untilMs: number
}

/** All that an operator has overruled; plain values that can be posted between threads. */
export interface OverlayMessage {
  readonly rules: readonly OverlayRule[]
  readonly pauses: readonly OverlayPause[]
}

/** Nothing is overruled. */
export const NO_OVERLAY: OverlayMessage = { rules: [], pauses: [] }

/** A rule in the numbers of one policy. */
export interface NumberedRule {
  readonly name: Uint8Array
  readonly action: number
  readonly exact: boolean
  /** Number of the only site, or `SITE_ALL`. */
  readonly site: number
  /** Bit of the category of a denial. */
  readonly bit: number
}

export const SITE_ALL = -1
const NONE = -1
const ROOT = 0
const FLAG_EXACT = 1
const FLAG_DENY = 2

/** The rules of one policy; immutable, but for the fields that speak of the last `find`. */
export class Overlay {
  readonly isEmpty: boolean
  /** After `find`: some rule for the name holds at one site only, so others may see another. */
  isPerSite = false
  /** After `find`: an allow rule of some site stands strictly below the name. */
  allowsBelow = false
  /** After `find` with a rule: which label of the name the rule's name begins with. */
  label = 0
  /** After `find` with a rule: it covers all below its name too. */
  isSubtree = false
  /** After `find` with a denial: the bit of its category. */
  bit = 0
  #rule = NONE

  /** Open addressing: number of a node and 1, or 0. */
  readonly #slots: Int32Array
  readonly #slotMask: number
  /** By node, which is a name with a rule or one above such a name: hash, parent, label. */
  readonly #hashes: Int32Array
  readonly #parents: Int32Array
  readonly #labels: Int32Array
  readonly #octets: Uint8Array
  readonly #hasAllowBelow: Uint8Array
  /** By node: its rules, from the least specific on; one more at the end. */
  readonly #firstRules: Int32Array
  readonly #sites: Int32Array
  readonly #flags: Uint8Array
  readonly #bits: Uint8Array

  constructor(rules: readonly NumberedRule[]) {
    const nodes = createNodes(rules)
    const count = nodes.length
    const slots = 1 << Math.max(3, 32 - Math.clz32(2 * count))
    this.isEmpty = rules.length === 0
    this.#slots = new Int32Array(slots)
    this.#slotMask = slots - 1
    this.#hashes = Int32Array.from(nodes, ({ hash }) => hash)
    this.#parents = Int32Array.from(nodes, ({ parent }) => parent)
    this.#hasAllowBelow = Uint8Array.from(nodes, ({ allowsBelow }) => Number(allowsBelow))
    this.#labels = new Int32Array(count)
    this.#firstRules = new Int32Array(count + 1)
    let octets = 0
    let first = 0
    for (const [node, { label, own }] of nodes.entries()) {
      this.#labels[node] = octets
      octets += label.length
      first += own.length
      this.#firstRules[node + 1] = first
    }
    this.#octets = new Uint8Array(octets)
    for (const [node, { label }] of nodes.entries()) this.#octets.set(label, this.#labels[node])
    for (let node = 1; node < count; node++) {
      let slot = this.#hashes[node]! & this.#slotMask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#slotMask
      this.#slots[slot] = node + 1
    }
    const ordered = nodes.flatMap(({ own }) => own)
    this.#sites = Int32Array.from(ordered, ({ site }) => site)
    this.#bits = Uint8Array.from(ordered, ({ bit }) => bit)
    this.#flags = Uint8Array.from(
      ordered,
      ({ exact, action }) => (exact ? FLAG_EXACT : 0) | (action === RULE_DENY ? FLAG_DENY : 0),
    )
  }

  /**
   * Returns `RULE_ALLOW`, `RULE_DENY` or `RULE_NONE` for a name at a site. Most names end at their
   * second label, below which no rule stands.
   */
  find(asked: AskedName, site: number): number {
    this.isPerSite = false
    this.allowsBelow = false
    this.#rule = NONE
    const { labels, labelStarts, octets } = asked
    let node = ROOT
    let hash = ROOT_HASH
    this.#take(ROOT, labels, site)
    for (let label = labels - 1; label >= 0; label--) {
      const start = labelStarts[label]!
      hash = prependLabel(hash, octets, start)
      node = this.#child(node, hash, octets, start)
      if (node === NONE) break
      this.#take(node, label, site)
    }
    if (node !== NONE) this.allowsBelow = this.#hasAllowBelow[node] === 1
    const rule = this.#rule
    if (rule === NONE) return RULE_NONE
    const flags = this.#flags[rule]!
    this.isSubtree = (flags & FLAG_EXACT) === 0
    this.bit = this.#bits[rule]!
    return (flags & FLAG_DENY) === 0 ? RULE_ALLOW : RULE_DENY
  }

  /** Takes the most specific of a node's rules that hold; a node further down is more specific. */
  #take(node: number, label: number, site: number): void {
    const end = this.#firstRules[node + 1]!
    for (let rule = this.#firstRules[node]!; rule < end; rule++) {
      if (label !== 0 && (this.#flags[rule]! & FLAG_EXACT) !== 0) continue
      const only = this.#sites[rule]!
      if (only !== SITE_ALL) {
        this.isPerSite = true
        if (only !== site) continue
      }
      this.#rule = rule
      this.label = label
    }
  }

  #child(parent: number, hash: number, octets: Uint8Array, start: number): number {
    const mask = this.#slotMask
    for (let step = 0, slot = hash & mask; step <= mask; step++, slot = (slot + 1) & mask) {
      const node = this.#slots[slot]! - 1
      if (node === NONE) return NONE
      if (this.#hashes[node] !== hash || this.#parents[node] !== parent) continue
      if (this.#isLabel(node, octets, start)) return node
    }
    return NONE
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
  allowsBelow: boolean
  own: NumberedRule[]
}

/** The names of the rules and all above them; the root is the first. */
function createNodes(rules: readonly NumberedRule[]): readonly Node[] {
  const root: Node = {
    hash: ROOT_HASH,
    parent: NONE,
    label: new Uint8Array(0),
    allowsBelow: false,
    own: [],
  }
  const nodes = [root]
  const known = new Map<string, number>([['', ROOT]])
  for (const rule of rules) {
    const { name } = rule
    const starts = []
    for (let at = 0; name[at] !== 0; at += 1 + name[at]!) starts.push(at)
    let node = ROOT
    for (const start of starts.toReversed()) {
      if (rule.action === RULE_ALLOW) nodes[node]!.allowsBelow = true
      const key = Buffer.from(name.subarray(start)).toString('latin1')
      const next = known.get(key) ?? nodes.length
      if (next === nodes.length) {
        const hash = prependLabel(nodes[node]!.hash, name, start)
        const label = name.slice(start, start + 1 + name[start]!)
        nodes.push({ hash, parent: node, label, allowsBelow: false, own: [] })
        known.set(key, next)
      }
      node = next
    }
    nodes[node]!.own.push(rule)
  }
  for (const node of nodes) node.own = node.own.toSorted((a, b) => rank(a) - rank(b))
  return nodes

  function rank({ exact, site }: NumberedRule): number {
    return (exact ? 2 : 0) + (site === SITE_ALL ? 0 : 1)
  }
}
