import { cp, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runToEnd } from '../support/processes.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const DIST = join(REPOSITORY, 'dist')
const OURS = `${process.version}-${process.platform}-${process.arch}`
/** Code is only taken under the flags of the program's first line. */
const FLAG = '--max-semi-space-size=2'
const folder = await mkdtemp(join(tmpdir(), 'niveau3-load-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Tells of every part whether the engine took the code that was recorded of it. */
const LISTENER = `
  const taken = []
  globalThis.niveau3CodeRecorder = { note: (script) => taken.push(script.cachedDataRejected) }
  process.on('exit', () => process.stderr.write(JSON.stringify(taken)))
`

interface Start {
  readonly stdout: string
  /** By part: false, its code was taken; true, it was refused; null, there was none. */
  readonly refused: readonly (boolean | null)[]
}

async function start(dist: string, flag: string): Promise<Start> {
  const listener = join(folder, 'listener.cjs')
  await writeFile(listener, LISTENER)
  const args = [flag, '--require', listener, join(dist, 'bin.js'), '--version']
  const { code, stdout, stderr } = await runToEnd(process.execPath, args)
  expect(code).toBe(0)
  return { stdout, refused: JSON.parse(stderr) as (boolean | null)[] }
}

/** The program in a folder of its own, whose code a test may change. */
async function copyProgram(name: string): Promise<string> {
  const home = join(folder, name)
  await cp(DIST, join(home, 'dist'), { recursive: true })
  for (const file of ['blocklists', 'node_modules', 'package.json']) {
    await symlink(join(REPOSITORY, file), join(home, file))
  }
  return join(home, 'dist')
}

test('every part starts with the code that was recorded by this Node.js, if it was', async () => {
  const isOurs = (await readdir(join(DIST, 'code'))).includes(OURS)
  const { stdout, refused } = await start(DIST, FLAG)
  expect(stdout).toMatch(/^niveau3 \d/)
  expect(refused.length).toBeGreaterThan(10)
  expect(new Set(refused)).toEqual(new Set([isOurs ? false : null]))
})

test('without recorded code, or under other flags, the program says the same', async () => {
  const { stdout } = await start(DIST, '--max-semi-space-size=8')
  expect(stdout).toMatch(/^niveau3 \d/)
  const dist = await copyProgram('bare')
  await rm(join(dist, 'code'), { recursive: true })
  const bare = await start(dist, FLAG)
  expect(bare.stdout).toBe(stdout)
  expect(new Set(bare.refused)).toEqual(new Set([null]))
})

test('code of another part is refused, and the part works', async () => {
  const dist = await copyProgram('mixed')
  const code = join(dist, 'code', OURS)
  await rm(join(dist, 'code'), { recursive: true })
  const parts = (await readdir(join(dist, 'parts'))).filter((name) => name.endsWith('.js'))
  const wrong = (await readdir(join(DIST, 'code'))).map((name) => join(DIST, 'code', name))[0]!
  const other = (await readdir(wrong)).find((name) => name.startsWith('serve-'))!
  for (const part of parts) await cp(join(wrong, other), join(code, `${part}.code`))
  const { stdout, refused } = await start(dist, FLAG)
  expect(stdout).toMatch(/^niveau3 \d/)
  expect(new Set(refused)).toEqual(new Set([true]))
})
