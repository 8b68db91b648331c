import { describe, expect, test } from 'vitest'
import { hotPathFaults, isHot } from './hot-path.ts'
import { docstringFaults, sizeFaults, wordFaults } from './house.ts'
import { importFaults, importsOf } from './imports.ts'
import { parseSource } from './source.ts'

function importMessages(path: string, text: string, cliShared: readonly string[] = []): string[] {
  return importFaults(parseSource(path, text), cliShared).map((fault) => fault.message)
}

function hotRules(text: string): string[] {
  const faults = hotPathFaults(parseSource('src/wire/name.ts', text))
  return faults.map((fault) => `${fault.rule}${fault.within === '' ? '' : ` in ${fault.within}`}`)
}

function sizeRules(text: string, path = 'src/base/a.ts'): string[] {
  return sizeFaults(parseSource(path, text)).map((fault) => fault.rule)
}

function lines(count: number): string {
  return 'g()\n'.repeat(count)
}

describe('import rules', () => {
  const refused: readonly (readonly [string, string, RegExp])[] = [
    ['src/base/errors.ts', '../wire/name.ts', /base may not import wire/],
    ['src/wire/name.ts', '../trie/lookup.ts', /wire may not import trie/],
    ['src/trie/lookup.ts', '../wire/name.ts', /trie may not import wire/],
    ['src/wire/name.ts', '../sys/libc.ts', /wire may not import sys/],
    ['src/dataplane/transport/udp.ts', 'koffi', /dataplane may not import koffi/],
    ['src/wire/name.ts', '../dataplane/query.ts', /wire may not import dataplane/],
    ['src/dataplane/pipeline.ts', '../controlplane/config/load.ts', /may not import controlplane/],
    ['src/dataplane/cache/key.ts', '../policy/decide.ts', /cache may not import policy/],
    ['src/dataplane/cache/key.ts', '../pipeline.ts', /cache may not import pipeline.ts/],
    ['src/dataplane/query.ts', './cache/key.ts', /query.ts may not import cache/],
    ['src/dataplane/quic/a.ts', '../query.ts', /quic is no room of the data plane/],
    ['src/dataplane/policy/decide.ts', 'zod', /dataplane may not import zod/],
    ['src/dataplane/policy/decide.ts', 'dns-packet', /dataplane may not import dns-packet/],
    ['src/dataplane/pipeline.ts', 'prom-client', /dataplane may not import prom-client/],
    ['src/dataplane/policy/decide.ts', 'lru-cache', /dataplane may not import lru-cache/],
    ['src/wire/name.ts', 'node:buffer', /wire may not import node:buffer/],
    ['src/dataplane/policy/decide.ts', 'node:fs', /dataplane may not import node:fs/],
    ['src/dataplane/pipeline.ts', 'node:worker_threads', /may not import node:worker_threads/],
    ['src/controlplane/config/load.ts', '../../../test/a.ts', /leaves src/],
    ['src/controlplane/config/load.ts', './schema.js', /does not end in .ts/],
    ['src/controlplane/config/load.ts', '../../bin.ts', /controlplane may not import bin/],
    ['src/attic/a.ts', '../base/units.ts', /attic is no room of the house/],
    ['src/controlplane/cli/check.ts', './serve.ts', /may not import the command serve.ts/],
  ]
  test.each(refused)('%s may not import %s', (path, specifier, message) => {
    expect(importMessages(path, `import { a } from '${specifier}'`)).toEqual([
      expect.stringMatching(message),
    ])
  })

  const welcome: readonly (readonly [string, string])[] = [
    ['src/bin.ts', './controlplane/cli/main.ts'],
    ['src/base/clock.ts', './units.ts'],
    ['src/wire/name.ts', '../base/units.ts'],
    ['src/wire/name.ts', './header.ts'],
    ['src/dataplane/cache/key.ts', '../../wire/name.ts'],
    ['src/dataplane/transport/udp.ts', '../../sys/libc.ts'],
    ['src/sys/libc.ts', 'koffi'],
    ['src/dataplane/cache/key.ts', '../query.ts'],
    ['src/dataplane/cache/memory-cache.ts', 'lru-cache'],
    ['src/dataplane/pipeline.ts', './policy/decide.ts'],
    ['src/dataplane/worker.ts', './pipeline.ts'],
    ['src/dataplane/worker-thread.ts', 'node:worker_threads'],
    ['src/dataplane/transport/udp.ts', 'node:dgram'],
    ['src/dataplane/upstream/pending.ts', 'node:crypto'],
    ['src/controlplane/cli/main.ts', './serve.ts'],
    ['src/controlplane/cli/serve.ts', './progress.ts'],
    ['src/controlplane/config/load.ts', 'node:fs'],
    ['src/controlplane/admin/metrics.ts', '../../dataplane/counters.ts'],
    ['src/controlplane/compiler/compile.ts', 'zod'],
  ]
  test.each(welcome)('%s may import %s', (path, specifier) => {
    expect(importMessages(path, `import { a } from '${specifier}'`, ['progress.ts'])).toEqual([])
  })

  test('a file of the data plane that is no assembly knows one room at most', () => {
    const one =
      "import { a } from './upstream/pending.ts'\nimport { b } from './upstream/random.ts'"
    expect(importMessages('src/dataplane/waiting-queries.ts', one)).toEqual([])
    const two = `${one}\nimport { c } from './cache/memory-cache.ts'`
    expect(importMessages('src/dataplane/waiting-queries.ts', two)).toEqual([
      expect.stringMatching(/only pipeline.ts and arrivals.ts and worker.ts/),
    ])
    expect(importMessages('src/dataplane/pipeline.ts', two)).toEqual([])
  })

  test('every way to import counts, types too', () => {
    const text = `import type { A } from './a.ts'
import { type B } from './b.ts'
export { c } from './c.ts'
export * from './d.ts'
type E = import('./e.ts').E
const f = async () => import('./f.ts')
import './g.ts'
const h = async (name: string) => import(name)`
    expect(importsOf(parseSource('src/a.ts', text)).map((found) => found.specifier)).toEqual([
      './a.ts',
      './b.ts',
      './c.ts',
      './d.ts',
      './e.ts',
      './f.ts',
      './g.ts',
      '(computed)',
    ])
  })

  test('a barrel is refused', () => {
    expect(importMessages('src/wire/index.ts', '')).toEqual([expect.stringMatching('index.ts')])
  })
})

