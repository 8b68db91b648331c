import { createSocket } from 'node:dgram'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { askTcp, askUdp } from '../support/dns-client.ts'
import { runNiveau3, startNiveau3 } from '../support/niveau3.ts'
import { freePort } from '../support/ports.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'

let folder = ''
let list = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-start-'))
  list = join(folder, 'adult.txt')
  await writeFile(list, 'blocked.example\n')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Tries to start a server that cannot start. */
async function failing(...args: readonly string[]): Promise<{ code: number | null; said: string }> {
  const listen = ['--listen', `127.0.0.1:${await freePort()}`, '--metrics', 'off']
  const { code, stdout, stderr } = await runNiveau3([
    'serve',
    ...(args.includes('--listen') ? ['--metrics', 'off'] : listen),
    '--upstream',
    '127.0.0.1:1',
    ...args,
  ])
  expect(stdout).toBe('')
  return { code, said: stderr }
}

/** One line for the operator, without a stack. */
function expectOneLine(said: string): void {
  const lines = said.split('\n').filter((line) => line !== '' && !line.startsWith('{'))
  expect(lines, said).toHaveLength(1)
  expect(said).not.toMatch(/\n\s+at /)
}

describe('a port that is in use ends the start with 1', () => {
  test.each(['1', '2'])('over UDP, with %s workers', async (workers) => {
    const port = await freePort()
    const other = createSocket('udp4')
    await new Promise<void>((resolve) => other.bind(port, '127.0.0.1', resolve))
    const listen = ['--listen', `127.0.0.1:${port}`, '--blocklist', `adult=${list}`]
    const { code, said } = await failing(...listen, '--workers', workers)
    expect(code).toBe(1)
    expect(said).toContain(`127.0.0.1:${port} is already in use`)
    expectOneLine(said)
    await new Promise<void>((resolve) => other.close(resolve))
  })

  test('over TCP', async () => {
    const port = await freePort()
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve))
    const { code, said } = await failing(
      '--listen',
      `127.0.0.1:${port}`,
      '--blocklist',
      `adult=${list}`,
    )
    expect(code).toBe(1)
    expect(said).toContain(`TCP 127.0.0.1:${port} is already in use`)
    expectOneLine(said)
    await new Promise<void>((resolve) => other.close(() => resolve()))
  })

  test.each(['1', '2'])(
    'by another server with %s workers, which goes on undisturbed',
    async (workers) => {
      const upstream = await startScriptedUpstream()
      const first = await startNiveau3({
        upstreams: [upstream],
        blocklistFiles: { adult: list },
        args: ['--workers', workers],
      })
      for (const amount of ['1', '2']) {
        const listen = ['--listen', first.endpoint, '--blocklist', `adult=${list}`]
        const { code, said } = await failing(...listen, '--workers', amount)
        expect(code).toBe(1)
        expect(said).toContain('is already in use')
      }
      for (let index = 0; index < 20; index++) {
        expect((await askUdp(first, 'blocked.example')).rcode).toBe('NXDOMAIN')
        expect((await askTcp(first, 'blocked.example')).rcode).toBe('NXDOMAIN')
      }
      await first.stop()
    },
  )

  test('for the metrics', async () => {
    const port = await freePort()
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve))
    const { code, stderr } = await runNiveau3([
      'serve',
      '--listen',
      `127.0.0.1:${await freePort()}`,
      '--metrics',
      `127.0.0.1:${port}`,
      '--upstream',
      '127.0.0.1:1',
      '--blocklist',
      `adult=${list}`,
    ])
    expect(code).toBe(1)
    expect(stderr).toContain(`127.0.0.1:${port} is already in use`)
    expectOneLine(stderr)
    await new Promise<void>((resolve) => other.close(() => resolve()))
  })
})

describe('without a usable list it does not start, and ends with 4', () => {
  test('when the list is missing', async () => {
    const { code, said } = await failing('--blocklist', `adult=${folder}/missing.txt`)
    expect(code).toBe(4)
    expect(said).toContain('missing.txt')
    expectOneLine(said)
  })

  test.each([
    { what: 'is empty', content: '' },
    { what: 'holds only comments', content: '# none\n! none\n' },
    { what: 'holds nothing that is a rule', content: '/ads/banner.gif\n/^ad[0-9]+/\n' },
  ])('when the list $what', async ({ content }) => {
    const file = join(folder, 'nothing.txt')
    await writeFile(file, content)
    const { code, said } = await failing('--blocklist', `adult=${file}`)
    expect(code).toBe(4)
    expectOneLine(said)
  })

  test('when the image is missing, no image, cut short or has one octet changed', async () => {
    const image = join(folder, 'lists.n3')
    const made = await runNiveau3([
      'lists',
      'compile',
      '--out',
      image,
      '--blocklist',
      `adult=${list}`,
    ])
    expect(made.code).toBe(0)
    const octets = await readFile(image)
    const damaged: [string, Uint8Array][] = [
      ['text', Buffer.from('blocked.example\n')],
      ['cut', octets.subarray(0, -1)],
    ]
    for (const at of [40, octets.length - 1]) {
      const changed = Buffer.from(octets)
      changed[at] = changed[at]! ^ 0x10
      damaged.push([`changed-${at}`, changed])
    }
    for (const [name, content] of damaged) {
      const file = join(folder, `${name}.n3`)
      await writeFile(file, content)
      const { code, said } = await failing('--image', file)
      expect(code, `${name}: ${said}`).toBe(4)
      expect(said).toContain(file)
      expectOneLine(said)
    }
    const missing = await failing('--image', join(folder, 'none.n3'))
    expect(missing.code).toBe(4)
    expectOneLine(missing.said)
    const server = await startNiveau3({ upstreams: ['127.0.0.1:1'], image })
    expect((await askUdp(server, 'blocked.example')).rcode).toBe('NXDOMAIN')
    await server.stop()
  })
})

test('an address for all the world needs allowFrom, else it ends with 4', async () => {
  const port = await freePort()
  for (const address of ['0.0.0.0', '[::]', '203.0.113.5']) {
    const listen = ['--listen', `${address}:${port}`, '--blocklist', `adult=${list}`]
    const { code, said } = await failing(...listen)
    expect(code, said).toBe(4)
    expect(said).toContain('allowFrom')
  }
})

test('an address that this machine does not have ends the start with 1', async () => {
  const listen = ['--listen', '10.255.255.254:5300', '--blocklist', `adult=${list}`]
  const { code, said } = await failing(...listen)
  expect(code).toBe(1)
  expect(said).toContain('10.255.255.254')
  expectOneLine(said)
})
