/**
 * Which questions are asked most, roughly: a sample of the hits in memory, in a table of bounded
 * size. It knows nothing of who asks, and what it knows is halved again and again.
 */
import type { AskedName } from '../query.ts'
import type { ParsedQuery } from '../../wire/query.ts'

/** Notes of one interval after which only every second, third, … hit is noted. */
const NOTES_PER_STEP = 4096

/** The uses that one worker has seen. */
export class HotUses {
  readonly #uses = new Map<string, number>()
  readonly #questionsMax: number
  #step = 1
  #untilNote = 1
  #notes = 0

  /** @param questionsMax that are told apart; past it the rare ones are forgotten. */
  constructor(questionsMax: number) {
    this.#questionsMax = questionsMax
  }

  /** An answer in memory was used. */
  note(asked: AskedName, query: ParsedQuery): void {
    if (--this.#untilNote > 0) return
    this.#untilNote = this.#step
    this.add(asked.key(query).text, this.#step)
    this.#notes++
    if (this.#notes % NOTES_PER_STEP === 0) this.#step++
  }

  add(key: string, uses: number): void {
    const known = this.#uses.get(key)
    if (known === undefined && this.#uses.size >= this.#questionsMax) {
      this.#fade()
      if (this.#uses.size >= this.#questionsMax) return
    }
    this.#uses.set(key, (known ?? 0) + uses)
  }

  /** Begins a new interval: old uses count half, and those that were few are forgotten. */
  halve(): void {
    this.#fade()
    this.#step = 1
    this.#notes = 0
  }

  #fade(): void {
    for (const [key, uses] of this.#uses) {
      if (uses >= 2) this.#uses.set(key, uses / 2)
      else this.#uses.delete(key)
    }
  }

  /** Returns the questions, most used first. */
  ranked(): [string, number][] {
    return [...this.#uses].sort((left, right) => right[1] - left[1])
  }
}
