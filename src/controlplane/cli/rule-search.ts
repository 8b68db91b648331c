/** The rules of lists that speak of a few names: one reading of each list, whatever its size. */

import type { EssentialNames } from '../blocklist/essential.ts'
import type { RuleFate } from '../blocklist/intake.ts'
import type { ListSource } from '../blocklist/list-source.ts'
import { nameToText } from '../blocklist/name-text.ts'
import { LineCursor, readListWith } from '../blocklist/read-list.ts'
import {
  ACTION_BLOCK,
  COVERS_BELOW,
  COVERS_SELF,
  type Coverage,
  type RuleAction,
  type RuleSink,
} from '../blocklist/rule.ts'
import { buildImage } from '../compiler/build-image.ts'
import { compile } from '../compiler/compile.ts'
import { DEFAULT_LIMITS } from '../compiler/name-table.ts'
import { RuleCollector } from '../compiler/rule-collector.ts'
import { Matcher } from '../../trie/lookup.ts'
import { openTrie, type Trie } from '../../trie/open.ts'
import { suffixStart } from './names-and-types.ts'

/** A rule that covers a name. */
export interface ListedRule {
  readonly list: ListSource
  /** 1-based line of the source, and its text. */
  readonly line: number
  readonly text: string
  /** The rule's name in wire format. */
  readonly name: Uint8Array
  readonly coverage: Coverage
  readonly action: RuleAction
  /** `refused` (a public suffix) and `exempted` (an essential name) rules do not act. */
  readonly fate: RuleFate
}

/** Rules for one name: a list that repeats a name more often than this has nothing to add. */
const RULES_MAX = 1000

/** What reading lists for a few names has shown. */
export interface RuleSearch {
  /**
   * An image of the rules at, above and below the names: for them it says what an image of all
   * rules would say, because a verdict hangs on nothing else.
   */
  readonly trie: Trie
  /** For each name, the rules that cover it, list by list, line by line. */
  readonly rules: readonly (readonly ListedRule[])[]
}

/**
 * Reads the lists for the rules that speak of `names`, wire names in lower case.
 *
 * @throws OperationalError as `readList` does.
 */
export async function searchRules(
  lists: readonly ListSource[],
  names: readonly Uint8Array[],
  essential: EssentialNames,
  onList: (list: ListSource, index: number) => void,
): Promise<RuleSearch> {
  const rules = names.map((): ListedRule[] => [])
  if (lists.length === 0) return { trie: openTrie(emptyImage()), rules }
  const compiled = await compile(lists, {
    readList: (list, sink) => {
      onList(list, lists.indexOf(list))
      const cursor = new LineCursor()
      const notes = new RuleNotes(list, names, rules, cursor)
      const hooks = { cursor, withheld: notes.withheld }
      return readListWith(list, notes.through(sink), { essential }, {}, hooks)
    },
  })
  return { trie: openTrie(compiled.image), rules }
}

function emptyImage(): SharedArrayBuffer {
  return buildImage(new RuleCollector(DEFAULT_LIMITS), []).image
}

/** Notes the rules of one list that cover a name, and lets through what can matter to a verdict. */
class RuleNotes {
  readonly #list: ListSource
  readonly #names: readonly Uint8Array[]
  readonly #rules: readonly ListedRule[][]
  readonly #cursor: LineCursor

  constructor(
    list: ListSource,
    names: readonly Uint8Array[],
    rules: readonly ListedRule[][],
    cursor: LineCursor,
  ) {
    this.#list = list
    this.#names = names
    this.#rules = rules
    this.#cursor = cursor
  }

  /** Told of refused and exempted rules. */
  readonly withheld = (
    rule: Uint8Array,
    octets: number,
    coverage: Coverage,
    line: number,
    fate: RuleFate,
  ): void => {
    for (const index of this.#names.keys()) {
      this.#note(index, rule, octets, coverage, ACTION_BLOCK, line, fate)
    }
  }

  /** A sink that passes on to `sink` the rules at, above and below the names. */
  through(sink: RuleSink): RuleSink {
    return {
      add: (rule, octets, coverage, action, line) => {
        let isRelated = false
        for (const [index, name] of this.#names.entries()) {
          if (this.#note(index, rule, octets, coverage, action, line, 'obeyed')) isRelated = true
          else if (suffixStart(rule, name, name.length, octets) !== -1) isRelated = true
        }
        if (isRelated) sink.add(rule, octets, coverage, action, line)
      },
    }
  }

  /** Returns whether the name is the rule's or lies below it. */
  #note(
    index: number,
    rule: Uint8Array,
    octets: number,
    coverage: Coverage,
    action: RuleAction,
    line: number,
    fate: RuleFate,
  ): boolean {
    const start = suffixStart(this.#names[index]!, rule, octets)
    if (start === -1) return false
    const rules = this.#rules[index]!
    const isCovered = (coverage & (start === 0 ? COVERS_SELF : COVERS_BELOW)) !== 0
    if (isCovered && rules.length < RULES_MAX) {
      const text = this.#cursor.text()
      const name = rule.slice(0, octets)
      rules.push({ list: this.#list, line, text, name, coverage, action, fate })
    }
    return true
  }
}

/** Whether the rules of one list, exceptions among them, block the name by themselves. */
export function doesListBlock(rules: readonly ListedRule[], name: Uint8Array): boolean {
  const collector = new RuleCollector(DEFAULT_LIMITS)
  const sink = collector.addList('rules')
  for (const rule of rules) {
    if (rule.fate !== 'obeyed') continue
    sink.add(rule.name, rule.name.length, rule.coverage, rule.action, rule.line)
  }
  const facts = { name: 'x', category: 'x', source: '', sha256: '', octets: 0 }
  const texts = { date: '', licence: '', attribution: '' }
  const { image } = buildImage(collector, [{ ...facts, ...texts }])
  return new Matcher(openTrie(image)).find(name, 0) !== 0
}

/** The rule as people read it: `vpn.example and below`. */
export function coverageText({ name, coverage }: ListedRule): string {
  const text = nameToText(name)
  if (coverage === COVERS_SELF) return `${text} alone`
  return coverage === COVERS_BELOW ? `all below ${text}` : `${text} and all below`
}
