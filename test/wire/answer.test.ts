import { describe, expect, test } from 'vitest'
import { clampTtls } from '../../src/wire/answer.ts'
import { decodeMessage } from '../support/messages.ts'
import {
  join,
  name,
  nameOfOctets,
  opt,
  option,
  pointer,
  record,
  soaData,
  u16,
} from '../support/octets.ts'
import {
  A,
  AAAA,
  CNAME,
  HTTPS,
  NS,
  SOA,
  address,
  factsOf,
  inspect,
  namesOf,
  replyOf,
} from './answer-case.ts'
import { conforms } from '../conformance/conforms.ts'

function withTtl(ttl: number): Buffer {
  return record({ type: A, ttl, rdata: Buffer.alloc(4) })
}

function soa(ttl: number, minimum: number): Buffer {
  return record({ owner: name('com'), type: SOA, ttl, rdata: soaData(minimum) })
}

function cname(ttl: number, target = 'a.example'): Buffer {
  return record({ type: CNAME, ttl, rdata: name(target) })
}

describe('how long an answer may be kept', () => {
  test.each([
    { what: 'one record', reply: { answers: [withTtl(300)] }, kept: 300, why: 'its TTL' },
    {
      what: 'records of several TTLs',
      reply: { answers: [withTtl(300), withTtl(20), withTtl(90)] },
      kept: 20,
      why: 'the lowest',
    },
    {
      what: 'a lower TTL in the authority section',
      reply: {
        answers: [withTtl(300)],
        authorities: [record({ type: NS, ttl: 7, rdata: name('ns') })],
      },
      kept: 7,
      why: 'the whole message is kept as one',
    },
    {
      what: 'a lower TTL in the additional section',
      reply: { answers: [withTtl(300)], additionals: [withTtl(8)] },
      kept: 8,
      why: 'the whole message is kept as one',
    },
    { what: 'TTL 0', reply: { answers: [withTtl(0)] }, kept: 0, why: 'for this question only' },
    {
      what: 'TTL 2^31 - 1',
      reply: { answers: [withTtl(0x7fffffff)] },
      kept: 0x7fffffff,
      why: 'the highest that RFC 2181 8 allows',
    },
    {
      what: 'TTL 2^31',
      reply: { answers: [withTtl(0x80000000)] },
      kept: 0,
      why: 'a set top bit means 0 (RFC 2181 8)',
    },
    {
      what: 'TTL 2^32 - 1',
      reply: { answers: [withTtl(0xffffffff)] },
      kept: 0,
      why: 'a set top bit means 0 (RFC 2181 8)',
    },
    {
      what: 'an OPT whose flags look like a TTL of 0',
      reply: { answers: [withTtl(300)], additionals: [opt()] },
      kept: 300,
      why: 'OPT has no TTL',
    },
    {
      what: 'NXDOMAIN with a SOA',
      reply: { flags: 0x8183, authorities: [soa(900, 60)] },
      kept: 60,
      why: 'the lower of TTL and MINIMUM (RFC 2308 5)',
    },
    {
      what: 'NXDOMAIN whose SOA has the lower TTL',
      reply: { flags: 0x8183, authorities: [soa(30, 60)] },
      kept: 30,
      why: 'the lower of TTL and MINIMUM (RFC 2308 5)',
    },
    {
      what: 'NODATA with a SOA',
      reply: { authorities: [soa(900, 60)] },
      kept: 60,
      why: 'RFC 2308 5',
    },
    { what: 'NXDOMAIN without a SOA', reply: { flags: 0x8183 }, kept: 0, why: 'RFC 2308 5' },
    { what: 'NODATA without a SOA', reply: {}, kept: 0, why: 'RFC 2308 5' },
    {
      what: 'a referral',
      reply: { authorities: [record({ owner: name('com'), type: NS, rdata: name('ns') })] },
      kept: 0,
      why: 'no answer, and no SOA that says how long',
    },
    {
      what: 'an alias to nothing, with a SOA',
      reply: { answers: [cname(300)], authorities: [soa(900, 60)] },
      kept: 60,
      why: 'NODATA at the end of a chain (RFC 2308 2.2)',
    },
    {
      what: 'NXDOMAIN behind an alias of lower TTL',
      reply: { flags: 0x8183, answers: [cname(5)], authorities: [soa(900, 60)] },
      kept: 5,
      why: 'no part outlives its own TTL',
    },
    {
      what: 'a truncated answer',
      reply: { flags: 0x8380, answers: [withTtl(300)] },
      kept: 0,
      why: 'a part is not the answer (RFC 2181 9)',
    },
    ...[1, 2, 4, 5, 9].map((rcode) => ({
      what: `rcode ${rcode}`,
      reply: { flags: 0x8180 | rcode, answers: [withTtl(300)], authorities: [soa(900, 60)] },
      kept: 0,
      why: 'a failure says nothing about the name',
    })),
    {
      what: 'an extended rcode',
      reply: { answers: [withTtl(300)], additionals: [opt({ extendedRcode: 1 })] },
      kept: 0,
      why: 'BADVERS is no NOERROR: its upper bits stand in OPT (RFC 6891 6.1.3)',
    },
  ])('$what: $kept s, $why', ({ reply, kept }) => {
    conforms('negative', 'ttl')
    expect(factsOf(replyOf(reply)).ttlSeconds).toBe(kept)
  })

  test('an answer of the asked type is positive, any other is negative', () => {
    expect(factsOf(replyOf({ answers: [address] })).negative).toBe(false)
    expect(factsOf(replyOf({ answers: [address] }), AAAA).negative).toBe(true)
    expect(factsOf(replyOf({ answers: [address] }), 255).negative).toBe(false)
    expect(factsOf(replyOf({ answers: [cname(9)] }), CNAME).negative).toBe(false)
    expect(factsOf(replyOf({ flags: 0x8183, answers: [address] })).negative).toBe(true)
  })

  test('every TTL of every section is found', () => {
    const reply = replyOf({
      answers: [withTtl(1), withTtl(2)],
      authorities: [record({ type: NS, ttl: 3, rdata: name('ns') })],
      additionals: [withTtl(4), opt()],
    })
    const facts = factsOf(reply)
    const found = [...facts.ttlOffsets.subarray(0, facts.ttlCount)]
    expect(found.map((at) => reply.readUInt32BE(at))).toEqual([1, 2, 3, 4])
  })
})

