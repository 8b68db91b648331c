import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'

import { connect, createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { OperationalError } from '../../src/base/errors.ts'
import { AdminSocket } from '../../src/controlplane/admin/admin-socket.ts'
import { Callers, groupNumber, userName } from '../../src/controlplane/admin/caller.ts'
import { route, type Route } from '../../src/controlplane/admin/route.ts'
import { AdminClient } from '../../src/controlplane/cli/admin-client.ts'
import { Gate } from '../support/gate.ts'

const log = pino({ level: 'silent' })
const Anything = z.looseObject({})
let folder = ''
let file = ''
let open: AdminSocket[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-admin-'))
  file = join(folder, 'admin.sock')
})
afterEach(async () => {
  await Promise.all(open.map((socket) => socket.close()))
  open = []
  await rm(folder, { recursive: true, force: true })
})

async function listen(routes: readonly Route[], callers?: Callers): Promise<AdminSocket> {
  const asked = callers ?? (await Callers.open())
  const socket = await AdminSocket.open({ file, group: undefined, routes, callers: asked, log })
  open.push(socket)
  return socket
}

const who = route('GET', '/who', z.strictObject({}), async ({ caller }) => caller)
const echo = route('POST', '/echo', z.strictObject({ word: z.string() }), async ({ body }) => body)

function failing(path: string, error: Error): Route {
  return route('GET', path, z.strictObject({}), () => Promise.reject(error))
}

/** What the socket answers to raw octets. */
async function raw(octets: string): Promise<string> {
  const socket = connect(file)
  let text = ''
  socket.setEncoding('utf8').on('data', (part: string) => (text += part))
  socket.end(octets)
  await once(socket, 'close')
  return text
}

