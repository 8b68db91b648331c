/** Cache entries of any size, for names of one label. */
import { CacheEntry } from '../../src/dataplane/cache/cache-entry.ts'
import { AnswerFacts } from '../../src/wire/answer.ts'
import { createKey, type QuestionKey } from '../../src/dataplane/question-key.ts'
import { HEADER_OCTETS } from '../../src/wire/header.ts'
import { wireOf } from '../compiler/model.ts'

const QUESTION_FIXED_OCTETS = 4

/** The key of the question for the name, type A. */
export function keyOf(label: string): QuestionKey {
  return createKey(`${Buffer.from(wireOf([label])).toString('latin1')}\0\x01\0`)
}

/** An entry over a message of that many octets, all of them `fill` behind the question. */
export function entryFor(
  label: string,
  octets: number,
  ttlSeconds: number,
  nowMs = 0,
  { fill = 7, ttls = [] as number[], names = new Uint8Array(0) } = {},
): CacheEntry {
  const key = keyOf(label)
  const questionEnd = HEADER_OCTETS + key.nameOctets + QUESTION_FIXED_OCTETS
  const facts = new AnswerFacts()
  facts.octets = Math.max(octets, questionEnd)
  facts.ttlSeconds = ttlSeconds
  facts.ttlCount = ttls.length
  facts.ttlOffsets.set(ttls)
  facts.names.set(names)
  facts.namesOctets = names.length
  const entry = new CacheEntry()
  const message = new Uint8Array(facts.octets + 100).fill(fill)
  entry.take(message, facts, key, nowMs)
  return entry
}
