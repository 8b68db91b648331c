/** What the tests of `parseQuery` share: one case of a table, and the reading of it. */
import { ParsedQuery, parseQuery } from '../../src/wire/query.ts'
import { header, join, name, question, record } from '../support/octets.ts'

/** The names of `PARSE_*`, by number. */
export const RESULTS = [
  'OK',
  'SHORT',
  'RESPONSE',
  'FORMERR',
  'NOTIMP',
  'BADVERS',
  'REFUSED',
  'NOTAUTH',
] as const
type Result = (typeof RESULTS)[number]

/** One message and what becomes of it. */
export interface Case {
  readonly what: string
  readonly octets: Uint8Array
  readonly result: Result
  readonly why: string
}

/** Reads octets and names the result. */
export function parse(octets: Uint8Array): { result: Result; query: ParsedQuery } {
  const query = new ParsedQuery(new Uint8Array(0))
  return { result: RESULTS[parseQuery(octets, octets.length, query)]!, query }
}

/** The question that most cases ask: A? example.com. */
export const example = question('example.com')

/** A TSIG record of a key that nobody has (RFC 8945 4.2). */
export const tsig = record({
  owner: name('key'),
  type: 250,
  class: 255,
  ttl: 0,
  rdata: Buffer.alloc(30),
})

/** The example question with additional records. */
export function withAdditional(...records: readonly Uint8Array[]): Buffer {
  return join(header({ ar: records.length }), example, ...records)
}
