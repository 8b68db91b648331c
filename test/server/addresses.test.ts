import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import { openNetworkNamespace, type NetworkNamespace } from '../support/network-namespace.ts'
import { runToEnd, type Process } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { WITHOUT_SYSTEM_CALLS } from '../support/without-system-calls.ts'
import { signalledWorkers, type WorkerSignals } from '../support/worker-signals.ts'

const PROGRAM = resolve(import.meta.dirname, '../../dist/bin.js')
const PORT = 5300
/** A program that has the port of one address and nothing else. */
const SQUATTER = `
  const socket = require('node:dgram').createSocket('udp4')
  socket.bind({ port: ${PORT}, address: process.argv[1], exclusive: true }, () => console.log('squatting'))
`

let signals: WorkerSignals
let dig = ''
beforeAll(async () => {
  signals = await signalledWorkers()
  dig = await program('dig')
})

async function serve(
  network: NetworkNamespace,
  workers: number,
  nodeOptions = signals.nodeOptions,
): Promise<Process> {
  const listen = ['--listen', `0.0.0.0:${PORT}`, '--listen', `[::]:${PORT}`]
  const allow = 'NIVEAU3_ALLOW_FROM=["127.0.0.0/8","10.0.0.0/8","::1/128","fd00::/8"]'
  const args = [allow, `NODE_OPTIONS=${nodeOptions}`, process.execPath, PROGRAM, 'serve']
  args.push(...listen, '--workers', String(workers), '--upstream', '127.0.0.1:1')
  return network.start('env', args, /"event":"ready"/)
}

/** Asks for a name that the server answers by itself; dig refuses a reply from another address. */
async function ask(network: NetworkNamespace, address: string, tcp: boolean): Promise<string> {
  const how = ['+tries=1', '+time=5', '+short', tcp ? '+tcp' : '+notcp']
  const { stdout } = await network.run(dig, `@${address}`, '-p', String(PORT), ...how, 'localhost')
  return stdout.trim()
}

async function expectAnswers(network: NetworkNamespace, address: string): Promise<void> {
  for (const tcp of [false, true]) expect(await ask(network, address, tcp)).toBe('127.0.0.1')
}

/** Sockets that are bound to the address, as the kernel writes it: hexadecimal, host order. */
async function socketsAt(server: Process, hexadecimal: string): Promise<number> {
  const files = ['udp', 'tcp', 'udp6', 'tcp6'].map((table) =>
    readFile(`/proc/${server.pid}/net/${table}`, 'utf8'),
  )
  const lines = (await Promise.all(files)).join('\n').split('\n')
  const at = new RegExp(` ${hexadecimal}:14B4 0+:0000 (07|0A) `)
  return lines.filter((line) => at.test(line)).length
}

