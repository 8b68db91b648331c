import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Status } from '../../src/controlplane/admin/status.ts'
import { statusText } from '../../src/controlplane/cli/status.ts'
import { createTerminal } from '../../src/controlplane/cli/terminal.ts'
import { askUdp } from '../support/dns-client.ts'
import { runNiveau3, startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { startProcess } from '../support/processes.ts'
import { answerAddresses, startScriptedUpstream } from '../support/scripted-upstream.ts'

const PROGRAM = resolve(import.meta.dirname, '../../dist/bin.js')
let server: Niveau3
let upstream: Awaited<ReturnType<typeof startScriptedUpstream>>
let state = ''

beforeAll(async () => {
  upstream = await startScriptedUpstream(answerAddresses)
  const config = 'forward: {tryTimeoutMs: 1500}\n'
  server = await startNiveau3({
    upstreams: [upstream],
    blocklists: { vpn: ['vpn.example'] },
    config,
  })
  state = join(server.folder, 'state')
})
afterAll(async () => {
  await server.stop()
  await upstream.stop()
})

describe('niveau3 status', () => {
  test('shows the running server on one screen', async () => {
    for (const name of ['vpn.example', 'open.example', 'open.example', 'open.example']) {
      await askUdp(server, name)
    }
    const { code, stderr, stdout } = await runNiveau3(['status', '--state-dir', state])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const lines = stdout.split('\n')
    expect(lines[0]).toMatch(
      /^niveau3 \d+\.\d+\.\d+ {2}up \d+\w {2}pid \d+ {2}node \S+ {2}filtering: ON {2}generation 1 \(since [\d-]+ [\d:]+ UTC\)$/,
    )
    expect(lines[1]).toMatch(
      /^Traffic {4}\d+\w: [\d.]+\/s {3}blocked 25\.0 % {3}cached 50\.0 % {3}p50 \S+ ms {3}p99 \S+ ms {3}servfail 0\.0 % {3}dropped 0\.0 %$/,
    )
    expect(lines[2]).toBe('Lists      1 ok   1 names   no update planned')
    expect(lines[3]).toMatch(/^Upstreams {2}127\.0\.0\.1:\d+ up \S+ ms$/)
    expect(lines[4]).toBe('Overruled  allowed 0   denied 0   pauses none')
    expect(lines[5]).toBe('Redis      not used')
    expect(lines[6]).toMatch(/^Memory {5}\d+ MiB {3}workers 1$/)
    expect(lines[7]).toBe('Log        no query and no client is kept')
    expect(lines.slice(8)).toEqual([''])
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(120)
  })

  test('is one object for machines, and a line of it each time with --watch', async () => {
    const once = await runNiveau3(['status', '--state-dir', state, '--json'])
    expect(once.code).toBe(0)
    const object: unknown = JSON.parse(once.stdout)
    expect(Status.parse(object)).toMatchObject({ generation: 1, names: 1, redis: null })
    expect(object).toMatchObject({ schema: 'niveau3.status/1', pid: server.process.pid })
    const args = [PROGRAM, 'status', '--state-dir', state, '--json', '--watch', '1s']
    const watching = await startProcess(process.execPath, args, {
      ready: { line: /"uptimeSeconds"/ },
    })
    const lines = () => watching.output().trim().split('\n')
    await expect.poll(() => lines().length, { timeout: 20_000 }).toBeGreaterThan(1)
    for (const line of lines()) expect(Status.parse(JSON.parse(line))).toMatchObject({ names: 1 })
    await watching.end()
  })

  test('ends with 3 when no server runs, and says where it looked', async () => {
    const { code, stderr, stdout } = await runNiveau3(['status', '--state-dir', '/nowhere'])
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' })
    expect(stderr).toBe('error: no server is running: nobody answers on /nowhere/admin.sock\n')
    const json = await runNiveau3(['status', '--socket', '/nowhere/x.sock', '--json'])
    expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: 'ERR_SERVER_UNREACHABLE' } })
    expect(json.code).toBe(3)
  })
})

describe('niveau3 reload', () => {
  test('takes the configuration anew, and names what needs a restart', async () => {
    await writeFile(join(server.folder, 'vpn.txt'), 'vpn.example\nsecond.example\n')
    const { code, stdout } = await runNiveau3(['reload', '--state-dir', state])
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'reloaded: generation 2 is in force\n' })
    expect(await askUdp(server, 'second.example')).toMatchObject({ rcode: 'NXDOMAIN' })
    await writeFile(
      join(server.folder, 'niveau3.yaml'),
      'admin: {socket: off}\nstopGraceSeconds: 1\n',
    )
    const json = await runNiveau3(['reload', '--state-dir', state, '--json'])
    expect(JSON.parse(json.stdout)).toMatchObject({ generation: 3, needsRestart: ['admin'] })
    const audit = (await readFile(join(state, 'audit.ndjson'), 'utf8')).trimEnd().split('\n')
    expect(JSON.parse(audit.at(-1) ?? '')).toMatchObject({
      what: 'reload',
      uid: process.getuid?.(),
      generation: 3,
      needsRestart: ['admin'],
    })
  })

  test('a configuration with mistakes changes nothing, and the command says which', async () => {
    await writeFile(join(server.folder, 'niveau3.yaml'), 'worker: 3\n')
    const { code, stderr } = await runNiveau3(['reload', '--state-dir', state])
    expect(code).toBe(4)
    expect(stderr).toMatch(/niveau3\.yaml:1:1: unknown key "worker"/)
    const { stdout } = await runNiveau3(['status', '--state-dir', state])
    expect(stdout).toMatch(/^TROUBLE {4}the last reload was refused/m)
    await writeFile(join(server.folder, 'niveau3.yaml'), '\n')
    expect((await runNiveau3(['reload', '--state-dir', state])).code).toBe(0)
  })
})

