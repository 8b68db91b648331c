/** Takes the rules of all lists and keeps them compactly: one record per name and list. */

import { OperationalError } from '../../base/errors.ts'
import { LISTS_MAX, NAME_OCTETS_MAX } from '../../trie/layout.ts'
import { ACTION_EXCEPT } from '../blocklist/rule.ts'
import type { Coverage, RuleAction, RuleSink } from '../blocklist/rule.ts'
import { DEFAULT_LIMITS, grown, NameTable } from './name-table.ts'
import type { NameTableLimits } from './name-table.ts'

/**
 * A record's coverage bits (`COVERS_SELF`, `COVERS_BELOW`) for blocks stand at 0, for exceptions
 * here.
 */
export const EXCEPT_SHIFT = 2
const RECORD_BITS = 4
const FIRST_RECORDS = 1 << 12
const NO_RECORD = 0

/** What one list has given. */
export interface CollectedCounts {
  /** Rules that block, duplicates included. */
  rules: number
  exceptions: number
  /** Rules and exceptions that an earlier line of the same list had already said. */
  duplicates: number
}

/**
 * The rules of all lists.
 *
 * A record is one 32-bit word: list number above, four coverage bits below. The records of a name
 * are chained, newest first; nearly every name has one.
 */
export class RuleCollector {
  readonly names: NameTable
  readonly counts: CollectedCounts[] = []
  /** Record number of each name's newest record. */
  #newest = new Uint32Array(FIRST_RECORDS)
  #records = new Uint32Array(FIRST_RECORDS)
  #older = new Uint32Array(FIRST_RECORDS)
  #recordCount = 1

  constructor(limits: NameTableLimits = DEFAULT_LIMITS) {
    this.names = new NameTable(limits)
  }

  /** Starts the next list and returns where its rules go; `label` names it in messages. */
  addList(label: string): RuleSink {
    const list = this.counts.length
    if (list >= LISTS_MAX) {
      throw new OperationalError('ERR_LIST_TOO_LARGE', `one image holds ${LISTS_MAX} lists at most`)
    }
    const counts: CollectedCounts = { rules: 0, exceptions: 0, duplicates: 0 }
    this.counts.push(counts)
    return {
      add: (name, octets, coverage, action, line) => {
        refuseUnusable(name, octets, label, line)
        if (action === ACTION_EXCEPT) counts.exceptions++
        else counts.rules++
        if (!this.#take(name, octets, list, coverage, action)) counts.duplicates++
      },
    }
  }

  /** The name's newest record number, 0 for none; follow it with `older`. */
  newest(name: number): number {
    return this.#newest[name]!
  }

  older(record: number): number {
    return this.#older[record]!
  }

  listOf(record: number): number {
    return this.#records[record]! >>> RECORD_BITS
  }

  /** Coverage bits of the list's blocks, and above them those of its exceptions. */
  coverageOf(record: number): number {
    return this.#records[record]! & ((1 << RECORD_BITS) - 1)
  }

  /** Returns false when the list had said the same before. */
  #take(
    octets: Uint8Array,
    length: number,
    list: number,
    coverage: Coverage,
    action: RuleAction,
  ): boolean {
    const name = this.names.intern(octets, 0, length)
    const bits = action === ACTION_EXCEPT ? coverage << EXCEPT_SHIFT : coverage
    if (name >= this.#newest.length) this.#newest = grown(this.#newest, this.#newest.length * 2)
    const head = this.#newest[name]!
    for (let record = head; record !== NO_RECORD; record = this.#older[record]!) {
      const word = this.#records[record]!
      if (word >>> RECORD_BITS !== list) continue
      if ((word & bits) === bits) return false
      this.#records[record] = word | bits
      return true
    }
    if (this.#recordCount >= this.#records.length) {
      this.#records = grown(this.#records, this.#records.length * 2)
      this.#older = grown(this.#older, this.#older.length * 2)
    }
    const record = this.#recordCount++
    this.#records[record] = (list << RECORD_BITS) | bits
    this.#older[record] = head
    this.#newest[name] = record
    return true
  }
}

/** Throws on what a parser must never hand over: the root, or octets that are no wire name. */
function refuseUnusable(name: Uint8Array, octets: number, label: string, line: number): void {
  if (octets === 1 && name[0] === 0) {
    throw new OperationalError(
      'ERR_LIST',
      `${label}, line ${line}: a rule for the root would block every name; remove it`,
      { file: label, line },
    )
  }
  let at = 0
  while (at < octets && name[at]! !== 0 && name[at]! < 64) at += name[at]! + 1
  if (octets > NAME_OCTETS_MAX || at !== octets - 1 || name[at] !== 0) {
    throw new OperationalError('ERR_LIST', `${label}, line ${line}: not a name in wire format`, {
      file: label,
      line,
    })
  }
}
