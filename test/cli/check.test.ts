import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXIT } from '../../src/base/errors.ts'
import { run, type RunOptions } from './in-process.ts'

let folder: string
let lists: readonly string[]

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'niveau3-check-'))
  const vpn = ['# endpoints', '||vpn.example^', '@@||open.vpn.example^', 'full:exact.example']
  const adult = ['adult.example', 'com.cn', 'ofpra.gouv.fr', 'sub.vpn.example']
  const own = ['host.drugs.example', '@@||adult.example^']
  writeFileSync(join(folder, 'vpn.txt'), vpn.join('\n'))
  writeFileSync(join(folder, 'adult.txt'), adult.join('\n'))
  writeFileSync(join(folder, 'own.txt'), own.join('\n'))
  lists = ['vpn', 'adult', 'own'].flatMap((category) => [
    '--blocklist',
    `${category}=${join(folder, `${category}.txt`)}`,
  ])
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

interface Rule {
  readonly list: string
  readonly line: number
  readonly text: string
  readonly fate: string
}

interface Result {
  readonly name: string
  readonly verdict: string
  readonly reason: string
  readonly category: string | null
  readonly list: string | null
  readonly rule: Rule | null
  readonly answer: { rcode: string; answers: unknown[]; authorities: { name: string }[] } | null
  readonly otherRules: readonly Rule[]
}

async function check(name: string, args: readonly string[] = [], options: RunOptions = {}) {
  const done = await run(['check', name, '--json', ...lists, ...args], options)
  expect(done).toMatchObject({ code: EXIT.ok, stderr: '' })
  const { results } = done.json() as { results: Result[] }
  expect(results).toHaveLength(1)
  return results[0]!
}

describe('a blocked name', () => {
  test('is told with category, list, line and text of its rule, and the answer', async () => {
    expect(await check('WWW.adult.example')).toMatchObject({
      name: 'www.adult.example',
      verdict: 'blocked',
      reason: 'rule',
      category: 'adult',
      list: 'adult',
      rule: {
        category: 'adult',
        file: join(folder, 'adult.txt'),
        line: 1,
        text: 'adult.example',
        covers: 'adult.example and all below',
        action: 'block',
        fate: 'obeyed',
      },
      answer: {
        rcode: 'NXDOMAIN',
        answers: [],
        authorities: [{ name: 'adult.example.', type: 'SOA', ttl: 60 }],
        errors: [{ code: 15, name: 'Blocked', text: 'category adult' }],
      },
    })
  })

  test('stays blocked when another list has an exception for it', async () => {
    const { verdict, otherRules } = await check('adult.example')
    expect(verdict).toBe('blocked')
    expect(otherRules).toMatchObject([{ list: 'own', line: 2, action: 'except' }])
  })

  test('names the longest rule of its category first, and every other rule', async () => {
    const found = await check('sub.vpn.example')
    expect(found).toMatchObject({ category: 'adult', rule: { line: 4, text: 'sub.vpn.example' } })
    expect(found.otherRules).toMatchObject([{ list: 'vpn', line: 2, text: '||vpn.example^' }])
  })

  test('gets NODATA where its rule is exact or something below it is open', async () => {
    expect((await check('exact.example')).answer?.rcode).toBe('NOERROR')
    expect((await check('vpn.example')).answer?.rcode).toBe('NOERROR')
  })

  test('is answered as its category is configured', async () => {
    const environment = { NIVEAU3_CATEGORIES__OWN: '{response: address, ipv4: 10.0.0.80}' }
    const page = await check('host.drugs.example', [], { environment })
    expect(page.answer).toMatchObject({ rcode: 'NOERROR', answers: [{ data: '10.0.0.80' }] })
    const other = await check('host.drugs.example', ['--type', 'AAAA'], { environment })
    expect(other.answer).toMatchObject({ rcode: 'NOERROR', answers: [] })
  })

  test('ends with 10 under --exit-code, and with 0 without it', async () => {
    const args = ['check', 'adult.example', 'free.example', ...lists]
    expect((await run([...args, '--exit-code'])).code).toBe(EXIT.wouldBlock)
    expect((await run(args)).code).toBe(EXIT.ok)
    const free = await run(['check', 'free.example', '--exit-code', ...lists])
    expect(free.code).toBe(EXIT.ok)
  })
})

