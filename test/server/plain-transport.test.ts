import { beforeAll, describe, expect, test } from 'vitest'
import { askTcp, askUdp } from '../support/dns-client.ts'
import { startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import {
  answerAddresses,
  startScriptedUpstream,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'
import {
  WITHOUT_OWN_LOOP,
  WITHOUT_SHARED_PORTS,
  WITHOUT_SYSTEM_CALLS,
} from '../support/without-system-calls.ts'

let upstream: ScriptedUpstream
beforeAll(async () => {
  upstream = await startScriptedUpstream(answerAddresses)
})

async function start(env: Readonly<Record<string, string>>): Promise<Niveau3> {
  return startNiveau3({
    upstreams: [upstream],
    blocklists: { adult: ['blocked.example'] },
    args: ['--workers', '2'],
    process: { ready: { line: /"event":"ready"/ }, env },
  })
}

async function expectAnswers(server: Niveau3): Promise<void> {
  for (let index = 0; index < 10; index++) {
    expect((await askUdp(server, 'blocked.example')).rcode).toBe('NXDOMAIN')
    expect((await askUdp(server, `www${index}.example`)).rcode).toBe('NOERROR')
    expect((await askTcp(server, 'blocked.example')).rcode).toBe('NXDOMAIN')
  }
}

/** Node's own way to share a UDP port between threads. */
function nodeSharesPorts(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  return major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12)
}

describe('without the system calls', () => {
  test('datagrams are read one by one, and the log says why', async () => {
    const server = await start(WITHOUT_SYSTEM_CALLS)
    expect(server.ready).toMatchObject({
      batched: false,
      workers: nodeSharesPorts() ? 2 : 1,
    })
    expect(await server.process.line(/"event":"plain_udp"/)).toContain('the CPU is other')
    await expectAnswers(server)
    expect(await server.stop()).toEqual({ code: 0, signal: null })
  })

  test('without a loop of its own a worker reads in batches all the same, and the log says so', async () => {
    const server = await start(WITHOUT_OWN_LOOP)
    expect(server.ready).toMatchObject({ batched: true, workers: 2 })
    await server.process.line(/"event":"node_loop"/)
    await expectAnswers(server)
    expect(await server.stop()).toEqual({ code: 0, signal: null })
    expect(server.process.output().split('"node_loop"')).toHaveLength(2)
  })

  test('below Node.js 22.12 one worker is started, and the log says why and what to do', async () => {
    const server = await start(WITHOUT_SHARED_PORTS)
    expect(server.ready).toMatchObject({ batched: false, workers: 1 })
    const line = await server.process.line(/"event":"one_worker"/)
    expect(JSON.parse(line)).toMatchObject({ level: 'warn', asked: 2, why: 'the CPU is other' })
    expect(line).toContain('use Node.js 22.12 or later')
    await expectAnswers(server)
    expect(await server.metric('niveau3_workers')).toBe(1)
    expect(await server.stop()).toEqual({ code: 0, signal: null })
  })
})
