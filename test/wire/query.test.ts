import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  PARSE_BADVERS,
  PARSE_FORMERR,
  PARSE_NOTAUTH,
  PARSE_NOTIMP,
  PARSE_OK,
  PARSE_REFUSED,
  PARSE_RESPONSE,
  PARSE_SHORT,
  ParsedQuery,
  QUESTION_END_MAX,
  copyQuery,
  parseQuery,
  rcodeOfParse,
} from '../../src/wire/query.ts'
import { encodeQuery } from '../support/messages.ts'
import {
  header,
  join,
  nameOfOctets,
  opt,
  option,
  pointer,
  question,
  record,
  u16,
} from '../support/octets.ts'
import { RESULTS, example, parse, tsig, withAdditional, type Case } from './parse-case.ts'
import { conforms } from '../conformance/conforms.ts'

function labelOf(octets: number): Buffer {
  return join(Buffer.from([octets]), Buffer.alloc(octets, 0x61), Buffer.from([0]))
}

test('the names of the results stand at their numbers', () => {
  const numbers = [PARSE_OK, PARSE_SHORT, PARSE_RESPONSE, PARSE_FORMERR, PARSE_NOTIMP]
  numbers.push(PARSE_BADVERS, PARSE_REFUSED, PARSE_NOTAUTH)
  expect(numbers).toEqual(RESULTS.map((_, index) => index))
})

const headers: readonly Case[] = [
  ...[0, 1, 2, 11].map((octets): Case => ({
    what: `${octets} octets`,
    octets: header().subarray(0, octets),
    result: 'SHORT',
    why: 'there is no header to answer to',
  })),
  {
    what: 'a header alone that promises a question',
    octets: header(),
    result: 'FORMERR',
    why: 'the question is missing',
  },
  {
    what: 'the QR bit',
    octets: join(header({ flags: 0x8180 }), example),
    result: 'RESPONSE',
    why: 'answers to responses make loops (CVE-2024-2169)',
  },
  {
    what: 'the QR bit on garbage',
    octets: join(header({ flags: 0xffff, qd: 9 }), Buffer.alloc(9, 0xff)),
    result: 'RESPONSE',
    why: 'QR is looked at before anything else',
  },
  ...[1, 2, 3, 4, 5, 6, 15].map((opcode): Case => ({
    what: `opcode ${opcode}`,
    octets: join(header({ flags: opcode << 11 }), example),
    result: 'NOTIMP',
    why: 'only QUERY is served (RFC 8906 3.1.4)',
  })),
  {
    what: 'an UPDATE whose sections are no question at all',
    octets: join(header({ flags: 5 << 11, qd: 1, ns: 4 }), Buffer.alloc(3)),
    result: 'NOTIMP',
    why: 'the opcode says how to read the rest',
  },
  ...[0, 2, 3, 0xffff].map((qd): Case => ({
    what: `QDCOUNT ${qd}`,
    octets: join(header({ qd }), example, example),
    result: 'FORMERR',
    why: 'a QUERY has exactly one question (RFC 9619)',
  })),
  {
    what: 'ANCOUNT 1 with its record',
    octets: join(header({ an: 1 }), example, record({ type: 1, rdata: Buffer.alloc(4) })),
    result: 'FORMERR',
    why: 'a query carries no answer',
  },
  {
    what: 'ANCOUNT 1 without its record',
    octets: join(header({ an: 1 }), example),
    result: 'FORMERR',
    why: 'the counts lie',
  },
  {
    what: 'NSCOUNT 1',
    octets: join(header({ ns: 1 }), example, record({ type: 6, rdata: Buffer.alloc(22) })),
    result: 'FORMERR',
    why: 'a query carries no authority',
  },
  {
    what: "IXFR with the client's SOA",
    octets: join(header({ ns: 1 }), question('example.com', 251), record({ type: 6 })),
    result: 'REFUSED',
    why: 'well formed (RFC 1995 3), and no zone is transferred',
  },
  ...[0x0400, 0x0200, 0x0080, 0x0040, 0x0020, 0x0010, 0x0000].map((flags): Case => ({
    what: `flags 0x${flags.toString(16).padStart(4, '0')}`,
    octets: join(header({ flags }), example),
    result: 'OK',
    why: 'AA, TC, RA, Z, AD, CD and a missing RD are no errors (RFC 6895 2.1)',
  })),
  {
    what: 'every rcode bit in a query',
    octets: join(header({ flags: 0x010f }), example),
    result: 'OK',
    why: 'RCODE means nothing in a query',
  },
]

