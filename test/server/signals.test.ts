import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { askTcp, askUdp, openTcp, openUdp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { decodeMessage, encodeQuery } from '../support/messages.ts'
import { startNiveau3, type Niveau3, type Niveau3Options } from '../support/niveau3.ts'
import {
  answerAddresses,
  silence,
  startScriptedUpstream,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'
import { conforms } from '../conformance/conforms.ts'

let folder = ''
let list = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-signals-'))
  list = join(folder, 'adult.txt')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A server whose one list is ours to change. */
async function start(
  upstream: ScriptedUpstream,
  names: readonly string[],
  options: Niveau3Options = {},
): Promise<Niveau3> {
  await writeFile(list, `${names.join('\n')}\n`)
  return startNiveau3({ upstreams: [upstream], blocklistFiles: { adult: list }, ...options })
}

/** Asks on until told to stop; resolves with what each name was answered. */
function askOn(server: Niveau3, names: readonly string[], ended: Promise<void>) {
  const rcodes = new Map<string, Map<string, number>>()
  const state = { on: true }
  void ended.then(() => (state.on = false))
  const client = async (): Promise<void> => {
    const udp = await openUdp(server)
    const tcp = await openTcp(server)
    for (let id = 0; state.on; id = (id + 1) & 0xffff) {
      const name = names[id % names.length]!
      for (const way of [udp, tcp]) {
        await way.send(encodeQuery(name, 'A', { id }))
        const answer = decodeMessage(await way.next())
        expect(answer.id).toBe(id)
        const counts = rcodes.get(name) ?? new Map<string, number>()
        rcodes.set(name, counts.set(answer.rcode, (counts.get(answer.rcode) ?? 0) + 1))
      }
    }
    await Promise.all([udp.close(), tcp.close()])
  }
  return { rcodes, done: Promise.all([client(), client(), client()]) }
}

/** Resolves when an event was logged so many times. */
async function untilLogged(server: Niveau3, event: string, times: number): Promise<void> {
  const logged = (): number => server.process.stderr().split(`"event":"${event}"`).length - 1
  while (logged() < times) {
    expect(server.process.isRunning()).toBe(true)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('SIGTERM', () => {
  test('lets what is in flight be answered, then ends with 0', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await start(upstream, ['blocked.example'])
    const waiting = [askUdp(server, 'a.example'), askTcp(server, 'b.example')]
    await upstream.query(2)
    server.process.signal('SIGTERM')
    await server.process.line(/"event":"stopping"/)
    gate.open()
    for (const answer of await Promise.all(waiting)) expect(answer.answers).toHaveLength(1)
    expect(await server.process.exited).toEqual({ code: 0, signal: null })
  })

  test('ends within 5 s, whatever upstream does and clients go on to ask', async () => {
    const upstream = await startScriptedUpstream(silence)
    const server = await start(upstream, ['blocked.example'])
    const client = await openUdp(server)
    await client.send(encodeQuery('in-flight.example', 'A', { id: 1 }))
    await upstream.query(1)
    const startMs = Date.now()
    server.process.signal('SIGTERM')
    const asking = setInterval(() => {
      void client.send(encodeQuery(`new${Date.now()}.example`, 'A', { id: 2 })).catch(() => {})
    }, 10)
    const exit = await server.process.exited
    clearInterval(asking)
    expect(exit).toEqual({ code: 0, signal: null })
    expect(Date.now() - startMs).toBeLessThan(5200)
    const ids: number[] = []
    while (client.unread > 0) ids.push((await client.next()).readUInt16BE(0))
    expect(ids.filter((id) => id === 1)).toHaveLength(1)
    await client.close()
  })

  test('a second one ends at once', async () => {
    const upstream = await startScriptedUpstream(silence)
    const server = await start(upstream, ['blocked.example'])
    void askUdp(server, 'a.example').catch(() => {})
    await upstream.query(1)
    server.process.signal('SIGTERM')
    await server.process.line(/"event":"stopping"/)
    server.process.signal('SIGTERM')
    expect(await server.process.exited).toEqual({ code: null, signal: 'SIGTERM' })
  })
})

describe('SIGHUP', () => {
  test('under load loses no query and never lets a blocked name through', async () => {
    conforms('event-loop')
    const upstream = await startScriptedUpstream(answerAddresses)
    const server = await start(upstream, ['blocked.example'], { args: ['--workers', '2'] })
    const ended = new Gate()
    const names = ['www.blocked.example', 'free.example', 'BLOCKED.example']
    const load = askOn(server, names, ended.opened)
    const filler = Array.from({ length: 2000 }, (_, index) => `filler${index}.example`)
    for (let generation = 2; generation < 7; generation++) {
      await writeFile(list, ['blocked.example', ...filler.slice(generation)].join('\n'))
      server.process.signal('SIGHUP')
      await server.process.line(new RegExp(`"event":"reloaded","generation":${generation}`))
    }
    ended.open()
    await load.done
    const seen = Object.fromEntries(
      [...load.rcodes].map(([name, counts]) => [name, [...counts.keys()]]),
    )
    expect(seen).toEqual({
      'www.blocked.example': ['NXDOMAIN'],
      'free.example': ['NOERROR'],
      'BLOCKED.example': ['NXDOMAIN'],
    })
    const text = await server.metrics()
    const sum = (name: string): number =>
      [...text.matchAll(new RegExp(`^${name}\\{.*\\} (\\d+)$`, 'gm'))].reduce(
        (total, match) => total + Number(match[1]),
        0,
      )
    expect(sum('niveau3_dns_queries_total')).toBeGreaterThan(100)
    expect(sum('niveau3_dns_responses_total') + sum('niveau3_dns_dropped_total')).toBe(
      sum('niveau3_dns_queries_total'),
    )
    await server.stop()
  })

  test('takes new rules for names that were answered before, without asking again', async () => {
    const upstream = await startScriptedUpstream(answerAddresses)
    const server = await start(upstream, ['blocked.example'])
    expect((await askUdp(server, 'www.example')).answers).toHaveLength(1)
    await writeFile(list, 'www.example\n')
    server.process.signal('SIGHUP')
    await server.process.line(/"event":"reloaded"/)
    expect((await askUdp(server, 'www.example')).rcode).toBe('NXDOMAIN')
    expect((await askUdp(server, 'blocked.example')).answers).toHaveLength(1)
    expect(await server.metric('niveau3_filter_generation')).toBe(2)
    await server.stop()
  })

  test('with a list that cannot be taken keeps the running filter', async () => {
    conforms('list-compromise')
    const upstream = await startScriptedUpstream(answerAddresses)
    const server = await start(upstream, ['blocked.example'])
    const bad = [
      { what: 'empty', content: '' },
      { what: 'comments only', content: '# nothing\n\n! nothing\n' },
      { what: 'HTML', content: '<!DOCTYPE html><html><body>404</body></html>\n' },
      { what: 'gone', content: undefined },
    ]
    for (const [index, { what, content }] of bad.entries()) {
      if (content === undefined) await rm(list)
      else await writeFile(list, content)
      server.process.signal('SIGHUP')
      await untilLogged(server, 'reload_failed', index + 1)
      expect((await askUdp(server, 'blocked.example')).rcode, what).toBe('NXDOMAIN')
      expect(await server.metric('niveau3_filter_generation')).toBe(1)
      expect(await server.metric('niveau3_config_last_reload_successful')).toBe(0)
    }
    await writeFile(list, 'other.example\n')
    server.process.signal('SIGHUP')
    await server.process.line(/"event":"reloaded"/)
    expect((await askUdp(server, 'other.example')).rcode).toBe('NXDOMAIN')
    expect(await server.metric('niveau3_config_last_reload_successful')).toBe(1)
    await server.stop()
  })

  test('names a key that only a restart changes, as long as it differs from the start', async () => {
    const upstream = await startScriptedUpstream(answerAddresses)
    const config = 'cache: {octetsMax: 8MiB}\n'
    const server = await start(upstream, ['blocked.example'], { config })
    const file = join(server.folder, 'niveau3.yaml')
    const reload = async (text: string, generation: number): Promise<unknown> => {
      await writeFile(file, text)
      server.process.signal('SIGHUP')
      const logged = new RegExp(`"event":"reloaded","generation":${generation},`)
      return JSON.parse(await server.process.line(logged))
    }
    const changed = { needsRestart: ['cache.octetsMax'] }
    expect(await reload('cache: {octetsMax: 9MiB}\n', 2)).toMatchObject(changed)
    expect(await reload('cache: {octetsMax: 9MiB}\n', 3)).toMatchObject(changed)
    expect(await reload(config, 4)).toMatchObject({ needsRestart: [] })
    const clients = { needsRestart: ['rate.clientsMax'] }
    expect(await reload(`${config}rate: {clientsMax: 512}\n`, 5)).toMatchObject(clients)
    await server.stop()
  })

  test('a storm of them is a few reloads, and the last content holds', async () => {
    const upstream = await startScriptedUpstream(answerAddresses)
    const server = await start(upstream, ['blocked.example'])
    for (let index = 0; index < 50; index++) {
      server.process.signal('SIGHUP')
      await new Promise((resolve) => setImmediate(resolve))
    }
    await writeFile(list, 'last.example\n')
    server.process.signal('SIGHUP')
    await server.process.line(/"event":"reloaded"/)
    while ((await askUdp(server, 'last.example')).rcode !== 'NXDOMAIN') {
      expect(server.process.isRunning()).toBe(true)
    }
    expect(await server.metric('niveau3_filter_generation')).toBeLessThan(52)
    await server.stop()
  })

  test('and SIGTERM right behind it still answers what is in flight', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await start(upstream, ['blocked.example'])
    const waiting = askUdp(server, 'a.example')
    await upstream.query(1)
    server.process.signal('SIGHUP')
    server.process.signal('SIGTERM')
    await server.process.line(/"event":"stopping"/)
    gate.open()
    expect((await waiting).answers).toHaveLength(1)
    expect(await server.process.exited).toEqual({ code: 0, signal: null })
  })
})