describe('a name that is not blocked', () => {
  test.each([
    ['free.example', 'no-rule', null],
    ['a.exact.example', 'no-rule', null],
    ['example', 'no-rule', null],
    ['www.ofpra.gouv.fr', 'essential', 'adult:3 exempted'],
    ['some.com.cn', 'refused-rule', 'adult:2 refused'],
    ['x.open.vpn.example', 'exception', 'vpn:3 obeyed'],
  ])('%s: %s', async (name, reason, rule) => {
    const found = await check(name)
    expect(found).toMatchObject({ verdict: 'passed', reason, category: null, answer: null })
    const told = found.rule && `${found.rule.list}:${found.rule.line} ${found.rule.fate}`
    expect(told).toBe(rule)
  })

  test('may have a rule in a category that is switched off', async () => {
    const environment = { NIVEAU3_CATEGORIES__ADULT__BLOCKED: 'false' }
    const found = await check('adult.example', [], { environment })
    expect(found).toMatchObject({ verdict: 'passed', reason: 'category-off', list: 'adult' })
  })

  test('may be special, whatever the lists say', async () => {
    expect(await check('x.onion')).toMatchObject({
      verdict: 'local',
      reason: 'special-name',
      answer: { rcode: 'NXDOMAIN', authorities: [{ name: 'onion.' }] },
    })
    const localhost = await check('localhost', ['--type', 'AAAA'])
    expect(localhost.answer?.answers).toMatchObject([{ data: '::1' }])
  })

  test('is judged by the policy of the site that the client is in', async () => {
    const config = join(folder, 'sites.yaml')
    writeFileSync(
      config,
      'sites: [{name: lyon, from: [203.0.113.0/24], categories: {adult: {blocked: false}}}]\n',
    )
    const args = ['check', 'adult.example', '--config', config, ...lists]
    const there = await run([...args, '--client', '203.0.113.1', '--json'])
    expect(there.json()).toMatchObject({ client: '203.0.113.1', site: 'lyon' })
    expect(there.json()['results']).toMatchObject([{ verdict: 'passed', reason: 'category-off' }])
    const elsewhere = await run([...args, '--client', '10.0.0.1', '--json'])
    expect(elsewhere.json()).toMatchObject({ site: null, results: [{ verdict: 'blocked' }] })
    const { stdout } = await run([...args, '--client', '203.0.113.1'])
    expect(stdout).toMatch(/^203\.0\.113\.1 is at the site lyon\n/)
  })

  test('gets no answer where the client is a stranger', async () => {
    const stranger = await check('adult.example', ['--client', '203.0.113.1'])
    expect(stranger).toMatchObject({ verdict: 'dropped', reason: 'client' })
    const own = await check('adult.example', ['--client', '192.168.1.7'])
    expect(own.verdict).toBe('blocked')
  })
})

describe('a name as a browser shows it', () => {
  test.each([
    ['http://www.adult.example/x?y#z', 'www.adult.example'],
    ['HTTPS://adult.example:8443', 'adult.example'],
    ['adult.example:443', 'adult.example'],
    ['www.adult.example/a/b', 'www.adult.example'],
  ])('%s is taken as the list reader takes it, and that is said', async (text, name) => {
    const done = await run(['check', text, '--json', ...lists])
    expect(done.json()['results']).toMatchObject([{ name: name.toLowerCase(), verdict: 'blocked' }])
    expect(done.stderr).toBe(`"${text}" is taken as the name ${name}\n`)
  })

  test.each(['_dmarc.adult.example', '*.adult.example', 'a\\047b.adult.example', 'ADULT.example.'])(
    '%s is a name already',
    async (name) => {
      expect((await check(name)).verdict).toBe('blocked')
    },
  )

  test.each([
    ['exa mple', /"exa mple" is no name: a host has letters/],
    ['1.2.3.4', /"1\.2\.3\.4" is no name: it is an address/],
    ['http://1.2.3.4:80/x', /it is an address/],
    ['10.0.0.0/8', /it is an address/],
    ['2001:db8::1', /it is an address/],
    ['https://[2001:db8::1]:443/', /it is an address/],
    ['user@adult.example', /a host has letters/],
    ['http:///x', /it is empty/],
  ])('%s is none', async (text, message) => {
    for (const command of ['check', 'query']) {
      const { code, stdout, stderr } = await run([command, text])
      expect({ code, stdout }).toEqual({ code: EXIT.usage, stdout: '' })
      expect(stderr).toMatch(message)
    }
  })
})

describe('for people', () => {
  test('each name has one block of lines', async () => {
    const { code, stdout } = await run(['check', 'adult.example', 'free.example', ...lists])
    expect(code).toBe(EXIT.ok)
    expect(stdout.replaceAll(`${folder}/`, '').split('\n')).toEqual([
      'adult.example  BLOCKED: category adult',
      '  1 special names    none',
      '  2 operator         no rule, no pause',
      '  3 essential names  none',
      '  4 lists            adult: blocks it (the lists that are named)   <- decided here',
      '  5 categories       adult is blocked',
      '  6 answer           not reached',
      '  rule    list adult (adult), adult.txt:1: adult.example and all below',
      expect.stringMatching(
        /^ {2}answer {2}NXDOMAIN; adult\.example\. 60 SOA .*; EDE 15 \(Blocked\)/,
      ),
      '  also    list own (exception), own.txt:2: @@||adult.example^ (adult.example and all below)',
      'free.example  not blocked: no list has a rule for it',
      '  1 special names    none',
      '  2 operator         no rule, no pause',
      '  3 essential names  none',
      '  4 lists            no list has a rule for it (the lists that are named)   <- decided here',
      '  5 categories       not reached',
      '  6 answer           its aliases, targets and addresses are judged as well',
      '',
    ])
  })

  test.each([
    [['a..b'], 'usage', /"a\.\.b" is no name: it has two dots in a row/],
    [['x', '--type', 'AXFR'], 'usage', /no record type|AXFR/],
    [['x', '--type', 'TYPE252'], 'usage', /type TYPE252 is refused/],
    [['x', '--client', 'here'], 'usage', /--client: "here" is not an IP address/],
    [['x', '--blocklist', 'vpn=nowhere.txt'], 'invalid', /nowhere\.txt does not exist/],
    [['x', '--image', 'package.json'], 'invalid', /package\.json: not a compiled blocklist/],
  ] as const)('%j ends with an error', async (args, exit, message) => {
    const { code, stdout, stderr } = await run(['check', ...args])
    expect({ code, stdout }).toEqual({ code: EXIT[exit], stdout: '' })
    expect(stderr).toMatch(message)
  })

  test('the built-in lists and essential names are used when nothing is configured', async () => {
    const { json } = await run(['check', 'www.torproject.org', 'ofpra.gouv.fr', '--json'])
    expect(json()['results']).toMatchObject([
      { verdict: 'blocked', category: 'darkweb', rule: { list: 'darkweb' } },
      { verdict: 'passed', reason: 'essential' },
    ])
  })
})