describe('hot-path rules', () => {
  const broken: readonly (readonly [string, string, string])[] = [
    ['an async function', 'async function ask() {}', 'async in ask'],
    ['await', 'class A { async m() { await 1 } }', 'async in m,async in m'],
    ['an arrow function', 'function f() { return () => 1 }', 'closure in f'],
    ['a function expression', 'function f() { g(function () {}) }', 'closure in f'],
    ['spread of a list', 'function f(a) { g(...a) }', 'spread in f'],
    ['a rest parameter', 'function f(...a) {}', 'spread in f'],
    ['new', 'function f() { return new Map() }', 'new in f'],
    ['an object literal', 'function f() { return { a: 1 } }', 'literal in f'],
    ['an array literal', 'function f() { return [1] }', 'literal in f'],
    ['a template string', 'function f(a) { return `${a}` }', 'template in f'],
    ['a list method', 'function f(a) { return a.split(b) }', 'list-method in f'],
    ['console', 'function f() { console.log(1) }', 'console in f'],
    ['try', 'function f() { try { g() } catch {} }', 'try in f'],
    ['a method', 'class A { #read() { return [] } }', 'literal in read'],
    ['an arrow at module level', 'const f = (a) => [a]', 'literal in f'],
    [
      'a listener made at start',
      'function start(s) { s.on("data", () => [1]) }',
      'literal in start',
    ],
    ['a field with a function', 'class A { take = () => new Map() }', 'new in take'],
    ['a name that only begins alike', 'function starter() { return [] }', 'literal in starter'],
    ['a default value', 'function f(a = {}) {}', 'literal in f'],
    ['an expression under a cast', 'function f() { return ({} as unknown as A)! }', 'literal in f'],
  ]
  test.each(broken)('%s is found', (_what, text, rules) => {
    expect(hotRules(text).join(',')).toBe(rules)
  })

  const fine: readonly (readonly [string, string])[] = [
    ['a constructor', 'class A { constructor() { this.a = new Map(); this.b = [() => 1] } }'],
    ['create, open, start, stop, close', 'async function openUdp(a) { await g(`${a}`, ...[1]) }'],
    ['a helper inside such a function', 'function close() { const f = () => [1]; f() }'],
    ['a promise made at start', 'function start() { return new Promise((r) => { r([1]) }) }'],
    ['module level', 'const T = new Uint8Array([1, 2].map((a) => a + 1)); const N = `${T}`'],
    ['types', 'type A = [number]; function f(a: (b: string[]) => `x${string}`): void {}'],
    ['loops over octets', 'function f(a) { for (let i = 0; i < a.length; i++) a[i] = a[i] | 1 }'],
  ]
  test.each(fine)('%s may do so', (_what, text) => {
    expect(hotRules(text)).toEqual([])
  })

  test('they hold in wire, trie and dataplane, and nowhere else', () => {
    const paths = [
      'wire/a.ts',
      'trie/a.ts',
      'dataplane/cache/a.ts',
      'base/a.ts',
      'controlplane/a.ts',
    ]
    expect(paths.map((path) => isHot(`src/${path}`))).toEqual([true, true, true, false, false])
  })
})

