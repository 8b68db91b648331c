import { describe, expect, test } from 'vitest'
import { decodeMessage, encodeQuery, encodeResponse, questionEnd } from './messages.ts'

describe('messages for tests', () => {
  test('a query carries what was asked for', () => {
    const ednsOptions = [{ code: 10, data: Buffer.from('cookie!!') }]
    const octets = encodeQuery('Example.COM', 'HTTPS', {
      id: 0xbeef,
      checkingDisabled: true,
      edns: { udpOctets: 4096, dnssecOk: true, version: 1, options: ednsOptions },
    })
    expect(decodeMessage(octets)).toMatchObject({
      id: 0xbeef,
      response: false,
      recursionDesired: true,
      checkingDisabled: true,
      questions: [{ name: 'Example.COM', type: 'HTTPS', class: 'IN' }],
      additionals: [],
      edns: { udpOctets: 4096, dnssecOk: true, version: 1, options: ednsOptions },
    })
    expect(octets.readUInt16BE(questionEnd(octets) - 4)).toBe(65)
  })

  test('a query without EDNS has no OPT record', () => {
    const octets = encodeQuery('example.com', 'TYPE666', { recursionDesired: false })
    expect(octets.length).toBe(questionEnd(octets))
    expect(decodeMessage(octets)).toMatchObject({
      recursionDesired: false,
      edns: undefined,
      questions: [{ type: 'TYPE666' }],
    })
  })

  test('a response copies the question octet by octet', () => {
    const query = encodeQuery('eXaMpLe.com', 'A', { id: 9 })
    const response = encodeResponse(query, {
      rcode: 'NXDOMAIN',
      answers: [{ name: 'example.com', type: 'TYPE666', data: Buffer.from([1, 2]) }],
      edns: { options: [{ code: 15, data: Buffer.from('\0\x0fadult') }] },
    })
    const end = questionEnd(query)
    expect(response.subarray(12, end)).toEqual(query.subarray(12, end))
    expect(decodeMessage(response)).toMatchObject({
      id: 9,
      response: true,
      rcode: 'NXDOMAIN',
      answers: [{ type: 'TYPE666', ttl: 300, data: Buffer.from([1, 2]) }],
      ede: { code: 15, text: 'adult' },
    })
  })

  test('a message without a whole question has no question end', () => {
    expect(() => questionEnd(Buffer.alloc(12))).toThrow('no whole question')
  })
})
