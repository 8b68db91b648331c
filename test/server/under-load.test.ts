import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { sampleOf, startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { askUdp } from '../support/dns-client.ts'
import { runToEnd } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { answerAddresses, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { openLoad, type UdpLoad } from '../support/udp-load.ts'
import { signalledWorkers, type WorkerSignals } from '../support/worker-signals.ts'

const NXDOMAIN = 3
const CLIENTS = 32
/** Sent before the death and after it. */
const QUERIES_EACH = 3000
const BACK_MS_MAX = 1000
/**
 * What `terminate()` may take along uncounted: it can strike between reading a burst and counting
 * it, and Node may hold one datagram more. An exception takes nothing along.
 */
const TAKEN_ALONG_MAX = { 'terminate-one': 65, 'throw-one': 0 }

let signals: WorkerSignals
let dnsperf = ''
beforeAll(async () => {
  signals = await signalledWorkers()
  dnsperf = await program('dnsperf')
})

async function until(condition: () => boolean | Promise<boolean>, server: Niveau3): Promise<void> {
  while (!(await condition())) {
    expect(server.process.isRunning()).toBe(true)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** The sum of a metric over all its labels. */
function total(metrics: string, name: string): number {
  const lines = metrics.split('\n').filter((line) => line.startsWith(`${name}{`))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

/** The clients of one worker thread, as the server under test told. */
function clientsOf(server: Niveau3, thread: string): Set<string> {
  const told = server.process.stderr().matchAll(new RegExp(`^thread ${thread} has (\\w+)$`, 'gm'))
  return new Set([...told].map(([, client]) => client!))
}

/** Milliseconds from the death of a worker until another thread handled a query of its clients. */
async function timeUntilBack(server: Niveau3, thread: string): Promise<number> {
  const orphans = clientsOf(server, thread)
  await server.process.line(/"event":"worker_died"/)
  const diedMs = performance.now()
  const others = new RegExp(`^thread (?!${thread} )\\d+ has (${[...orphans].join('|')})$`)
  await server.process.line(others)
  return performance.now() - diedMs
}

describe.each(['terminate-one', 'throw-one'] as const)('a worker under load: %s', (deaths) => {
  test('the others lose nothing, it is back within 1 s, and every query is accounted for', async () => {
    const server = await startNiveau3({
      blocklists: { adult: ['blocked.example'] },
      args: ['--workers', '2'],
      process: { ready: { line: /"event":"ready"/ }, env: signals.environment(deaths) },
    })
    const load = await openLoad(CLIENTS, 'blocked.example', server.port, NXDOMAIN)
    load.start()
    await until(() => load.answered > QUERIES_EACH, server)
    server.process.signal('SIGUSR2')
    const [, thread] = /(\d+)$/.exec(await server.process.line(/^dies: thread \d+$/))!
    const backMs = await timeUntilBack(server, thread!)
    const before = load.answered
    await until(() => load.answered > before + QUERIES_EACH, server)
    load.stop()
    await expectAccounted(server, load, TAKEN_ALONG_MAX[deaths])
    expect(backMs).toBeLessThan(BACK_MS_MAX)
    expect(await server.metric('niveau3_workers')).toBe(2)

    const orphans = clientsOf(server, thread!)
    expect(orphans.size).toBeGreaterThan(0)
    expect(orphans.size).toBeLessThan(CLIENTS)
    const others = load.clients.filter(({ name }) => !orphans.has(name))
    await until(() => others.every(({ sent, answered }) => answered === sent), server)
    expect(await server.stop()).toEqual({ code: 0, signal: null })
  })
})

/** Resolves when all that was sent is answered or dropped, at the clients and in the metrics. */
async function expectAccounted(
  server: Niveau3,
  load: UdpLoad,
  takenAlongMax: number,
): Promise<void> {
  let metrics = ''
  const sum = (name: string): number => total(metrics, `niveau3_dns_${name}_total`)
  await until(async () => {
    metrics = await server.metrics()
    const isSettled = sum('queries') === sum('responses') + sum('dropped')
    return isSettled && load.sent - load.answered - sum('dropped') <= takenAlongMax
  }, server)
  expect(load.sent - sum('queries')).toBeLessThanOrEqual(takenAlongMax)
  const stopped = sampleOf(metrics, 'niveau3_dns_dropped_total', { reason: 'stopped' })
  expect(stopped).toBe(sum('dropped'))
  expect(sampleOf(metrics, 'niveau3_udp_receive_buffer_drops_total', {})).toBe(0)
}

/** Counts of dnsperf's report. */
function reportOf(stdout: string): { sent: number; lost: number; codes: Record<string, number> } {
  const numberOf = (what: string): number =>
    Number(new RegExp(`${what}:\\s+(\\d+)`).exec(stdout)?.[1] ?? Number.NaN)
  const codes = /Response codes:\s+(.*)/.exec(stdout)?.[1] ?? ''
  return {
    sent: numberOf('Queries sent'),
    lost: numberOf('Queries lost'),
    codes: Object.fromEntries(
      [...codes.matchAll(/([A-Z]+) (\d+)/g)].map(([, code, count]) => [code, Number(count)]),
    ),
  }
}

async function runDnsperf(
  server: Niveau3,
  lines: readonly string[],
  file: string,
): Promise<string> {
  const path = join(server.folder, file)
  await writeFile(path, `${lines.join('\n')}\n`)
  const where = ['-s', server.address, '-p', String(server.port)]
  // Nothing may be lost: an answer may take its time on a busy machine.
  const how = ['-c', '16', '-q', '64', '-Q', '2000', '-l', '5', '-t', '10']
  const { code, stdout, stderr } = await runToEnd(dnsperf, ['-d', path, ...where, ...how])
  expect({ code, stderr }).toMatchObject({ code: 0 })
  return stdout
}

/** Returns what tells whether the work is done, one way or the other. */
function settledFlag(work: Promise<unknown>): () => boolean {
  let isSettled = false
  const settle = (): void => {
    isSettled = true
  }
  work.then(settle, settle)
  return () => isSettled
}

test('reloads under dnsperf lose no query, let no blocked name through and block no other', async () => {
  const upstream = await startScriptedUpstream(answerAddresses)
  const server = await startNiveau3({
    upstreams: [upstream],
    blocklists: { adult: ['blocked.example'], vpn: ['flip.example'] },
    args: ['--workers', '2'],
  })
  const names = Array.from({ length: 200 }, (_, index) => index)
  const loads = Promise.all([
    runDnsperf(
      server,
      names.map((index) => `n${index}.blocked.example A`),
      'blocked.queries',
    ),
    runDnsperf(
      server,
      names.map((index) => `n${index}.open.example A`),
      'open.queries',
    ),
  ])
  const isOver = settledFlag(loads)
  let reloads = 0
  while (!isOver()) {
    // What is never taken out of the list is never let through; the other name follows the list.
    const listed = reloads % 2 === 0 ? 'other.example' : 'flip.example'
    await writeFile(join(server.folder, 'vpn.txt'), `${listed}\n`)
    server.process.signal('SIGHUP')
    reloads++
    await server.process.line(new RegExp(`"event":"reloaded","generation":${reloads + 1},`))
    for (let client = 0; client < 4; client++) {
      const { rcode } = await askUdp(server, 'www.flip.example')
      expect(rcode).toBe(listed === 'flip.example' ? 'NXDOMAIN' : 'NOERROR')
    }
  }
  const [blocked, open] = (await loads).map(reportOf)
  expect(reloads).toBeGreaterThan(1)
  expect(blocked!.sent).toBeGreaterThan(1000)
  expect(open!.sent).toBeGreaterThan(1000)
  expect(blocked).toMatchObject({ lost: 0, codes: { NXDOMAIN: blocked!.sent } })
  expect(open).toMatchObject({ lost: 0, codes: { NOERROR: open!.sent } })
  expect(Object.keys({ ...blocked!.codes, ...open!.codes })).toHaveLength(2)
  const metrics = await server.metrics()
  expect(total(metrics, 'niveau3_dns_dropped_total')).toBe(0)
  expect(total(metrics, 'niveau3_dns_queries_total')).toBe(
    total(metrics, 'niveau3_dns_responses_total'),
  )
  await server.stop()
})
