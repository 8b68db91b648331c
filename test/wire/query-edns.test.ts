import { describe, expect, test } from 'vitest'
import { header, join, name, opt, option, pointer, record } from '../support/octets.ts'
import { example, parse, tsig, withAdditional, type Case } from './parse-case.ts'
import { conforms } from '../conformance/conforms.ts'

const additionals: readonly Case[] = [
  { what: 'OPT', octets: withAdditional(opt()), result: 'OK', why: 'RFC 6891' },
  {
    what: 'OPT announced and absent',
    octets: withAdditional().fill(1, 11, 12),
    result: 'FORMERR',
    why: 'the counts lie',
  },
  {
    what: 'two OPT',
    octets: withAdditional(opt(), opt()),
    result: 'FORMERR',
    why: 'RFC 6891 6.1.1: at most one',
  },
  {
    what: 'OPT owned by a name',
    octets: withAdditional(opt({ owner: name('a') })),
    result: 'FORMERR',
    why: 'RFC 6891 6.1.2: the root owns it',
  },
  {
    what: 'OPT owned by a pointer to a root octet',
    octets: withAdditional(opt({ owner: pointer(24) })),
    result: 'FORMERR',
    why: 'RFC 6891 6.1.2: its owner is the octet 0',
  },
  {
    what: 'OPT behind another record',
    octets: withAdditional(record({ type: 1, rdata: Buffer.alloc(4) }), opt()),
    result: 'OK',
    why: 'anywhere in the additional section (RFC 6891 6.1.1)',
  },
  {
    what: 'OPT before another record',
    octets: withAdditional(opt(), record({ type: 1, rdata: Buffer.alloc(4) })),
    result: 'OK',
    why: 'anywhere in the additional section (RFC 6891 6.1.1)',
  },
  {
    what: 'OPT whose RDLENGTH runs past the end',
    octets: withAdditional(opt({ rdataOctets: 4 })),
    result: 'FORMERR',
    why: 'RFC 9267 6',
  },
  {
    what: 'OPT with octets behind it',
    octets: join(withAdditional(opt()), Buffer.from([0])),
    result: 'FORMERR',
    why: 'what nobody reads could hide something',
  },
  {
    what: 'an option header cut short',
    octets: withAdditional(opt({ rdata: Buffer.from([0, 10, 0]) })),
    result: 'FORMERR',
    why: 'code and length take four octets',
  },
  {
    what: 'an option longer than OPT',
    octets: withAdditional(opt({ rdata: Buffer.from([0, 3, 0, 9, 1]) })),
    result: 'FORMERR',
    why: 'the option would reach past RDLENGTH',
  },
  {
    what: 'an unknown option',
    octets: withAdditional(opt({ rdata: option(65_001, Buffer.alloc(7)) })),
    result: 'OK',
    why: 'unknown options are ignored (RFC 6891 6.1.2)',
  },
  {
    what: '128 options',
    octets: withAdditional(opt({ rdata: join(...Array.from({ length: 128 }, () => option(3))) })),
    result: 'OK',
    why: 'more than any honest client sends',
  },
  {
    what: '129 options',
    octets: withAdditional(opt({ rdata: join(...Array.from({ length: 129 }, () => option(3))) })),
    result: 'FORMERR',
    why: 'floods of options cost time (CVE-2026-41292)',
  },
  ...[8, 16, 24, 40].map((octets): Case => ({
    what: `a cookie of ${octets} octets`,
    octets: withAdditional(opt({ rdata: option(10, Buffer.alloc(octets)) })),
    result: 'OK',
    why: '8, or 8 and 8 to 32 (RFC 7873 4)',
  })),
  ...[0, 1, 7, 9, 15, 41].map((octets): Case => ({
    what: `a cookie of ${octets} octets`,
    octets: withAdditional(opt({ rdata: option(10, Buffer.alloc(octets)) })),
    result: 'FORMERR',
    why: '8, or 8 and 8 to 32 (RFC 7873 5.2.2)',
  })),
  ...[1, 2, 255].map((version): Case => ({
    what: `EDNS version ${version}`,
    octets: withAdditional(opt({ version })),
    result: 'BADVERS',
    why: 'only version 0 exists (RFC 6891 6.1.3)',
  })),
  {
    what: 'EDNS version 1 with a bad option',
    octets: withAdditional(opt({ version: 1, rdata: Buffer.from([0]) })),
    result: 'FORMERR',
    why: 'what cannot be read has no version',
  },
  { what: 'TSIG', octets: withAdditional(tsig), result: 'NOTAUTH', why: 'no key (RFC 8945 5.2.1)' },
  {
    what: 'OPT, then TSIG',
    octets: withAdditional(opt(), tsig),
    result: 'NOTAUTH',
    why: 'TSIG comes last (RFC 8945 5.1)',
  },
  {
    what: 'TSIG, then OPT',
    octets: withAdditional(tsig, opt()),
    result: 'FORMERR',
    why: 'TSIG is not last (RFC 8945 5.1)',
  },
  {
    what: 'TSIG of class IN',
    octets: withAdditional(record({ owner: name('key'), type: 250, rdata: Buffer.alloc(30) })),
    result: 'FORMERR',
    why: 'its class is ANY (RFC 8945 4.2)',
  },
  {
    what: 'an additional record of class CH',
    octets: withAdditional(record({ type: 16, class: 3, rdata: Buffer.from([0]) })),
    result: 'FORMERR',
    why: 'all records of a message have one class',
  },
  {
    what: '17 additional records',
    octets: withAdditional(
      ...Array.from({ length: 17 }, () => record({ type: 1, rdata: Buffer.alloc(4) })),
    ),
    result: 'FORMERR',
    why: 'honest clients send one or two',
  },
  {
    what: 'ARCOUNT 65535 and no record',
    octets: join(header({ ar: 0xffff }), example),
    result: 'FORMERR',
    why: 'counts are checked before anything is done for them',
  },
]