// Each question is a dig of its own, and the server looks around every two seconds.
describe('a server that listens on every address', { timeout: 60_000 }, () => {
  test.each([1, 2])(
    'answers at addresses that come, with %i workers, and lets go of those that go',
    async (workers) => {
      conforms('same-address')
      const network = await openNetworkNamespace()
      const server = await serve(network, workers)
      await expectAnswers(network, '127.0.0.1')
      await expectAnswers(network, '::1')

      await network.ip('address', 'add', '10.9.9.1/24', 'dev', 'lo')
      await server.line(/"addresses_changed".*"10\.9\.9\.1:5300"/)
      await network.ip('address', 'add', 'fd00::9/64', 'dev', 'lo')
      await server.line(/"addresses_changed".*"\[fd00::9\]:5300"/)
      await expectAnswers(network, '10.9.9.1')
      await expectAnswers(network, 'fd00::9')
      expect(await socketsAt(server, '0109090A')).toBe(2 * workers)

      // Workers that come after it listen there as well.
      server.signal('SIGUSR2')
      await server.line(/"worker_died"/)
      for (let index = 0; index < 3; index++) await expectAnswers(network, '10.9.9.1')

      await network.ip('address', 'del', '10.9.9.1/24', 'dev', 'lo')
      await server.line(/"addresses_changed".*"vanished":\["10\.9\.9\.1:5300"\]/)
      expect(await socketsAt(server, '0109090A')).toBe(0)
      await expectAnswers(network, '127.0.0.1')
      expect(await server.end()).toEqual({ code: 0, signal: null })
    },
  )

  test('does so without the system calls as well', async () => {
    const network = await openNetworkNamespace()
    const server = await serve(network, 1, WITHOUT_SYSTEM_CALLS['NODE_OPTIONS'])
    await server.line(/"event":"plain_udp"/)
    await network.ip('address', 'add', '10.9.9.1/24', 'dev', 'lo')
    await server.line(/"addresses_changed".*"10\.9\.9\.1:5300"/)
    await expectAnswers(network, '10.9.9.1')
    await network.ip('address', 'del', '10.9.9.1/24', 'dev', 'lo')
    await server.line(/"addresses_changed".*"vanished":\["10\.9\.9\.1:5300"\]/)
    expect(await socketsAt(server, '0109090A')).toBe(0)
    await expectAnswers(network, '127.0.0.1')
    expect(await server.end()).toEqual({ code: 0, signal: null })
  })

  test('says why it cannot listen on one that came, once, and listens when it can', async () => {
    const network = await openNetworkNamespace()
    await network.ip('address', 'add', '10.9.9.2/24', 'dev', 'lo')
    const squatter = await network.start(
      process.execPath,
      ['-e', SQUATTER, '10.9.9.2'],
      /^squatting/,
    )
    await network.ip('address', 'del', '10.9.9.2/24', 'dev', 'lo')
    const server = await serve(network, 2)
    await network.ip('address', 'add', '10.9.9.2/24', 'dev', 'lo')
    await server.line(/"address_failed".*"10\.9\.9\.2:5300".*already in use/)
    await network.ip('address', 'add', '10.9.9.3/24', 'dev', 'lo')
    await server.line(/"addresses_changed".*"10\.9\.9\.3:5300"/)
    await squatter.end()
    await server.line(/"addresses_changed".*"10\.9\.9\.2:5300"/)
    await expectAnswers(network, '10.9.9.2')
    expect(server.output().split('"address_failed"')).toHaveLength(2)
    expect(await server.end()).toEqual({ code: 0, signal: null })
  })

  test('leaves nothing bound where no descriptor is left for a worker, and listens when one is', async () => {
    const network = await openNetworkNamespace()
    const server = await serve(network, 1)
    await expectAnswers(network, '127.0.0.1')
    // Room for the sockets of the place, and for one of the two that its worker is lent.
    const prlimit = (limit: string) => runToEnd('prlimit', ['--pid', String(server.pid), limit])
    const shown = ['--nofile', '--output=HARD', '--noheadings', '--raw']
    const { stdout } = await runToEnd('prlimit', ['--pid', String(server.pid), ...shown])
    expect((await prlimit(`--nofile=${freeNumber(server.pid, 3)}:`)).code).toBe(0)
    await network.ip('address', 'add', '10.9.9.4/24', 'dev', 'lo')
    await server.line(/"address_failed".*"10\.9\.9\.4:5300".*no descriptor is left/)
    expect(await socketsAt(server, '0409090A')).toBe(0)
    expect((await prlimit(`--nofile=${stdout.trim()}:`)).code).toBe(0)
    await server.line(/"addresses_changed".*"10\.9\.9\.4:5300"/)
    await expectAnswers(network, '10.9.9.4')
    expect(await server.end()).toEqual({ code: 0, signal: null })
  })
})

/** The number of the descriptor that a process gets when it has opened so many more. */
function freeNumber(pid: number, more: number): number {
  const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number))
  let number = -1
  for (let left = more; left >= 0;) if (!used.has(++number)) left--
  return number
}
