/**
 * What a question is told from others by, in every table of this worker and in Redis: its name in
 * lower case, its type, DO and CD (class is always IN here).
 *
 * The octets stay where they are. Most questions are asked for once, and a string of each would
 * have to be made, hashed and collected.
 */
import { randomFillSync } from 'node:crypto'
import { NAME_OCTETS_MAX } from '../wire/name.ts'

/** Octets of the text behind the name: type, and DO and CD as one octet. */
export const KEY_TAIL_OCTETS = 3
const TEXT = Buffer.alloc(NAME_OCTETS_MAX + KEY_TAIL_OCTETS)
/** Spreads question types over the slots of one name. */
const TYPE_STEP = 0x9e3779b1
/** Another in each thread: nobody can prepare names that share a chain. */
export const HASH_START = randomFillSync(new Int32Array(1))[0]!
export const HASH_STEP = 0x01000193

/** A key over octets of somebody else; reused with them. */
export class QuestionKey {
  /** Holds the wire name, lower case, from `nameStart` on. */
  readonly octets: Uint8Array
  readonly nameStart: number
  /** Octets of the name, the root octet included. */
  nameOctets = 0
  type = 0
  /** DO and CD, as `keyFlagsOf` has them. */
  flags = 0
  /** Of all that the key holds; whoever finds by it compares afterwards. */
  hash = 0
  #text = ''

  constructor(octets: Uint8Array, nameStart: number) {
    this.octets = octets
    this.nameStart = nameStart
  }

  /** Makes it the key of the name that stands in `octets` now. */
  set(nameOctets: number, type: number, flags: number, hash: number): void {
    this.nameOctets = nameOctets
    this.type = type
    this.flags = flags
    this.hash = hash
    this.#text = ''
  }

  /** True when both are the same question. */
  equals(other: QuestionKey): boolean {
    return (
      this.hash === other.hash &&
      this.type === other.type &&
      this.flags === other.flags &&
      this.isNamed(other.octets, other.nameStart, other.nameOctets)
    )
  }

  /** True when the name in `octets` is this one, letter for letter. */
  isNamed(octets: Uint8Array, start: number, nameOctets: number): boolean {
    if (nameOctets !== this.nameOctets) return false
    const mine = this.octets
    const mineStart = this.nameStart
    for (let i = 0; i < nameOctets; i++) if (mine[mineStart + i] !== octets[start + i]) return false
    return true
  }

  /** The key as a string of octets, for exact look-ups in a Map: name, type, DO and CD. */
  get text(): string {
    if (this.#text === '') {
      const { octets, nameStart, nameOctets } = this
      for (let i = 0; i < nameOctets; i++) TEXT[i] = octets[nameStart + i]!
      TEXT[nameOctets] = this.type >>> 8
      TEXT[nameOctets + 1] = this.type
      TEXT[nameOctets + 2] = this.flags
      this.#text = TEXT.toString('latin1', 0, nameOctets + KEY_TAIL_OCTETS)
    }
    return this.#text
  }
}

/** Returns the hash of a question, given the one of its name. */
export function questionHashOf(nameHash: number, type: number, flags: number): number {
  return nameHash ^ Math.imul(type, TYPE_STEP) ^ flags
}

/** Returns the hash of the name in `octets` (FNV-1a, its weak low bits mended by the high ones). */
export function nameHashOf(octets: Uint8Array, start: number, nameOctets: number): number {
  let hash = HASH_START
  // The root octet ends every name and tells none from another.
  for (let i = 0; i < nameOctets - 1; i++) hash = Math.imul(hash ^ octets[start + i]!, HASH_STEP)
  return hash ^ (hash >>> 15)
}

/** Makes a key of its own from the text of one. */
export function createKey(text: string): QuestionKey {
  const octets = Buffer.from(text, 'latin1')
  const nameOctets = octets.length - KEY_TAIL_OCTETS
  const type = octets.readUInt16BE(nameOctets)
  const flags = octets[nameOctets + 2]!
  const key = new QuestionKey(octets, 0)
  key.set(nameOctets, type, flags, questionHashOf(nameHashOf(octets, 0, nameOctets), type, flags))
  return key
}
