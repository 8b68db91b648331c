import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { unpackUt1 } from '../../../src/controlplane/blocklist/download/unpack-ut1.ts'
import { EssentialNames } from '../../../src/controlplane/blocklist/essential.ts'
import { nameToText } from '../../../src/controlplane/blocklist/name-text.ts'
import { readList } from '../../../src/controlplane/blocklist/read-list.ts'
import { ACTION_EXCEPT } from '../../../src/controlplane/blocklist/rule.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-ut1-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

type TarEntry = { readonly name: string; readonly text?: string; readonly link?: string }

/** Packs entries as tar.gz into `archive.tar.gz` and returns its path. */
async function archive(entries: readonly TarEntry[], cutAt?: number): Promise<string> {
  const tar = pack()
  for (const { name, text: content, link } of entries) {
    if (link === undefined) tar.entry({ name }, content ?? '')
    else tar.entry({ name, type: 'symlink', linkname: link })
  }
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar) chunks.push(Buffer.from(chunk as Uint8Array))
  const file = join(folder, 'archive.tar.gz')
  await writeFile(file, gzipSync(Buffer.concat(chunks).subarray(0, cutAt)))
  return file
}

const target = (): string => join(folder, 'list.txt')
const unpacked = async (entries: readonly TarEntry[], sections?: readonly string[]) =>
  unpackUt1(await archive(entries), target(), { sections })

describe('an archive in the layout of Toulouse', () => {
  test('gives names of black sections as rules, of white ones as exceptions', async () => {
    const reports = await unpacked([
      { name: 'blacklists/adult/domains', text: 'a.example\nb.example\n10.0.0.1\n' },
      { name: 'blacklists/adult/urls', text: 'c.example/x\n' },
      { name: 'blacklists/adult/expressions', text: '(a|b)\n(c)\n' },
      { name: 'blacklists/sexual_education/domains', text: 'help.a.example\n' },
      { name: 'blacklists/adult/usage', text: 'black\n' },
      { name: 'blacklists/sexual_education/usage', text: 'white\neducation sexuelle\n' },
    ])
    expect(reports).toEqual([
      { section: 'adult', use: 'black', names: 3, urls: 1, expressions: 2 },
      { section: 'sexual_education', use: 'white', names: 1, urls: 0, expressions: 0 },
    ])
    const rules: string[] = []
    const source = { name: 'ut1', category: 'adult', file: target(), curated: false }
    const sink = {
      add: (name: Uint8Array, octets: number, _coverage: number, action: number) =>
        void rules.push(`${action === ACTION_EXCEPT ? '@@' : ''}${nameToText(name, octets)}`),
    }
    const report = await readList(source, sink, { essential: EssentialNames.none() })
    expect(rules).toEqual(['a.example', 'b.example', '@@help.a.example'])
    expect(report.notRules.address).toBe(1)
  })

  test('gives the sections that are asked for; both uses in one file mean black', async () => {
    const reports = await unpacked(
      [
        { name: './webmail/domains', text: 'mail.example' },
        { name: './webmail/usage', text: 'black\nwhite\n' },
        { name: './press/domains', text: 'press.example\n' },
      ],
      ['webmail'],
    )
    expect(reports).toMatchObject([{ section: 'webmail', use: 'black', names: 1 }])
    expect(await readFile(target(), 'utf8')).toBe('# webmail (black)\nmail.example\n')
  })

  test('may hold links and other files, which are passed over', async () => {
    const reports = await unpacked([
      { name: 'blacklists/LICENSE.pdf', text: '%PDF' },
      { name: 'blacklists/porn', link: 'adult' },
      { name: 'blacklists/stolen/domains', link: '/etc/passwd' },
      { name: 'blacklists/adult/domains', text: 'a.example\n' },
    ])
    expect(reports).toMatchObject([{ section: 'adult', names: 1 }])
  })
})

describe('an archive that is refused', () => {
  const adult = { name: 'adult/domains', text: 'a.example\n' }

  test.each(['../adult/domains', '/etc/domains', 'adult/../../domains'])('%s', async (name) => {
    await expect(unpacked([adult, { name, text: 'x' }])).rejects.toThrow(/leads out of the archive/)
  })

  test('lacks a section, or every section', async () => {
    await expect(unpacked([adult], ['vpn'])).rejects.toThrow(
      /no names of section vpn; it has adult/,
    )
    await expect(unpacked([{ name: 'a.txt', text: 'x' }])).rejects.toThrow(/no section/)
    await expect(unpacked([])).rejects.toThrow(/it holds nothing/)
  })

  test('is cut short, as tar or as gzip, or is no archive', async () => {
    const long = { name: 'adult/domains', text: 'a.example\n'.repeat(1000) }
    const cut = await archive([long], 4096)
    await expect(unpackUt1(cut, target())).rejects.toThrow(/cut short/)
    const whole = await readFile(await archive([long]))
    await writeFile(cut, whole.subarray(0, whole.length - 20))
    await expect(unpackUt1(cut, target())).rejects.toThrow(/damaged or cut gzip/)
    await writeFile(cut, '<html>'.repeat(500))
    await expect(unpackUt1(cut, target())).rejects.toThrow(/no tar archive/)
  })

  test('is a bomb', async () => {
    const bomb = { name: 'adult/domains', text: 'a.example\n'.repeat(2_000_000) }
    await expect(unpacked([bomb])).rejects.toMatchObject({ code: 'ERR_LIST_TOO_LARGE' })
  })
})

test('a folder that is not there is an error of the disk', async () => {
  const file = await archive([{ name: 'adult/domains', text: 'a.example\n' }])
  const gone = join(folder, 'gone', 'list.txt')
  await expect(unpackUt1(file, gone)).rejects.toMatchObject({ code: 'ERR_WRITE' })
  expect(await text((await import('node:fs')).createReadStream(file, { end: 1 }))).toHaveLength(2)
})
