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
import { NO_NODE, NameTree, ROOT } from './name-tree.ts'

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

  readonly #tree: NameTree
  /** By node, which is a name with a rule or one above such a name: an allow rule is below. */
  readonly #hasAllowBelow: Uint8Array
  /** By node: its rules, from the least specific on; one more at the end. */
  readonly #firstRules: Int32Array
  readonly #sites: Int32Array
  readonly #flags: Uint8Array
  readonly #bits: Uint8Array

  constructor(rules: readonly NumberedRule[]) {
    const tree = new NameTree(rules.map(({ name }) => name))
    const own: NumberedRule[][] = Array.from({ length: tree.size }, () => [])
    this.isEmpty = rules.length === 0
    this.#tree = tree
    this.#hasAllowBelow = new Uint8Array(tree.size)
    for (const [index, rule] of rules.entries()) {
      const node = tree.nodesOfNames[index]!
      own[node]!.push(rule)
      if (rule.action !== RULE_ALLOW || node === ROOT) continue
      for (let at = tree.parents[node]!; at !== NO_NODE; at = tree.parents[at]!) {
        this.#hasAllowBelow[at] = 1
      }
    }
    this.#firstRules = new Int32Array(tree.size + 1)
    let first = 0
    for (const [node, { length }] of own.entries()) {
      first += length
      this.#firstRules[node + 1] = first
    }
    const ordered = own.flatMap((rules) => rules.toSorted((a, b) => rank(a) - rank(b)))
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
      node = this.#tree.child(node, hash, octets, start)
      if (node === NO_NODE) break
      this.#take(node, label, site)
    }
    if (node !== NO_NODE) this.allowsBelow = this.#hasAllowBelow[node] === 1
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
}

/** How specific a rule is among those for the same name. */
function rank({ exact, site }: NumberedRule): number {
  return (exact ? 2 : 0) + (site === SITE_ALL ? 0 : 1)
}
