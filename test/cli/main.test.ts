import { describe, expect, test } from 'vitest'
import { ERROR_CODES, EXIT, OperationalError } from '../../src/base/errors.ts'
import type { StartServer } from '../../src/controlplane/cli/serve.ts'
import type { LoadedConfig } from '../../src/controlplane/config/load.ts'
import { runNiveau3 } from '../support/niveau3.ts'
import { run } from './in-process.ts'

describe('usage', () => {
  test.each([
    [[], /^Usage: niveau3/],
    [['shwo'], /unknown command 'shwo'/],
    [['config'], /^Usage: niveau3 config/],
    [['config', 'chekc'], /Did you mean check\?/],
    [['query'], /missing required argument 'name'/],
    [['query', 'x', '--jsno'], /Did you mean --json\?/],
    [['config', 'show', '--defaults', '--changed'], /cannot be used with/],
    [['query', 'a..b'], /"a..b" is no name/],
    [['query', 'x', 'AAA'], /"AAA" is no record type.*did you mean AAAA\?/],
    [['query', 'x', '--server', '::1:x'], /--server: /],
  ])('%j ends with exit code 2', async (args, message) => {
    const { code, stdout, stderr } = await run(args)
    expect({ code, stdout }).toEqual({ code: EXIT.usage, stdout: '' })
    expect(stderr).toMatch(message)
  })

  test('with --json a usage error is one object on standard output, and nothing else', async () => {
    const { code, stderr, json } = await run(['query', '--json'])
    expect({ code, stderr }).toEqual({ code: EXIT.usage, stderr: '' })
    expect(json()).toEqual({
      schema: 'niveau3.error/1',
      error: { code: 'ERR_USAGE', message: "missing required argument 'name'" },
    })
  })

  test('help and version go to standard output and end with 0', async () => {
    for (const args of [['--help'], ['help'], ['config', '--help'], ['help', 'query'], ['-V']]) {
      const { code, stdout, stderr } = await run(args)
      expect({ code, stderr }).toEqual({ code: EXIT.ok, stderr: '' })
      expect(stdout).toMatch(args[0] === '-V' ? /^niveau3 \d+\.\d+\.\d+\n$/ : /^Usage: niveau3/)
    }
  })

  test('the exit codes that help names are those that exist', async () => {
    const { stdout } = await run(['--help'])
    const named = [.../Exit codes: ([\s\S]*?)\n\n|$/.exec(stdout)![0].matchAll(/(\d+) [a-z]/g)]
    expect(named.map(([, code]) => Number(code))).toEqual(Object.values(EXIT))
    expect(Object.values(EXIT)).toEqual(expect.arrayContaining(Object.values(ERROR_CODES)))
  })
})

const startServer = () => Promise.reject(new Error('it must not start'))

