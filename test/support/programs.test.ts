import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { MINUTE_S, SECOND_MS } from '../../src/base/units.ts'
import { type ProgramName, program } from './programs.ts'

const run = promisify(execFile)

const VERSIONS: readonly (readonly [ProgramName, string, RegExp])[] = [
  ['redis-server', '--version', /Redis server v=\d/],
  ['redis-cli', '--version', /redis-cli \d/],
  ['unbound', '-V', /Version \d/],
  ['dig', '-v', /DiG \d/],
  ['kdig', '--version', /kdig \(Knot DNS\)/],
  ['dnsperf', '-h', /DNS Performance Testing Tool/],
  ['promtool', '--version', /promtool, version \d/],
]

describe('real programs', () => {
  test.each(VERSIONS)(
    '%s runs and says its version',
    async (name, flag, version) => {
      const { stdout, stderr } = await run(await program(name), [flag])
      expect(stdout + stderr).toMatch(version)
    },
    5 * MINUTE_S * SECOND_MS,
  )

  test('a program is looked for once', async () => {
    expect(program('dig')).toBe(program('dig'))
    expect(await program('dig')).toMatch(/^\/.*dig$/)
  })
})
