import * as fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { INCOMPLETE, StreamReader } from '../../src/wire/stream-reader.ts'
import { conforms } from '../conformance/conforms.ts'
import { frame } from '../support/dns-client.ts'

/** Pushes the chunks and returns every message, copied when it was returned. */
function readAll(chunks: readonly Uint8Array[]): { messages: Buffer[]; partialOctets: number } {
  const reader = new StreamReader()
  const messages: Buffer[] = []
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let message = reader.next(); message !== null; message = reader.next()) {
      messages.push(Buffer.from(message))
    }
  }
  return { messages, partialOctets: reader.partialOctets }
}

/**
 * The same by `nextInto`, from one buffer that is filled anew for every read, as by a system call.
 * `most` messages are taken from each read; the rest is taken at the end.
 */
function readAllInto(chunks: readonly Uint8Array[], most = Infinity): Buffer[] {
  const reader = new StreamReader()
  const messages: Buffer[] = []
  const shared = new Uint8Array(200_000)
  const out = new Uint8Array(65_535)
  const take = (limit: number): void => {
    for (let taken = 0; taken < limit; taken++) {
      const octets = reader.nextInto(out)
      if (octets === INCOMPLETE) return
      messages.push(Buffer.from(out.subarray(0, octets)))
    }
  }
  for (const chunk of chunks) {
    shared.fill(0xee)
    shared.set(chunk)
    reader.pushStart(shared, chunk.length)
    take(most)
    reader.keepRest()
  }
  take(Infinity)
  return messages
}

function splitAt(octets: Uint8Array, offsets: readonly number[]): Uint8Array[] {
  const ends = [...new Set(offsets.map((offset) => Math.min(offset, octets.length)))]
  const sorted = [0, ...ends.toSorted((a, b) => a - b), octets.length]
  return sorted.slice(1).map((end, index) => octets.subarray(sorted[index], end))
}

describe('a stream of messages', () => {
  const sent = [Buffer.from('first message'), Buffer.from('2'), Buffer.from('the third one')]
  const stream = frame(...sent)

  test('is cut into them wherever the one split falls', () => {
    for (let at = 0; at <= stream.length; at++) {
      expect(readAll(splitAt(stream, [at])), `split at ${at}`).toEqual({
        messages: sent,
        partialOctets: 0,
      })
    }
  })

  test('is cut into them wherever two splits fall', () => {
    for (let first = 0; first <= stream.length; first++) {
      for (let second = first; second <= stream.length; second++) {
        expect(readAll(splitAt(stream, [first, second])).messages).toEqual(sent)
      }
    }
  })

  test('is cut into them octet by octet', () => {
    const octets = [...stream].map((octet) => Uint8Array.of(octet))
    expect(readAll(octets).messages).toEqual(sent)
  })

  test('may hold empty messages and the longest one', () => {
    const odd = [Buffer.alloc(0), Buffer.alloc(65_535, 7), Buffer.alloc(0), Buffer.alloc(1)]
    expect(readAll([frame(...odd)]).messages).toEqual(odd)
    expect(readAll(splitAt(frame(...odd), [1, 3, 40_000])).messages).toEqual(odd)
    expect(readAllInto([frame(...odd)])).toEqual(odd)
    expect(readAllInto(splitAt(frame(...odd), [1, 3, 40_000]))).toEqual(odd)
  })

  test('is cut into them for any messages and any splits', () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 8 })
    fc.assert(
      fc.property(messages, fc.array(fc.nat(3000), { maxLength: 12 }), (all, offsets) => {
        const copies = all.map((octets) => Buffer.from(octets))
        expect(readAll(splitAt(frame(...all), offsets)).messages).toEqual(copies)
      }),
    )
  })
})

test('one buffer may hold every read, whatever of it is left for later', () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 8 })
  const offsets = fc.array(fc.nat(3000), { maxLength: 12 })
  fc.assert(
    fc.property(messages, offsets, fc.nat(3), (all, splits, most) => {
      const copies = all.map((octets) => Buffer.from(octets))
      expect(readAllInto(splitAt(frame(...all), splits), most)).toEqual(copies)
    }),
  )
})

test('a message that has begun is told by its octets', () => {
  const stream = frame(Buffer.from('abc'))
  expect(readAll([stream.subarray(0, 1)]).partialOctets).toBe(1)
  expect(readAll([stream.subarray(0, 4)]).partialOctets).toBe(4)
  expect(readAll([stream]).partialOctets).toBe(0)
  expect(readAll([frame(Buffer.from('abc')), Buffer.of(0)]).partialOctets).toBe(1)
})

test('a message that lies whole within a chunk is not copied', () => {
  const chunk = frame(Buffer.from('abc'), Buffer.from('defg'))
  const reader = new StreamReader()
  reader.push(chunk)
  expect(reader.next()?.buffer).toBe(chunk.buffer)
  expect(reader.next()?.byteOffset).toBe(chunk.byteOffset + 7)
})

/** Every octet that `set` of a typed array copies while the stream is read. */
function copiedOctets(chunks: readonly Uint8Array[]): number {
  const set = vi.spyOn(Uint8Array.prototype, 'set')
  try {
    const reader = new StreamReader()
    for (const chunk of chunks) {
      reader.push(chunk)
      while (reader.next() !== null) continue
    }
    return set.mock.calls.reduce((sum, [source]) => sum + source.length, 0)
  } finally {
    set.mockRestore()
  }
}

describe('the octets that a reader copies', () => {
  test('grow with those of the message, not with their square, when they come one by one', () => {
    conforms('tcp-exhaustion')
    const stream = frame(Buffer.alloc(65_535, 7))
    const copied = copiedOctets([...stream].map((octet) => Uint8Array.of(octet)))
    expect(copied).toBeGreaterThanOrEqual(stream.length - 1)
    expect(copied).toBeLessThan(4 * stream.length)
  })

  test('are none where chunks end with messages', () => {
    const stream = frame(Buffer.alloc(300), Buffer.alloc(5))
    expect(copiedOctets([stream, stream])).toBe(0)
  })
})

test('a message that was returned is not written over by what comes next', () => {
  const reader = new StreamReader()
  const stream = frame(Buffer.from('abc'), Buffer.from('defgh'))
  reader.push(stream.subarray(0, 1))
  reader.push(stream.subarray(1, 8))
  const first = reader.next()!
  for (const octet of stream.subarray(8)) reader.push(Uint8Array.of(octet))
  expect(Buffer.from(reader.next()!).toString()).toBe('defgh')
  expect(Buffer.from(first).toString()).toBe('abc')
})