describe('serve', () => {
  test('hands the configuration over, and a way to read it again', async () => {
    const seen: LoadedConfig[] = []
    let stops = 0
    const failLater: StartServer = async (config, { reloadConfig, onFatal }) => {
      seen.push(config, reloadConfig())
      setImmediate(() => onFatal(new OperationalError('ERR_WORKER', 'the worker keeps dying')))
      return {
        isAlive: () => true,
        reload: async () => undefined,
        stop: async () => void (stops += 1),
      }
    }
    const args = ['serve', '--listen', '127.0.0.1:1', '--listen', '[::1]:1', '--workers', '2']
    args.push('--upstream', '9.9.9.9', '--metrics', 'off', '--state-dir', '/tmp/niveau3-state')
    expect(await run(args, { startServer: failLater })).toMatchObject({
      code: EXIT.error,
      stderr: 'error: the worker keeps dying\n',
    })
    expect(stops).toBe(1)
    expect(seen).toHaveLength(2)
    for (const { dataplane, control } of seen) {
      expect(dataplane.listen.map(({ address }) => address)).toEqual(['127.0.0.1', '::1'])
      expect(dataplane.upstreams).toMatchObject([{ address: '9.9.9.9', label: '9.9.9.9' }])
      expect(control).toMatchObject({ workers: 2, stateDirectory: '/tmp/niveau3-state' })
      expect(control.metrics).toBeUndefined()
    }
  })

  test('a wrong flag is told with the flag, and ends with 4', async () => {
    const args = ['serve', '--listen', '0.0.0.0:53', '--workers', 'many', '--upstream', 'quic://x']
    const { code, stderr } = await run(args, { startServer })
    expect(code).toBe(EXIT.invalid)
    expect(stderr).toMatch(/^error: --workers: workers: "many" is not a whole number$/m)
    expect(stderr).toMatch(/^error: --upstream: .*"quic:\/\/" is not offered$/m)
    expect(stderr).toMatch(/^error: --listen: .*allowFrom is not set/m)
    expect(stderr).toMatch(/^3 problems in the configuration$/m)
  })

  test('--blocklist without a category is a usage error', async () => {
    const { code, stderr } = await run(['serve', '--blocklist', 'list.txt'], { startServer })
    expect(code).toBe(EXIT.usage)
    expect(stderr).toMatch(/Write CATEGORY=FILE/)
  })

  test('a defect of ours ends with 1 and says where', async () => {
    const { code, stderr } = await run(['serve'], { startServer })
    expect(code).toBe(EXIT.error)
    expect(stderr).toMatch(/a defect of niveau3: Error: it must not start\n\s+at /)
  })
})

describe('colour', () => {
  test.each([
    ['a pipe', false, {}, false],
    ['a terminal', true, {}, true],
    ['NO_COLOR', true, { NO_COLOR: '1' }, false],
    ['an empty NO_COLOR', true, { NO_COLOR: '' }, true],
    ['TERM=dumb', true, { TERM: 'dumb' }, false],
    ['FORCE_COLOR', false, { FORCE_COLOR: '1' }, true],
    ['FORCE_COLOR over NO_COLOR', false, { FORCE_COLOR: '1', NO_COLOR: '1' }, true],
    ['FORCE_COLOR=0', true, { FORCE_COLOR: '0' }, false],
  ])('%s', async (_what, isTTY, environment, expected) => {
    const { stderr } = await run(['config', 'check', '-'], { input: 'x: 1', isTTY, environment })
    expect(stderr.includes('\u001B[')).toBe(expected)
    expect(stderr).toMatch(/error.*: -:1:1: unknown key "x"/)
  })
})

describe('the built program', () => {
  test('ends with the exit code of its command', async () => {
    const valid = await runNiveau3(['config', 'check', '-'], { input: 'workers: 2\n' })
    expect(valid).toMatchObject({ code: EXIT.ok, stdout: '-: valid\n', stderr: '' })
    const invalid = await runNiveau3(['config', 'check', '-'], { input: 'wokers: 2\n' })
    expect(invalid).toMatchObject({
      code: EXIT.invalid,
      stdout: '',
      stderr: 'error: -:1:1: unknown key "wokers" (did you mean "workers"?)\n',
    })
  })

  test('reads its environment, and refuses a variable that sets nothing', async () => {
    const env = { NIVEAU3_CACHE__OCTETS_MAX: '2MiB', NIVEAU3_CONFIG: undefined }
    const shown = await runNiveau3(['config', 'show', '--changed', '--origin'], { env })
    expect(shown.stdout).toBe('cache:\n  octetsMax: 2MiB  # NIVEAU3_CACHE__OCTETS_MAX\n')
    const wrong = await runNiveau3(['config', 'show'], { env: { NIVEAU3_WORKER: '2' } })
    expect(wrong).toMatchObject({ code: EXIT.invalid, stdout: '' })
    expect(wrong.stderr).toMatch(/NIVEAU3_WORKER: .*did you mean NIVEAU3_WORKERS\?/)
  })
})
