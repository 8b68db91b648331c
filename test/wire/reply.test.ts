import { describe, expect, test } from 'vitest'
import { ParsedQuery, parseQuery } from '../../src/wire/query.ts'
import {
  NO_EXTENDED_ERROR,
  REPLY_COOKIE,
  REPLY_KEEPALIVE,
  REPLY_PADDING,
  type ExtendedError,
} from '../../src/wire/opt.ts'
import {
  REPLY_SLACK_OCTETS,
  writeAddress,
  writeHinfo,
  writeNegative,
  writeRcode,
} from '../../src/wire/reply.ts'
import {
  decodeMessage,
  encodeQuery,
  questionEnd,
  type Message,
  type QueryOptions,
} from '../support/messages.ts'
import { conforms } from '../conformance/conforms.ts'

const UDP_OCTETS_MAX = 1232
const BLOCKED: ExtendedError = { code: 15, text: Buffer.from('category adult') }

/** What is left in a reused buffer must never show: it starts full of other octets. */
function dirtyBuffer(): Uint8Array {
  return new Uint8Array(65_535 + REPLY_SLACK_OCTETS).fill(0xa5)
}

function queryOf(octets: Uint8Array, replyOctetsMax = 65_535): ParsedQuery {
  const query = new ParsedQuery(new Uint8Array(0))
  parseQuery(octets, octets.length, query)
  query.replyOctetsMax = replyOctetsMax
  return query
}

function read(out: Uint8Array, octets: number): Message {
  return decodeMessage(out.subarray(0, octets))
}

/** Asks as `parseQuery` reads it, then writes a reply with `write`. */
function replyTo(
  asked: { name: string; type?: string } & QueryOptions,
  write: (out: Uint8Array, query: ParsedQuery) => number,
): Message {
  const octets = encodeQuery(asked.name, asked.type ?? 'A', { id: 0xabcd, ...asked })
  const out = dirtyBuffer()
  return read(out, write(out, queryOf(octets)))
}

describe('every reply', () => {
  const writers: readonly [string, (out: Uint8Array, query: ParsedQuery) => number][] = [
    ['rcode', (out, query) => writeRcode(out, query, 5, NO_EXTENDED_ERROR, UDP_OCTETS_MAX)],
    [
      'negative',
      (out, query) => writeNegative(out, query, 3, 12, 60, NO_EXTENDED_ERROR, UDP_OCTETS_MAX),
    ],
    [
      'address',
      (out, query) =>
        writeAddress(out, query, new Uint8Array(4), 60, NO_EXTENDED_ERROR, UDP_OCTETS_MAX),
    ],
    ['ANY', (out, query) => writeHinfo(out, query, 3600, UDP_OCTETS_MAX)],
  ]

  test.each(writers)('%s repeats id, question octets, RD and CD', (_what, write) => {
    conforms('header-flags', 'letter-case')
    for (const recursionDesired of [true, false]) {
      for (const checkingDisabled of [true, false]) {
        const asked = encodeQuery('WwW.ExAmPlE.CoM', 'A', {
          id: 0x55aa,
          recursionDesired,
          checkingDisabled,
        })
        const out = dirtyBuffer()
        const octets = write(out, queryOf(asked))
        const reply = read(out, octets)
        expect(reply).toMatchObject({
          id: 0x55aa,
          response: true,
          recursionDesired,
          checkingDisabled,
          recursionAvailable: true,
          authoritative: false,
          authenticData: false,
          truncated: false,
        })
        expect(Buffer.from(out.subarray(12, asked.length))).toEqual(asked.subarray(12))
        expect(out[3]! & 0x40).toBe(0)
      }
    }
  })

  test.each(writers)('%s is the same whatever its buffer held before', (_what, write) => {
    conforms('uninitialised-memory')
    const asked = encodeQuery('a.example', 'A', { edns: { options: [] } })
    const [first, second] = [0x00, 0xff].map((octet) => {
      const query = queryOf(asked, 1232)
      query.replyOptions = REPLY_COOKIE | REPLY_KEEPALIVE | REPLY_PADDING
      const out = new Uint8Array(65_535 + REPLY_SLACK_OCTETS).fill(octet)
      return Buffer.from(out.subarray(0, write(out, query)))
    })
    expect(first).toEqual(second)
    expect(first!.length).toBeGreaterThan(asked.length)
  })

  test.each(writers)('%s carries OPT exactly when the query did, with DO', (_what, write) => {
    conforms('edns-opt')
    expect(replyTo({ name: 'a.example' }, write).edns).toBeUndefined()
    for (const dnssecOk of [true, false]) {
      const edns = { dnssecOk, udpOctets: 4000, options: [{ code: 10, data: Buffer.alloc(8, 7) }] }
      const reply = replyTo({ name: 'a.example', edns }, write)
      expect(reply.edns).toEqual({
        udpOctets: UDP_OCTETS_MAX,
        dnssecOk,
        version: 0,
        options: [],
      })
    }
  })
})

