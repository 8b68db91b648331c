/** Every distinct name of all lists, once, in one arena: names are small integers from here on. */

import { OperationalError } from '../../base/errors.ts'
import { MiB } from '../../base/units.ts'
import { LABELS_MAX } from '../../trie/layout.ts'
import { prependLabel } from '../../trie/suffix-hash.ts'

export const NO_NAME = -1

const FIRST_NAMES = 1 << 12
const FIRST_ARENA_OCTETS = 1 << 16
/** The hash table is doubled when more than three of four slots are taken. */
const LOAD_MAX = 0.75

/**
 * What a compilation may take at most, so that a hostile list ends in a message, not in the OOM
 * killer.
 */
export interface NameTableLimits {
  readonly namesMax: number
  readonly arenaOctetsMax: number
}

export const DEFAULT_LIMITS: NameTableLimits = { namesMax: 20_000_000, arenaOctetsMax: 512 * MiB }

/** Returns a copy of `old` with `length` elements. */
export function grown(old: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  const wider = new Uint32Array(length)
  wider.set(old)
  return wider
}

/**
 * An open-addressing hash table of wire names (RFC 1035 3.1), ASCII lower case, root octet
 * included.
 */
export class NameTable {
  #arena = new Uint8Array(FIRST_ARENA_OCTETS)
  #arenaUsed = 0
  /** Offset of each name in the arena; one more entry than names, so that lengths come from it. */
  #starts = new Uint32Array(FIRST_NAMES)
  #hashes = new Uint32Array(FIRST_NAMES)
  #count = 0
  /** Name number + 1 per slot, 0 for a free slot. */
  #slots = new Uint32Array(FIRST_NAMES * 2)
  readonly #limits: NameTableLimits
  /** Random, so that no list can be written that piles its names up in one slot. */
  readonly #seed = (Math.random() * 0x1_0000_0000) | 0
  readonly #labelStarts = new Uint8Array(LABELS_MAX)
  readonly #suffixHashes = new Int32Array(LABELS_MAX)

  constructor(limits: NameTableLimits = DEFAULT_LIMITS) {
    this.#limits = limits
  }

  /** Distinct names taken so far; their numbers are 0 to `count` - 1 in the order of arrival. */
  get count(): number {
    return this.#count
  }

  /** The octets of all names, one behind the other. */
  get arena(): Uint8Array {
    return this.#arena
  }

  /** Offset of the name's first octet in `arena`. */
  start(name: number): number {
    return this.#starts[name]!
  }

  /** Octets of the name in the arena, the root octet included. */
  octets(name: number): number {
    return this.#starts[name + 1]! - this.#starts[name]!
  }

  /** Labels of the name, the root not counted. */
  labels(name: number): number {
    let labels = 0
    for (let at = this.#starts[name]!; this.#arena[at]! !== 0; at += this.#arena[at]! + 1) labels++
    return labels
  }

  /** Returns the number of the name at `start` of `octets`, taking it in when it is new. */
  intern(octets: Uint8Array, start: number, length: number): number {
    const hash = this.#hashName(octets, start)
    const mask = this.#slots.length - 1
    let slot = hash & mask
    for (let held = this.#slots[slot]!; held !== 0; held = this.#slots[slot]!) {
      if (this.#isHeld(held - 1, hash, octets, start, length)) return held - 1
      slot = (slot + 1) & mask
    }
    return this.#insert(octets, start, length, hash, slot)
  }

  /** Returns the number of the name at `start` of `octets`, or `NO_NAME`. */
  find(octets: Uint8Array, start: number, length: number): number {
    return this.#find(this.#hashName(octets, start), octets, start, length)
  }

  /** Returns the nearest proper suffix of the name that is itself in the table, or `NO_NAME`. */
  parent(name: number): number {
    const start = this.#starts[name]!
    const end = start + this.octets(name)
    const labels = this.#hashSuffixes(this.#arena, start)
    for (let label = 1; label < labels; label++) {
      const suffix = start + this.#labelStarts[label]!
      const found = this.#find(this.#suffixHashes[label]!, this.#arena, suffix, end - suffix)
      if (found !== NO_NAME) return found
    }
    return NO_NAME
  }

  #find(hash: number, octets: Uint8Array, at: number, length: number): number {
    const mask = this.#slots.length - 1
    let slot = hash & mask
    for (let held = this.#slots[slot]!; held !== 0; held = this.#slots[slot]!) {
      if (this.#isHeld(held - 1, hash, octets, at, length)) return held - 1
      slot = (slot + 1) & mask
    }
    return NO_NAME
  }

  #isHeld(name: number, hash: number, octets: Uint8Array, at: number, length: number): boolean {
    if (this.#hashes[name] !== hash >>> 0) return false
    const start = this.#starts[name]!
    if (this.#starts[name + 1]! - start !== length) return false
    const arena = this.#arena
    for (let i = 0; i < length; i++) if (arena[start + i] !== octets[at + i]) return false
    return true
  }

  #insert(octets: Uint8Array, start: number, length: number, hash: number, slot: number): number {
    const name = this.#count
    if (name >= this.#limits.namesMax || this.#arenaUsed + length > this.#limits.arenaOctetsMax) {
      throw new OperationalError(
        'ERR_LIST_TOO_LARGE',
        `the lists hold more than ${name} distinct names (${this.#arenaUsed} octets): ` +
          'one image takes no more; leave a list out',
      )
    }
    if (this.#arenaUsed + length > this.#arena.length) {
      const wider = new Uint8Array(this.#arena.length * 2)
      wider.set(this.#arena)
      this.#arena = wider
    }
    if (name + 2 > this.#starts.length) {
      this.#starts = grown(this.#starts, this.#starts.length * 2)
      this.#hashes = grown(this.#hashes, this.#hashes.length * 2)
    }
    for (let i = 0; i < length; i++) this.#arena[this.#arenaUsed + i] = octets[start + i]!
    this.#arenaUsed += length
    this.#starts[name + 1] = this.#arenaUsed
    this.#hashes[name] = hash
    this.#slots[slot] = name + 1
    this.#count++
    if (this.#count > this.#slots.length * LOAD_MAX) this.#rehash()
    return name
  }

  #rehash(): void {
    const slots = new Uint32Array(this.#slots.length * 2)
    const mask = slots.length - 1
    for (let name = 0; name < this.#count; name++) {
      let slot = this.#hashes[name]! & mask
      while (slots[slot] !== 0) slot = (slot + 1) & mask
      slots[slot] = name + 1
    }
    this.#slots = slots
  }

  #hashName(octets: Uint8Array, start: number): number {
    this.#hashSuffixes(octets, start)
    return this.#suffixHashes[0]!
  }

  /** Fills `#labelStarts` and `#suffixHashes` from the left; returns the number of labels. */
  #hashSuffixes(octets: Uint8Array, start: number): number {
    let labels = 0
    let at = start
    while (octets[at]! !== 0 && labels < LABELS_MAX) {
      this.#labelStarts[labels++] = at - start
      at += octets[at]! + 1
    }
    let hash = this.#seed
    for (let label = labels - 1; label >= 0; label--) {
      hash = prependLabel(hash, octets, start + this.#labelStarts[label]!)
      this.#suffixHashes[label] = hash
    }
    return labels
  }
}
