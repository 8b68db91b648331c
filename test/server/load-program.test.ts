import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { type Process, runToEnd, startProcess } from '../support/processes.ts'

const REPOSITORY = resolve(import.meta.dirname, '../..')
const DIST = join(REPOSITORY, 'dist')
const PACKAGES = join(REPOSITORY, 'node_modules')
/** Code is only taken under the flags of the program's first line. */
const FLAG = '--max-semi-space-size=2'
const folder = await mkdtemp(join(tmpdir(), 'niveau3-load-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Tells of every part whether the engine took the code that was recorded of it. */
const LISTENER = `
  const taken = []
  globalThis.niveau3CodeRecorder = {
    note: (script, file) => taken.push({ file, refused: script.cachedDataRejected ?? null }),
  }
  process.on('exit', () => process.stderr.write(JSON.stringify(taken)))
`

interface Start {
  readonly stdout: string
  /** Where the code of this Node.js belongs. */
  readonly ours: string
  /** By part: false, its code was taken; true, it was refused; null, there was none. */
  readonly refused: readonly (boolean | null)[]
}

async function start(dist: string, flag: string): Promise<Start> {
  const listener = join(folder, 'listener.cjs')
  await writeFile(listener, LISTENER)
  const args = [flag, '--require', listener, join(dist, 'bin.js'), '--version']
  const { code, stdout, stderr } = await runToEnd(process.execPath, args)
  expect(code).toBe(0)
  const taken = JSON.parse(stderr) as { file: string; refused: boolean | null }[]
  const ours = basename(dirname(taken[0]!.file))
  return { stdout, ours, refused: taken.map(({ refused }) => refused) }
}

/** The program in a folder of its own, whose code and packages a test may change. */
async function copyProgram(
  name: string,
  files = ['blocklists', 'node_modules', 'package.json'],
): Promise<string> {
  const home = join(folder, name)
  await cp(DIST, join(home, 'dist'), { recursive: true })
  for (const file of files) await symlink(join(REPOSITORY, file), join(home, file))
  return join(home, 'dist')
}

test('every part starts with the code that was recorded by this Node.js, if it was', async () => {
  const { stdout, ours, refused } = await start(DIST, FLAG)
  const isOurs = (await readdir(join(DIST, 'code'))).includes(ours)
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

test('code that is damaged or of another part is not run, and the part works', async () => {
  const { stdout, ours } = await start(DIST, FLAG)
  const dist = await copyProgram('damaged')
  await rm(join(dist, 'code'), { recursive: true })
  await mkdir(join(dist, 'code', ours), { recursive: true })
  const recorded = join(DIST, 'code', (await readdir(join(DIST, 'code')))[0]!)
  const other = await readFile(
    join(
      recorded,
      (await readdir(recorded)).find((name) => name.startsWith('serve-'))!,
    ),
  )
  const cut = other.subarray(0, other.length - 7)
  const flipped = Buffer.from(other)
  flipped[other.length >> 1]! ^= 1
  const parts = (await readdir(join(dist, 'parts'))).filter((name) => name.endsWith('.js'))
  for (const [damage, refused] of [
    [other, true],
    [cut, null],
    [flipped, null],
    [Buffer.alloc(64), null],
    [Buffer.alloc(0), null],
  ] as const) {
    for (const part of parts) await writeFile(join(dist, 'code', ours, `${part}.code`), damage)
    const again = await start(dist, FLAG)
    expect(again.stdout).toBe(stdout)
    expect(new Set(again.refused)).toEqual(new Set([refused]))
  }
})

test('system calls are found where an installer puts them below koffi alone', async () => {
  const dist = await copyProgram('nested', ['blocklists', 'package.json'])
  const koffi = join(dirname(dist), 'node_modules', 'koffi')
  await cp(join(PACKAGES, 'koffi'), koffi, { recursive: true })
  await mkdir(join(koffi, 'node_modules'))
  await symlink(join(PACKAGES, '@koromix'), join(koffi, 'node_modules', '@koromix'))
  const server = await serve(dist)
  expect(server.output()).toContain('"batched":true')
  expect(await server.end()).toEqual({ code: 0, signal: null })
})

test('without system calls it answers all the same, and says what is missing', async () => {
  const dist = await copyProgram('bare-packages', ['blocklists', 'package.json'])
  const server = await serve(dist)
  const line = await server.line(/"event":"plain_udp"/)
  expect(line).toContain("Cannot find module '@koromix/koffi-")
  expect(await server.end()).toEqual({ code: 0, signal: null })
})

async function serve(dist: string): Promise<Process> {
  const list = join(folder, 'listed.txt')
  await writeFile(list, 'listed.example\n')
  const args = [FLAG, join(dist, 'bin.js'), 'serve', '--listen', '127.0.0.1:0', '--workers', '1']
  args.push('--blocklist', `adult=${list}`, '--upstream', 'udp://127.0.0.1:9')
  args.push('--state-dir', join(folder, 'state'), '--metrics', 'off')
  return startProcess(process.execPath, args, { ready: { line: /"event":"ready"/ } })
}
