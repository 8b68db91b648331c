import { describe, expect, test } from 'vitest'
import {
  header,
  join,
  name,
  nameOfOctets,
  pointer,
  record,
  soaData,
  u16,
  u32,
} from '../support/octets.ts'
import {
  A,
  AAAA,
  CNAME,
  END,
  HTTPS,
  SOA,
  TXT,
  address,
  asked,
  factsOf,
  inspect,
  replyOf,
} from './answer-case.ts'

function inAnswer(fields: Parameters<typeof record>[0]): Buffer {
  return replyOf({ answers: [record(fields)] })
}

describe('a reply is malformed', () => {
  test.each([
    { what: 'an answer that is not there', reply: join(header({ flags: 0x8180, an: 1 }), asked) },
    {
      what: 'counts of 65535',
      reply: join(header({ flags: 0x8180, an: 0xffff, ar: 0xffff }), asked, address),
    },
    { what: 'a record cut in its owner', reply: replyOf({ answers: [Buffer.from([3, 0x77])] }) },
    {
      what: 'a record cut in its fixed part',
      reply: replyOf({ answers: [address.subarray(0, 9)] }),
    },
    { what: 'RDATA past the end', reply: inAnswer({ type: TXT, rdataOctets: 1 }) },
    {
      what: 'an owner that points at itself',
      reply: inAnswer({ owner: pointer(END), type: A, rdata: Buffer.alloc(4) }),
    },
    {
      what: 'an owner that points forward',
      reply: inAnswer({ owner: pointer(END + 4), type: A, rdata: Buffer.alloc(4) }),
    },
    {
      what: 'an owner that points into the header',
      reply: inAnswer({ owner: pointer(11), type: A, rdata: Buffer.alloc(4) }),
    },
    {
      what: 'an alias that points into the header',
      reply: inAnswer({ type: CNAME, rdata: pointer(2) }),
    },
    {
      what: 'an owner of label type 0x40',
      reply: inAnswer({ owner: Buffer.from([0x41, 0]), type: A, rdata: Buffer.alloc(4) }),
    },
    {
      what: 'an owner of 256 octets',
      reply: inAnswer({ owner: nameOfOctets(256), type: A, rdata: Buffer.alloc(4) }),
    },
    {
      what: 'an owner of 256 octets over a pointer',
      reply: inAnswer({
        owner: join(nameOfOctets(241).subarray(0, 240), pointer(12)),
        type: A,
        rdata: Buffer.alloc(4),
      }),
    },
    { what: 'an address of three octets', reply: inAnswer({ type: A, rdata: Buffer.alloc(3) }) },
    { what: 'an address of five octets', reply: inAnswer({ type: A, rdata: Buffer.alloc(5) }) },
    {
      what: 'an IPv6 address of four octets',
      reply: inAnswer({ type: AAAA, rdata: Buffer.alloc(4) }),
    },
    { what: 'an empty alias', reply: inAnswer({ type: CNAME }) },
    { what: 'an alias cut short', reply: inAnswer({ type: CNAME, rdata: Buffer.from([3, 0x77]) }) },
    {
      what: 'an alias with octets behind it',
      reply: inAnswer({ type: CNAME, rdata: join(name('a'), Buffer.from([0])) }),
    },
    {
      what: 'an alias that points at itself',
      reply: inAnswer({ type: CNAME, rdata: pointer(END + 12) }),
    },
    {
      what: 'an alias that reaches past its RDATA',
      reply: replyOf({ answers: [record({ type: CNAME, rdata: Buffer.from([9]) }), address] }),
    },
    { what: 'HTTPS without a target', reply: inAnswer({ type: HTTPS, rdata: u16(1) }) },
    {
      what: 'HTTPS whose target is cut',
      reply: inAnswer({ type: HTTPS, rdata: join(u16(1), Buffer.from([5, 0x61])) }),
    },
    { what: 'MX without a name', reply: inAnswer({ type: 15, rdata: u16(10) }) },
    {
      what: 'SRV whose name points forward',
      reply: inAnswer({ type: 33, rdata: join(Buffer.alloc(6), pointer(0x3000)) }),
    },
    {
      what: 'a SOA that lacks an octet',
      reply: replyOf({
        flags: 0x8183,
        authorities: [record({ type: SOA, rdata: soaData(60).subarray(0, -1) })],
      }),
    },
    {
      what: 'a SOA with an octet too many',
      reply: replyOf({
        flags: 0x8183,
        authorities: [record({ type: SOA, rdata: join(soaData(60), Buffer.from([0])) })],
      }),
    },
    {
      what: 'a SOA without numbers',
      reply: replyOf({ authorities: [record({ type: SOA, rdata: name('.') })] }),
    },
  ])('with $what', ({ reply }) => {
    expect(inspect(reply)).toBe('malformed')
    expect(inspect(reply, HTTPS)).toBe('malformed')
  })

  test('but not for octets that its type leaves open', () => {
    for (const type of [TXT, 46, 257, 666, 65_280]) {
      expect(inspect(inAnswer({ type, rdata: Buffer.from([0xc0, 0xff, 0xee]) }))).not.toBe(
        'malformed',
      )
    }
    const chaos = record({ type: A, class: 3, rdata: join(name('.'), u16(7)) })
    expect(inspect(replyOf({ answers: [chaos] }))).not.toBe('malformed')
  })

  test('but what stands behind its last record is only cut off', () => {
    const reply = join(replyOf({ answers: [address] }), u32(0xdeadbeef))
    expect(factsOf(reply).octets).toBe(reply.length - 4)
  })
})
