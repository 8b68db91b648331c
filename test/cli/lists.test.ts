import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXIT } from '../../src/base/errors.ts'
import { REPORTED_MAX } from '../../src/controlplane/blocklist/list-source.ts'
import { runNiveau3 } from '../support/niveau3.ts'
import { run } from './in-process.ts'

let folder: string
let image: string
let compiled: Awaited<ReturnType<typeof runNiveau3>>

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'niveau3-lists-'))
  image = join(folder, 'lists.n3')
  const adult = ['adult.example', 'www.adult.example', 'com.cn', 'sub.ofpra.gouv.fr', 'https://x/y']
  const vpn = ['||vpn.example^', '@@||open.vpn.example^', '||tunnel.example^']
  writeFileSync(join(folder, 'adult.txt'), adult.join('\n'))
  writeFileSync(join(folder, 'vpn.txt'), vpn.join('\n'))
  compiled = await compile('--out', image)
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

function compile(...args: readonly string[]) {
  const lists = ['adult', 'vpn'].flatMap((name) => ['--blocklist', `${name}=${name}.txt`])
  return runNiveau3(['lists', 'compile', ...lists, ...args], { cwd: folder })
}

describe('lists compile', () => {
  test('accounts for every line, and for every rule that it did not obey', () => {
    expect(compiled).toMatchObject({ code: EXIT.ok, stderr: '' })
    const lines = compiled.stdout.split('\n').map((line) => line.replaceAll(/ {2,}/g, '  '))
    expect(lines[0]).toMatch(/^LIST {2}CATEGORY {2}FORMAT {2}RULES {2}EXCEPTIONS/)
    expect(lines[1]).toBe('adult  adult  plain  2  0  1  1  0  1  1  1')
    expect(lines[2]).toBe('vpn  vpn  adblock  2  1  2  0  0  0  0  0')
    expect(lines).toContain('adult: not rules: path 1')
    expect(lines).toContain('adult:3  com.cn  refused: icann-suffix')
    expect(lines).toContain('adult:4  sub.ofpra.gouv.fr  exempted: ofpra.gouv.fr is essential')
    expect(compiled.stdout).toMatch(
      /lists\.n3: 4 names, [\d,]+ octets, [\d.]+ a name, in [\d.]+ s\n/,
    )
  })

  test('--json gives the same as one object, and the same lists the same image', async () => {
    const second = join(folder, 'second.n3')
    const { code, stdout } = await compile('--out', second, '--json')
    expect(code).toBe(EXIT.ok)
    const result = JSON.parse(stdout) as { digest: string }
    expect(result).toMatchObject({
      schema: 'niveau3.lists-compile/1',
      file: second,
      names: 4,
      lists: [
        { name: 'adult', rules: 2, kept: 1, redundant: 1, refusedCount: 1, exemptedCount: 1 },
        { name: 'vpn', rules: 2, exceptions: 1, format: 'adblock' },
      ],
    })
    expect(compiled.stdout).toContain(`digest ${result.digest}\n`)
    expect(readFileSync(second).equals(readFileSync(image))).toBe(true)
  })

  test('a list that is missing, empty or no list writes nothing and ends with 4', async () => {
    writeFileSync(join(folder, 'empty.txt'), '# nothing\n')
    writeFileSync(join(folder, 'page.txt'), '<!doctype html><html></html>')
    for (const [file, code] of [
      ['nowhere.txt', 'ERR_CONFIG'],
      ['empty.txt', 'ERR_LIST_EMPTY'],
      ['page.txt', 'ERR_LIST'],
    ] as const) {
      const args = ['lists', 'compile', '--out', 'no.n3', '--blocklist', `vpn=${file}`, '--json']
      const done = await runNiveau3(args, { cwd: folder })
      expect(done).toMatchObject({ code: EXIT.invalid, stderr: '' })
      expect(JSON.parse(done.stdout)).toMatchObject({ error: { code } })
      expect(existsSync(join(folder, 'no.n3'))).toBe(false)
    }
  })

  test('a configuration with an image has no lists to compile', async () => {
    const { code, stderr } = await run(['lists', 'compile', '--out', join(folder, 'no.n3')], {
      environment: { NIVEAU3_IMAGE: image },
    })
    expect(code).toBe(EXIT.invalid)
    expect(stderr).toMatch(/no lists to compile; give --blocklist/)
  })

  test.each([
    ['.', /cannot write the image .*: it is a directory; name a file in it, such as .*lists\.n3$/m],
    ['nowhere/lists.n3', /: the directory .*nowhere does not exist; make it first$/m],
    ['/dev/null', /: it is not a regular file$/m],
    ['adult.txt/lists.n3', /adult\.txt is not a directory$/m],
  ])('--out %s cannot be written: that is said before any list is read', async (out, message) => {
    const { code, stdout, stderr } = await compile('--out', out)
    expect({ code, stdout }).toEqual({ code: EXIT.error, stdout: '' })
    expect(stderr).toMatch(message)
    expect(stderr).not.toContain('adult.txt:')
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  test('a report that is too long to hold says how many more there are', async () => {
    const lines = [
      'adult.example',
      ...Array.from({ length: REPORTED_MAX + 3 }, () => 'com.cn'),
      ...Array.from({ length: REPORTED_MAX + 2 }, () => 'sub.ofpra.gouv.fr'),
      'ofpra.gouv.fr',
    ]
    writeFileSync(join(folder, 'long.txt'), lines.join('\n'))
    const args = ['lists', 'compile', '--out', 'long.n3', '--blocklist', 'adult=long.txt']
    const { stdout } = await runNiveau3(args, { cwd: folder })
    expect(stdout.split('\n').slice(-6, -3)).toEqual([
      expect.stringMatching(/^long:20004 +sub\.ofpra\.gouv\.fr +exempted/),
      'long: and 3 more refused',
      'long: and 3 more exempted',
    ])
    expect(compiled.stdout).not.toContain(' more ')
  })

  test('--out is needed', async () => {
    expect(await run(['lists', 'compile'])).toMatchObject({ code: EXIT.usage })
  })
})

describe('lists inspect', () => {
  test('prints sections, categories, labels and lists', async () => {
    const { code, json } = await run(['lists', 'inspect', image, '--json'])
    expect(code).toBe(EXIT.ok)
    expect(json()).toMatchObject({
      schema: 'niveau3.lists-inspect/1',
      names: 4,
      categories: [
        { name: 'adult', names: 1 },
        { name: 'vpn', names: 2 },
      ],
      labels: [
        { labels: 2, names: 3 },
        { labels: 3, names: 1 },
      ],
      lists: [{ name: 'adult' }, { name: 'vpn' }],
    })
    const { stdout } = await run(['lists', 'inspect', image])
    expect(stdout).toMatch(/^digest [0-9a-f]{64}$/m)
    expect(stdout).toMatch(/^CATEGORY {2}NAMES\nadult +1\nvpn +2\nall +4$/m)
  })

  test('a damaged image is refused with its name', async () => {
    const octets = readFileSync(image)
    octets[octets.length - 3]! ^= 0x10
    const damaged = join(folder, 'damaged.n3')
    writeFileSync(damaged, octets)
    for (const file of [damaged, join(folder, 'nowhere.n3')]) {
      const { code, stderr } = await run(['lists', 'inspect', file])
      expect(code).toBe(EXIT.invalid)
      expect(stderr).toContain(file)
    }
  })
})

describe('lists search', () => {
  test('finds the stored names at and below a name', async () => {
    const { stdout, stderr } = await run(['lists', 'search', 'VPN.example', '--image', image])
    const lines = stdout.split('\n').map((line) => line.replaceAll(/ {2,}/g, '  '))
    expect(lines.toSorted()).toEqual([
      '',
      'open.vpn.example  opened  and below  -',
      'vpn.example  vpn  and below  vpn',
    ])
    expect(stderr).toBe('2 stored names\n')
  })

  test('tells the name above that covers a redundant one, and stops at the limit', async () => {
    const redundant = ['lists', 'search', 'www.adult.example', '--image', image, '--json']
    expect((await run(redundant)).json()).toEqual({
      schema: 'niveau3.lists-search/1',
      suffix: 'www.adult.example',
      generation: null,
      lists: [],
      coveredBy: 'adult.example',
      count: 0,
      names: [],
    })
    const limited = ['lists', 'search', 'example', '--image', image, '--limit', '2', '--json']
    const { json } = await run(limited)
    expect(json()).toMatchObject({ coveredBy: null, count: 4 })
    expect(json()['names']).toHaveLength(2)
    expect(await run(['lists', 'search', 'x', '--limit', '0'])).toMatchObject({ code: EXIT.usage })
  })

  test('a name that ends in the same letters is another name', async () => {
    const { stderr } = await run(['lists', 'search', 'pn.example', '--image', image])
    expect(stderr).toBe('0 stored names\n')
  })
})

test('check explains an image by its sources, and without them', async () => {
  const args = ['check', 'tunnel.example', '--image', image, '--json']
  const blocked = { verdict: 'blocked', category: 'vpn', list: 'vpn' }
  expect((await run(args)).json()['results']).toMatchObject([
    { ...blocked, rule: { line: 3, text: '||tunnel.example^' } },
  ])
  const source = join(folder, 'vpn.txt')
  writeFileSync(source, '||tunnel.example^\n# changed since\n')
  expect((await run(args)).json()['results']).toMatchObject([{ ...blocked, rule: null }])
  rmSync(source)
  rmSync(join(folder, 'adult.txt'))
  expect((await run(args)).json()['results']).toMatchObject([{ ...blocked, rule: null }])
})
