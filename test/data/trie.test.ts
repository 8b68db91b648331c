/** Every real list, compiled and read back name by name, against a plain table of its rules. */

import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { beforeAll, describe, expect, test } from 'vitest'

import { OperationalError } from '../../src/base/errors.ts'
import { EssentialNames } from '../../src/controlplane/blocklist/essential.ts'
import { readList } from '../../src/controlplane/blocklist/read-list.ts'
import {
  ACTION_EXCEPT,
  COVERS_BELOW,
  COVERS_SELF,
  type RuleSink,
} from '../../src/controlplane/blocklist/rule.ts'
import { buildImage } from '../../src/controlplane/compiler/build-image.ts'
import { compile } from '../../src/controlplane/compiler/compile.ts'
import { RuleCollector } from '../../src/controlplane/compiler/rule-collector.ts'
import { Matcher } from '../../src/trie/lookup.ts'
import { openTrie } from '../../src/trie/open.ts'
import { storedNames } from '../../src/trie/stored-names.ts'

const DATA = resolve(process.env['NIVEAU3_DATA'] ?? '../shared/data')
const LISTS = ['adult', 'vpn', 'vpn/az0', 'darkweb', 'allow']

beforeAll(() => {
  if (!existsSync(join(DATA, 'MANIFEST.md'))) {
    throw new Error(`no lists in ${DATA}; set NIVEAU3_DATA to the folder that holds them`)
  }
})

/** Coverage bits of blocks, and two places higher those of exceptions, by wire name as latin1. */
type RuleTable = Map<string, number>

function recorder(table: RuleTable, next: RuleSink): RuleSink {
  return {
    add: (name, octets, coverage, action, line) => {
      const key = Buffer.from(name.subarray(0, octets)).toString('latin1')
      const bits = action === ACTION_EXCEPT ? coverage << 2 : coverage
      table.set(key, (table.get(key) ?? 0) | bits)
      next.add(name, octets, coverage, action, line)
    },
  }
}

/** The longest rule that covers the name decides; an exception wins over a block of one length. */
function isBlocked(table: RuleTable, name: string): boolean {
  for (let at = 0; name.codePointAt(at) !== 0; at += name.codePointAt(at)! + 1) {
    const asked = at === 0 ? COVERS_SELF : COVERS_BELOW
    const bits = table.get(name.slice(at)) ?? 0
    if (((bits >>> 2) & asked) !== 0) return false
    if ((bits & asked) !== 0) return true
  }
  return false
}

async function tableAndTrie(files: readonly string[], category: string) {
  const collector = new RuleCollector()
  const table: RuleTable = new Map()
  const facts = []
  for (const file of files) {
    const source = { name: file, category, file: join(DATA, file), curated: false }
    const sink = recorder(table, collector.addList(file))
    const { sha256, octets } = await readList(source, sink, { essential: EssentialNames.none() })
    const texts = { date: '', licence: '', attribution: '' }
    facts.push({ name: file, category, source: file, sha256, octets, ...texts })
  }
  return { table, ...buildImage(collector, facts) }
}

/** Asks for every name of the table, and for one below and one beside it. */
function disagreements(table: RuleTable, image: SharedArrayBuffer): string[] {
  const matcher = new Matcher(openTrie(image))
  const wrong: string[] = []
  for (const key of table.keys()) {
    const beside = `${key.slice(0, 1)}0${key.slice(2)}`
    for (const name of [key, `\u0003www${key}`, beside, key.toUpperCase()]) {
      if (name.length > 255) continue
      // toUpperCase changes octets above 127 too: those are asked as they are.
      const octets = Buffer.from(name, 'latin1')
      if (octets.length !== name.length || /[^\0-\u007f]/.test(name)) continue
      const expected = isBlocked(table, name.toLowerCase())
      if ((matcher.find(octets, 0) !== 0) !== expected) wrong.push(JSON.stringify(name))
    }
  }
  return wrong.slice(0, 20)
}

describe('every list of the data folder', () => {
  const files = LISTS.flatMap((folder) =>
    existsSync(join(DATA, folder))
      ? readdirSync(join(DATA, folder), { withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(folder, entry.name))
      : [],
  )

  test.each(files)('%s: each name answers as its rules say', async (file) => {
    try {
      const { table, image, names } = await tableAndTrie([file], 'adult')
      expect(disagreements(table, image)).toEqual([])
      const stored = [...storedNames(openTrie(image))]
      expect(stored).toHaveLength(names)
      const missing = stored.filter(({ name }) => !table.has(Buffer.from(name).toString('latin1')))
      expect(missing).toEqual([])
    } catch (error) {
      // Files without a rule that DNS can express are refused by the reader, with a code.
      if (!(error instanceof OperationalError)) throw error
      expect(error.code).toMatch(/^ERR_LIST/)
    }
  })
})

describe('the benchmark set', () => {
  const adult = ['adult/union-open.txt.gz']
  const vpn = ['vpn/ut1-vpn.txt.gz', 'vpn/ut1-redirector.txt.gz', 'vpn/ut1-doh.txt']
  const sources = [...adult, ...vpn].map((file) => ({
    name: file,
    category: adult.includes(file) ? 'adult' : 'vpn',
    file: join(DATA, file),
    curated: false,
  }))

  async function compiled(order: typeof sources) {
    const essential = EssentialNames.none()
    return compile(order, { readList: (source, sink) => readList(source, sink, { essential }) })
  }

  test('takes less than 5 octets a name, the same octets in any order of lists', async () => {
    const first = await compiled(sources)
    const second = await compiled(sources.toReversed())
    expect(first.image.byteLength / first.names).toBeLessThan(6)
    expect(first.names).toBeGreaterThan(800_000)
    expect(openTrie(second.image).digest).toBe(openTrie(first.image).digest)
  })

  test('every name has exactly the categories of the lists that cover it', async () => {
    const { image } = await compiled(sources)
    const trie = openTrie(image)
    const matcher = new Matcher(trie)
    const tables = [
      { category: 'adult', table: (await tableAndTrie(adult, 'adult')).table },
      { category: 'vpn', table: (await tableAndTrie(vpn, 'vpn')).table },
    ]
    let wrong = 0
    for (const { table } of tables) {
      for (const key of table.keys()) {
        const bits = matcher.find(Buffer.from(key, 'latin1'), 0)
        for (const judge of tables) {
          const bit = 1 << trie.categories.indexOf(judge.category)
          if (((bits & bit) !== 0) !== isBlocked(judge.table, key)) wrong++
        }
      }
    }
    expect(wrong).toBe(0)
  })
})
