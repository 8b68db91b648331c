import { describe, expect, test } from 'vitest'
import { ParsedQuery } from '../../src/wire/query.ts'
import {
  COOKIE_AGEING,
  COOKIE_FRESH,
  COOKIE_UNPROVEN,
  checkCookie,
  makeCookie,
} from '../../src/wire/server-cookie.ts'
import { sipHash } from '../../src/wire/siphash.ts'
import { conforms } from '../conformance/conforms.ts'

const RESULTS: Readonly<Record<number, string>> = {
  [COOKIE_UNPROVEN]: 'unproven',
  [COOKIE_AGEING]: 'ageing',
  [COOKIE_FRESH]: 'fresh',
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const IPV4 = Buffer.from([198, 51, 100, 100])
const OTHER_IPV4 = Buffer.from([203, 0, 113, 203])
const IPV6 = hex('2001 0db8 0220 0001 59de d0f4 8769 82b8')
const SECRET = hex('e5e973e5a6b2a43f48e7dc849e37bfcf')
const NEW_SECRET = hex('445536bcd2513298075a5d379663c962')
const OLD_SECRET = hex('dd3bdf9344b678b185a6f5cb60fca715')

function queryWith(cookie: Buffer): ParsedQuery {
  const query = new ParsedQuery(new Uint8Array(512))
  query.cookie.set(cookie)
  query.cookieOctets = cookie.length
  return query
}

function made(clientCookie: string, secret: Buffer, address: Buffer, seconds: number): string {
  const query = queryWith(hex(clientCookie))
  makeCookie(query, secret, address, 0, address.length, seconds)
  return Buffer.from(query.cookie.subarray(8, 24)).toString('hex')
}

function checked(cookie: string, secrets: Buffer[], address: Buffer, seconds: number): string {
  const query = queryWith(hex(cookie))
  return RESULTS[checkCookie(query, secrets, address, 0, address.length, seconds)]!
}

describe('SipHash-2-4', () => {
  const key = Buffer.from(Array.from({ length: 16 }, (_, index) => index))
  // The first, eighth, ninth, sixteenth and last vector of the reference implementation.
  test.each([
    { octets: 0, expected: '310e0edd47db6f72' },
    { octets: 7, expected: '37d1018bf50002ab' },
    { octets: 8, expected: '6224939a79f5f593' },
    { octets: 15, expected: 'e545be4961ca29a1' },
    { octets: 63, expected: '724506eb4c328a95' },
  ])('of $octets octets is what its authors publish', ({ octets, expected }) => {
    const input = Buffer.from(Array.from({ length: octets }, (_, index) => index))
    const out = new Uint8Array(10)
    sipHash(key, input, octets, out, 1)
    expect(Buffer.from(out.subarray(1, 9)).toString('hex')).toBe(expected)
  })
})

describe('a server cookie', () => {
  // Examples of RFC 9018, appendix A.
  test.each([
    {
      what: 'a first one',
      client: '2464c4abcf10c957',
      secret: SECRET,
      address: IPV4,
      seconds: 1_559_731_985,
      expected: '010000005cf79f111f8130c3eee29480',
    },
    {
      what: 'a later one of the same client',
      client: '2464c4abcf10c957',
      secret: SECRET,
      address: IPV4,
      seconds: 1_559_734_385,
      expected: '010000005cf7a871d4a564a1442aca77',
    },
    {
      what: 'one of another client',
      client: 'fc93fc62807ddb86',
      secret: SECRET,
      address: OTHER_IPV4,
      seconds: 1_559_734_700,
      expected: '010000005cf7a9acf73a7810aca2381e',
    },
    {
      what: 'one of an IPv6 client under a new secret',
      client: '22681ab97d52c298',
      secret: NEW_SECRET,
      address: IPV6,
      seconds: 1_559_741_961,
      expected: '010000005cf7c609a6bb79d16625507a',
    },
  ])('is what every server with the same secret makes: $what', (example) => {
    conforms('cookies')
    const { client, secret, address, seconds, expected } = example
    expect(made(client, secret, address, seconds)).toBe(expected)
  })

  const client = '2464c4abcf10c957'
  const first = `${client}010000005cf79f111f8130c3eee29480`
  const at = 1_559_731_985

  test.each([
    { what: 'at once', after: 0, result: 'fresh' },
    { what: 'after just under half an hour', after: 1799, result: 'fresh' },
    { what: 'after half an hour', after: 1800, result: 'ageing' },
    { what: 'after an hour', after: 3600, result: 'ageing' },
    { what: 'after more than an hour', after: 3601, result: 'unproven' },
    { what: 'by a clock that is five minutes behind', after: -300, result: 'fresh' },
    { what: 'by a clock that is further behind', after: -301, result: 'unproven' },
  ])('is $result $what', ({ after, result }) => {
    expect(checked(first, [SECRET], IPV4, at + after)).toBe(result)
  })

  test('is believed under the secret before, and renewed', () => {
    const old = '22681ab97d52c298010000005cf7c57926556bd0934c72f8'
    expect(checked(old, [NEW_SECRET, OLD_SECRET], IPV6, 1_559_741_961)).toBe('ageing')
    expect(checked(old, [NEW_SECRET], IPV6, 1_559_741_961)).toBe('unproven')
  })

  test('may have anything in its reserved octets, which the hash covers', () => {
    const reserved = 'fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5'
    expect(checked(reserved, [SECRET], OTHER_IPV4, 1_559_730_000)).not.toBe('unproven')
    const changed = reserved.replace('abcdef', 'abcdee')
    expect(checked(changed, [SECRET], OTHER_IPV4, 1_559_730_000)).toBe('unproven')
  })

  test.each([
    { what: 'of another client', cookie: first.replace('2464', '2465'), address: IPV4 },
    { what: 'from another address', cookie: first, address: OTHER_IPV4 },
    { what: 'of another version', cookie: first.replace('0100', '0200'), address: IPV4 },
    { what: 'with one bit turned', cookie: first.replace(/0$/, '1'), address: IPV4 },
    { what: 'with no server part', cookie: client, address: IPV4 },
    { what: 'with a longer one', cookie: `${first}00`, address: IPV4 },
  ])('proves nothing $what', ({ cookie, address }) => {
    conforms('cookies')
    expect(checked(cookie, [SECRET], address, at)).toBe('unproven')
  })

  test('outlives the day in 2106 on which the seconds wrap', () => {
    const query = queryWith(hex(client))
    makeCookie(query, SECRET, IPV4, 0, 4, 2 ** 32 - 10)
    query.cookieOctets = 24
    expect(checkCookie(query, [SECRET], IPV4, 0, 4, 2 ** 32 + 10)).toBe(COOKIE_FRESH)
  })
})
