import { describe, expect, test } from 'vitest'
import { ageTtls, freshSeconds } from '../../src/wire/records.ts'
import { decodeMessage, encodeQuery, encodeResponse } from '../support/messages.ts'

const QUERY = encodeQuery('a.example', 'A', { edns: {} })
const SOA = {
  name: 'example',
  type: 'SOA',
  ttl: 900,
  data: {
    mname: 'ns.example',
    rname: 'hostmaster.example',
    serial: 1,
    refresh: 1,
    retry: 1,
    expire: 1,
    minimum: 60,
  },
}

function addresses(...ttls: number[]) {
  return ttls.map((ttl) => ({ name: 'a.example', type: 'A', ttl, data: '192.0.2.1' }))
}

describe('how long a reply may be kept', () => {
  test.each([
    ['the lowest TTL', { answers: addresses(300, 20, 4000) }, 20],
    ['MINIMUM of the SOA, where nothing is answered', { authorities: [SOA] }, 60],
    ['the TTLs alone, where something is', { answers: addresses(300), authorities: [SOA] }, 300],
    ['no time without a record', { rcode: 'SERVFAIL' }, 0],
  ] as const)('is %s', (_what, response, seconds) => {
    const message = encodeResponse(QUERY, response)
    expect(freshSeconds(message, message.length)).toBe(seconds)
  })

  test('is no time for octets that are no message', () => {
    const message = encodeResponse(QUERY, { answers: addresses(300) })
    for (let octets = 12; octets < message.length - 4; octets++) {
      expect(freshSeconds(message.subarray(0, octets), octets)).toBeLessThanOrEqual(300)
    }
  })
})

test('time in a cache is taken off the TTLs, down to 0, and never off OPT', () => {
  const message = encodeResponse(QUERY, { answers: addresses(300, 20) })
  ageTtls(message, message.length, 30)
  const { answers, edns } = decodeMessage(message)
  expect(answers.map(({ ttl }) => ttl)).toEqual([270, 0])
  expect(edns === undefined).toBe(decodeMessage(encodeResponse(QUERY, {})).edns === undefined)
})
