import {
  chown,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { handOver } from '../../src/controlplane/state-owner.ts'
import { runNiveau3 } from '../support/niveau3.ts'

/** A user as systemd makes them for a service; who is not root can only be themselves. */
const IS_ROOT = process.getuid?.() === 0
const OWNER = IS_ROOT ? 61_234 : process.getuid!()

let folder = ''
let state = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-owner-'))
  state = join(folder, 'state')
  await mkdir(state)
  if (IS_ROOT) await chown(state, OWNER, OWNER)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** Everything below the state directory, with its owner. */
async function owners(): Promise<Map<string, number>> {
  const found = await readdir(state, { recursive: true })
  const pairs = found.map(async (name) => [name, (await lstat(join(state, name))).uid] as const)
  return new Map(await Promise.all(pairs))
}

test('what a command of root writes belongs to the owner of the state directory', async () => {
  const list = join(folder, 'own.txt')
  await writeFile(list, 'own.example\n')
  const commands = [
    ['lists', 'add', 'own', '--only', '--url', list, '--category', 'vpn'],
    ['lists', 'update'],
    ['allow', 'example.org', '--reason', 'test'],
  ]
  for (const command of commands) {
    const { code, stdout, stderr } = await runNiveau3([...command, '--state-dir', state])
    expect(code, stdout + stderr).toBe(0)
  }
  const all = await owners()
  expect([...all.keys()]).toEqual(expect.arrayContaining(['audit.ndjson', 'subscriptions.json']))
  expect(all.size).toBeGreaterThan(6)
  expect(new Set(all.values())).toEqual(new Set([OWNER]))
})

test('links lead nowhere, and what has another name elsewhere stays what it is', async () => {
  const secret = join(folder, 'secret')
  await mkdir(join(secret, 'below'), { recursive: true })
  await writeFile(join(secret, 'key'), '')
  await symlink(secret, join(state, 'linked'))
  await link(join(secret, 'key'), join(state, 'key'))
  await mkdir(join(state, 'generations/1'), { recursive: true })
  await writeFile(join(state, 'generations/1/image'), '')
  handOver(state, 0)
  const all = await owners()
  expect(all.get('generations/1/image')).toBe(OWNER)
  for (const path of ['secret', 'secret/below', 'secret/key', 'state/key', 'state/linked']) {
    expect((await lstat(join(folder, path))).uid, path).toBe(process.getuid!())
  }
})

test('what root had there before the command stays what it was', async () => {
  await writeFile(join(state, 'before'), '')
  const { ctimeMs } = await lstat(join(state, 'before'))
  handOver(state, ctimeMs + 1)
  expect((await owners()).get('before')).toBe(process.getuid!())
  handOver(state, ctimeMs)
  expect((await owners()).get('before')).toBe(OWNER)
})

test('a state directory that is not there, or is root’s own, is left alone', async () => {
  handOver(join(folder, 'missing'), 0)
  if (IS_ROOT) await chown(state, 0, 0)
  await writeFile(join(state, 'file'), '')
  handOver(state, 0)
  expect((await owners()).get('file')).toBe(process.getuid!())
})
