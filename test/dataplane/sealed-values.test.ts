import { createHmac, randomBytes } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NodeGcm } from '../../src/dataplane/cache/node-gcm.ts'
import {
  NO_SEAL,
  NO_VERSION,
  OPENED,
  SEAL_OCTETS,
  Seal,
  createSealed,
  type CreateGcm,
} from '../../src/dataplane/cache/seal.ts'
import { SharedKeys, createId, createKey } from '../../src/dataplane/cache/shared-keys.ts'
import {
  SharedValue,
  TOO_LARGE,
  VALUE_OCTETS_MAX,
  readValue,
  writeValue,
} from '../../src/dataplane/cache/shared-value.ts'
import { openNativeGcm } from '../../src/sys/native-gcm.ts'

const SECRET = randomBytes(32)
const TEXT_OCTETS_MAX = 1024

describe('names of values', () => {
  test('are HMAC-SHA256 of the question, cut to 128 bits', () => {
    const octets = fc.uint8Array({ maxLength: 258 })
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), octets, (key, question) => {
        const text = Buffer.from(question).toString('latin1')
        const hmac = createHmac('sha256', key).update(question).digest('hex')
        const id = createId(new SharedKeys(key, 'n:'), text)
        expect(Buffer.from(id).toString('latin1')).toBe(hmac.slice(0, 32))
      }),
      { numRuns: 1000 },
    )
  })

  test('carry their first octet as hash tag: 256 groups that Redis Cluster keeps together', () => {
    const keys = new SharedKeys(SECRET, 'niveau3:')
    const tags = new Set<string>()
    for (let index = 0; index < 10_000; index++) {
      const key = createKey(keys, createId(keys, `name ${index}`))
      const tag = /^niveau3:\{([0-9a-f]{2})\}[0-9a-f]{30}$/.exec(key)?.[1]
      expect(tag).toBeDefined()
      tags.add(tag!)
    }
    expect(tags.size).toBe(256)
  })
})

/** Both ciphers have to do the same; the native one must be there on the machines that test. */
const CIPHERS: readonly { readonly cipher: string; readonly createGcm: CreateGcm }[] = [
  { cipher: "Node's", createGcm: (octets) => new NodeGcm(octets) },
  { cipher: "OpenSSL's own", createGcm: (await openNativeGcm())! },
]
const ID = Buffer.from('0123456789abcdef0123456789abcdef')

describe.each(CIPHERS)('a seal by $cipher cipher', ({ createGcm }) => {
  const octets = randomBytes(300)
  const createSeal = (secret: Uint8Array = SECRET, purpose = 'test'): Seal =>
    new Seal(secret, purpose, createGcm(TEXT_OCTETS_MAX))
  const seal = createSeal()
  const sealedBy = (by: Seal, id: Uint8Array = ID): Buffer => createSealed(by, octets, id)!

  test('opens under the same secret, whoever made it, by either cipher', () => {
    const sealed = sealedBy(seal)
    for (const other of CIPHERS) {
      const reader = new Seal(SECRET, 'test', other.createGcm(TEXT_OCTETS_MAX))
      expect(reader.unseal(sealed, ID)).toBe(OPENED)
      expect(reader.opened).toEqual(octets)
    }
    expect(sealed).toHaveLength(octets.length + SEAL_OCTETS)
    expect(sealed.includes(octets.subarray(0, 16))).toBe(false)
  })

  test('holds texts of every length, up to what it was made for', () => {
    for (let length = 0; length <= TEXT_OCTETS_MAX; length += length < 70 ? 1 : 53) {
      const text = randomBytes(length)
      expect(seal.unseal(createSealed(seal, text, ID)!, ID)).toBe(OPENED)
      expect(seal.opened).toEqual(text)
    }
    expect(createSealed(seal, Buffer.alloc(TEXT_OCTETS_MAX + 1), ID)).toBeNull()
    const large = new Seal(SECRET, 'test', createGcm(TEXT_OCTETS_MAX + 1))
    const sealed = createSealed(large, Buffer.alloc(TEXT_OCTETS_MAX + 1), ID)!
    expect(seal.unseal(sealed, ID)).toBe(NO_SEAL)
  })

  test('never looks the same twice', () => {
    const seen = new Set<string>()
    for (let index = 0; index < 1000; index++) {
      seen.add(sealedBy(seal).subarray(0, 25).toString('hex'))
    }
    expect(seen.size).toBe(1000)
  })

  test('does not open when any bit has changed', () => {
    const sealed = sealedBy(seal)
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed)
      changed[bit >> 3] = changed[bit >> 3]! ^ (1 << (bit & 7))
      expect(seal.unseal(changed, ID)).toBe(bit < 8 ? NO_VERSION : NO_SEAL)
      expect(seal.opened).toHaveLength(0)
    }
  })

  test.each([
    { what: 'another place', other: () => sealedBy(seal, Buffer.from('elsewhere')) },
    { what: 'another secret', other: () => sealedBy(createSeal(randomBytes(32))) },
    { what: 'another purpose', other: () => sealedBy(createSeal(SECRET, 'events')) },
    { what: 'nothing in it', other: () => Buffer.alloc(0) },
    { what: 'its end missing', other: () => sealedBy(seal).subarray(0, -1) },
    { what: 'more behind it', other: () => Buffer.concat([sealedBy(seal), octets]) },
  ])('does not open with $what', ({ other }) => {
    expect(seal.unseal(other(), ID)).toBe(NO_SEAL)
  })

  test('opens again after other writers have filled its table of keys', () => {
    const sealed = sealedBy(seal)
    for (let index = 0; index < 300; index++) {
      const writer = createSeal()
      expect(seal.unseal(sealedBy(writer), ID)).toBe(OPENED)
      writer.close()
    }
    expect(seal.unseal(sealed, ID)).toBe(OPENED)
  })
})

test('a closed native cipher refuses, and closing it twice does no harm', async () => {
  const gcm = (await openNativeGcm())!(64)
  const seal = new Seal(SECRET, 'test', gcm)
  const sealed = createSealed(seal, Buffer.from('text'), ID)!
  seal.close()
  seal.close()
  expect(createSealed(seal, Buffer.from('text'), ID)).toBeNull()
  expect(seal.unseal(sealed, ID)).toBe(NO_SEAL)
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
        const out = Buffer.alloc(VALUE_OCTETS_MAX, 0xff)
        const octets = out.subarray(0, writeValue(value, out))
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
    expect(writeValue(value, Buffer.alloc(VALUE_OCTETS_MAX))).toBe(TOO_LARGE)
  })
})
