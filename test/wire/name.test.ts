import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  FOLD,
  MALFORMED,
  NAME_OCTETS_MAX,
  checkName,
  expandName,
  foldedEqual,
  skipName,
  skipPlainName,
} from '../../src/wire/name.ts'
import { header, join, name, nameOfOctets, pointer } from '../support/octets.ts'
import { conforms } from '../conformance/conforms.ts'

/** Labels as latin1 strings: any octet. */
const label = fc
  .uint8Array({ minLength: 1, maxLength: 63 })
  .map((octets) => Buffer.from(octets).toString('latin1'))

function wire(labels: readonly string[]): Buffer {
  const parts = labels.map((text) => join(Buffer.from([text.length]), Buffer.from(text, 'latin1')))
  return join(...parts, Buffer.from([0]))
}

const wireName = fc.array(label, { maxLength: 10 }).map(wire)

function expand(message: Uint8Array, start: number, limit = message.length): Buffer | string {
  const into = new Uint8Array(NAME_OCTETS_MAX)
  const octets = expandName(message, start, limit, into, 0)
  return octets === MALFORMED ? 'malformed' : Buffer.from(into.subarray(0, octets))
}

describe('skipName and skipPlainName', () => {
  conforms('label-limits')
  test.each([
    { what: 'the root', octets: name('.'), plain: 1, any: 1, why: 'one octet' },
    { what: 'a name', octets: name('www.example'), plain: 13, any: 13, why: 'to its root octet' },
    { what: 'a pointer', octets: pointer(0), plain: MALFORMED, any: 2, why: 'it ends a name' },
    {
      what: 'labels and a pointer',
      octets: join(Buffer.from([1, 0x61]), pointer(0)),
      plain: MALFORMED,
      any: 4,
      why: 'a pointer ends a name, and has no place in a question',
    },
    {
      what: 'half a pointer',
      octets: Buffer.from([0xc0]),
      plain: MALFORMED,
      any: MALFORMED,
      why: 'a pointer takes two octets',
    },
    { what: 'nothing', octets: Buffer.alloc(0), plain: MALFORMED, any: MALFORMED, why: 'no root' },
    {
      what: 'label type 0x40',
      octets: Buffer.from([0x40, 0]),
      plain: MALFORMED,
      any: MALFORMED,
      why: 'withdrawn (RFC 6891 5)',
    },
    {
      what: 'label type 0x80',
      octets: Buffer.from([0x80, 0]),
      plain: MALFORMED,
      any: MALFORMED,
      why: 'never assigned',
    },
    {
      what: '255 octets',
      octets: nameOfOctets(255),
      plain: 255,
      any: 255,
      why: 'the longest (RFC 1035 2.3.4)',
    },
    {
      what: '256 octets',
      octets: nameOfOctets(256),
      plain: MALFORMED,
      any: MALFORMED,
      why: 'one too many',
    },
    {
      what: '254 octets of labels and a pointer',
      octets: join(nameOfOctets(255).subarray(0, 254), pointer(0)),
      plain: MALFORMED,
      any: 256,
      why: 'with the root octet behind the pointer it is 255',
    },
    {
      what: '255 octets of labels and a pointer',
      octets: join(nameOfOctets(256).subarray(0, 255), pointer(0)),
      plain: MALFORMED,
      any: MALFORMED,
      why: 'whatever the pointer leads to, it is too long',
    },
  ])('$what: $why', ({ octets, plain, any }) => {
    const padded = join(octets, Buffer.alloc(300, 1))
    expect(skipPlainName(padded, 0, octets.length)).toBe(plain)
    expect(skipName(padded, 0, octets.length)).toBe(any)
  })

  test('agree on every name without pointers, at any offset', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), wireName, (before, octets) => {
        const message = join(before, octets, Buffer.alloc(3, 0xff))
        const end = octets.length > NAME_OCTETS_MAX ? MALFORMED : before.length + octets.length
        expect(skipPlainName(message, before.length, message.length)).toBe(end)
        expect(skipName(message, before.length, message.length)).toBe(end)
      }),
    )
  })

  test('never pass the limit, whatever the octets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(400), (octets, limit) => {
        const bound = Math.min(limit, octets.length)
        expect(skipName(octets, 0, bound)).toBeLessThanOrEqual(bound)
        expect(skipPlainName(octets, 0, bound)).toBeLessThanOrEqual(bound)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('expandName', () => {
  test('copies a plain name and folds ASCII letters only', () => {
    const octets = wire(['WWW', 'Stra\xdfe', '\xc0\xde[`{'])
    expect(expand(octets, 0)).toEqual(wire(['www', 'stra\xdfe', '\xc0\xde[`{']))
  })

  test('follows pointers backwards and puts the whole together', () => {
    conforms('compression')
    const message = join(header(), name('example.com'), Buffer.from([3]), Buffer.from('WWW'))
    const whole = join(message, pointer(12), Buffer.from([1, 0x61]), pointer(25))
    expect(expand(whole, 31)).toEqual(name('a.www.example.com'))
    expect(expand(whole, 25)).toEqual(name('www.example.com'))
  })

  const backwards = join(header(), name('example.com'))
  test.each([
    { what: 'to itself', octets: pointer(25), why: 'a loop (RFC 9267 2)' },
    { what: 'forward', octets: join(pointer(27), name('a')), why: 'names stand before pointers' },
    { what: 'past the end', octets: pointer(0x3fff), why: 'there is nothing' },
    {
      what: 'to a name that leads back to it',
      octets: join(Buffer.from([1, 0x61]), pointer(25)),
      why: 'a loop over a label',
    },
    { what: 'cut in half', octets: Buffer.from([0xc0]), why: 'a pointer takes two octets' },
  ])('refuses a pointer $what: $why', ({ octets }) => {
    expect(expand(join(backwards, octets), 25)).toBe('malformed')
  })

  test('refuses a pointer into the header, whose octets change until the message is delivered', () => {
    conforms('compression', 'filter-bypass')
    for (let target = 0; target < 12; target++) {
      for (const before of [Buffer.alloc(0), Buffer.from([1, 0x61])]) {
        const message = join(Buffer.alloc(12), name('example.com'), before, pointer(target))
        expect(expand(message, 25), `to ${target}`).toBe('malformed')
        expect(checkName(message, 25, message.length), `to ${target}`).toBe(MALFORMED)
      }
    }
    const first = join(Buffer.alloc(12), name('example.com'), pointer(12))
    expect(expand(first, 25)).toEqual(name('example.com'))
    expect(checkName(first, 25, first.length)).toBe(27)
  })

  test('bounds the hops of a ladder at 127, and takes one of 127', () => {
    const steps = Array.from({ length: 128 }, (_, step) => pointer(Math.max(12, 2 * step + 11)))
    const ladder = join(header(), Buffer.from([0]), ...steps)
    expect(expand(ladder, 13 + 2 * 126)).toEqual(name('.'))
    expect(expand(ladder, 13 + 2 * 127)).toBe('malformed')
  })

  test('refuses two pointers that point at each other', () => {
    conforms('compression', 'pointer-loops')
    const message = join(header(), pointer(14), pointer(12))
    expect(expand(message, 12)).toBe('malformed')
    expect(expand(message, 14)).toBe('malformed')
  })

  test('takes 255 octets over a pointer and refuses 256', () => {
    conforms('label-limits', 'compression')
    const tail = nameOfOctets(200)
    for (const [labelOctets, expected] of [
      [54, 255],
      [55, 'malformed'],
    ] as const) {
      const first = join(Buffer.from([labelOctets]), Buffer.alloc(labelOctets, 0x62))
      const expanded = expand(join(header(), tail, first, pointer(12)), 212)
      expect(typeof expanded === 'string' ? expanded : expanded.length).toBe(expected)
    }
  })

  test('bounds the hops of a long ladder of pointers', () => {
    conforms('compression', 'compression-cost', 'pointer-loops')
    const steps = Array.from({ length: 4000 }, (_, step) => pointer(Math.max(12, 2 * step + 11)))
    const ladder = join(header(), Buffer.from([0]), ...steps)
    expect(expand(ladder, ladder.length - 2)).toBe('malformed')
  })

  test('writes at its place and no further', () => {
    const into = new Uint8Array(20).fill(0xee)
    expect(expandName(name('abc'), 0, 5, into, 10)).toBe(5)
    expect(Buffer.from(into.subarray(10, 15))).toEqual(name('abc'))
    expect([...into.subarray(0, 10), ...into.subarray(15)].every((x) => x === 0xee)).toBe(true)
    expect(expandName(name('abcdef'), 0, 8, into, 13)).toBe(MALFORMED)
  })

  test('expands what an independent compressor wrote, for any labels', () => {
    const names = fc.array(fc.array(label, { maxLength: 4 }), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(names, (all) => {
        const written = new Map<string, number>()
        const starts: number[] = []
        let message = header()
        for (const labels of all) {
          starts.push(message.length)
          for (let first = 0; first <= labels.length; first++) {
            const key = JSON.stringify(labels.slice(first))
            const known = first === labels.length ? undefined : written.get(key)
            if (known !== undefined) message = join(message, pointer(known))
            if (known !== undefined) break
            written.set(key, message.length)
            if (first === labels.length) message = join(message, Buffer.from([0]))
            else message = join(message, wire([labels[first]!]).subarray(0, -1))
          }
        }
        for (const [index, labels] of all.entries()) {
          const plain = wire(labels).map((octet) => FOLD[octet]!)
          const expected = plain.length > NAME_OCTETS_MAX ? 'malformed' : Buffer.from(plain)
          // A length octet never folds: it is at most 63.
          expect(expand(message, starts[index]!)).toEqual(expected)
        }
      }),
    )
  })

  test('ends on any octets and never reads past the limit', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (octets, start) => {
        const apart = expand(octets, start, octets.length)
        const longer = join(octets, Buffer.alloc(300, 1))
        expect(expand(longer, start, octets.length)).toEqual(apart)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('foldedEqual', () => {
  test('folds A to Z and nothing else', () => {
    conforms('letter-case', 'strings')
    const all = Uint8Array.from({ length: 256 }, (_, octet) => octet)
    for (let octet = 0; octet < 256; octet++) {
      const equals = [...all].filter((other) => {
        return foldedEqual(all, octet, all, other, 1)
      })
      const letter = String.fromCharCode(octet)
      const isLetter = /^[a-zA-Z]$/.test(letter)
      const expected = isLetter ? [octet & ~0x20, octet | 0x20] : [octet]
      expect(equals).toEqual(expected)
    }
  })
})
