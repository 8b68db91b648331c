import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { StateLock } from '../../src/controlplane/state-lock.ts'
import { runNiveau3, startNiveau3 } from '../support/niveau3.ts'
import { freePort } from '../support/ports.ts'

let folder = ''
let file = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-lock-'))
  file = join(folder, 'lock')
})
afterEach(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true, force: true })
})

/** What a lock of ours says: our id, when we started, the boot. */
const OURS = new RegExp(`^${process.pid} \\d+@[0-9a-f-]{36}\n$`)

/** The id of a process that has ended. */
async function deadProcess(): Promise<number> {
  const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' })
  await once(child, 'exit')
  return child.pid ?? expect.unreachable()
}

describe('the lock of a state directory', () => {
  test('holds our process id, and is gone when it is released', async () => {
    const directory = join(folder, 'made', 'for', 'it')
    const lock = await StateLock.take(directory)
    expect(await readFile(join(directory, 'lock'), 'utf8')).toMatch(OURS)
    await lock.release()
    expect(await readdir(directory)).toEqual([])
  })

  test('is refused while it is held, by this process or by another that lives', async () => {
    const lock = await StateLock.take(folder)
    await expect(StateLock.take(folder)).rejects.toMatchObject({ code: 'ERR_STATE_LOCKED', file })
    await lock.release()
    await writeFile(file, `${process.ppid}\n`)
    await expect(StateLock.take(folder)).rejects.toThrow(
      new RegExp(`in use by process ${process.ppid} .*--state-dir.*remove the file`),
    )
    expect(await readFile(file, 'utf8')).toBe(`${process.ppid}\n`)
  })

  test('is taken over from the dead, from a power cut and from our id of before', async () => {
    for (const text of [`${await deadProcess()}\n`, '', 'rubbish', `${process.pid}\n`]) {
      await writeFile(file, text)
      const lock = await StateLock.take(folder)
      expect(await readFile(file, 'utf8')).toMatch(OURS)
      await lock.release()
      expect(await readdir(folder)).toEqual([])
    }
  })

  test('is taken over from an id that another process has by now, and after a new boot', async () => {
    const other = await StateLock.take(join(folder, 'other'))
    const [, birth = ''] = (await readFile(join(folder, 'other', 'lock'), 'utf8')).split(' ')
    await other.release()
    const [ticks = '', boot = ''] = birth.trim().split('@')
    const earlier = `${Number(ticks) - 1}@${boot}`
    const otherBoot = `${ticks}@${'0'.repeat(8)}${boot.slice(8)}`
    for (const text of [`1 ${earlier}\n`, `${process.ppid} ${otherBoot}\n`]) {
      await writeFile(file, text)
      const lock = await StateLock.take(folder)
      expect(await readFile(file, 'utf8')).toMatch(OURS)
      await lock.release()
    }
  })

  test("is taken over after a new boot though another user's hidden process has the id", async () => {
    const other = await StateLock.take(join(folder, 'other'))
    const boot = (await readFile(join(folder, 'other', 'lock'), 'utf8')).trim().split('@')[1]!
    await other.release()
    // As under the unit: it lives, is not ours to signal, and /proc shows nothing of it.
    const hidden = await deadProcess()
    vi.spyOn(process, 'kill').mockImplementation(() => {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' })
    })
    await writeFile(file, `${hidden} 4711@${boot}\n`)
    expect(StateLock.ownerOf(file)).toBe(hidden)
    await expect(StateLock.take(folder)).rejects.toMatchObject({ code: 'ERR_STATE_LOCKED' })
    await writeFile(file, `${hidden} 4711@${'0'.repeat(8)}${boot.slice(8)}\n`)
    expect(StateLock.ownerOf(file)).toBeUndefined()
    const lock = await StateLock.take(folder)
    expect(await readFile(file, 'utf8')).toMatch(OURS)
    await lock.release()
  })

  test('released twice, it does not take away the lock of the next', async () => {
    const first = await StateLock.take(folder)
    await first.release()
    const second = await StateLock.take(folder)
    await first.release()
    expect(await readdir(folder)).toEqual(['lock'])
    await second.release()
  })

  test('of a directory that cannot be made is a matter of rights, in one line', async () => {
    await writeFile(file, '')
    await expect(StateLock.take(join(file, 'below'))).rejects.toMatchObject({
      code: 'ERR_PERMISSION',
      message: expect.stringMatching(/cannot write the state directory .*--state-dir/),
    })
  })
})

describe('a server', () => {
  test('keeps a second one out of its state, and leaves no lock when it ends', async () => {
    const state = ['--state-dir', folder]
    const first = await startNiveau3({ upstreams: ['127.0.0.1:1'], args: state })
    const listen = ['--listen', `127.0.0.1:${await freePort()}`, '--metrics', 'off']
    const second = await runNiveau3(['serve', ...listen, '--upstream', '127.0.0.1:1', ...state])
    expect(second.code).toBe(1)
    expect(second.stderr).toMatch(/error: the state directory is in use by process \d+/)
    expect((await readdir(folder)).toSorted()).toEqual(['admin.sock', 'lock'])
    await first.stop()
    expect(await readdir(folder)).toEqual([])
  })

  test('that lives keeps its lock, and one that was killed leaves it to the next', async () => {
    const server = await startNiveau3({ upstreams: ['127.0.0.1:1'], args: ['--state-dir', folder] })
    const [id] = (await readFile(file, 'utf8')).split(' ')
    await expect(StateLock.take(folder)).rejects.toThrow(`in use by process ${id}`)
    server.process.signal('SIGKILL')
    await server.process.exited
    expect(await readdir(folder)).toContain('lock')
    await (await StateLock.take(folder)).release()
  })

  test('that cannot start leaves no lock either', async () => {
    const upstream = ['--upstream', '127.0.0.1:1', '--metrics', 'off', '--state-dir', folder]
    const { code } = await runNiveau3(['serve', '--listen', '10.255.255.254:5300', ...upstream])
    expect(code).toBe(1)
    expect(await readdir(folder)).toEqual([])
  })
})