describe('clampTtls', () => {
  test('brings each TTL between floor and ceiling, and the time to keep with them', () => {
    conforms('ttl')
    const ttls = [0, 9, 10, 50, 100, 101, 0x7fffffff, 0x80000000, 0xffffffff]
    const records = ttls.map((ttl) => record({ type: A, ttl, rdata: Buffer.alloc(4) }))
    const reply = replyOf({ answers: records })
    const facts = factsOf(reply)
    clampTtls(reply, facts, 10, 100)
    const ages = [...facts.ttlOffsets.subarray(0, facts.ttlCount)]
    expect(ages.map((at) => reply.readUInt32BE(at))).toEqual([
      10, 10, 10, 50, 100, 100, 100, 10, 10,
    ])
    expect(facts.ttlSeconds).toBe(0)
  })

  test.each([
    { ttl: 300, kept: 300, why: 'between them' },
    { ttl: 3, kept: 10, why: 'the floor' },
    { ttl: 99_999, kept: 1000, why: 'the ceiling' },
  ])('keeps an answer of TTL $ttl for $kept s: $why', ({ ttl, kept }) => {
    const reply = replyOf({ answers: [record({ type: A, ttl, rdata: Buffer.alloc(4) })] })
    const facts = factsOf(reply)
    clampTtls(reply, facts, 10, 1000)
    expect(facts.ttlSeconds).toBe(kept)
  })

  test('does not make a failure or a truncated answer worth keeping', () => {
    for (const flags of [0x8182, 0x8380]) {
      const reply = replyOf({ flags, answers: [address] })
      const facts = factsOf(reply)
      clampTtls(reply, facts, 10, 1000)
      expect(facts.ttlSeconds).toBe(0)
    }
  })
})

function addressOf(owner: string, type = A): Buffer {
  return record({ owner: name(owner), type, rdata: Buffer.alloc(type === A ? 4 : 16, 1) })
}

/** To a name of 255 octets that differs from others in one. */
function longAlias(octet: number): Buffer {
  const target = nameOfOctets(255)
  target[1] = octet
  return record({ type: CNAME, rdata: target })
}

