import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeInstallation, manyNames, type Installation } from '../generations/installation.ts'
import { run } from './in-process.ts'

let house: Installation

beforeAll(async () => {
  house = await makeInstallation()
  const file = join(house.folder, 'mine.txt')
  await house.subscribe({ name: 'mine', url: `file://${file}` })
  await writeFile(file, `${manyNames(100)}always.example\n`)
  await house.update()
  await writeFile(file, `${manyNames(100)}always.example\nlater.example\n`)
  await house.update()
  await writeFile(file, `${manyNames(100)}always.example\nlater.example\nlatest.example\n`)
  await house.update()
})
afterAll(() => house.remove())

function check(...args: readonly string[]): ReturnType<typeof run> {
  return run(['check', '--state-dir', house.folder, ...args])
}

/** A finding of a name that no list is asked about. */
function decided(name: string): object {
  const lists = { step: 'lists', result: 'not reached' }
  return { name, change: null, steps: expect.arrayContaining([expect.objectContaining(lists)]) }
}

async function search(name: string): Promise<Record<string, unknown>> {
  const args = ['lists', 'search', name, '--json', '--limit', '2', '--state-dir', house.folder]
  return (await run(args)).json()
}

describe('check, of an installation with generations', () => {
  test('tells each step, the line of the list, since when, and what would change it', async () => {
    const { code, stdout } = await check('www.later.example')
    expect(code).toBe(0)
    const lines = stdout.split('\n')
    expect(lines[0]).toBe('www.later.example  BLOCKED: category adult')
    expect(lines.slice(1, 7)).toEqual([
      '  1 special names    none',
      '  2 operator         no rule, no pause',
      '  3 essential names  none',
      `  4 lists            mine: blocks it (generation 3 of ${house.folder}, no server runs)   <- decided here`,
      '  5 categories       adult is blocked',
      '  6 answer           not reached',
    ])
    expect(lines[7]).toMatch(
      /^ {2}rule {4}list mine \(adult\), .*\/lists\/mine\/[0-9a-f]+\.list:102: later\.example and all below$/,
    )
    expect(lines[8]).toMatch(/^ {2}since {3}generation 2 \([\d-]+ [\d:]+ UTC\)$/)
    expect(lines[9]).toMatch(/^ {2}answer {2}NXDOMAIN; later\.example\. 60 SOA /)
    expect(lines[10]).toBe('  change  niveau3 allow www.later.example --for 2h --reason TEXT')
  })

  test('the oldest kept generation may not be the first that had the rule, and says so', async () => {
    const { json } = await check('always.example', 'latest.example', 'free.example', '--json')
    expect(json()).toMatchObject({
      results: [
        { verdict: 'blocked', since: { generation: 1, isOldestKept: true } },
        { verdict: 'blocked', since: { generation: 3, isOldestKept: false } },
        { verdict: 'passed', since: null, change: 'niveau3 deny free.example --reason TEXT' },
      ],
    })
  })

  test('goes back with a rollback', async () => {
    expect((await run(['lists', 'rollback', '1', '--state-dir', house.folder])).code).toBe(0)
    const { json } = await check('later.example', 'always.example', '--json')
    expect(json()).toMatchObject({
      results: [
        { name: 'later.example', verdict: 'passed', reason: 'no-rule' },
        { name: 'always.example', verdict: 'blocked', since: { generation: 1 } },
      ],
    })
    await run(['lists', 'rollback', '3', '--state-dir', house.folder])
    expect((await run(['lists', 'resume', '--state-dir', house.folder])).code).toBe(0)
  })

  test('essential and special names are decided before the lists, and nothing would change that', async () => {
    const { json } = await check('www.ofpra.gouv.fr', 'x.onion', '--json')
    expect(json()).toMatchObject({ results: [decided('www.ofpra.gouv.fr'), decided('x.onion')] })
  })
})

describe('lists search, of an installation with generations', () => {
  test('shows the generation, and which subscribed lists have the name, its parents or children', async () => {
    expect(await search('bad.example')).toMatchObject({
      generation: 3,
      count: 100,
      coveredBy: null,
      lists: [{ list: 'mine', category: 'adult', holds: false, coveredBy: null, below: 100 }],
    })
    expect(await search('www.later.example')).toMatchObject({
      count: 0,
      coveredBy: 'later.example',
      lists: [{ list: 'mine', holds: false, coveredBy: 'later.example', below: 0 }],
    })
    expect(await search('later.example')).toMatchObject({ lists: [{ holds: true, below: 0 }] })
    expect(await search('nobody.example')).toMatchObject({ count: 0, lists: [] })
  })
})