describe('writeRcode', () => {
  test.each([
    { rcode: 1, name: 'FORMERR' },
    { rcode: 2, name: 'SERVFAIL' },
    { rcode: 4, name: 'NOTIMP' },
    { rcode: 5, name: 'REFUSED' },
    { rcode: 9, name: 'RCODE9' },
  ])('says $name in the header', ({ rcode, name }) => {
    const reply = replyTo({ name: 'a.example', edns: {} }, (out, query) =>
      writeRcode(out, query, rcode, NO_EXTENDED_ERROR, UDP_OCTETS_MAX),
    )
    expect(reply).toMatchObject({ rcode: name, extendedRcode: rcode, answers: [] })
  })

  test('says BADVERS with its upper bits in OPT and version 0 (RFC 6891 6.1.3)', () => {
    conforms('edns-version')
    const reply = replyTo({ name: 'a.example', edns: { version: 1 } }, (out, query) =>
      writeRcode(out, query, 16, NO_EXTENDED_ERROR, UDP_OCTETS_MAX),
    )
    expect(reply).toMatchObject({ rcode: 'NOERROR', extendedRcode: 16 })
    expect(reply.edns?.version).toBe(0)
  })

  test('repeats the opcode and no question where none was read', () => {
    const asked = encodeQuery('a.example', 'A', { id: 9 })
    asked.writeUInt16BE(0x2900, 2)
    const out = dirtyBuffer()
    const octets = writeRcode(out, queryOf(asked), 4, NO_EXTENDED_ERROR, UDP_OCTETS_MAX)
    expect(octets).toBe(12)
    expect(Buffer.from(out.subarray(0, 12)).toString('hex')).toBe('0009a9840000000000000000')
  })

  test('writes an extended error octet by octet as RFC 8914 2 has it', () => {
    conforms('ede')
    const asked = encodeQuery('a.example', 'A', { id: 1, edns: {} })
    const out = dirtyBuffer()
    const octets = writeRcode(out, queryOf(asked), 5, BLOCKED, UDP_OCTETS_MAX)
    const opt = Buffer.from(out.subarray(questionEnd(asked), octets)).toString('hex')
    const text = Buffer.from('category adult').toString('hex')
    expect(opt).toBe(`00002904d0000000000014000f0010000f${text}`)
  })

  test('keeps an extended error to itself when the client knows no EDNS', () => {
    conforms('ede')
    const reply = replyTo({ name: 'a.example' }, (out, query) =>
      writeRcode(out, query, 5, BLOCKED, UDP_OCTETS_MAX),
    )
    expect(reply.edns).toBeUndefined()
    expect(reply.octets.includes('category')).toBe(false)
  })
})

describe('writeNegative', () => {
  test.each([
    { rcode: 3, name: 'NXDOMAIN', owner: 12, zone: 'Www.Example.com' },
    { rcode: 3, name: 'NXDOMAIN', owner: 16, zone: 'Example.com' },
    { rcode: 0, name: 'NOERROR', owner: 24, zone: 'com' },
  ])('says $name with the SOA of $zone (RFC 2308 2)', ({ rcode, name, owner, zone }) => {
    const reply = replyTo({ name: 'Www.Example.com', edns: {} }, (out, query) =>
      writeNegative(out, query, rcode, owner, 60, BLOCKED, UDP_OCTETS_MAX),
    )
    expect(reply).toMatchObject({ rcode: name, answers: [], additionals: [] })
    expect(reply.authorities).toHaveLength(1)
    expect(reply.authorities[0]).toMatchObject({ name: zone, type: 'SOA', ttl: 60, class: 'IN' })
    expect(reply.authorities[0]?.data).toMatchObject({
      mname: zone,
      rname: 'nobody.invalid',
      minimum: 60,
    })
    expect(reply.ede).toEqual({ code: 15, text: 'category adult' })
  })

  test('fits 512 octets for the longest name with the longest category', () => {
    const labels = ['a'.repeat(63), 'b'.repeat(63), 'c'.repeat(63), 'd'.repeat(61)]
    const error = { code: 15, text: Buffer.from(`category ${'x'.repeat(64)}`) }
    const reply = replyTo({ name: labels.join('.'), edns: {} }, (out, query) =>
      writeNegative(out, query, 3, 12, 60, error, UDP_OCTETS_MAX),
    )
    expect(reply.octets.length).toBeLessThanOrEqual(512)
    expect(reply.authorities[0]?.name).toBe(labels.join('.'))
  })
})

test('writeAddress gives one A or AAAA record to the asked name', () => {
  const ipv4 = replyTo({ name: 'a.example' }, (out, query) =>
    writeAddress(out, query, Uint8Array.from([192, 0, 2, 9]), 42, BLOCKED, UDP_OCTETS_MAX),
  )
  expect(ipv4.answers).toEqual([
    { name: 'a.example', type: 'A', class: 'IN', ttl: 42, data: '192.0.2.9' },
  ])
  const ipv6 = new Uint8Array(16)
  ipv6[15] = 1
  const reply = replyTo({ name: 'a.example', type: 'AAAA', edns: {} }, (out, query) =>
    writeAddress(out, query, ipv6, 42, BLOCKED, UDP_OCTETS_MAX),
  )
  expect(reply.answers).toEqual([
    { name: 'a.example', type: 'AAAA', class: 'IN', ttl: 42, data: '::1' },
  ])
  expect(reply.ede?.code).toBe(15)
})

test('writeHinfo answers ANY with "RFC8482" (RFC 8482 4.2)', () => {
  const reply = replyTo({ name: 'a.example', type: 'ANY' }, (out, query) =>
    writeHinfo(out, query, 3600, UDP_OCTETS_MAX),
  )
  expect(reply.answers).toEqual([
    {
      name: 'a.example',
      type: 'HINFO',
      class: 'IN',
      ttl: 3600,
      data: { cpu: 'RFC8482', os: '' },
    },
  ])
})
