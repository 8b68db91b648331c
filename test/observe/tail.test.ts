/** `niveau3 tail` against the real server: what operators see, and that nothing else does. */
import { readFile, readdir } from 'node:fs/promises'
import { request } from 'node:http'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXIT } from '../../src/base/errors.ts'
import { Status } from '../../src/controlplane/admin/status.ts'
import { auditLines } from '../overrule/keeper.ts'
import { askTcp, askUdp, from } from '../support/dns-client.ts'
import { runNiveau3, startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { startProcess, type Process } from '../support/processes.ts'
import { reply, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { signalledWorkers } from '../support/worker-signals.ts'

const PROGRAM = resolve(import.meta.dirname, '../../dist/bin.js')
/** A label that stands in no list: whoever finds it has it from the questions. */
const SECRET = 'anna-asks'
const WORKERS = 2

let server: Niveau3
let state = ''
beforeAll(async () => {
  const upstream = await startScriptedUpstream((query) =>
    query.name.startsWith('cloaked')
      ? reply(query, {
          answers: [
            { name: query.name, type: 'CNAME', data: 'x.vpn.example' },
            { name: 'x.vpn.example', type: 'A', data: '192.0.2.9' },
          ],
        })
      : reply(query, { answers: [{ name: query.name, type: 'A', data: '192.0.2.1' }] }),
  )
  const signals = await signalledWorkers()
  server = await startNiveau3({
    upstreams: [upstream],
    blocklists: { vpn: ['vpn.example'], adult: ['adult.example'] },
    config: 'sites: [{name: lyon, from: [127.0.0.2/32]}]\n',
    args: ['--workers', String(WORKERS)],
    process: {
      ready: { line: /"event":"ready"/ },
      env: { ...signals.environment('terminate-one') },
    },
  })
  state = join(server.folder, 'state')
})
afterAll(() => server.stop())

/** Starts `niveau3 tail` and resolves when it looks. */
function tail(...args: readonly string[]): Promise<Process> {
  const all = [PROGRAM, 'tail', '--state-dir', state, '--reason', 'a test', ...args]
  const line = args.includes('--json') ? /"event":"started"/ : /questions until/
  return startProcess(process.execPath, all, { ready: { line } })
}

async function status(): Promise<Status> {
  const { stdout } = await runNiveau3(['status', '--state-dir', state, '--json'])
  return Status.parse(JSON.parse(stdout))
}

/** How many lines the audit log has once every look that began has ended there too. */
async function linesWhenOver(): Promise<number> {
  let lines: Record<string, unknown>[] = []
  const isOver = async (): Promise<boolean> => {
    lines = await auditLines(state)
    const count = (kind: string): number => lines.filter(({ what }) => what === kind).length
    return count('observe') === count('observe-end')
  }
  await expect.poll(isOver, { timeout: 10_000 }).toBe(true)
  return lines.length
}

/** Ctrl-C, as a terminal sends it. */
async function interrupt(child: Process): Promise<unknown> {
  child.signal('SIGINT')
  return child.exited
}

function questions(child: Process): Record<string, unknown>[] {
  return child
    .stdout()
    .split('\n')
    .filter((line) => line.includes('"event":"question"'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** All that stands on disk below the server's folder, and all that it has said. */
async function written(): Promise<string> {
  const files = await readdir(server.folder, { recursive: true, withFileTypes: true })
  const texts = files
    .filter((file) => file.isFile())
    .map((file) => readFile(join(file.parentPath, file.name), 'latin1'))
  return [...(await Promise.all(texts)), server.process.output()].join('\n')
}

test('nobody is told anything before somebody looks, and a look shows nothing of before', async () => {
  await askUdp(server, `before.${SECRET}.vpn.example`)
  expect((await status()).observers).toEqual([])
  const child = await tail('--blocked', '--json')
  await askUdp(server, 'after.vpn.example')
  await expect.poll(() => questions(child).length).toBe(1)
  expect(child.output()).not.toContain(SECRET)
  expect(await interrupt(child)).toEqual({ code: EXIT.interrupted, signal: null })
})

test('blocked questions of all workers are shown with the network of the client, not more', async () => {
  const child = await tail('--blocked', '--json')
  const asked = Array.from({ length: 40 }, (_, index) => `n${index}.${SECRET}.vpn.example`)
  for (const name of asked) await askUdp(from(server, '127.0.0.2'), name, 'AAAA')
  await askTcp(server, `www.${SECRET}.adult.example`)
  // Judged when its answer came: the network of the client was kept with the question.
  await askUdp(server, `cloaked.${SECRET}.example`)
  await expect.poll(() => questions(child).length, { timeout: 10_000 }).toBe(asked.length + 2)
  const seen = questions(child)
  expect(new Set(seen.map(({ name }) => name))).toEqual(
    new Set([...asked, `www.${SECRET}.adult.example`, `cloaked.${SECRET}.example`]),
  )
  const udp = seen.find(({ name }) => name === asked[7])
  expect(udp).toEqual({
    schema: 'niveau3.tail/1',
    event: 'question',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as string,
    site: 'lyon',
    category: 'vpn',
    name: asked[7],
    type: 'AAAA',
    outcome: 'blocked',
    rcode: 'NXDOMAIN',
    transport: 'udp',
    client: '127.0.0.0/24',
    tookMs: expect.any(Number) as number,
  })
  expect(seen.find(({ category }) => category === 'adult')).toMatchObject({ transport: 'tcp' })
  expect(seen.find(({ name }) => String(name).startsWith('cloaked'))).toMatchObject({
    category: 'vpn',
    client: '127.0.0.0/24',
  })
  expect(child.output()).not.toContain('127.0.0.2')
  await interrupt(child)
})

test('what was not blocked is shown to nobody', async () => {
  const child = await tail('--blocked', '--json')
  await askUdp(server, `open.${SECRET}.example`)
  await askUdp(server, 'last.vpn.example')
  await expect.poll(() => questions(child).length).toBe(1)
  expect(questions(child)[0]).toMatchObject({ name: 'last.vpn.example' })
  await interrupt(child)
})

test('status says who looks, and no more when the command is gone', async () => {
  const child = await tail('--blocked', '--site', 'lyon', '--category', 'vpn')
  const { observers } = await status()
  expect(observers).toMatchObject([{ what: 'blocked', site: 'lyon', category: 'vpn' }])
  const text = await runNiveau3(['status', '--state-dir', state])
  expect(text.stdout).toMatch(/\S+ looks at blocked questions \(vpn at lyon\) until \S+ \S+ UTC\n/)
  await askUdp(server, 'default.vpn.example')
  await askUdp(from(server, '127.0.0.2'), 'x.adult.example')
  await askUdp(from(server, '127.0.0.2'), 'lyon.vpn.example')
  await expect.poll(() => child.stdout()).toContain('lyon.vpn.example')
  expect(child.stdout()).toMatch(
    /^\d\d:\d\d:\d\d {2}lyon {8}127\.0\.0\.0\/24 {8}vpn {9}A {6}lyon\.vpn\.example {2}NXDOMAIN udp [\d.]+ ms\n$/,
  )
  // Even a command that is killed is no longer looking.
  child.signal('SIGKILL')
  await expect.poll(async () => (await status()).observers, { timeout: 10_000 }).toEqual([])
})

test('it ends by itself, and each look and its end stand in the audit log without a name', async () => {
  const before = await linesWhenOver()
  const child = await tail('--blocked', '--for', '1s', '--json')
  await askUdp(server, `www.${SECRET}.vpn.example`)
  expect(await child.exited).toEqual({ code: EXIT.ok, signal: null })
  const last: unknown = JSON.parse(child.stdout().trim().split('\n').at(-1) ?? '')
  expect(last).toEqual({ schema: 'niveau3.tail/1', event: 'ended', shown: 1, missed: 0 })
  const lines = (await auditLines(state)).slice(before)
  expect(lines).toMatchObject([
    { what: 'observe', by: 'socket', kind: 'blocked', seconds: 1, reason: 'a test', site: null },
    { what: 'observe-end', lastedSeconds: 1, shown: 1, missed: 0, endedBy: 'time' },
  ])
  expect((await status()).observers).toEqual([])
})

test('a worker that dies does not end it', async () => {
  const child = await tail('--blocked', '--json')
  server.process.signal('SIGUSR2')
  await server.process.line(/"event":"worker_died"/)
  await expect.poll(() => server.metric('niveau3_workers'), { timeout: 20_000 }).toBe(WORKERS)
  const asked = Array.from({ length: 40 }, (_, index) => `later${index}.vpn.example`)
  for (const name of asked) await askUdp(server, name)
  await expect.poll(() => questions(child).length, { timeout: 10_000 }).toBe(asked.length)
  await interrupt(child)
})

test('a caller that does not read costs a bounded part of memory, and is told what it missed', async () => {
  const before = await linesWhenOver()
  const caller = request({
    socketPath: join(state, 'admin.sock'),
    path: '/v1/observe/blocked',
    method: 'POST',
  })
  caller.on('error', () => undefined)
  const responded = new Promise<void>((resolve) => {
    caller.once('response', (response) => {
      response.pause()
      resolve()
    })
  })
  caller.end(JSON.stringify({ seconds: 60, reason: 'a test' }))
  await responded
  const name = `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.vpn.example`
  for (let round = 0; round < 80; round++) {
    await Promise.all(Array.from({ length: 100 }, () => askUdp(server, name)))
  }
  caller.destroy()
  expect(await linesWhenOver()).toBe(before + 2)
  const end = (await auditLines(state)).at(-1) as { shown: number; missed: number }
  expect(end.shown + end.missed).toBe(8000)
  expect(end.missed).toBeGreaterThan(0)
  process.stdout.write(`unread: ${end.shown} taken, ${end.missed} left out\n`)
})

test('nothing of what was asked or shown is on disk or in the log', async () => {
  const text = await written()
  expect(text).toContain('"what":"observe-end"')
  expect(text).not.toContain(SECRET)
  expect(text).not.toContain('127.0.0.2"')
  expect(text).not.toContain('127.0.0.0/24')
})

describe('errors', () => {
  const cases: readonly [string, readonly string[], number, RegExp][] = [
    ['neither kind', [], EXIT.usage, /--blocked or --slow.*shown to\s+nobody/],
    ['both kinds', ['--blocked', '--slow'], EXIT.usage, /--blocked or --slow/],
    ['a category of slow ones', ['--slow', '--category', 'vpn'], EXIT.usage, /only blocked/],
    ['more than an hour', ['--blocked', '--for', '61m'], EXIT.usage, /1h at most/],
    ['no span', ['--blocked', '--for', 'long'], EXIT.usage, /is no span of time/],
    ['an unknown site', ['--blocked', '--site', 'x'], EXIT.usage, /there are: default, lyon/],
  ]
  test.each(cases)('%s', async (_what, args, code, message) => {
    const before = await linesWhenOver()
    const all = ['tail', '--state-dir', state, '--reason', 'a test', ...args]
    const ended = await runNiveau3(all)
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' })
    expect(ended.stderr).toMatch(message)
    expect(await auditLines(state)).toHaveLength(before)
  })

  test('no reason, and no server', async () => {
    const unasked = await runNiveau3(['tail', '--blocked', '--state-dir', state])
    expect(unasked).toMatchObject({ code: EXIT.usage })
    expect(unasked.stderr).toContain('--reason')
    const alone = ['tail', '--blocked', '--reason', 'x', '--state-dir', '/nowhere', '--json']
    const { code, stdout } = await runNiveau3(alone)
    expect(code).toBe(EXIT.unreachable)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'ERR_SERVER_UNREACHABLE' } })
  })

  test('a configuration that forbids it; a server that stops', async () => {
    const forbidding = await startNiveau3({
      blocklists: { vpn: ['vpn.example'] },
      config: 'admin: {observeSecondsMax: 0}\n',
    })
    const folder = join(forbidding.folder, 'state')
    const args = ['tail', '--blocked', '--reason', 'x', '--state-dir', folder, '--json']
    const { code, stdout } = await runNiveau3(args)
    expect(code).toBe(EXIT.refused)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'ERR_OBSERVE' } })
    await forbidding.stop()

    const stopping = await startNiveau3({ blocklists: { vpn: ['vpn.example'] } })
    const directory = join(stopping.folder, 'state')
    const all = [PROGRAM, 'tail', '--blocked', '--reason', 'x', '--state-dir', directory]
    const child = await startProcess(process.execPath, all, { ready: { line: /questions until/ } })
    const exit = stopping.stop()
    expect(await child.exited).toMatchObject({ code: EXIT.unreachable })
    expect(child.stderr()).toContain('the server stops')
    expect(await exit).toMatchObject({ code: 0 })
  })
})
