import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeMessage, encodeQuery, encodeResponse, questionEnd } from '../support/messages.ts'
import type { ResourceRecord, ResponseOptions } from '../support/messages.ts'
import { A, END, asked, factsOf, namesOf } from './answer-case.ts'
import { header, join, record } from '../support/octets.ts'
import { AnswerFacts, inspectAnswer } from '../../src/wire/answer.ts'
import { conforms } from '../conformance/conforms.ts'

/** All that is said of the message, without the unused ends of the arrays. */
function summaryOf(facts: AnswerFacts): unknown {
  const { rcode, truncated, octets, ttlSeconds, negative, answered } = facts
  const offsets = [...facts.ttlOffsets.subarray(0, facts.ttlCount)]
  return {
    rcode,
    truncated,
    octets,
    ttlSeconds,
    negative,
    answered,
    offsets,
    names: namesOf(facts),
  }
}

describe('replies of every shape', () => {
  const query = encodeQuery('www.example.com', 'A', { id: 1 })
  const end = questionEnd(query)
  const resource: fc.Arbitrary<ResourceRecord> = fc
    .oneof(
      fc.record({ type: fc.constant('A'), data: fc.ipV4() }),
      fc.record({ type: fc.constant('AAAA'), data: fc.constant('2001:db8::1') }),
      fc.record({ type: fc.constant('CNAME'), data: fc.domain() }),
      fc.record({ type: fc.constant('NS'), data: fc.domain() }),
      fc.record({ type: fc.constant('PTR'), data: fc.domain() }),
      fc.record({ type: fc.constant('TXT'), data: fc.constant([Buffer.from('text')]) }),
      fc.record({
        type: fc.constant('MX'),
        data: fc.record({ preference: fc.nat(100), exchange: fc.domain() }),
      }),
      fc.record({
        type: fc.constant('SRV'),
        data: fc.record({
          priority: fc.nat(9),
          weight: fc.nat(9),
          port: fc.nat(99),
          target: fc.domain(),
        }),
      }),
      fc.record({
        type: fc.constant('TYPE666'),
        data: fc.uint8Array({ maxLength: 20 }).map((o) => Buffer.from(o)),
      }),
    )
    .chain((body) =>
      fc.record({ name: fc.domain(), ttl: fc.nat(100_000) }).map((head) => ({ ...head, ...body })),
    )
  const section = fc.array(resource, { maxLength: 4 })
  const response = fc
    .record({ answers: section, authorities: section, additionals: section, edns: fc.constant({}) })
    .map((options: ResponseOptions) => encodeResponse(query, options))

  test('that an independent encoder wrote are read whole', () => {
    fc.assert(
      fc.property(response, (octets) => {
        const facts = new AnswerFacts()
        const before = decodeMessage(octets)
        expect(inspectAnswer(octets, octets.length, end, A, facts)).toBe(true)
        const after = decodeMessage(octets.subarray(0, facts.octets))
        expect(after.edns).toBeUndefined()
        expect(after.answers).toEqual(before.answers)
        expect(after.authorities).toEqual(before.authorities)
        expect(after.additionals).toEqual(before.additionals)
        const lowest = [before.answers, before.authorities, before.additionals]
          .flat()
          .reduce((ttl, { ttl: own = 0 }) => Math.min(ttl, own), 0xffffffff)
        expect(facts.lowestTtl).toBe(lowest)
      }),
    )
  })

  test('and mutated at random never throw, and never depend on octets past their end', () => {
    const edits = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(response, edits, fc.nat(40), (original, changes, cut) => {
        const octets = original.subarray(0, Math.max(end, original.length - cut))
        for (const [at, value] of changes) if (at >= 6 && at < octets.length) octets[at] = value
        const short = new AnswerFacts()
        const long = new AnswerFacts()
        const alone = Buffer.from(octets)
        const longer = join(octets, Buffer.alloc(600, 0x01))
        const whole = inspectAnswer(alone, alone.length, end, A, short)
        expect(inspectAnswer(longer, octets.length, end, A, long)).toBe(whole)
        if (!whole) return
        expect(summaryOf(long)).toEqual(summaryOf(short))
        expect(short.octets).toBeLessThanOrEqual(octets.length)
        expect(longer.subarray(0, octets.length).equals(alone)).toBe(true)
        for (const at of short.ttlOffsets.subarray(0, short.ttlCount)) {
          expect(at + 4).toBeLessThanOrEqual(short.octets)
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('as large as a message can be take bounded work', () => {
    conforms('expensive-answers')
    const small = record({ owner: Buffer.from([0]), type: 666 })
    const count = Math.floor((65_535 - END) / small.length)
    const reply = join(
      header({ flags: 0x8180, an: count }),
      asked,
      ...Array.from({ length: count }, () => small),
    )
    expect(factsOf(reply).ttlCount).toBe(count)
  })
})