const questions: readonly Case[] = [
  {
    what: 'the root',
    octets: join(header(), question('.', 2)),
    result: 'OK',
    why: 'the shortest name',
  },
  {
    what: 'a label of 63 octets',
    octets: join(header(), question(labelOf(63))),
    result: 'OK',
    why: 'RFC 1035 2.3.4',
  },
  {
    what: 'a label of 64 octets',
    octets: join(header(), question(labelOf(64))),
    result: 'FORMERR',
    why: '0x40 is a label type that RFC 6891 5 withdrew',
  },
  {
    what: 'label type 0x80',
    octets: join(header(), Buffer.from([0x80, 0x61, 0]), u16(1), u16(1)),
    result: 'FORMERR',
    why: 'never assigned',
  },
  {
    what: 'a bit-string label (0x41)',
    octets: join(header(), Buffer.from([0x41, 8, 0xff, 0]), u16(1), u16(1)),
    result: 'FORMERR',
    why: 'RFC 6891 5 withdrew it',
  },
  ...[254, 255].map((octets): Case => ({
    what: `a name of ${octets} octets`,
    octets: join(header(), question(nameOfOctets(octets))),
    result: 'OK',
    why: 'up to 255 octets, the root included (RFC 1035 2.3.4)',
  })),
  ...[256, 257, 300].map((octets): Case => ({
    what: `a name of ${octets} octets`,
    octets: join(header(), question(nameOfOctets(octets))),
    result: 'FORMERR',
    why: 'above 255 octets',
  })),
  {
    what: '127 labels of one octet',
    octets: join(header(), question('a.'.repeat(127))),
    result: 'OK',
    why: 'the most labels that fit',
  },
  {
    what: '128 labels of one octet',
    octets: join(header(), question('a.'.repeat(128))),
    result: 'FORMERR',
    why: '257 octets',
  },
  {
    what: 'a pointer to itself',
    octets: join(header(), question(pointer(12))),
    result: 'FORMERR',
    why: 'no name stands before the first one',
  },
  {
    what: 'a pointer into the header',
    octets: join(header(), question(pointer(0))),
    result: 'FORMERR',
    why: 'no name stands before the first one',
  },
  {
    what: 'labels that end in a pointer',
    octets: join(header(), question(join(Buffer.from([1, 0x61]), pointer(12)))),
    result: 'FORMERR',
    why: 'no name stands before the first one',
  },
  {
    what: 'a name without its end',
    octets: join(header(), Buffer.from([3, 0x77, 0x77, 0x77])),
    result: 'FORMERR',
    why: 'the message ends first',
  },
  {
    what: 'a label longer than the message',
    octets: join(header(), Buffer.from([63, 0x61])),
    result: 'FORMERR',
    why: 'the message ends first',
  },
  ...[1, 2, 3].map((missing): Case => ({
    what: `a question that lacks ${missing} of its last octets`,
    octets: join(header(), example).subarray(0, 12 + example.length - missing),
    result: 'FORMERR',
    why: 'type and class take four octets',
  })),
  {
    what: 'octets that are no letters',
    octets: join(header(), question(Buffer.from([4, 0, 0xff, 0x2e, 0x20, 0]))),
    result: 'OK',
    why: 'any octet is legal in a label (RFC 2181 11)',
  },
  ...[0, 2, 3, 4, 254, 255, 0xffff].map((questionClass): Case => ({
    what: `class ${questionClass}`,
    octets: join(header(), question('version.bind', 16, questionClass)),
    result: 'REFUSED',
    why: 'only IN is served, so that no class goes round the filter',
  })),
  ...[0, 41, 128, 249, 250, 251, 252, 253, 254].map((type): Case => ({
    what: `type ${type}`,
    octets: join(header(), question('example.com', type)),
    result: 'REFUSED',
    why: 'no type that a zone holds (RFC 6895 3.1)',
  })),
  ...[1, 28, 65, 127, 255, 256, 666, 65_280, 65_535].map((type): Case => ({
    what: `type ${type}`,
    octets: join(header(), question('example.com', type)),
    result: 'OK',
    why: 'known and unknown types are questions alike (RFC 3597 3)',
  })),
  {
    what: 'one octet behind the question',
    octets: join(header(), example, Buffer.from([0])),
    result: 'FORMERR',
    why: 'what nobody reads could hide something',
  },
  {
    what: 'a second question that QDCOUNT does not name',
    octets: join(header(), example, question('other.example')),
    result: 'FORMERR',
    why: 'what nobody reads could hide something',
  },
]