describe('the admin socket', () => {
  test('lets its owner and group in and nobody else, and is gone when it is closed', async () => {
    const socket = await listen([who])
    const found = await stat(file)
    expect(found.isSocket()).toBe(true)
    expect((found.mode & 0o777).toString(8)).toBe('660')
    await socket.close()
    await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('knows by the kernel which process of which user asks', async () => {
    await listen([who])
    const { gid, uid, username } = userInfo()
    const seen = await new AdminClient(file).ask('/who', Anything)
    expect(seen).toEqual({ pid: process.pid, uid, gid, user: username, by: 'socket' })
    const code = `require('node:http').get({ socketPath: process.argv[1], path: '/who' }, (r) => r.pipe(process.stdout))`
    const child = spawn(process.execPath, ['-e', code, file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part))
    await once(child, 'close')
    expect(JSON.parse(text)).toMatchObject({ pid: child.pid, uid })
  })

  test('calls a caller unknown where the platform cannot tell', async () => {
    await listen([who], new Callers({ why: 'a test' }, '/etc/passwd'))
    const seen = await new AdminClient(file).ask('/who', Anything)
    expect(seen).toEqual({ pid: null, uid: null, gid: null, user: 'unknown', by: 'socket' })
  })

  test('takes the place of a dead server, not of a living one, and never of a file', async () => {
    const code = `require('node:net').createServer().listen(process.argv[1], () => console.log('up'))`
    const dead = spawn(process.execPath, ['-e', code, file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(dead.stdout, 'data')
    dead.kill('SIGKILL')
    await once(dead, 'close')
    expect((await stat(file)).isSocket()).toBe(true)
    await listen([who])
    await expect(listen([who])).rejects.toMatchObject({ code: 'ERR_ADDRESS_IN_USE', file })
    expect(await new AdminClient(file).ask('/who', Anything)).toMatchObject({ pid: process.pid })
    file = join(folder, 'letter.txt')
    await writeFile(file, 'keep me')
    await expect(listen([who])).rejects.toThrow(/is there and is no socket/)
    expect((await stat(file)).size).toBe(7)
  })

  test('says what is wrong with a request, with the code that a command ends with', async () => {
    await listen([who, echo])
    const client = new AdminClient(file)
    expect(await client.ask('/echo', Anything, { body: { word: 'yes' } })).toEqual({ word: 'yes' })
    const wrong = [
      ['/nothing', {}, /there is no \/nothing/],
      ['/who', {}, /\/who takes GET/],
      ['/echo', { word: 7 }, /POST \/echo: word: .*expected string/],
      ['/echo', { word: 'a', more: 1 }, /Unrecognized key: "more"/],
      ['/echo', { word: 'a'.repeat(70_000) }, /more than 65536 octets/],
    ] as const
    for (const [path, body, message] of wrong) {
      const failure = client.ask(path, Anything, { body })
      await expect(failure, path).rejects.toMatchObject({ code: 'ERR_USAGE', exitCode: 2 })
      await expect(failure, path).rejects.toThrow(message)
    }
    const text = 'POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n{{{'
    expect(await raw(text)).toMatch(/^HTTP\/1.1 400 [^]*the body is not JSON/)
    expect(await raw('rubbish\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /)
    expect(await raw(`GET /who HTTP/1.1\r\nx: ${'y'.repeat(9000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 431 /,
    )
  })

  test('passes failures on as they are, and tells of defects without their stack', async () => {
    const held = new OperationalError('ERR_HELD', 'held by a rollback', { file: '/x', line: 3 })
    await listen([failing('/held', held), failing('/defect', new TypeError('x is not a function'))])
    const client = new AdminClient(file)
    const facts = {
      code: 'ERR_HELD',
      message: 'held by a rollback',
      file: '/x',
      line: 3,
      exitCode: 6,
    }
    await expect(client.ask('/held', Anything)).rejects.toMatchObject(facts)
    await expect(client.ask('/defect', Anything)).rejects.toThrow(/defect: x is not a function/)
  })

  test('streams the progress of a long operation, then its result', async () => {
    const count = route('POST', '/count', z.strictObject({ to: z.int() }), async (call) => {
      for (let step = 1; step <= call.body.to; step++) call.progress({ step })
      if (call.body.to > 3) throw new OperationalError('ERR_DOWNLOAD', 'too far')
      return { reached: call.body.to }
    })
    await listen([count])
    const client = new AdminClient(file)
    const steps: unknown[] = []
    const onProgress = (event: unknown): void => void steps.push(event)
    const result = await client.ask('/count', Anything, { body: { to: 3 }, onProgress })
    expect(result).toEqual({ reached: 3 })
    expect(steps).toEqual([{ step: 1 }, { step: 2 }, { step: 3 }])
    const failure = client.ask('/count', Anything, { body: { to: 4 } })
    await expect(failure).rejects.toMatchObject({ code: 'ERR_DOWNLOAD', message: 'too far' })
  })

  test('ends an operation whose caller goes away, and every one when it is closed', async () => {
    const ended = new Gate<string>()
    const wait = route('POST', '/wait', z.strictObject({}), async ({ progress, signal }) => {
      progress({ phase: 'waiting' })
      await once(signal, 'abort')
      const reason: unknown = signal.reason
      ended.open(reason instanceof Error ? reason.message : String(reason))
      throw reason
    })
    const socket = await listen([wait])
    const controller = new AbortController()
    const asked = new AdminClient(file).ask('/wait', Anything, {
      body: {},
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('Ctrl-C')),
    })
    await expect(asked).rejects.toThrow(/abort/i)
    expect(await ended.opened).toBe('the caller went away')
    const stopped = new Gate()
    const second = new AdminClient(file).ask('/wait', Anything, {
      body: {},
      onProgress: () => stopped.open(),
    })
    const failure = expect(second).rejects.toMatchObject({ code: 'ERR_SERVER_UNREACHABLE' })
    await stopped.opened
    await socket.close()
    await failure
  })

  test('bounds its connections: one too many is dropped, the others are answered', async () => {
    await listen([who])
    const idle = await Promise.all(
      Array.from({ length: 32 }, async () => {
        const socket = connect(file)
        await once(socket, 'connect')
        return socket
      }),
    )
    await expect(new AdminClient(file).ask('/who', Anything)).rejects.toMatchObject({
      code: 'ERR_SERVER_UNREACHABLE',
    })
    const gone = once(idle[0]!, 'close')
    idle[0]!.destroy()
    await gone
    await expect
      .poll(() =>
        new AdminClient(file).ask('/who', Anything).then(
          () => 'yes',
          () => 'no',
        ),
      )
      .toBe('yes')
    for (const socket of idle) socket.destroy()
  })
})

describe('a command that finds no server', () => {
  test('says so, whether there is no socket, a dead one, or one that ends the talk', async () => {
    const client = new AdminClient(file)
    const unreachable = { code: 'ERR_SERVER_UNREACHABLE', exitCode: 3, file }
    await expect(client.ask('/who', Anything)).rejects.toMatchObject(unreachable)
    await expect(client.ask('/who', Anything)).rejects.toThrow(/^no server is running: nobody/)
    expect(await client.isThere()).toBe(false)
    const rude = createServer((socket) => socket.destroy())
    rude.listen(file)
    await once(rude, 'listening')
    expect(await client.isThere()).toBe(true)
    await expect(client.ask('/who', Anything)).rejects.toThrow(/has ended the conversation/)
    rude.close()
  })

  test('names the remedy when the socket is not for its user', async () => {
    await listen([who])
    await chmod(file, 0)
    // The user that runs the tests may be root, whom no mode stops: another user asks.
    const code = `require('node:http').get({ socketPath: process.argv[1] }).on('error', (e) => console.log(e.code))`
    const asRoot = process.getuid?.() === 0
    if (!asRoot) {
      await expect(new AdminClient(file).ask('/who', Anything)).rejects.toThrow(/admin\.group/)
    }
    await chmod(folder, 0o755)
    const user = asRoot ? { uid: 65_534, gid: 65_534 } : {}
    const child = spawn(process.execPath, ['-e', code, file], {
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: '/',
      ...user,
    })
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part))
    await once(child, 'close')
    expect(text.trim()).toBe('EACCES')
  })

  test('finds a server of another version out by its answer', async () => {
    await listen([who])
    const asked = new AdminClient(file).ask('/who', z.object({ flavour: z.string() }))
    await expect(asked).rejects.toThrow(/speaks another version of this protocol \(flavour: /)
  })
})

test('users and groups are looked up in files like /etc/passwd and /etc/group', async () => {
  const passwd = join(folder, 'passwd')
  await writeFile(passwd, 'root:x:0:0:root:/:/bin/sh\nnina:x:1001:1001::/srv/nina:/bin/sh\n')
  expect([0, 1001, 7].map((uid) => userName(uid, passwd))).toEqual(['root', 'nina', '7'])
  const groups = join(folder, 'group')
  await writeFile(groups, 'root:x:0:\nnetops:x:55:nina\n')
  expect(['netops', '77', 'none'].map((name) => groupNumber(name, groups))).toEqual([
    55,
    77,
    undefined,
  ])
  expect(userName(1001, join(folder, 'missing'))).toBe('1001')
})
