import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { maskedUrl } from '../../src/controlplane/generations/masked-url.ts'
import { askUdp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { runNiveau3, startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { startProcess } from '../support/processes.ts'

const PROGRAM = resolve(import.meta.dirname, '../../dist/bin.js')
/** Some of these tests run ten commands one after another, each a process. */
const COMMANDS_MS_MAX = 240_000
const SECRET = 'hunter2'
let server: Niveau3
let state = ''
let listUrl = ''
/** A list server that holds its answer back until the test lets it go. */
const held: ServerResponse[] = []
let asked = new Gate()
let isHeld = false
let listText = 'first.example\nsecond.example\n'
const listServer = createServer((_request, response) => {
  if (!isHeld) {
    response.end(listText)
    return
  }
  response.write('first.example\n')
  held.push(response)
  asked.open()
})

beforeAll(async () => {
  await new Promise<void>((ready) => listServer.listen(0, '127.0.0.1', ready))
  const { port } = listServer.address() as AddressInfo
  listUrl = `http://nina:${SECRET}@127.0.0.1:${port}/list.txt?token=${SECRET}&part=2`
  server = await startNiveau3({ upstreams: ['127.0.0.1:1'] })
  state = join(server.folder, 'state')
})
afterAll(async () => {
  for (const response of held) response.destroy()
  await server.stop()
  listServer.close()
})

/** Runs `niveau3 lists …` for this server. */
function lists(...args: readonly string[]): ReturnType<typeof runNiveau3> {
  return runNiveau3(['lists', ...args, '--state-dir', state])
}

async function audit(): Promise<readonly Record<string, unknown>[]> {
  const text = await readFile(join(state, 'audit.ndjson'), 'utf8')
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

const isBlocked = async (name: string): Promise<boolean> =>
  (await askUdp(server, name)).rcode === 'NXDOMAIN'

describe('lists, by the running server', { timeout: COMMANDS_MS_MAX }, () => {
  test('it makes each change itself, answers by it at once, and notes who wanted it and why', async () => {
    const add = ['add', 'own', '--only', '--url', listUrl, '--category', 'adult']
    const added = await lists(...add, '--allow-private', '--reason', 'a test of ours')
    expect(added).toMatchObject({ code: 0, stderr: '' })
    expect((await audit()).at(-1)).toMatchObject({
      user: userInfo().username,
      uid: userInfo().uid,
      gid: userInfo().gid,
      by: 'socket',
      what: 'lists-add',
      list: 'own',
      reason: 'a test of ours',
      result: 'done',
    })
    expect(await isBlocked('first.example')).toBe(false)
    const updated = await lists('update')
    expect(updated.code).toBe(0)
    expect(updated.stderr).not.toContain('no server')
    expect(updated.stdout).toMatch(
      new RegExp(
        `^updated own: 2 names\\ngeneration 1: [\\d,]+ names, self-test [\\d,]+ questions, digest ` +
          `[0-9a-f]{12}\\nthe server \\(process ${server.process.pid}\\) answers by generation 1\\n$`,
      ),
    )
    expect(await isBlocked('first.example')).toBe(true)
    const line = (await audit()).at(-1)
    expect(line).toMatchObject({
      by: 'socket',
      what: 'lists-update',
      result: 'built',
      generation: 1,
    })
    expect(line?.['pid']).not.toBe(server.process.pid)
  })

  test('a rollback is in force when the command ends, and holds updates', async () => {
    listText = 'second.example\nthird.example\nfourth.example\nsecond2.example\n'
    expect((await lists('update', '--force', 'own', '--reason', 'x')).code).toBe(0)
    expect([await isBlocked('first.example'), await isBlocked('third.example')]).toEqual([
      false,
      true,
    ])
    const diff = await lists('diff', '--json')
    expect(JSON.parse(diff.stdout)).toMatchObject({ before: 1, after: 2, added: { names: 3 } })
    const { code, stdout } = await lists('rollback', '--reason', 'blocks a bank')
    expect(code).toBe(0)
    expect(stdout).toMatch(/answers by generation 1\n$/)
    expect([await isBlocked('first.example'), await isBlocked('third.example')]).toEqual([
      true,
      false,
    ])
    const refused = await lists('update')
    expect(refused.code).toBe(6)
    expect(refused.stderr).toMatch(/updates are held since .* \(blocks a bank\)/)
    expect((await lists('resume')).code).toBe(0)
    expect((await audit()).at(-1)).toMatchObject({ what: 'lists-resume', by: 'socket' })
  })

  test('what is refused says so with the code of the operation, and is no line of the audit log', async () => {
    const { code, stderr } = await lists('rollback', '77')
    expect(code).toBe(2)
    expect(stderr).toBe('error: no generation 77; there are: 2, 1\n')
    expect((await lists('disable', 'nothing', '--json')).stdout).toContain('ERR_NO_STATE')
    expect((await audit()).at(-1)).toMatchObject({ what: 'lists-resume' })
  })

  test('secrets in URLs stand in no table, report, audit line or version', async () => {
    for (const args of [
      ['ls'],
      ['ls', '--json'],
      ['test', listUrl, '--json'],
      ['update', '--plan'],
    ]) {
      const { stderr, stdout } = await lists(...args)
      expect(stdout.length, args.join(' ')).toBeGreaterThan(0)
      expect(stdout + stderr, args.join(' ')).not.toContain(SECRET)
    }
    expect((await lists('ls')).stdout).toContain('http://***:***@127.0.0.1')
    expect(await readFile(join(state, 'audit.ndjson'), 'utf8')).not.toContain(SECRET)
    const version = await readFile(join(state, 'lists', 'own', 'version.json'), 'utf8')
    expect(version).toMatch(/token=\*\*\*&part=2/)
    expect(server.process.output()).not.toContain(SECRET)
  })

  test('a plan tells how many of the names that were asked lately would be judged otherwise', async () => {
    // Until here the tests have asked first.example and third.example, which the plan swaps.
    expect([await isBlocked('first.example'), await isBlocked('third.example')]).toEqual([
      true,
      false,
    ])
    const plan = ['update', '--plan', '--force', 'own', '--reason', 'looking']
    const { stdout } = await lists(...plan)
    expect(stdout).toMatch(
      /^of \d+ names that were asked here lately 1 would be newly blocked, 1 no longer$/m,
    )
    const json = JSON.parse((await lists(...plan, '--json')).stdout) as Record<string, unknown>
    expect(json).toMatchObject({
      result: 'planned',
      recentlyAsked: { newlyBlocked: 1, newlyOpen: 1 },
    })
    expect([await isBlocked('first.example'), await isBlocked('third.example')]).toEqual([
      true,
      false,
    ])
  })

  test('Ctrl-C in the middle of an update leaves everything as it was', async () => {
    const before = await lists('ls', '--json')
    isHeld = true
    asked = new Gate()
    const args = [PROGRAM, 'lists', 'update', '--state-dir', state]
    const update = await startProcess(process.execPath, args)
    await asked.opened
    expect((await lists('update')).stderr).toMatch(/lists are being updated by process \d+/)
    update.signal('SIGINT')
    expect(await update.exited).toMatchObject({ code: 130 })
    expect(update.output()).toMatch(
      /interrupted: the lists and the image in force are what they were/,
    )
    isHeld = false
    await expect.poll(() => readdir(state), { timeout: 10_000 }).not.toContain('update.lock')
    expect((await lists('ls', '--json')).stdout).toBe(before.stdout)
    expect(await readdir(join(state, 'lists', 'own'))).toHaveLength(4)
  })

  test('a server that stops ends the updates of its callers, and they say so', async () => {
    const second = await startNiveau3({ upstreams: ['127.0.0.1:1'] })
    const secondState = join(second.folder, 'state')
    const add = ['lists', 'add', 'own', '--only', '--url', listUrl, '--category', 'adult']
    await runNiveau3([...add, '--allow-private', '--state-dir', secondState])
    isHeld = true
    asked = new Gate()
    const update = startProcess(process.execPath, [
      PROGRAM,
      'lists',
      'update',
      '--state-dir',
      secondState,
    ])
    await asked.opened
    await second.stop()
    const interrupted = await update
    expect(await interrupted.exited).toMatchObject({ code: 3 })
    expect(interrupted.output()).toMatch(
      /error: (the server stops|the server on .* has ended the conversation)/,
    )
    isHeld = false
  })
})

describe('lists, where no server runs', () => {
  test('the state directory is worked on, and that is said', async () => {
    const folder = join(server.folder, 'alone')
    const file = join(server.folder, 'own.txt')
    await writeFile(file, 'own.example\n')
    const alone = (...args: readonly string[]) =>
      runNiveau3(['lists', ...args, '--state-dir', folder])
    const added = await alone('add', 'own', '--only', '--url', file, '--category', 'vpn')
    const note = `no server is running: working on ${folder}\n`
    expect(added).toMatchObject({ code: 0, stderr: note })
    const updated = await alone('update')
    expect(updated.code).toBe(0)
    expect(updated.stderr.startsWith(note)).toBe(true)
    expect(updated.stdout).toMatch(
      /no server runs on this state directory: the next one starts with it\n$/,
    )
    const line = (await readFile(join(folder, 'audit.ndjson'), 'utf8')).trim().split('\n').at(-1)
    expect(JSON.parse(line ?? '')).toMatchObject({ by: 'command', user: userInfo().username })
    const json = await alone('ls', '--json')
    expect(json).toMatchObject({ code: 0, stderr: '' })
  })
})

test('URLs lose what may be a secret, and keep what tells lists apart', () => {
  const shown = [
    ['https://lists.example/a.txt', 'https://lists.example/a.txt'],
    ['https://u:p@lists.example/a.txt', 'https://***:***@lists.example/a.txt'],
    [
      'https://x.example/?list=7&api_key=abc&fmt=hosts',
      'https://x.example/?list=7&api_key=***&fmt=hosts',
    ],
    [
      'https://x.example/?X-Amz-Signature=abc&key=1&keyboard=fr',
      'https://x.example/?X-Amz-Signature=***&key=***&keyboard=fr',
    ],
    [
      'https://x.example/?accessToken=q&password=w',
      'https://x.example/?accessToken=***&password=***',
    ],
    ['file:///srv/list.txt', 'file:///srv/list.txt'],
    ['no url', 'no url'],
  ]
  for (const [url, safe] of shown) expect(maskedUrl(url!)).toBe(safe)
})
