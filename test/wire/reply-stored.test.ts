import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AnswerFacts, inspectAnswer } from '../../src/wire/answer.ts'
import { ParsedQuery, parseQuery } from '../../src/wire/query.ts'
import { NO_EXTENDED_ERROR, type ExtendedError } from '../../src/wire/opt.ts'
import { REPLY_SLACK_OCTETS, writeStored, type StoredAnswer } from '../../src/wire/reply.ts'
import {
  decodeMessage,
  encodeQuery,
  encodeResponse,
  questionEnd,
  type Message,
  type ResponseOptions,
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

/** Keeps a reply as the cache does. */
function store(reply: Buffer, type: number): StoredAnswer {
  const facts = new AnswerFacts()
  const message = Buffer.from(reply)
  expect(inspectAnswer(message, message.length, questionEnd(message), type, facts)).toBe(true)
  return {
    message: Uint8Array.from(message.subarray(0, facts.octets)),
    octets: facts.octets,
    ttlOffsets: facts.ttlOffsets.slice(0, facts.ttlCount),
    ttlCount: facts.ttlCount,
  }
}

function storeOf(name: string, type: string, options: ResponseOptions): StoredAnswer {
  const numbers: Readonly<Record<string, number>> = { A: 1, TXT: 16 }
  return store(encodeResponse(encodeQuery(name, type, { id: 7 }), options), numbers[type]!)
}

function addresses(amount: number): { name: string; type: string; ttl: number; data: string }[] {
  return Array.from({ length: amount }, (_, index) => ({
    name: 'www.example.com',
    type: 'A',
    ttl: 100 + index,
    data: `192.0.2.${index}`,
  }))
}

describe('writeStored', () => {
  test('gives each client its own id, flags, letter case and OPT', () => {
    conforms('letter-case', 'edns-opt')
    const stored = storeOf('www.example.com', 'A', {
      authoritative: true,
      authenticData: true,
      answers: addresses(3),
      edns: { udpOctets: 4096, options: [{ code: 3, data: Buffer.from('server') }] },
    })
    const asked = encodeQuery('WWW.eXample.COM', 'A', { id: 0xfeed, edns: { dnssecOk: true } })
    const out = dirtyBuffer()
    const octets = writeStored(out, queryOf(asked), stored, 0, NO_EXTENDED_ERROR, UDP_OCTETS_MAX)
    const reply = read(out, octets)
    expect(reply).toMatchObject({
      id: 0xfeed,
      authoritative: false,
      authenticData: true,
      truncated: false,
    })
    expect(reply.questions[0]?.name).toBe('WWW.eXample.COM')
    expect(reply.answers.map(({ data }) => data)).toEqual(['192.0.2.0', '192.0.2.1', '192.0.2.2'])
    expect(reply.edns).toMatchObject({ udpOctets: UDP_OCTETS_MAX, dnssecOk: true, options: [] })
  })

  test('passes AD on to clients who understand it, by AD or DO, and to nobody else', () => {
    const stored = storeOf('www.example.com', 'A', { authenticData: true, answers: addresses(1) })
    for (const [options, passed] of [
      [{ edns: { dnssecOk: true } }, true],
      [{ authenticData: true }, true],
      [{ edns: {} }, false],
      [{}, false],
    ] as const) {
      const out = dirtyBuffer()
      const query = queryOf(encodeQuery('www.example.com', 'A', options))
      const octets = writeStored(out, query, stored, 0, NO_EXTENDED_ERROR, UDP_OCTETS_MAX)
      expect(read(out, octets).authenticData, JSON.stringify(options)).toBe(passed)
    }
  })

  test.each([
    { age: 0, ttls: [100, 101, 102] },
    { age: 1, ttls: [99, 100, 101] },
    { age: 101, ttls: [0, 0, 1] },
    { age: 100_000, ttls: [0, 0, 0] },
  ])('takes $age s off every TTL, and never goes below 0', ({ age, ttls }) => {
    conforms('ttl', 'ghost-domains')
    const stored = storeOf('www.example.com', 'A', { answers: addresses(3) })
    const out = dirtyBuffer()
    const query = queryOf(encodeQuery('www.example.com'))
    const octets = writeStored(out, query, stored, age, NO_EXTENDED_ERROR, UDP_OCTETS_MAX)
    expect(read(out, octets).answers.map(({ ttl }) => ttl)).toEqual(ttls)
    // The kept answer is as it was: the next client's TTLs are taken from the same octets.
    const again = writeStored(out, query, stored, 0, NO_EXTENDED_ERROR, UDP_OCTETS_MAX)
    expect(read(out, again).answers.map(({ ttl }) => ttl)).toEqual([100, 101, 102])
  })

  test('works the same from a kept answer whose buffer is longer than it', () => {
    const stored = storeOf('www.example.com', 'A', { answers: addresses(2) })
    const roomy = new Uint8Array(4096).fill(0xee)
    roomy.set(stored.message)
    const query = queryOf(encodeQuery('www.example.com', 'A', { id: 3 }))
    const [tight, loose] = [stored, { ...stored, message: roomy }].map((answer) => {
      const out = dirtyBuffer()
      const end = writeStored(out, query, answer, 5, NO_EXTENDED_ERROR, UDP_OCTETS_MAX)
      return Buffer.from(out.subarray(0, end))
    })
    expect(loose).toEqual(tight)
  })

  test('keeps the rcode of the answer', () => {
    const stored = storeOf('www.example.com', 'A', { rcode: 'NXDOMAIN' })
    const out = dirtyBuffer()
    const query = queryOf(encodeQuery('www.example.com'))
    const end = writeStored(out, query, stored, 0, NO_EXTENDED_ERROR, UDP_OCTETS_MAX)
    expect(read(out, end).rcode).toBe('NXDOMAIN')
  })
})

describe('truncation', () => {
  const large = storeOf('www.example.com', 'A', {
    answers: addresses(60),
    authorities: [{ name: 'example.com', type: 'NS', ttl: 9, data: 'ns.example.com' }],
    additionals: [{ name: 'ns.example.com', type: 'A', ttl: 9, data: '192.0.2.200' }],
  })
  const whole = decodeMessage(large.message)

  function cut(replyOctetsMax: number, edns: boolean, error = NO_EXTENDED_ERROR): Message {
    const asked = encodeQuery('www.example.com', 'A', edns ? { edns: {} } : {})
    const out = dirtyBuffer()
    const query = queryOf(asked, replyOctetsMax)
    return read(out, writeStored(out, query, large, 0, error, UDP_OCTETS_MAX))
  }

  test.each([
    { edns: false, error: NO_EXTENDED_ERROR, what: 'without EDNS' },
    { edns: true, error: NO_EXTENDED_ERROR, what: 'with EDNS' },
    { edns: true, error: BLOCKED, what: 'with EDNS and an extended error' },
  ])('$what, ends at a record and fits, for every size from 512 up', ({ edns, error }) => {
    conforms('udp-truncation')
    const room = large.octets + 60
    for (let size = 512; size <= room; size++) {
      const reply = cut(size, edns, error)
      expect(reply.octets.length).toBeLessThanOrEqual(size)
      const { answers, authorities, additionals } = reply
      expect(answers).toEqual(whole.answers.slice(0, answers.length))
      expect(authorities).toEqual(whole.authorities.slice(0, authorities.length))
      if (answers.length < whole.answers.length) expect(authorities).toEqual([])
      if (authorities.length < whole.authorities.length) expect(additionals).toEqual([])
      const missing = answers.length < whole.answers.length || authorities.length === 0
      expect(reply.truncated).toBe(missing)
      expect(reply.edns === undefined).toBe(!edns)
      // One more record of 31 octets would not have fitted.
      const full = answers.length === whole.answers.length
      if (!full) expect(reply.octets.length + 31).toBeGreaterThan(size)
    }
  })

  test('of the additional section alone is no truncation (RFC 2181 9)', () => {
    const size = large.octets - 1
    const reply = cut(size, false)
    expect(reply).toMatchObject({ truncated: false, additionals: [] })
    expect(reply.authorities).toHaveLength(1)
  })

  test('leaves the question alone when not even one record fits', () => {
    const strings = [Buffer.alloc(255, 1), Buffer.alloc(255, 2), Buffer.alloc(255, 3)]
    const answers = [{ name: 'www.example.com', type: 'TXT', ttl: 9, data: strings }]
    const stored = storeOf('www.example.com', 'TXT', { answers })
    const out = dirtyBuffer()
    const query = queryOf(encodeQuery('www.example.com', 'TXT'), 512)
    const end = writeStored(out, query, stored, 0, NO_EXTENDED_ERROR, UDP_OCTETS_MAX)
    expect(read(out, end)).toMatchObject({ truncated: true, answers: [] })
    expect(end).toBe(query.questionEnd)
  })

  test('over TCP makes room for OPT in an answer of 65,535 octets', () => {
    const texts = Array.from({ length: 230 }, (_, index) => ({
      name: 'www.example.com',
      type: 'TXT',
      ttl: 9,
      data: [Buffer.alloc(255, index)],
    }))
    const rest = { name: 'www.example.com', type: 'TXT', ttl: 9, data: [Buffer.alloc(200, 1)] }
    const reply = encodeResponse(encodeQuery('www.example.com', 'TXT'), {
      answers: [...texts, rest],
    })
    const filled = store(reply, 16)
    const out = dirtyBuffer()
    const query = queryOf(encodeQuery('www.example.com', 'TXT', { edns: {} }), filled.octets + 5)
    const end = writeStored(out, query, filled, 0, NO_EXTENDED_ERROR, UDP_OCTETS_MAX)
    expect(end).toBeLessThanOrEqual(filled.octets + 5)
    expect(read(out, end)).toMatchObject({ truncated: true })
    expect(read(out, end).answers).toHaveLength(230)
  })

  test('never exceeds any size, for any answer', () => {
    conforms('udp-truncation', 'oversize-send')
    const text = fc.nat(255).map((octets) => [Buffer.alloc(octets, 0x74)])
    const strings = fc.array(text, { maxLength: 30 })
    fc.assert(
      fc.property(strings, fc.integer({ min: 512, max: 4096 }), fc.boolean(), (all, size, edns) => {
        const answers = all.map((data) => ({ name: 'a.example', type: 'TXT', ttl: 1, data }))
        const stored = storeOf('a.example', 'TXT', { answers })
        const asked = encodeQuery('a.example', 'TXT', edns ? { edns: {} } : {})
        const out = dirtyBuffer()
        const query = queryOf(asked, size)
        const end = writeStored(out, query, stored, 0, NO_EXTENDED_ERROR, UDP_OCTETS_MAX)
        expect(end).toBeLessThanOrEqual(size)
        const reply = read(out, end)
        expect(reply.truncated).toBe(reply.answers.length < answers.length)
      }),
    )
  })
})
