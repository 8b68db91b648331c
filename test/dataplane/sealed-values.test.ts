import { createHmac, randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NO_SEAL, NO_VERSION, OPENED, SEAL_OCTETS, Seal } from '../../src/dataplane/cache/seal.ts'
import { SharedKeys } from '../../src/dataplane/cache/shared-keys.ts'
import { SharedValue, readValue, writeValue } from '../../src/dataplane/cache/shared-value.ts'

const SECRET = randomBytes(32)

describe('names of values', () => {
  test('are HMAC-SHA256 of the question, cut to 128 bits', () => {
    const octets = fc.uint8Array({ maxLength: 258 })
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), octets, (key, question) => {
        const text = Buffer.from(question).toString('latin1')
        const hmac = createHmac('sha256', key).update(question).digest('hex')
        expect(new SharedKeys(key, 'n:').id(text)).toBe(hmac.slice(0, 32))
      }),
    )
  })

  test('carry their first octet as hash tag: 256 groups that Redis Cluster keeps together', () => {
    const keys = new SharedKeys(SECRET, 'niveau3:')
    const tags = new Set<string>()
    for (let index = 0; index < 10_000; index++) {
      const key = keys.keyOf(keys.id(`name ${index}`))
      const tag = /^niveau3:\{([0-9a-f]{2})\}[0-9a-f]{30}$/.exec(key)?.[1]
      expect(tag).toBeDefined()
      tags.add(tag!)
    }
    expect(tags.size).toBe(256)
  })
})

describe('a seal', () => {
  const octets = randomBytes(300)
  const seal = new Seal(SECRET, 'test')

  test('opens under the same secret, whoever made it', () => {
    const sealed = seal.seal(octets, 'id')
    const other = new Seal(SECRET, 'test')
    expect(other.unseal(sealed, 'id')).toBe(OPENED)
    expect(other.opened).toEqual(octets)
    expect(sealed).toHaveLength(octets.length + SEAL_OCTETS)
    expect(sealed.includes(octets.subarray(0, 16))).toBe(false)
  })

  test('never looks the same twice', () => {
    const seen = new Set<string>()
    for (let index = 0; index < 1000; index++) {
      seen.add(seal.seal(octets, 'id').subarray(0, 25).toString('hex'))
    }
    expect(seen.size).toBe(1000)
  })

  test('does not open when any bit has changed', () => {
    const sealed = seal.seal(octets, 'id')
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed)
      changed[bit >> 3] = changed[bit >> 3]! ^ (1 << (bit & 7))
      expect(seal.unseal(changed, 'id')).toBe(bit < 8 ? NO_VERSION : NO_SEAL)
    }
  })

  test.each([
    { what: 'another place', other: () => seal.seal(octets, 'elsewhere') },
    { what: 'another secret', other: () => new Seal(randomBytes(32), 'test').seal(octets, 'id') },
    { what: 'another purpose', other: () => new Seal(SECRET, 'events').seal(octets, 'id') },
    { what: 'nothing in it', other: () => Buffer.alloc(0) },
    { what: 'its end missing', other: () => seal.seal(octets, 'id').subarray(0, -1) },
    { what: 'more behind it', other: () => Buffer.concat([seal.seal(octets, 'id'), octets]) },
  ])('does not open with $what', ({ other }) => {
    expect(seal.unseal(other(), 'id')).toBe(NO_SEAL)
  })

  test('opens again after other writers have filled its table of keys', () => {
    const sealed = seal.seal(octets, 'id')
    for (let index = 0; index < 300; index++) {
      expect(seal.unseal(new Seal(SECRET, 'test').seal(octets, 'id'), 'id')).toBe(OPENED)
    }
    expect(seal.unseal(sealed, 'id')).toBe(OPENED)
  })
})

const valueArbitrary = fc.record({
  category: fc.integer({ min: -2, max: 30 }),
  list: fc.integer({ min: -1, max: 999 }),
  expiresAtMs: fc.double(),
  stamp: fc.stringMatching(/^[0-9a-f]{0,255}$/),
  rule: fc.uint8Array({ maxLength: 255 }),
  question: fc.uint8Array({ minLength: 4, maxLength: 258 }),
  names: fc.uint8Array({ maxLength: 600 }),
  ttlOffsets: fc.array(fc.integer({ min: 0, max: 65_535 }), { maxLength: 40 }),
  message: fc.uint8Array({ minLength: 300, maxLength: 2000 }),
})

describe('a value', () => {
  test('is read as it was written, its length rounded up to 64', () => {
    fc.assert(
      fc.property(valueArbitrary, (made) => {
        const value = Object.assign(new SharedValue(), {
          ...made,
          question: Buffer.from(made.question).toString('latin1'),
          namesOctets: made.names.length,
          ttlOffsets: Uint16Array.from(made.ttlOffsets),
          ttlCount: made.ttlOffsets.length,
          octets: made.message.length,
        })
        const octets = Buffer.from(writeValue(value)!)
        expect(octets.length % 64).toBe(0)
        const read = new SharedValue()
        expect(readValue(octets, read)).toBe(true)
        const { category, list, expiresAtMs, stamp, question } = read
        expect({ category, list, expiresAtMs, stamp, question }).toEqual({
          category: made.category,
          list: made.list,
          expiresAtMs: made.expiresAtMs,
          stamp: made.stamp,
          question: value.question,
        })
        expect([...read.rule]).toEqual([...made.rule])
        expect([...read.names]).toEqual([...made.names])
        expect([...read.ttlOffsets.subarray(0, read.ttlCount)]).toEqual(made.ttlOffsets)
        // The name within the message is the question's, in its lower case.
        const expected = Buffer.from(made.message)
        expected.set(made.question.subarray(0, -3), 12)
        expect([...read.message]).toEqual([...expected])
      }),
    )
  })

  test('of any octets is refused or read, and never reaches beyond them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (octets) => {
        const read = new SharedValue()
        if (!readValue(Buffer.from(octets), read)) return
        expect(read.message.length).toBe(read.octets)
        expect(read.octets + read.namesOctets + read.rule.length).toBeLessThanOrEqual(octets.length)
      }),
      { numRuns: 2000 },
    )
  })

  test('that is too large is not written', () => {
    const value = new SharedValue()
    value.question = 'x'.repeat(100)
    value.message = new Uint8Array(65_535)
    value.octets = 65_535
    value.names = new Uint8Array(40_000)
    value.namesOctets = 40_000
    expect(writeValue(value)).toBeNull()
  })
})
