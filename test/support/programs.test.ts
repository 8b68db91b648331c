import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { MINUTE_S, SECOND_MS } from '../../src/base/units.ts'
import { type ProgramName, program } from './programs.ts'

const run = promisify(execFile)

const VERSIONS: readonly (readonly [ProgramName, string, RegExp])[] = [
  ['redis-server', '--version', /Redis server v=\d/],
  ['redis-cli', '--version', /redis-cli \d/],
  ['unbound', '-V', /Version \d/],
  ['unbound-checkconf', '-h', /unbound-checkconf/],
  ['dig', '-v', /DiG \d/],
  ['kdig', '--version', /kdig \(Knot DNS\)/],
  ['dnsperf', '-h', /DNS Performance Testing Tool/],
  ['promtool', '--version', /promtool, version \d/],
]

describe('real programs', () => {
  test.each(VERSIONS)(
    '%s runs and says its version',
    async (name, flag, version) => {
      // unbound-checkconf and dnsperf end their help with code 1.
      const said = await run(await program(name), [flag]).catch((error: unknown) => error)
      const { stdout, stderr } = said as { stdout: string; stderr: string }
      expect(stdout + stderr).toMatch(version)
    },
    5 * MINUTE_S * SECOND_MS,
  )

  test('a program is looked for once', async () => {
    expect(program('dig')).toBe(program('dig'))
    expect(await program('dig')).toMatch(/^\/.*dig$/)
  })
})

describe('where programs come from', () => {
  let folder = ''
  afterEach(async () => {
    vi.unstubAllEnvs()
    vi.resetModules()
    await rm(folder, { recursive: true, force: true })
  })

  /** The module anew, under an environment of its own. */
  async function freshProgram(
    variables: Readonly<Record<string, string>>,
  ): Promise<typeof program> {
    folder = await mkdtemp(join(tmpdir(), 'niveau3-programs-'))
    await writeFile(join(folder, 'dig'), '#!/bin/sh\necho mine\n', { mode: 0o755 })
    vi.resetModules()
    vi.stubEnv('NIVEAU3_CACHE_DIR', join(folder, 'cache'))
    vi.stubEnv('PATH', folder)
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
    return (await import('./programs.ts')).program
  }

  test('a program on PATH is used as it is', async () => {
    const find = await freshProgram({ NIVEAU3_PROGRAMS: '' })
    expect(await find('dig')).toBe(join(folder, 'dig'))
    expect(await readdir(folder)).toEqual(['dig'])
  })

  test('a program that cannot be had is an error that says what is missing', async () => {
    const find = await freshProgram({ NIVEAU3_PROGRAMS: 'packages' })
    await expect(find('dig')).rejects.toThrow(
      /real program dig: .* Debian package bind9-dnsutils cannot be unpacked here/,
    )
  })
})