describe('the socket of a server', () => {
  test('is where the configuration says, and not at all where it says off', async () => {
    const off = await startNiveau3({
      blocklists: { vpn: ['x.example'] },
      config: 'admin: {socket: off}\n',
    })
    await expect(stat(join(off.folder, 'state', 'admin.sock'))).rejects.toThrow(/ENOENT/)
    expect(off.process.output()).not.toMatch(/admin_socket/)
    await off.stop()
    const config = 'admin: {socket: own.sock, group: "0"}\n'
    const own = process.getuid?.() === 0 ? config : 'admin: {socket: own.sock}\n'
    const placed = await startNiveau3({ blocklists: { vpn: ['x.example'] }, config: own })
    const file = join(placed.folder, 'own.sock')
    expect(await placed.process.line(/"event":"admin_socket"/)).toContain(`"file":"${file}"`)
    expect((await runNiveau3(['status', '--socket', file])).code).toBe(0)
    expect(
      (await runNiveau3(['status', '--config', join(placed.folder, 'niveau3.yaml')])).code,
    ).toBe(0)
    await placed.stop()
  })

  test('a group or a path that cannot be is told before anything is answered', async () => {
    const long = `/tmp/${'x'.repeat(120)}.sock`
    const { code, stderr } = await runNiveau3(['config', 'check', '-'], {
      input: `admin: {socket: ${long}}\n`,
    })
    expect(code).toBe(4)
    expect(stderr).toMatch(/admin\.socket: .* has 130 octets, a socket's path has at most 107/)
    const server = startNiveau3({
      blocklists: { vpn: ['x.example'] },
      config: 'admin: {group: no-such-group-here}\n',
    })
    await expect(server).rejects.toThrow(
      /admin\.group: "no-such-group-here" is no group of this machine/,
    )
  })

  test('a state directory too deep for a socket is no reason not to serve', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'niveau3-deep-'))
    const deep = await startNiveau3({
      blocklists: { vpn: ['x.example'] },
      args: ['--state-dir', join(folder, 'deep/'.repeat(25))],
    })
    expect(deep.process.output()).toMatch(/"event":"no_admin_socket"/)
    await deep.stop()
    await rm(folder, { recursive: true })
  })
})

test('the screen names stale and failed lists, dead upstreams, Redis and troubles', () => {
  const state: Status = {
    version: '1.2.0',
    node: '24.1.0',
    pid: 812,
    uptimeSeconds: 12 * 86_400 + 4 * 3600 + 59,
    troubles: [{ check: 'upstreams', why: 'no upstream is configured' }],
    generation: 87,
    generationSince: '2026-11-21T04:02:11.000Z',
    digest: 'd',
    names: 4_914_202,
    traffic: {
      seconds: 300,
      answersPerSecond: 1312.4,
      blockedShare: 0.031,
      cachedShare: 0.814,
      servfailShare: 0,
      droppedShare: 0.001,
      p50Ms: 0.09,
      p99Ms: 11.4,
    },
    lists: {
      ok: 4,
      stale: [
        { list: 'ut1-doh', ageSeconds: 3 * 86_400 + 60 },
        { list: 'new', ageSeconds: null },
      ],
      failed: [{ list: 'ut1-vpn', failures: 2 }],
      held: true,
      nextUpdateAt: null,
    },
    upstreams: [
      { upstream: '9.9.9.9', up: true, responseMs: 14.4 },
      { upstream: 'tls://dns.example@192.0.2.1', up: false, responseMs: null },
      { upstream: '192.0.2.2', up: true, responseMs: null },
    ],
    pauses: [{ category: 'adult', site: 'lyon', until: '2026-11-21T16:40:00.000Z' }],
    rules: { allow: 2, deny: 1, nextEnd: '2026-11-21T18:00:00.000Z' },
    redis: { up: true, responseMs: 0.314 },
    memoryOctets: 214 * 1024 * 1024,
    observers: [],
    workersAlive: 2,
    lastReloadOk: true,
  }
  const stream = { write: () => true }
  const text = statusText(state, createTerminal(stream, stream, {}))
  expect(text)
    .toBe(`niveau3 1.2.0  up 12d 4h  pid 812  node 24.1.0  filtering: PARTLY PAUSED  generation 87 (since 2026-11-21 04:02 UTC)
Traffic    5m: 1,312/s   blocked 3.1 %   cached 81.4 %   p50 0.09 ms   p99 11 ms   servfail 0.0 %   dropped 0.1 %
Lists      4 ok   4,914,202 names   updates held by a rollback: niveau3 lists resume
           2 stale (ut1-doh: 3d 0h, new: never)
           1 failed (ut1-vpn: 2 times)
Upstreams  9.9.9.9 up 14 ms   tls://dns.example@192.0.2.1 DOWN
           192.0.2.2 up
Overruled  allowed 2   denied 1 (first end 2026-11-21 18:00 UTC)
           paused: adult at lyon until 2026-11-21 16:40 UTC
Redis      up 0.31 ms
Memory     214 MiB   workers 2
Log        no query and no client is kept
TROUBLE    upstreams: no upstream is configured
`)
})