test.each(additionals)('parseQuery answers $result to $what: $why', ({ octets, result }) => {
  conforms('edns-opt', 'option-floods', 'cookies')
  expect(parse(octets).result).toBe(result)
})

describe('the OPT of a query', () => {
  test.each([
    { asked: 0, taken: 512, why: 'below 512 means 512 (RFC 6891 6.2.3)' },
    { asked: 511, taken: 512, why: 'below 512 means 512' },
    { asked: 512, taken: 512, why: 'as asked' },
    { asked: 1232, taken: 1232, why: 'as asked' },
    { asked: 65_535, taken: 65_535, why: 'the transport lowers it' },
  ])('takes a payload size of $asked as $taken: $why', ({ asked, taken }) => {
    const { query } = parse(withAdditional(opt({ udpOctets: asked })))
    expect(query).toMatchObject({ hasEdns: true, udpOctets: taken, dnssecOk: false })
  })

  test('sees DO, and only DO, in the flags of OPT', () => {
    conforms('edns-hop')
    expect(parse(withAdditional(opt({ dnssecOk: true }))).query.dnssecOk).toBe(true)
    const others = opt()
    others.writeUInt16BE(0x7fff, 7)
    expect(parse(withAdditional(others)).query.dnssecOk).toBe(false)
  })

  test.each([
    { what: 'an option cut short', rdata: Buffer.from([0]) },
    { what: 'a cookie of 3 octets', rdata: Buffer.from([0, 10, 0, 3, 1, 2, 3]) },
  ])('is answered by OPT even when it is FORMERR for $what', ({ rdata }) => {
    conforms('edns-opt')
    const { query, result } = parse(withAdditional(opt({ udpOctets: 1400, rdata })))
    expect(result).toBe('FORMERR')
    expect(query).toMatchObject({ hasEdns: true, udpOctets: 1400 })
  })
})
