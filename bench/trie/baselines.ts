/** What one would write first: the yardsticks that stand in the same table. */

/** Reads a wire name as lower-case text. */
function nameAt(octets: Uint8Array, start: number): string {
  let text = ''
  let at = start
  for (let length = octets[at]!; length !== 0; length = octets[at]!) {
    if (text !== '') text += '.'
    for (let i = 1; i <= length; i++) text += String.fromCodePoint(octets[at + i]!)
    at += length + 1
  }
  return text.toLowerCase()
}

/** A Set of all names, asked for every suffix of a name. */
export class SuffixSet {
  readonly #names: Set<string>

  constructor(names: readonly string[]) {
    this.#names = new Set(names)
  }

  has(octets: Uint8Array, start: number): boolean {
    let suffix = nameAt(octets, start)
    for (;;) {
      if (this.#names.has(suffix)) return true
      const dot = suffix.indexOf('.')
      if (dot < 0) return false
      suffix = suffix.slice(dot + 1)
    }
  }
}

/** A sorted array of all names, searched for every suffix of a name. */
export class SortedNames {
  readonly #names: string[]

  constructor(names: readonly string[]) {
    this.#names = names.toSorted()
  }

  has(octets: Uint8Array, start: number): boolean {
    let suffix = nameAt(octets, start)
    for (;;) {
      if (this.#holds(suffix)) return true
      const dot = suffix.indexOf('.')
      if (dot < 0) return false
      suffix = suffix.slice(dot + 1)
    }
  }

  #holds(name: string): boolean {
    const names = this.#names
    let low = 0
    let high = names.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (names[middle]! < name) low = middle + 1
      else high = middle
    }
    return names[low] === name
  }
}
