/**
 * The essential names: never blocked by a subscribed list, each with all names below it. A list's
 * rule on such a name is exempted when the list is read; a rule above one is kept and reported.
 */

import { readFile } from 'node:fs/promises'

import { OperationalError } from '../../base/errors.ts'
import { nameToText } from './name-text.ts'
import { normalizeToken, type NameSlot } from './normalize.ts'

const NAME_LABELS_MAX = 128
/** Bits of the filter that turns away most names before any string is made; a power of two. */
const FILTER_BITS = 1 << 16

interface Entry {
  /** Set when this very name is essential. */
  essential: string | undefined
  /** Essential names strictly below this one. */
  readonly below: string[]
}

/** The label starts of the name asked last, from the left: reused by every look-up. */
const labelStarts = new Uint8Array(NAME_LABELS_MAX)

function latin1(wire: Uint8Array, start: number, end: number): string {
  return Buffer.from(wire.buffer, wire.byteOffset + start, end - start).toString('latin1')
}

/** Continues a hash of a name's tail, label by label from the right. */
function hashLabel(hash: number, wire: Uint8Array, start: number): number {
  const end = start + 1 + (wire[start] ?? 0)
  let mixed = hash
  for (let i = start; i < end; i += 1) mixed = Math.imul(mixed ^ (wire[i] ?? 0), 0x01000193)
  return mixed
}

export class EssentialNames {
  readonly #entries = new Map<string, Entry>()
  readonly #filter = new Uint8Array(FILTER_BITS >> 3)
  readonly #names: Uint8Array[] = []
  readonly #known = new Set<string>()
  /** Of the names: a server that starts from an image looks none of them up here. */
  #indexed = 0

  /** No name at all: for lists that are read outside a resolver. */
  static none(): EssentialNames {
    return new EssentialNames()
  }

  /** Takes names as text; a text that is no name is our own mistake and throws. */
  static of(names: readonly string[]): EssentialNames {
    const essential = new EssentialNames()
    essential.addText(names.join('\n'), 'the names given')
    return essential
  }

  /**
   * Loads files of one name a line; `#` starts a comment.
   *
   * @throws OperationalError ERR_LIST for a missing file or a line that is no name: a misspelt
   *   essential name would be blocked in silence, so nothing is skipped here.
   */
  static async load(files: readonly string[]): Promise<EssentialNames> {
    const essential = new EssentialNames()
    for (const file of files) {
      let text: string
      try {
        text = await readFile(file, 'utf8')
      } catch (cause) {
        throw new OperationalError(
          'ERR_LIST',
          `essential names ${file} cannot be read; restore the file or correct its path`,
          { file, cause },
        )
      }
      essential.addText(text.replace(/^\uFEFF/, ''), file)
    }
    return essential
  }

  /** How many names, doubles not counted. */
  get size(): number {
    return this.#names.length
  }

  /** The names in wire format, ASCII lower case, for the compiler; owned by this object. */
  get names(): readonly Uint8Array[] {
    return this.#names
  }

  /** The essential name that is this name or lies above it, or undefined. */
  covers(wire: Uint8Array, octets = wire.length): string | undefined {
    this.#indexNames()
    let hash = 0
    for (let i = this.#split(wire, octets) - 1; i >= 0; i -= 1) {
      const start = labelStarts[i] ?? 0
      hash = hashLabel(hash, wire, start)
      const essential = this.#entry(hash, wire, start, octets)?.essential
      if (essential !== undefined) return essential
    }
    return undefined
  }

  /** The essential names strictly below this name. */
  below(wire: Uint8Array, octets = wire.length): readonly string[] {
    this.#indexNames()
    let hash = 0
    for (let i = this.#split(wire, octets) - 1; i >= 0; i -= 1) {
      hash = hashLabel(hash, wire, labelStarts[i] ?? 0)
    }
    return this.#entry(hash, wire, 0, octets)?.below ?? []
  }

  /** True when an essential name lies strictly below this name. */
  isAbove(wire: Uint8Array, octets = wire.length): boolean {
    return this.below(wire, octets).length > 0
  }

  private addText(text: string, file: string): void {
    const slot: NameSlot = { wire: new Uint8Array(256), octets: 0 }
    for (const [index, line] of text.split(/\r\n|\n|\r/).entries()) {
      const token = line.replace(/(?:^|\s)#.*$/, '').trim()
      if (token === '') continue
      const reason = /\s/.test(token) ? 'prose' : normalizeToken(token, slot)
      if (reason !== undefined || slot.octets < 2) {
        throw new OperationalError(
          'ERR_LIST',
          `${file}:${index + 1}: "${token}" is no name (${reason ?? 'the root'}); ` +
            'write one name a line',
          { file, line: index + 1 },
        )
      }
      this.#add(slot.wire.slice(0, slot.octets))
    }
  }

  #add(wire: Uint8Array): void {
    const key = latin1(wire, 0, wire.length)
    if (this.#known.has(key)) return
    this.#known.add(key)
    this.#names.push(wire)
  }

  /** Makes the names that came since the last look-up ready to be found. */
  #indexNames(): void {
    while (this.#indexed < this.#names.length) this.#index(this.#names[this.#indexed++]!)
  }

  #index(wire: Uint8Array): void {
    const name = nameToText(wire)
    let hash = 0
    for (let i = this.#split(wire, wire.length) - 1; i >= 0; i -= 1) {
      const start = labelStarts[i] ?? 0
      hash = hashLabel(hash, wire, start)
      const bit = (hash >>> 8) & (FILTER_BITS - 1)
      this.#filter[bit >> 3] = (this.#filter[bit >> 3] ?? 0) | (1 << (bit & 7))
      const key = latin1(wire, start, wire.length)
      const entry = this.#entries.get(key) ?? { essential: undefined, below: [] }
      if (start === 0) entry.essential = name
      else entry.below.push(name)
      this.#entries.set(key, entry)
    }
  }

  /** Notes where the labels start and returns how many there are. */
  #split(wire: Uint8Array, octets: number): number {
    let labels = 0
    for (let at = 0; at < octets - 1 && labels < NAME_LABELS_MAX; at += 1 + (wire[at] ?? 0)) {
      labelStarts[labels] = at
      labels += 1
    }
    return labels
  }

  #entry(hash: number, wire: Uint8Array, start: number, octets: number): Entry | undefined {
    const bit = (hash >>> 8) & (FILTER_BITS - 1)
    if (((this.#filter[bit >> 3] ?? 0) & (1 << (bit & 7))) === 0) return undefined
    return this.#entries.get(latin1(wire, start, octets))
  }
}