describe('rules for every file', () => {
  test('a source file may have 400 lines, a test file 600', () => {
    expect(sizeRules(lines(400))).toEqual([])
    expect(sizeRules(lines(401))).toEqual(['file-lines'])
    expect(sizeRules(lines(600), 'test/base/a.test.ts')).toEqual([])
    expect(sizeRules(lines(601), 'test/base/a.test.ts')).toEqual(['file-lines'])
  })

  test('a function of 70 lines passes, one of 71 does not', () => {
    expect(sizeRules(`function f() {\n${lines(68)}}\n`)).toEqual([])
    expect(sizeRules(`function f() {\n${lines(69)}}\n`)).toEqual(['function-lines'])
  })

  test('a group of tests may be longer, a test may not', () => {
    expect(sizeRules(`describe('a', () => {\n${lines(90)}})\n`)).toEqual([])
    expect(sizeRules(`test('a', () => {\n${lines(90)}})\n`)).toEqual(['function-lines'])
  })

  test.each([
    ['100 columns of code', `${'a+'.repeat(49)}aa\n`, []],
    ['101 columns of code', `${'a+'.repeat(50)}a\n`, ['columns']],
    ['a comment of 100 columns', `// ${'x'.repeat(97)}\n`, []],
    ['a comment of 101 columns', `// ${'x'.repeat(98)}\n`, ['columns']],
    ['a comment behind code', `a() // ${'x'.repeat(94)}\n`, ['columns']],
    ['a long text', `a('${'x'.repeat(110)}')\n`, []],
    ['data in a template', `const zone = \`\n${'x'.repeat(120)}\n\`\n`, []],
  ])('%s: columns', (_what, text, rules) => {
    expect(sizeRules(text)).toEqual(rules)
  })

  test.each([
    ['a bare function', 'export function f() {}', ['f has no docstring']],
    ['a plain comment', '// only a comment\nexport class A {}', ['A has no docstring']],
    ['a constant', 'export const a = 1', ['a has no docstring']],
    ['a documented one', '/** Doc. */\nexport interface A {}', []],
    ['types and constants under a header', '/** Top. */\n\nexport const a = 1', []],
    ['the only function under a header', '/** Top. */\n\nexport const f = () => 1', []],
    [
      'one of two functions under a header',
      '/** Top. */\n\n/** Doc. */\nexport function f() {}\nexport const g = () => 1',
      ['g has no docstring'],
    ],
    ['a class under a header', '/** Top. */\n\nexport class A {}', []],
    ['a header before imports', '/** Top. */\nimport "a"\nexport type A = 1', []],
    [
      "another thing's docstring",
      '/** A. */\nexport type A = 1\nexport type B = 2',
      ['B has no docstring'],
    ],
    ['a private one', 'function f() {}', []],
  ])('%s: docstrings', (_what, text, messages) => {
    const faults = docstringFaults(parseSource('src/base/a.ts', text))
    expect(faults.map((fault) => fault.message)).toEqual(messages)
  })

  test.each([
    '// TODO: later',
    'FIXME',
    '// a HACK',
    '# XXX look here',
    'good enough for now',
    'a toy parser',
    'stubbed out',
    'Simplified from the RFC',
    'in a real deployment one would',
    'const path = "/work/project/src"',
    'cat /root/.profile',
    '/home/someone/project',
    'https://registry.npmjs.org/vitest',
  ])('"%s" is found', (line) => {
    expect(wordFaults('README.md', `first\n${line}\n`)).toMatchObject([{ line: 2 }])
  })

  test.each([
    'a stub resolver asks us',
    'xxx.example.com',
    'the forest nowhere',
    'network/rooted',
    'ProtectHome=true',
    'src/work/root',
  ])('"%s" is no fault', (line) => {
    expect(wordFaults('README.md', line)).toEqual([])
  })
})
