import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openNotifySocket } from '../../src/sys/notify-socket.ts'
import { startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { type Process, startProcess } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'

let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-notify-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

interface Manager {
  /** What a service is given as NOTIFY_SOCKET. */
  readonly address: string
  readonly process: Process
  /** Everything that it was told, line by line. */
  readonly lines: () => readonly string[]
}

let managers = 0

/** The receiving end of a service manager, which prints what it is told. */
async function startManager(kind: 'path' | 'abstract'): Promise<Manager> {
  const name = join(folder, `notify-${managers++}`)
  const source = kind === 'path' ? `UNIX-RECV:${name}` : `ABSTRACT-RECV:${name}`
  const socat = await startProcess(await program('socat'), ['-d', '-d', '-u', source, '-'], {
    ready: { line: /starting data transfer loop/ },
  })
  const lines = (): readonly string[] => socat.stdout().split('\n').slice(0, -1)
  return { address: kind === 'path' ? name : `@${name}`, process: socat, lines }
}

async function startUnder(
  manager: Manager,
  env: Readonly<Record<string, string>> = {},
  list = 'blocked.example',
): Promise<Niveau3> {
  const file = join(folder, 'adult.txt')
  await writeFile(file, `${list}\n`)
  return startNiveau3({
    upstreams: [await startScriptedUpstream()],
    blocklistFiles: { adult: file },
    process: {
      ready: { line: /"event":"ready"/ },
      env: { NOTIFY_SOCKET: manager.address, ...env },
    },
  })
}

test.each(['path', 'abstract'] as const)(
  'a manager at an address that is %s hears of start, reload and stop, in this order',
  async (kind) => {
    const manager = await startManager(kind)
    const server = await startUnder(manager)
    await manager.process.line(/^READY=1$/)
    server.process.signal('SIGHUP')
    await manager.process.line(/^RELOADING=1$/)
    await server.process.line(/"event":"reloaded"/)
    expect((await server.stop()).code).toBe(0)
    await manager.process.line(/^STOPPING=1$/)
    const said = manager.lines().filter((line) => /^(READY|RELOADING|STOPPING)=/.test(line))
    expect(said).toEqual(['READY=1', 'RELOADING=1', 'READY=1', 'STOPPING=1'])
    const at = manager.lines().find((line) => line.startsWith('MONOTONIC_USEC='))
    const microseconds = Number(at?.split('=')[1])
    const age = Number(process.hrtime.bigint() / 1000n) - microseconds
    expect(age).toBeGreaterThan(0)
    expect(age).toBeLessThan(60_000_000)
    expect(manager.lines().filter((line) => line.startsWith('WATCHDOG='))).toEqual([])
  },
)

test('a watchdog gets signs of life, three in its time, until the stop', async () => {
  const manager = await startManager('path')
  const server = await startUnder(manager, { WATCHDOG_USEC: '300000' })
  const beats = (): number => manager.lines().filter((line) => line === 'WATCHDOG=1').length
  const startedMs = Date.now()
  while (beats() < 6) {
    expect(server.process.isRunning()).toBe(true)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  // Six signs, 100 ms apart: sooner would be another rhythm.
  expect(Date.now() - startedMs).toBeGreaterThan(350)
  await server.stop()
  await manager.process.line(/^STOPPING=1$/)
  const lines = manager.lines()
  expect(lines.slice(lines.indexOf('STOPPING=1'))).not.toContain('WATCHDOG=1')
})

test('the watchdog of another process is not ours', async () => {
  const manager = await startManager('path')
  const server = await startUnder(manager, { WATCHDOG_USEC: '3000', WATCHDOG_PID: '1' })
  await server.stop()
  await manager.process.line(/^STOPPING=1$/)
  expect(manager.lines()).not.toContain('WATCHDOG=1')
})

test('a server that cannot start never says that it is ready', async () => {
  const manager = await startManager('path')
  await expect(startUnder(manager, {}, '! nothing to block')).rejects.toThrow(/ended with code 4/)
  expect(manager.lines()).not.toContain('READY=1')
})

test('a manager that went away or has no address of ours is no reason not to serve', async () => {
  const gone = { address: join(folder, 'nobody'), lines: () => [] }
  const server = await startUnder({ ...gone, process: undefined as never })
  expect((await server.stop()).code).toBe(0)
  const odd = await startUnder({ ...gone, address: 'vsock:2:1', process: undefined as never })
  await odd.process.line(/"event":"no_notify"/)
  expect((await odd.stop()).code).toBe(0)
})

test('an address longer than the system takes is refused, the longest goes', async () => {
  const longest = `/${'n'.repeat(106)}`
  expect(await openNotifySocket(longest)).toHaveProperty('send')
  for (const wrong of [`${longest}n`, `@${'n'.repeat(108)}`, '', '@', 'relative']) {
    expect(await openNotifySocket(wrong)).toMatchObject({ why: expect.stringContaining('address') })
  }
})
