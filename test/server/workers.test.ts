import { readdir } from 'node:fs/promises'
import { beforeAll, expect, test } from 'vitest'
import { askTcp, askUdp, openUdp } from '../support/dns-client.ts'
import { decodeMessage, encodeQuery } from '../support/messages.ts'
import { startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { answerAddresses, silence, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { signalledWorkers, type Deaths, type WorkerSignals } from '../support/worker-signals.ts'

let signals: WorkerSignals
beforeAll(async () => {
  signals = await signalledWorkers()
})

async function start(
  workers: number,
  upstream: { endpoint: string },
  deaths: Deaths = 'all',
): Promise<Niveau3> {
  return startNiveau3({
    upstreams: [upstream],
    blocklists: { adult: ['blocked.example'] },
    args: ['--workers', String(workers)],
    process: { ready: { line: /"event":"ready"/ }, env: signals.environment(deaths) },
  })
}

/** Resolves when so many deaths are logged and that many workers answer again. */
async function untilBack(server: Niveau3, deaths: number, workers: number): Promise<void> {
  const logged = (): number => server.process.stderr().split('"event":"worker_died"').length - 1
  while (logged() < deaths || (await server.metric('niveau3_workers')) !== workers) {
    expect(server.process.isRunning()).toBe(true)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test.each([1, 2])('of %i workers, those that die come back on the same port', async (workers) => {
  const upstream = await startScriptedUpstream(answerAddresses)
  const server = await start(workers, upstream)
  for (let round = 0; round < 2; round++) {
    expect((await askUdp(server, 'blocked.example')).rcode).toBe('NXDOMAIN')
    server.process.signal('SIGUSR2')
    await untilBack(server, (round + 1) * workers, workers)
    for (let index = 0; index < 10; index++) {
      expect((await askTcp(server, 'blocked.example')).rcode).toBe('NXDOMAIN')
      expect((await askUdp(server, `www${index}.example`)).rcode).toBe('NOERROR')
    }
  }
  expect(await server.stop()).toEqual({ code: 0, signal: null })
})

test('what a dead worker had in flight is counted as dropped', async () => {
  const upstream = await startScriptedUpstream(silence)
  const server = await start(1, upstream)
  const client = await openUdp(server)
  for (let id = 0; id < 3; id++) await client.send(encodeQuery('slow.example', 'A', { id }))
  while ((await server.metric('niveau3_dns_inflight_queries')) !== 3) {
    expect(server.process.isRunning()).toBe(true)
  }
  server.process.signal('SIGUSR2')
  await server.process.line(/"event":"worker_died"/)
  expect(await server.metric('niveau3_dns_inflight_queries')).toBe(0)
  expect(await server.metric('niveau3_dns_dropped_total', { reason: 'stopped' })).toBe(3)
  await client.close()
  await server.stop()
})

test('what comes while no worker lives is answered by the next one', async () => {
  const upstream = await startScriptedUpstream(answerAddresses)
  const server = await start(1, upstream)
  const client = await openUdp(server)
  server.process.signal('SIGUSR2')
  await server.process.line(/"event":"worker_died"/)
  const overTcp = askTcp(server, 'blocked.example')
  for (let id = 0; id < 20; id++) await client.send(encodeQuery('blocked.example', 'A', { id }))
  const answers = []
  for (let id = 0; id < 20; id++) answers.push(decodeMessage(await client.next()).id)
  expect(answers).toEqual(Array.from({ length: 20 }, (_, id) => id))
  expect((await overTcp).rcode).toBe('NXDOMAIN')
  await client.close()
  await server.stop()
})

test('restarts leave no descriptor behind', async () => {
  const upstream = await startScriptedUpstream(answerAddresses)
  const server = await start(2, upstream)
  const descriptors = async (): Promise<number> =>
    (await readdir(`/proc/${server.process.pid}/fd`)).length
  await untilBack(server, 0, 2)
  const before = await descriptors()
  for (let round = 1; round <= 3; round++) {
    server.process.signal('SIGUSR2')
    await untilBack(server, 2 * round, 2)
  }
  // The connection of the scrape itself comes and goes.
  expect(Math.abs((await descriptors()) - before)).toBeLessThanOrEqual(1)
  await server.stop()
})

test('a server whose workers die again and again ends with 1 rather than limp on', async () => {
  const upstream = await startScriptedUpstream(answerAddresses)
  const server = await start(1, upstream, 'all-again')
  server.process.signal('SIGUSR2')
  const exit = await server.process.exited
  expect(exit).toEqual({ code: 1, signal: null })
  expect(server.process.stderr()).toContain('workers died')
})

test('two workers share one port: both get queries', async () => {
  const upstream = await startScriptedUpstream(answerAddresses)
  const server = await start(2, upstream)
  expect(server.ready['workers']).toBe(2)
  for (let index = 0; index < 50; index++) {
    expect((await askUdp(server, `u${index}.example`)).rcode).toBe('NOERROR')
    expect((await askTcp(server, `t${index}.example`)).rcode).toBe('NOERROR')
  }
  // Each worker has its own cache: one name is asked once for each worker that is asked for it.
  for (let index = 0; index < 50; index++) await askUdp(server, 'same.example')
  expect(upstream.countOf('same.example')).toBe(2)
  await server.stop()
})
