import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { EssentialNames } from '../../src/controlplane/blocklist/essential.ts'
import { LINE_OCTETS_MAX } from '../../src/controlplane/blocklist/line-blocks.ts'
import { readList } from '../../src/controlplane/blocklist/read-list.ts'
import { collector, readFile, readText, reasons } from './reading.ts'
import { conforms } from '../conformance/conforms.ts'

const ABC = ['block a.example', 'block b.example', 'block c.example']

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-read-list-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})

async function stored(content: string | Uint8Array): Promise<string> {
  const file = join(folder, 'list')
  await writeFile(file, content)
  return file
}

describe('the text of a list', () => {
  test.each([
    ['LF', 'a.example\nb.example\nc.example\n'],
    ['no newline at the end', 'a.example\nb.example\nc.example'],
    ['CR LF', 'a.example\r\nb.example\r\nc.example\r\n'],
    ['a lone CR', 'a.example\rb.example\rc.example'],
    ['a mixture', 'a.example\rb.example\r\nc.example\n'],
    ['a UTF-8 mark', '\uFEFFa.example\nb.example\nc.example\n'],
  ])('ends its lines with %s', async (_ends, text) => {
    const { rules, lines, report } = await readText(text)
    expect(rules).toEqual(ABC)
    expect(lines).toEqual([1, 2, 3])
    expect(report.lines).toBe(3)
  })

  test('blank lines and comments are counted, and have numbers', async () => {
    const { lines, report } = await readText('# x\r\n\r\na.example\r\n \t\r\n\r\rb.example\n\n')
    expect(lines).toEqual([3, 7])
    expect(report).toMatchObject({ lines: 8, blankLines: 5, commentLines: 1, rules: 2 })
  })

  test.each([
    ['utf16le', Buffer.from('\uFEFFa.example\nlucé.example\n', 'utf16le')],
    ['utf16be', Buffer.from('\uFEFFa.example\nlucé.example\n', 'utf16le').swap16()],
  ])('in UTF-16 with a mark is decoded (%s)', async (_name, content) => {
    const { rules } = await readText(content)
    expect(rules).toEqual(['block a.example', 'block xn--luc-dma.example'])
  })

  test('in UTF-16 without a mark is refused', async () => {
    const content = Buffer.from('a.example\n', 'utf16le')
    await expect(readText(content)).rejects.toMatchObject({
      code: 'ERR_LIST',
      message: expect.stringContaining('UTF-16'),
    })
  })

  test('may hold octets that are no UTF-8', async () => {
    const content = Buffer.from('a.example\ngetr\xe4nke.example\ngetr\xe4nke/\nb.example', 'latin1')
    const { rules, report } = await readText(content)
    expect(rules).toEqual(ABC.slice(0, 2))
    expect(reasons(report)).toEqual({ encoding: 2 })
  })

  test('in one line of 900,000 octets is a list like any other', async () => {
    const names = Array.from({ length: 42_000 }, (_, i) => `name-${i}.example.com`)
    const { rules, lines } = await readText(names.join(','))
    expect(rules).toEqual(names.map((name) => `block ${name}`))
    expect(new Set(lines)).toEqual(new Set([1]))
  })

  test.each([['\n'], ['\r\n'], ['\r']])(
    'a line over the limit is counted and the lines behind it keep their numbers (%j)',
    async (end) => {
      const long = 'x'.repeat(LINE_OCTETS_MAX * 2)
      const { rules, lines, report } = await readText(
        ['a.example', long, 'b.example', long, 'c.example'].join(end),
      )
      expect(rules).toEqual(ABC)
      expect(lines).toEqual([1, 3, 5])
      expect(reasons(report)).toEqual({ 'line-too-long': 2 })
    },
  )

  test('is read to the same rules wherever its chunks are cut', async () => {
    const lines = Array.from({ length: 60_000 }, (_, i) => `name-${i}.example${i % 7}.com`)
    const { rules } = await readText(lines.join('\r\n'))
    expect(rules).toEqual(lines.map((line) => `block ${line}`))
  })

  test('samples show the first entries of each reason with their lines', async () => {
    const { report } = await readText(`ok.example\n${'x.example/path\n'.repeat(9)}`)
    expect(report.notRules.path).toBe(9)
    expect(report.samples.path?.map(({ line }) => line)).toEqual([2, 3, 4, 5, 6])
    expect(report.samples.path?.[0]?.text).toBe('x.example/path')
  })
})

