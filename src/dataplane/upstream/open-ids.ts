/**
 * Tries in flight by their ids: two array reads instead of a hash map for every port. An id is in
 * use once for all ports of an upstream; who answers on another port than was asked is told by the
 * try itself.
 */
import type { Attempt } from './attempt.ts'

const IDS = 0x10000

/** The ids of one upstream. */
export class OpenIds {
  /** By id: place in `#attempts` plus one, 0 for an id that is free. */
  readonly #places = new Uint16Array(IDS)
  readonly #attempts: (Attempt | null)[] = []
  readonly #free: number[] = []

  has(id: number): boolean {
    return this.#places[id] !== 0
  }

  /** The try under the id, or null. */
  get(id: number): Attempt | null {
    const place = this.#places[id]!
    return place === 0 ? null : this.#attempts[place - 1]!
  }

  /** The id has to be free; there are never so many tries that the places run out. */
  set(id: number, attempt: Attempt): void {
    const place = this.#free.pop() ?? this.#attempts.push(null)
    this.#attempts[place - 1] = attempt
    this.#places[id] = place
  }

  delete(id: number): void {
    const place = this.#places[id]!
    if (place === 0) return
    this.#places[id] = 0
    this.#attempts[place - 1] = null
    this.#free.push(place)
  }

  /** The tries that left from one port, for what happens once in a while. */
  leftFrom(port: object): Attempt[] {
    const found: Attempt[] = createList()
    for (let place = 0; place < this.#attempts.length; place++) {
      const attempt = this.#attempts[place]!
      if (attempt?.port === port) found.push(attempt)
    }
    return found
  }
}

function createList(): Attempt[] {
  return []
}
