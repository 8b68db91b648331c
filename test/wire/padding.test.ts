import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { QUERY_BLOCK_OCTETS, padMessage } from '../../src/wire/padding.ts'
import { decodeMessage, encodeQuery } from '../support/messages.ts'

function padded(message: Uint8Array, octetsMax: number): Buffer {
  const room = Buffer.alloc(octetsMax)
  room.set(message)
  return room.subarray(0, padMessage(room, message.length, QUERY_BLOCK_OCTETS, octetsMax))
}

describe('padding', () => {
  test('fills whole blocks with zeros in one option, whatever the name', () => {
    const label = fc.stringMatching(/^[a-z]{1,40}$/)
    const names = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'))
    fc.assert(
      fc.property(names, (name) => {
        const bare = encodeQuery(name, 'A', { edns: {} })
        const message = padded(bare, bare.length + QUERY_BLOCK_OCTETS)
        expect(message.length % QUERY_BLOCK_OCTETS).toBe(0)
        const { edns, questions } = decodeMessage(message)
        expect(questions[0]?.name).toBe(name)
        expect(edns?.options.map(({ code }) => code)).toEqual([12])
        const filling = message.subarray(bare.length + 4)
        expect(filling.every((octet) => octet === 0)).toBe(true)
      }),
    )
  })

  test('comes behind the options that are there', () => {
    const options = [{ code: 10, data: Buffer.alloc(8, 7) }]
    const bare = encodeQuery('a.example', 'A', { edns: { options } })
    const codes = decodeMessage(padded(bare, 512)).edns?.options.map(({ code }) => code)
    expect(codes).toEqual([10, 12])
  })

  test.each([
    ['a message without OPT', encodeQuery('a.example', 'A'), 512],
    ['a message with no room for the option', encodeQuery('a.example', 'A', { edns: {} }), 40],
    [
      'a message that ends in the middle',
      encodeQuery('a.example', 'A', { edns: {} }).subarray(0, 30),
      512,
    ],
  ])('leaves %s alone', (_what, bare, room) => {
    expect(padded(bare, Math.max(room, bare.length))).toEqual(Buffer.from(bare))
  })

  test('takes what room there is when a block does not fit', () => {
    const bare = encodeQuery('a.example', 'A', { edns: {} })
    expect(padded(bare, 100)).toHaveLength(100)
  })
})
