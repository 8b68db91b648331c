import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { OperationalError } from '../../src/base/errors.ts'
import {
  ACTION_BLOCK,
  ACTION_EXCEPT,
  COVERS_SUBTREE,
} from '../../src/controlplane/blocklist/rule.ts'
import { imageDigest } from '../../src/trie/digest.ts'
import { OFFSET_DIGEST, OFFSET_VERSION } from '../../src/trie/layout.ts'
import { Matcher } from '../../src/trie/lookup.ts'
import { openTrie, type Trie } from '../../src/trie/open.ts'
import { storedNames } from '../../src/trie/stored-names.ts'
import { buildFrom, wireOf } from '../compiler/model.ts'
import type { ModelRule } from '../compiler/model.ts'

const WORDS = ['porn', 'tube', 'free', 'cam', 'vpn', 'proxy', 'x', 'max', 'hot', '18']

/** 400 names that look like real ones, an exception, a long name and one of rare octets. */
function sampleImage(): Uint8Array<ArrayBuffer> {
  const names = Array.from({ length: 400 }, (_, index) => {
    const first = WORDS[index % WORDS.length]!
    const second = WORDS[(index * 7) % WORDS.length]!
    return [`${first}${second}${index}`, index % 3 === 0 ? 'net' : 'com']
  })
  names.push(['\u0000\u00fe.', 'odd'], ['q'.repeat(63), 'r'.repeat(63), 's'.repeat(63), 'com'])
  const rules = names.map((labels): ModelRule => {
    return { labels, coverage: COVERS_SUBTREE, action: ACTION_BLOCK }
  })
  const opened: ModelRule = {
    labels: ['ok', ...names[0]!],
    coverage: COVERS_SUBTREE,
    action: ACTION_EXCEPT,
  }
  const { image } = buildFrom([
    { name: 'a', category: 'adult', rules: [...rules, opened] },
    { name: 'v', category: 'vpn', rules: rules.slice(0, 50) },
  ])
  return Uint8Array.from(new Uint8Array(image))
}

function codeOf(open: () => unknown): string {
  try {
    open()
  } catch (error) {
    if (error instanceof OperationalError) return error.code
    throw error
  }
  return 'opened'
}

/** Makes the checksum right again, as somebody would who means harm. */
function resealed(image: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  image.set(imageDigest(image), OFFSET_DIGEST)
  return image
}

const image = sampleImage()
const questions = [...storedNames(openTrie(image.buffer))].map(({ name }) => Uint8Array.from(name))

describe('opening an image', () => {
  test('tells categories, lists, counts, digest and what each section takes', () => {
    const trie = openTrie(image.buffer)
    expect(trie.categories).toEqual(['adult', 'vpn'])
    expect(trie.lists.map(({ name, rules, exceptions }) => [name, rules, exceptions])).toEqual([
      ['a', 402, 1],
      ['v', 50, 0],
    ])
    expect(trie.names).toBe(403)
    expect(trie.digest).toMatch(/^[0-9a-f]{64}$/)
    expect(trie.octets).toBe(image.length)
    const octets = trie.sections.reduce((sum, section) => sum + section.octets, 0)
    expect(octets).toBeLessThan(image.length)
  })

  test('refuses an image in which any one bit is flipped', () => {
    for (let bit = 0; bit < image.length * 8; bit += bit < 4096 ? 1 : 61) {
      const copy = Uint8Array.from(image)
      copy[bit >>> 3]! ^= 1 << (bit & 7)
      expect(codeOf(() => openTrie(copy.buffer))).toMatch(/^ERR_IMAGE/)
    }
  })

  test('refuses every truncation and every prolongation', () => {
    for (let octets = 0; octets < image.length; octets += octets < 300 ? 1 : 97) {
      expect(codeOf(() => openTrie(image.slice(0, octets).buffer))).toBe('ERR_IMAGE')
    }
    const longer = new Uint8Array(image.length + 1)
    longer.set(image)
    expect(codeOf(() => openTrie(longer.buffer))).toBe('ERR_IMAGE')
  })

  test('refuses a newer version with the advice to update, an older one to compile', () => {
    const newer = Uint8Array.from(image)
    newer[OFFSET_VERSION]!++
    expect(() => openTrie(newer.buffer)).toThrow(/newer niveau3 made it; update niveau3/)
    const older = Uint8Array.from(image)
    older[OFFSET_VERSION] = 0
    expect(() => openTrie(older.buffer)).toThrow(/niveau3 lists compile/)
    expect(codeOf(() => openTrie(older.buffer))).toBe('ERR_IMAGE_VERSION')
  })

  test('refuses what is no image at all', () => {
    expect(() => openTrie(Uint8Array.from({ length: 4096 }, () => 65).buffer)).toThrow(/not a comp/)
    expect(codeOf(() => openTrie(new ArrayBuffer(0)))).toBe('ERR_IMAGE')
  })

  test('an image damaged behind a right checksum is refused or answers without a crash', () => {
    const damage = fc.array(
      fc.record({ at: fc.nat(image.length - 1), octet: fc.integer({ min: 0, max: 255 }) }),
      { minLength: 1, maxLength: 12 },
    )
    fc.assert(
      fc.property(damage, (changes) => {
        const copy = Uint8Array.from(image)
        for (const { at, octet } of changes) copy[at] = octet
        resealed(copy)
        if (codeOf(() => openTrie(copy.buffer)) !== 'opened') return
        const trie = openTrie(copy.buffer)
        const matcher = new Matcher(trie)
        for (const name of questions) expect(matcher.find(name, 0)).toBeTypeOf('number')
      }),
      { numRuns: 1000 },
    )
  })

  test('lookups write nothing into the image', () => {
    const copy = Uint8Array.from(image)
    const matcher = new Matcher(openTrie(copy.buffer))
    for (const name of questions) matcher.find(name, 0)
    matcher.find(wireOf(['no', 'such', 'name']), 0)
    expect(copy).toEqual(image)
  })
})

test('an opened image reaches other threads without a copy of its tables', () => {
  const shared = new SharedArrayBuffer(image.length)
  new Uint8Array(shared).set(image)
  const { port1, port2 } = new MessageChannel()
  port1.postMessage(openTrie(shared))
  const received = receiveMessageOnPort(port2)?.message as Trie
  port1.close()
  const own = tablesOf(received).filter(({ buffer }) => !(buffer instanceof SharedArrayBuffer))
  // The alphabet and the symbol of each octet.
  expect(own.reduce((octets, { byteLength }) => octets + byteLength, 0)).toBeLessThan(1024)
  const matcher = new Matcher(received)
  expect(questions.filter((question) => matcher.find(question, 0) === 0)).toEqual([])
})

function tablesOf(value: unknown): ArrayBufferView[] {
  if (ArrayBuffer.isView(value)) return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(tablesOf)
}
