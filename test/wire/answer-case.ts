/** What the tests of `inspectAnswer` share: replies to A? www.example.com, and what they say. */
import { AnswerFacts, inspectAnswer } from '../../src/wire/answer.ts'
import { header, join, question, record } from '../support/octets.ts'

export const A = 1
export const NS = 2
export const CNAME = 5
export const SOA = 6
export const TXT = 16
export const AAAA = 28
export const HTTPS = 65

export const asked = question('www.example.com')
export const END = 12 + asked.length
export const address = record({ type: A, rdata: Buffer.from([192, 0, 2, 1]) })

/** The records of a reply. */
export interface Sections {
  readonly flags?: number
  readonly answers?: readonly Uint8Array[]
  readonly authorities?: readonly Uint8Array[]
  readonly additionals?: readonly Uint8Array[]
}

/** A reply to A? www.example.com. */
export function replyOf(sections: Sections): Buffer {
  const { answers = [], authorities = [], additionals = [] } = sections
  const counts = { an: answers.length, ns: authorities.length, ar: additionals.length }
  const head = header({ flags: sections.flags ?? 0x8180, ...counts })
  return join(head, asked, ...answers, ...authorities, ...additionals)
}

/** Reads a reply whole. */
export function inspect(message: Uint8Array, type = A): AnswerFacts | 'malformed' {
  const facts = new AnswerFacts()
  return inspectAnswer(message, message.length, END, type, facts) ? facts : 'malformed'
}

/** Reads a reply whole. */
export function factsOf(message: Uint8Array, type = A): AnswerFacts {
  const facts = inspect(message, type)
  if (facts === 'malformed') throw new Error('malformed')
  return facts
}

/** The names that an answer led through, as dotted text. */
export function namesOf(facts: AnswerFacts): string[] {
  const found: string[] = []
  let labels: string[] = []
  for (let at = 0; at < facts.namesOctets;) {
    const octets = facts.names[at]!
    if (octets === 0) {
      found.push(labels.join('.'))
      labels = []
    } else {
      labels.push(Buffer.from(facts.names.subarray(at + 1, at + 1 + octets)).toString('latin1'))
    }
    at += 1 + octets
  }
  return found
}
