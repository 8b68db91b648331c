import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { runToEnd } from '../support/processes.ts'

const WORKER = join(resolve(import.meta.dirname, '../..'), 'dist/worker.js')

/** Prints which modules a worker's code brings with it before anything is configured. */
const PROGRAM = `
  import { createRequire } from 'node:module'
  const before = new Set(process.moduleLoadList)
  const parts = []
  globalThis.niveau3CodeRecorder = { note: (_script, file) => parts.push(file) }
  await import(${JSON.stringify(WORKER)})
  const files = [...parts, ...Object.keys(createRequire(import.meta.url).cache)]
  const loaded = process.moduleLoadList.filter((name) => !before.has(name))
  const packages = files.map((file) => file.split('/node_modules/').at(-1))
  console.log(JSON.stringify([...loaded, ...packages]))
`

test('a worker without encryption and Redis loads no TLS, no HTTP, no undici, no ioredis', async () => {
  const { code, stdout } = await runToEnd(process.execPath, [
    '--input-type=module',
    '--eval',
    PROGRAM,
  ])
  expect(code).toBe(0)
  const loaded = JSON.parse(stdout) as string[]
  expect(loaded.some((name) => name.includes('koffi') || name.includes('worker'))).toBe(true)
  expect(loaded.filter((name) => /\btls|http|undici|ioredis/.test(name))).toEqual([])
})
