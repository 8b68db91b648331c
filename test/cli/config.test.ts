import { parse } from 'yaml'
import { expect, test } from 'vitest'
import { EXIT } from '../../src/base/errors.ts'
import { schemaFile } from '../../src/controlplane/config/reference.ts'
import { run } from './in-process.ts'

test('config check --json tells each problem with its place', async () => {
  const environment = { NIVEAU3_WORKERS: '0' }
  const input = 'listen: ["0.0.0.0:53"]\nlog: {level: wran}\n'
  const { code, stderr, json } = await run(['config', 'check', '-', '--json'], {
    input,
    environment,
  })
  expect({ code, stderr }).toEqual({ code: EXIT.invalid, stderr: '' })
  expect(json()).toEqual({
    schema: 'niveau3.config-check/1',
    file: '-',
    valid: false,
    problems: [
      expect.objectContaining({ code: 'ERR_OPEN_RESOLVER', file: '-', line: 1, column: 10 }),
      {
        code: 'ERR_CONFIG',
        message: 'log.level: "wran" is none of trace, debug, info, warn, error, silent',
        suggestion: 'did you mean "warn"?',
        file: '-',
        line: 2,
        column: 14,
      },
      {
        code: 'ERR_CONFIG',
        message: 'workers: 0 is out of range: it must be at least 1',
        variable: 'NIVEAU3_WORKERS',
      },
    ],
  })
})

test('config check --json says valid', async () => {
  const { code, json } = await run(['config', 'check', '-', '--json'], { input: 'workers: 2' })
  expect(code).toBe(EXIT.ok)
  expect(json()).toEqual({
    schema: 'niveau3.config-check/1',
    file: '-',
    valid: true,
    problems: [],
  })
})

test('a file that is missing is told by every command that reads it', async () => {
  for (const args of [
    ['config', 'check', 'nowhere.yaml'],
    ['config', 'show', '--config', 'nowhere.yaml'],
    ['query', 'example.com', '--config', 'nowhere.yaml'],
  ]) {
    const { code, stderr } = await run(args)
    expect({ code, stderr }).toEqual({
      code: EXIT.invalid,
      stderr: 'error: the configuration file nowhere.yaml does not exist\n',
    })
  }
})

test('config show --defaults is a configuration that changes nothing', async () => {
  const environment = { NIVEAU3_WORKERS: '9' }
  const { stdout } = await run(['config', 'show', '--defaults'], { environment })
  expect(parse(stdout)).toMatchObject({ cache: { octetsMax: '64MiB' } })
  const checked = await run(['config', 'check', '-'], { input: stdout })
  expect(checked).toMatchObject({ code: EXIT.ok })
})

test('config show --json gives each key with its value and origin', async () => {
  const environment = { NIVEAU3_WORKERS: '9' }
  const { json } = await run(['config', 'show', '--json', '--changed'], { environment })
  expect(json()).toEqual({
    schema: 'niveau3.config-show/1',
    file: null,
    keys: [{ key: 'workers', value: 9, origin: 'NIVEAU3_WORKERS', changed: true }],
  })
})

test('config schema prints the file that ships', async () => {
  expect((await run(['config', 'schema'])).stdout).toBe(schemaFile())
  expect((await run(['config', 'schema', '--json'])).json()).toEqual({
    schema: 'niveau3.config-schema/1',
    jsonSchema: JSON.parse(schemaFile()),
  })
})