describe('the names an answer leads through', () => {
  test('are the targets of CNAME and DNAME, expanded and in lower case', () => {
    const target = join(Buffer.from([3]), Buffer.from('CDN'), pointer(12 + 4))
    const reply = replyOf({
      answers: [
        record({ type: CNAME, rdata: target }),
        record({ owner: name('old.example'), type: 39, rdata: name('New.Example') }),
        address,
      ],
    })
    expect(namesOf(factsOf(reply))).toEqual(['cdn.example.com', 'new.example'])
  })

  test('are the targets of HTTPS and SVCB, but not the root, which is the owner itself', () => {
    const reply = replyOf({
      answers: [
        record({ type: HTTPS, rdata: join(u16(0), name('Alias.example')) }),
        record({
          type: 64,
          rdata: join(u16(1), name('svc.example'), u16(1), u16(3), Buffer.from([2, 0x68, 0x32])),
        }),
        record({ type: HTTPS, rdata: join(u16(1), name('.')) }),
      ],
    })
    expect(namesOf(factsOf(reply, HTTPS))).toEqual(['alias.example', 'svc.example'])
  })

  test('are taken from the answer section only', () => {
    const alias = record({ type: CNAME, rdata: name('elsewhere.example') })
    const reply = replyOf({ answers: [address], authorities: [alias], additionals: [alias] })
    expect(namesOf(factsOf(reply))).toEqual([])
  })

  test('are taken from the additional section too where a service was asked for', () => {
    const service = record({ type: HTTPS, rdata: join(u16(1), name('svc.example')) })
    const reply = replyOf({
      answers: [service],
      additionals: [
        address,
        addressOf('Svc.example'),
        addressOf('svc.example', AAAA),
        record({ owner: name('svc.example'), type: CNAME, rdata: name('Edge.example') }),
        record({ owner: name('svc.example'), type: 64, rdata: join(u16(0), name('far.example')) }),
        addressOf('deep.example', AAAA),
        record({ owner: name('txt.example'), type: 16, rdata: Buffer.from([1, 0x61]) }),
        opt(),
      ],
    })
    const found = ['svc.example', 'edge.example', 'far.example', 'deep.example']
    expect(namesOf(factsOf(reply, HTTPS))).toEqual(found)
    expect(namesOf(factsOf(reply, 64))).toEqual(found)
    expect(namesOf(factsOf(reply, A))).toEqual(['svc.example'])
  })

  test('may be 32 with the additional ones; many addresses of one name are one', () => {
    conforms('expensive-answers', 'svcb')
    const many = Array.from({ length: 33 }, (_, index) => addressOf(`a${index}.example`))
    const kept = replyOf({ additionals: many.slice(0, 32) })
    expect(namesOf(factsOf(kept, HTTPS))).toHaveLength(32)
    expect(inspect(replyOf({ additionals: many }), HTTPS)).toBe('malformed')
    const same = Array.from({ length: 200 }, () => addressOf('a7.example'))
    expect(namesOf(factsOf(replyOf({ additionals: same }), HTTPS))).toEqual(['a7.example'])
  })

  test('are kept once when 32 of 255 octets are followed by the last one again', () => {
    const chain = Array.from({ length: 32 }, (_, index) => longAlias(index))
    const facts = factsOf(replyOf({ answers: [...chain, longAlias(31)] }))
    expect(facts.namesOctets).toBe(32 * 255)
    expect(inspect(replyOf({ answers: [...chain, longAlias(0)] }))).toBe('malformed')
  })

  test('may be 32 in one answer; an answer with more is refused', () => {
    conforms('expensive-answers', 'compression-cost')
    const chain = Array.from({ length: 33 }, (_, index) => cname(300, `a${index}.example`))
    expect(namesOf(factsOf(replyOf({ answers: chain.slice(0, 32) })))).toHaveLength(32)
    expect(inspect(replyOf({ answers: chain }))).toBe('malformed')
  })

  test('fit even when each takes 255 octets', () => {
    const answers = Array.from({ length: 32 }, (_, index) => longAlias(index))
    expect(factsOf(replyOf({ answers })).namesOctets).toBe(32 * 255)
  })
})

describe('OPT', () => {
  const glue = record({ owner: name('ns.example'), type: A, rdata: Buffer.alloc(4) })

  test.each([
    { what: 'alone', additionals: [opt()], left: 0 },
    { what: 'behind other records', additionals: [glue, glue, opt()], left: 2 },
    { what: 'before other records', additionals: [opt(), glue], left: 0 },
    { what: 'with options', additionals: [glue, opt({ rdata: option(15, u16(3)) })], left: 1 },
  ])('$what is taken out with all that stands behind it', ({ additionals, left }) => {
    const reply = replyOf({ answers: [address], additionals })
    const facts = factsOf(reply)
    const kept = decodeMessage(reply.subarray(0, facts.octets))
    expect(kept.edns).toBeUndefined()
    expect(kept.additionals).toHaveLength(left)
    expect(kept.answers).toHaveLength(1)
  })

  test('outside the additional section is malformed', () => {
    expect(inspect(replyOf({ answers: [opt()] }))).toBe('malformed')
    expect(inspect(replyOf({ authorities: [opt()] }))).toBe('malformed')
  })
})
