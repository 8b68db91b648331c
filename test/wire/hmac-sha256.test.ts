import { createHmac } from 'node:crypto'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { HmacSha256 } from '../../src/wire/hmac-sha256.ts'

function hexOf(words: Int32Array): string {
  const octets = Buffer.alloc(words.length * 4)
  for (const [index, word] of words.entries()) octets.writeInt32BE(word, index * 4)
  return octets.toString('hex')
}

test.each([
  // RFC 4231 4.2 and 4.3.
  {
    key: Buffer.alloc(20, 0x0b),
    text: 'Hi There',
    mac: 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
  },
  {
    key: Buffer.from('Jefe'),
    text: 'what do ya want for nothing?',
    mac: '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  },
])('computes the MAC of RFC 4231: $text', ({ key, text, mac }) => {
  expect(hexOf(new HmacSha256(key).digest(text))).toBe(mac)
})

test('agrees with Node for every length over four blocks, one text after another', () => {
  const key = Buffer.alloc(32, 0x5a)
  const hmac = new HmacSha256(key)
  for (let length = 0; length <= 256; length++) {
    const text = Buffer.alloc(length, length)
    const expected = createHmac('sha256', key).update(text).digest('hex')
    expect(hexOf(hmac.digest(text.toString('latin1')))).toBe(expected)
  }
})

test('agrees with Node for any key of a block and any octets', () => {
  const keys = fc.uint8Array({ maxLength: 64 })
  fc.assert(
    fc.property(keys, fc.uint8Array({ maxLength: 600 }), (key, text) => {
      const expected = createHmac('sha256', key).update(text).digest('hex')
      const words = new HmacSha256(key).digest(Buffer.from(text).toString('latin1'))
      expect(hexOf(words)).toBe(expected)
    }),
  )
})

test('a key longer than a block is refused', () => {
  expect(() => new HmacSha256(new Uint8Array(65))).toThrow(RangeError)
})
