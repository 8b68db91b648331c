import { describe, expect, test } from 'vitest'
import {
  NO_EXTENDED_ERROR,
  PADDING_BLOCK_OCTETS,
  REPLY_COOKIE,
  REPLY_KEEPALIVE,
  REPLY_PADDING,
  optOctets,
  type ExtendedError,
} from '../../src/wire/opt.ts'
import { ASKED_COOKIE, ASKED_KEEPALIVE, ASKED_PADDING } from '../../src/wire/query.ts'
import { PARSE_OK, ParsedQuery, copyQuery, parseQuery } from '../../src/wire/query.ts'
import { writeRcode } from '../../src/wire/reply.ts'
import { decodeMessage, encodeQuery, type EdnsOption } from '../support/messages.ts'

const BLOCKED: ExtendedError = { code: 15, text: Buffer.from('category: adult') }
const COOKIE = Buffer.from('0102030405060708a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8', 'hex')

function parsed(options: readonly EdnsOption[]): ParsedQuery {
  const octets = encodeQuery('www.example.com', 'A', { id: 1, edns: { options } })
  const query = new ParsedQuery(octets)
  expect(parseQuery(octets, octets.length, query)).toBe(PARSE_OK)
  return query
}

/** The reply's octets and options, for a query without options of its own. */
function replyWith(options: number, error = NO_EXTENDED_ERROR, octetsMax = 1232) {
  const query = parsed([])
  query.replyOptions = options
  query.replyOctetsMax = octetsMax
  query.keepaliveTenths = 100
  query.cookie.set(COOKIE)
  const out = new Uint8Array(4096).fill(0xee)
  const octets = writeRcode(out, query, 5, error, 1232)
  const message = decodeMessage(out.subarray(0, octets))
  return { octets, query, options: message.edns!.options.map(({ code, data }) => [code, data]) }
}

describe('the options of a query', () => {
  test.each([
    { what: 'none', options: [], asked: 0 },
    { what: 'keepalive', options: [{ code: 11, data: Buffer.alloc(0) }], asked: ASKED_KEEPALIVE },
    { what: 'padding', options: [{ code: 12, data: Buffer.alloc(90) }], asked: ASKED_PADDING },
    { what: 'a cookie', options: [{ code: 10, data: COOKIE }], asked: ASKED_COOKIE },
    {
      what: 'a subnet',
      options: [{ code: 8, data: Buffer.from('0001180000c000', 'hex') }],
      asked: 0,
    },
    { what: 'one that nobody knows', options: [{ code: 65_001, data: COOKIE }], asked: 0 },
  ])('ask for what a reply can give: $what', ({ options, asked }) => {
    expect(parsed(options).askedOptions).toBe(asked)
  })

  test('may repeat a cookie: the first one counts', () => {
    const other = Buffer.alloc(8, 0xff)
    const query = parsed([
      { code: 10, data: COOKIE },
      { code: 10, data: other },
    ])
    expect(query.cookieOctets).toBe(24)
    expect(Buffer.from(query.cookie.subarray(0, 24))).toEqual(COOKIE)
  })

  test('are forgotten with the next message', () => {
    const query = parsed([{ code: 11, data: Buffer.alloc(0) }])
    query.replyOptions = REPLY_KEEPALIVE
    const plain = encodeQuery('www.example.com', 'A')
    parseQuery(plain, plain.length, query)
    expect([query.askedOptions, query.replyOptions]).toEqual([0, 0])
  })

  test('wait with a query for its answer', () => {
    const query = parsed([])
    query.replyOptions = REPLY_COOKIE | REPLY_KEEPALIVE
    query.keepaliveTenths = 42
    query.cookie.set(COOKIE)
    const copy = new ParsedQuery(new Uint8Array(512))
    copyQuery(query, copy)
    expect(copy.replyOptions).toBe(REPLY_COOKIE | REPLY_KEEPALIVE)
    expect(copy.keepaliveTenths).toBe(42)
    expect(Buffer.from(copy.cookie.subarray(0, 24))).toEqual(COOKIE)
  })
})

describe('the options of a reply', () => {
  const keepalive = [11, Buffer.from([0, 100])]
  const cookie = [10, COOKIE]
  const error = [15, Buffer.concat([Buffer.from([0, 15]), Buffer.from('category: adult')])]

  test.each([
    { what: 'none', bits: 0, ede: NO_EXTENDED_ERROR, expected: [] },
    { what: 'keepalive', bits: REPLY_KEEPALIVE, ede: NO_EXTENDED_ERROR, expected: [keepalive] },
    { what: 'a cookie', bits: REPLY_COOKIE, ede: NO_EXTENDED_ERROR, expected: [cookie] },
    { what: 'an extended error', bits: 0, ede: BLOCKED, expected: [error] },
    {
      what: 'all of them',
      bits: REPLY_KEEPALIVE | REPLY_COOKIE,
      ede: BLOCKED,
      expected: [error, keepalive, cookie],
    },
  ])('are $what, in as many octets as were foretold', ({ bits, ede, expected }) => {
    const reply = replyWith(bits, ede)
    expect(reply.options).toEqual(expected)
    expect(reply.octets).toBe(reply.query.questionEnd + optOctets(reply.query, ede))
  })

  test('pad the whole message to a multiple of 468 octets, with zeros, behind all others', () => {
    const reply = replyWith(REPLY_KEEPALIVE | REPLY_PADDING, BLOCKED)
    expect(reply.octets).toBe(PADDING_BLOCK_OCTETS)
    expect(reply.options.map(([code]) => code)).toEqual([15, 11, 12])
    expect(Buffer.from(reply.options[2]![1] as Buffer).every((octet) => octet === 0)).toBe(true)
  })

  test('pad no further than the client reads, and not at all where no option fits', () => {
    const bare = replyWith(0).octets
    expect(replyWith(REPLY_PADDING, NO_EXTENDED_ERROR, 300).octets).toBe(300)
    expect(replyWith(REPLY_PADDING, NO_EXTENDED_ERROR, bare + 4).octets).toBe(bare + 4)
    expect(replyWith(REPLY_PADDING, NO_EXTENDED_ERROR, bare + 3).octets).toBe(bare)
  })
})