describe('parseQuery answers', () => {
  test.each([...headers, ...questions])('$result to $what: $why', ({ octets, result }) => {
    conforms('opcodes', 'qdcount', 'transfers', 'version-disclosure', 'smuggling')
    expect(parse(octets).result).toBe(result)
  })

  test('malformed and refused messages keep their question for the reply', () => {
    const end = 12 + example.length
    expect(parse(withAdditional(opt(), opt())).query.questionEnd).toBe(end)
    expect(parse(withAdditional(opt({ version: 1 }))).query.questionEnd).toBe(end)
    expect(parse(join(header({ qd: 2 }), example, example)).query.questionEnd).toBe(0)
    expect(parse(join(header({ flags: 5 << 11 }), example)).query.questionEnd).toBe(0)
  })
})

describe('a parsed query', () => {
  test('says id, RD and CD, type, class and where the question ends', () => {
    const octets = encodeQuery('www.Example.com', 'AAAA', { id: 0xbeef, checkingDisabled: true })
    const { result, query } = parse(octets)
    expect(result).toBe('OK')
    const { id, opcode, rdAndCd, type, questionEnd, hasEdns, dnssecOk, udpOctets } = query
    expect({ id, opcode, rdAndCd, type, class: query.class }).toEqual({
      id: 0xbeef,
      opcode: 0,
      rdAndCd: 0x0110,
      type: 28,
      class: 1,
    })
    expect({ questionEnd, hasEdns, dnssecOk, udpOctets }).toEqual({
      questionEnd: octets.length,
      hasEdns: false,
      dnssecOk: false,
      udpOctets: 512,
    })
  })

  test('forgets the message before it', () => {
    const query = new ParsedQuery(new Uint8Array(0))
    const first = withAdditional(opt({ dnssecOk: true, udpOctets: 4096 }))
    parseQuery(first, first.length, query)
    const second = join(header(), question('a'))
    parseQuery(second, second.length, query)
    expect(query).toMatchObject({ hasEdns: false, dnssecOk: false, udpOctets: 512 })
    parseQuery(second, 11, query)
    expect(query.questionEnd).toBe(0)
  })

  test('is copied with its question at the same offsets', () => {
    const octets = join(header(), question(nameOfOctets(255)))
    const { query } = parse(octets)
    const copy = new ParsedQuery(new Uint8Array(QUESTION_END_MAX))
    copyQuery(query, copy)
    octets.fill(0)
    expect(copy.questionEnd).toBe(QUESTION_END_MAX)
    expect(Buffer.from(copy.message.subarray(12))).toEqual(question(nameOfOctets(255)))
  })
})

test.each([
  { parsed: PARSE_FORMERR, rcode: 1 },
  { parsed: PARSE_NOTIMP, rcode: 4 },
  { parsed: PARSE_REFUSED, rcode: 5 },
  { parsed: PARSE_NOTAUTH, rcode: 9 },
  { parsed: PARSE_BADVERS, rcode: 16 },
])('the rcode for parse result $parsed is $rcode', ({ parsed, rcode }) => {
  expect(rcodeOfParse(parsed)).toBe(rcode)
})

test('no octets make parseQuery throw, or read past the octets that it is told of', () => {
  const start = fc.constantFrom(
    Buffer.alloc(0),
    header(),
    join(header(), example),
    withAdditional(opt({ rdata: option(10, Buffer.alloc(8)) })),
    withAdditional(opt(), tsig),
  )
  const changes = fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 })
  fc.assert(
    fc.property(start, changes, fc.uint8Array({ maxLength: 40 }), (base, edits, tail) => {
      const octets = join(base, tail)
      for (const [at, value] of edits) if (at < octets.length) octets[at] = value
      const apart = parse(Buffer.from(octets))
      // The same octets with others behind them: what stands there must not matter.
      for (const filler of [0, 0xff]) {
        const query = new ParsedQuery(new Uint8Array(0))
        const longer = join(octets, Buffer.alloc(300, filler))
        expect(RESULTS[parseQuery(longer, octets.length, query)]).toBe(apart.result)
        expect(query.questionEnd).toBe(apart.query.questionEnd)
      }
      expect(apart.query.questionEnd).toBeLessThanOrEqual(octets.length)
    }),
    { numRuns: 2000 },
  )
})

test('what parses is what dns-packet reads: the same question for any name of letters', () => {
  const label = fc.stringMatching(/^[a-zA-Z0-9_-]{1,20}$/)
  fc.assert(
    fc.property(fc.array(label, { minLength: 1, maxLength: 8 }), (labels) => {
      const asked = labels.join('.')
      const octets = encodeQuery(asked, 'TXT')
      const { result, query } = parse(octets)
      expect(result).toBe('OK')
      expect(octets.subarray(12, query.questionEnd)).toEqual(question(asked, 16))
    }),
  )
})