describe('the file of a list', () => {
  test('is told by the digest and the size of what is stored', async () => {
    const packed = gzipSync('a.example\n')
    const { report } = await readFile(await stored(packed))
    expect(report.sha256).toBe(createHash('sha256').update(packed).digest('hex'))
    expect(report).toMatchObject({ octets: packed.length, textOctets: 10, rules: 1 })
  })

  test('may be gzip, in several members', async () => {
    const packed = Buffer.concat([gzipSync('a.example\nb.exa'), gzipSync('mple\nc.example\n')])
    expect((await readText(packed)).rules).toEqual(ABC)
  })

  test.each([
    ['cut', (packed: Buffer) => packed.subarray(0, packed.length / 2)],
    ['damaged', (packed: Buffer) => Buffer.from(packed).fill(0x55, 20, 60)],
    ['followed by a few octets', (packed: Buffer) => Buffer.concat([packed, Buffer.from('x\n')])],
    ['followed by many', (packed: Buffer) => Buffer.concat([packed, Buffer.alloc(1 << 20, 'x')])],
  ])('is refused when its gzip data is %s', async (_what, harm) => {
    const names = Array.from({ length: 5_000 }, (_, i) => `${(i * 7919) % 10_007}.example`)
    const packed = harm(gzipSync(names.join('\n')))
    await expect(readText(packed)).rejects.toMatchObject({
      code: 'ERR_LIST',
      message: expect.stringContaining('download it again'),
    })
  })

  test('is refused when it unpacks to a hundred times its size', async () => {
    conforms('bombs')
    const bomb = gzipSync('a.example\n'.repeat(4_000_000))
    await expect(readText(bomb)).rejects.toMatchObject({ code: 'ERR_LIST_TOO_LARGE' })
  })

  test('is refused past the limit, packed or not', async () => {
    conforms('bombs')
    const text = 'a.example\n'.repeat(20)
    for (const content of [text, gzipSync(text)]) {
      await expect(readText(content, { octetsMax: 199 })).rejects.toMatchObject({
        code: 'ERR_LIST_TOO_LARGE',
      })
      expect((await readText(content, { octetsMax: 200 })).report.rules).toBe(20)
    }
  })

  test('is named with a remedy when it is missing or a folder', async () => {
    const missing = join(folder, 'missing.txt')
    await expect(readFile(missing)).rejects.toMatchObject({
      code: 'ERR_LIST',
      file: missing,
      message: expect.stringContaining('does not exist; correct the path'),
    })
    await expect(readFile(folder)).rejects.toMatchObject({
      code: 'ERR_LIST',
      message: expect.stringContaining('is a folder'),
    })
  })

  test.each([
    ['<!DOCTYPE html><html><body>Log in</body></html>', 'an HTML page'],
    ['{"list": ["a.example"]}', 'a JSON document'],
    ['a.example\u0000\n', 'a binary file'],
  ])('is refused when it looks like something else: %s', async (content, kind) => {
    conforms('list-compromise')
    for (const packed of [content, gzipSync(content)]) {
      await expect(readText(packed)).rejects.toMatchObject({
        code: 'ERR_LIST',
        message: expect.stringContaining(kind),
      })
    }
  })
})

describe('a list without rules', () => {
  test.each([
    ['', 'comments and blank lines only', 'an empty file'],
    ['# nothing\n\n', 'comments and blank lines only', 'comments'],
    ['404: Not Found\n', 'words where a name should stand', 'an error page'],
    ['1.2.3.4\n1.2.3.5\n', '2 x an IP address', 'addresses'],
    ['a.example/x\n', 'a URL with a path', 'URLs'],
  ])('%j is refused (%s): %s', async (content, found) => {
    await expect(readText(content)).rejects.toMatchObject({
      code: 'ERR_LIST_EMPTY',
      message: expect.stringContaining(found),
    })
  })

  test('is taken when it is curated and holds comments alone', async () => {
    const { report } = await readText('# nothing yet\n', { source: { curated: true } })
    expect(report.rules).toBe(0)
    await expect(readText('', { source: { curated: true } })).rejects.toThrow('no rule')
    await expect(readText('1.2.3.4', { source: { curated: true } })).rejects.toThrow('no rule')
  })

  test('is taken when its rules were refused or exempted, which the report says', async () => {
    expect((await readText('com.cn\n')).report.refusedCount).toBe(1)
    const { report } = await readText('www.ameli.fr\n', { essential: ['ameli.fr'] })
    expect(report.exemptedCount).toBe(1)
  })

  test('is taken when it holds exceptions', async () => {
    expect((await readText('@@||a.example^\n')).report).toMatchObject({ rules: 0, exceptions: 1 })
  })
})

describe('reading', () => {
  test('tells its progress up to the whole file', async () => {
    const text = 'a.example.com\n'.repeat(60_000)
    const seen: number[][] = []
    await readText(text, { onProgress: (...numbers) => seen.push(numbers) })
    expect(seen.length).toBeGreaterThan(1)
    expect(seen.at(-1)?.slice(0, 2)).toEqual([text.length, text.length])
  })

  test.each([['plain'], ['gzip']])('stops when it is told to (%s)', async (kind) => {
    const text = Array.from({ length: 90_000 }, (_, i) => `${(i * 7919) % 100_003}.example.com\n`)
    const file = await stored(kind === 'gzip' ? gzipSync(text.join('')) : text.join(''))
    const stop = new AbortController()
    const sink = collector()
    const reading = readList(
      { name: 'x', category: 'adult', curated: false, file },
      sink,
      { essential: EssentialNames.none() },
      { signal: stop.signal, onProgress: () => stop.abort(new Error('enough')) },
    )
    await expect(reading).rejects.toThrow('enough')
    expect(sink.rules.length).toBeLessThan(90_000)
  })

  test('hands the buffer of a name out once and uses it again', async () => {
    const buffers = new Set<Uint8Array>()
    const file = await stored('a.example\nb.example\n||c.example^\n')
    const source = { name: 'x', category: 'adult', curated: false, file }
    const sink = { add: (name: Uint8Array) => void buffers.add(name) }
    await readList(source, sink, { essential: EssentialNames.none() })
    expect(buffers.size).toBe(1)
  })

  test('leaves the test nothing of the source to guess: the report repeats it', async () => {
    const { report } = await readText('a.example\n', {
      source: { name: 'my list', category: 'vpn' },
    })
    expect(report).toMatchObject({ name: 'my list', category: 'vpn', format: 'plain' })
  })
})
