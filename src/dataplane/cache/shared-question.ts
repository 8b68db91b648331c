/**
 * What a shared cache has to know of a question: its cache key says all of it (name in lower case,
 * type, DO and CD). The question's record belongs to whoever waits for the answer.
 */
import { HEADER_OCTETS } from '../../wire/header.ts'
import { KEY_TAIL_OCTETS, type QuestionKey } from '../question-key.ts'

/** Where the name stands in a message. */
export const OFFSET_NAME = HEADER_OCTETS
/** Root octet and tail. */
export const KEY_OCTETS_MIN = 1 + KEY_TAIL_OCTETS
const TYPE_AND_CLASS_OCTETS = 4

/** A question that waits. */
export interface SharedQuestion {
  readonly key: QuestionKey
  /** Its id in Redis, as `SharedKeys` writes it; what stands there counts once it is made. */
  readonly sharedId: Uint8Array
  hasSharedId: boolean
  /** Number of the look-up whose result it waits for; 0: of none. */
  sharedRead: number
  /** An upstream is being asked: there is no need to say that Redis has nothing. */
  readonly isAsked: boolean
}

/** Where the question ends in a message that answers it. */
export function questionEndOf(key: string): number {
  return OFFSET_NAME + key.length - KEY_TAIL_OCTETS + TYPE_AND_CLASS_OCTETS
}

/** Type of the question. */
export function typeOf(key: string): number {
  const at = key.length - KEY_TAIL_OCTETS
  return (key.charCodeAt(at) << 8) | key.charCodeAt(at + 1)
}
