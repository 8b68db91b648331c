/** What the shared cache tells those who ask it, and what it is told. */
import type { AnswerFacts } from '../../wire/answer.ts'
import type { QuestionKey } from '../question-key.ts'
import type { SharedValue } from './shared-value.ts'

/** Who asked: hears of every question that `read` took, unless it was forgotten. */
export interface SharedCacheEvents<Question> {
  /**
   * A sound answer. Returns `SOUND` when it was taken, else why it is rejected; records are free
   * after the call.
   */
  sharedFound(question: Question, value: SharedValue, facts: AnswerFacts, storedMs: number): number
  /** Redis has no answer in time: the upstream has to be asked. */
  sharedMissed(question: Question): void
  /** Redis takes long: the upstream shall be asked too. */
  sharedLate(question: Question): void
  /** An answer that nobody asked for, at the start; true when memory took it. */
  sharedWarm(
    question: QuestionKey,
    value: SharedValue,
    facts: AnswerFacts,
    storedMs: number,
  ): boolean
}

/** The verdict on an answer, and how long it lasts by the monotonic clock. */
export interface SharedVerdict {
  readonly category: number
  readonly stamp: string
  readonly storedMs: number
  readonly expiresMs: number
}
