import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  COLD_FILES,
  HOT_PATH_EXCEPTIONS,
  type Exception,
} from './support/architecture/exceptions.ts'
import { hotPathFaults, isHot } from './support/architecture/hot-path.ts'
import { docstringFaults, sizeFaults, wordFaults } from './support/architecture/house.ts'
import { importFaults } from './support/architecture/imports.ts'
import { type Fault, filesBelow, sourcesBelow } from './support/architecture/source.ts'

const ROOT = resolve(import.meta.dirname, '..')
const SRC = sourcesBelow(ROOT, 'src')
const OTHERS = ['test', 'bench'].flatMap((folder) => sourcesBelow(ROOT, folder))

/** Files that have to spell the banned words: the rule and its test. */
const SPELLS_BANNED_WORDS = new Set([
  'test/support/architecture/house.ts',
  'test/support/architecture/rules.test.ts',
])

/** Text that people read or machines run; lists of names are data. */
const TEXT_ENDS = ['.ts', '.mjs', '.sh', '.json', '.yaml', '.yml', '.md', '.service', 'Dockerfile']

function shown(faults: readonly Fault[]): string[] {
  return faults.map(
    ({ path, line, rule, message, within }) =>
      `${path}:${line} ${rule}: ${message}${within === '' ? '' : ` (in ${within})`}`,
  )
}

function excuses(exception: Exception, fault: Fault): boolean {
  return (
    exception.path === fault.path &&
    exception.within === fault.within &&
    exception.rules.includes(fault.rule)
  )
}

describe('the house', () => {
  test('there are sources to look at', () => {
    expect(SRC.length).toBeGreaterThan(4)
    expect(SRC.some((source) => isHot(source.path))).toBe(true)
  })

  test('imports go down the ranks only', () => {
    expect(shown(SRC.flatMap((source) => importFaults(source)))).toEqual([])
  })

  test('hot code makes nothing, waits for nothing and logs nothing', () => {
    const faults = SRC.filter((source) => isHot(source.path)).flatMap(hotPathFaults)
    const bare = faults.filter(
      (fault) => !HOT_PATH_EXCEPTIONS.some((exception) => excuses(exception, fault)),
    )
    expect(shown(bare)).toEqual([])
  })

  test('each exception from the hot-path rules has a reason and is needed', () => {
    const faults = SRC.filter((source) => isHot(source.path)).flatMap(hotPathFaults)
    const idle = HOT_PATH_EXCEPTIONS.flatMap((exception) =>
      exception.rules
        .filter((rule) => !faults.some((fault) => excuses({ ...exception, rules: [rule] }, fault)))
        .map((rule) => `${exception.path} ${exception.within} ${rule}`),
    )
    expect(idle).toEqual([])
    expect(HOT_PATH_EXCEPTIONS.filter(({ reason }) => reason.length < 20)).toEqual([])
  })

  test('each cold file in a hot folder has a reason, exists and does what hot code may not', () => {
    const idle = COLD_FILES.filter(({ path, reason }) => {
      const source = SRC.find((candidate) => candidate.path === path)
      return source === undefined || hotPathFaults(source).length === 0 || reason.length < 20
    })
    expect(idle).toEqual([])
  })

  test('files, functions and lines keep their sizes', () => {
    expect(shown([...SRC, ...OTHERS].flatMap(sizeFaults))).toEqual([])
  })

  test('every exported thing says what it is', () => {
    expect(shown(SRC.flatMap(docstringFaults))).toEqual([])
  })

  test('no file excuses itself or names one machine', () => {
    const paths = filesBelow(ROOT, '', TEXT_ENDS).filter((path) => !SPELLS_BANNED_WORDS.has(path))
    const ci = ['.ci/run']
    const faults = [...paths, ...ci].flatMap((path) =>
      wordFaults(path, readFileSync(join(ROOT, path), 'utf8')),
    )
    expect(shown(faults)).toEqual([])
  })
})
