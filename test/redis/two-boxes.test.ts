/** Two servers as an operator starts them, with one Redis and one secret. */
import { readFileSync } from 'node:fs'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { askUdp } from '../support/dns-client.ts'
import { runNiveau3, startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { type Process, startProcess } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import {
  eventually,
  makeSecret,
  ownFolder,
  startRedis,
  type RedisServer,
} from '../support/redis.ts'
import { startScriptedUpstream, type ScriptedUpstream } from '../support/scripted-upstream.ts'
import { conforms } from '../conformance/conforms.ts'

// Each test starts servers of its own and asks them some hundred names.
vi.setConfig({ testTimeout: 60_000 })

const NAMES = Array.from({ length: 200 }, (_, index) => `lettre${index}.bibliotheque.example`)
/** The commands that deploy/redis.md allows one server's user. */
const ALLOWED = new Set(['ping', 'mget', 'set', 'publish', 'subscribe'])

let redis: RedisServer
let upstream: ScriptedUpstream
let secretFile: string
beforeAll(async () => {
  redis = await startRedis()
  upstream = await startScriptedUpstream()
  secretFile = join(await ownFolder(), 'secret')
  await writeFile(secretFile, makeSecret(upstream).text, { mode: 0o600 })
})

async function startBox(prefix: string, more = '', server = redis): Promise<Niveau3> {
  const settings = `url: "${server.url}", secretFile: ${secretFile}, prefix: "${prefix}", ${more}`
  const box = await startNiveau3({
    upstreams: [upstream],
    blocklists: { adult: ['blocked.example'] },
    config: `redis: {${settings}}\n`,
  })
  await eventually('Redis is up', async () => (await box.metric('niveau3_redis_up')) === 1)
  return box
}

async function askAll(box: Niveau3): Promise<void> {
  for (const name of NAMES) expect((await askUdp(box, name)).answers).toHaveLength(1)
}

function monitor(server: RedisServer): Promise<Process> {
  return program('redis-cli').then((cli) =>
    startProcess(cli, ['-p', String(server.port), 'monitor'], { ready: { line: /^OK$/ } }),
  )
}

/** Upstream packets that B needed for names that A had learned, and how many of those A shared. */
async function packetsOfB(
  prefix: string,
  more: string,
): Promise<{ packets: number; shared: number; b: Niveau3 }> {
  const a = await startBox(prefix, more)
  await askAll(a)
  const written = (result: string): Promise<number> =>
    a.metric('niveau3_redis_writes_total', { result })
  // A busy machine is late for the 20 ms of a look-up, and then Redis is left alone for a while.
  await eventually('all is written, or left out', async () => {
    return (await written('stored')) + (await written('dropped')) >= NAMES.length
  })
  const shared = await written('stored')
  const before = upstream.queries.length
  const b = await startBox(prefix, `hotNames: 0, ${more}`)
  await askAll(b)
  return { packets: upstream.queries.length - before, shared, b }
}

describe('box B answers from what box A has learned', () => {
  test('with no upstream packet at all, the hedge off', async () => {
    const { packets, shared, b } = await packetsOfB('off:', 'hedgeMs: 5000, timeoutMs: 5000')
    process.stdout.write(`two boxes, hedge off: ${packets} of ${NAMES.length} asked upstream\n`)
    expect(shared).toBe(NAMES.length)
    expect(packets).toBe(0)
    const hits = { tier: 'redis', result: 'hit' }
    expect(await b.metric('niveau3_cache_lookups_total', hits)).toBe(NAMES.length)
    expect(
      await b.metric('niveau3_dns_responses_total', { outcome: 'cached', rcode: 'NOERROR' }),
    ).toBe(NAMES.length)
  })

  test('with upstream packets for the look-ups that were hedged or had no reply, and no others', async () => {
    const { packets, shared, b } = await packetsOfB('on:', '')
    const hedged = await b.metric('niveau3_redis_hedged_total')
    const unanswered = await b.metric('niveau3_cache_lookups_total', {
      tier: 'redis',
      result: 'unavailable',
    })
    const share = ((100 * packets) / NAMES.length).toFixed(1)
    process.stdout.write(
      `two boxes, hedge after 2 ms: ${packets} of ${NAMES.length} asked upstream (${share} %), ` +
        `${hedged} hedged, ${unanswered} not looked up, ${shared} shared by A\n`,
    )
    expect(packets).toBeLessThanOrEqual(hedged + unanswered + NAMES.length - shared)
  })
})

test('MONITOR shows the documented commands only, and no name in clear', async () => {
  conforms('redis-untrusted', 'privacy')
  const server = await startRedis()
  const watching = await monitor(server)
  const a = await startBox('watched:', 'hotNames: 100, hedgeMs: 5000, timeoutMs: 5000', server)
  await askAll(a)
  await askAll(a)
  await askUdp(a, 'www.blocked.example')
  a.process.signal('SIGHUP')
  await a.process.line(/"event":"reloaded"/)
  await a.stop()
  await watching.end()
  const lines = watching
    .stdout()
    .split('\n')
    .filter((line) => / \[\d+ /.test(line))
  const commands = new Map<string, number>()
  for (const line of lines) {
    const command = /\] "(\w+)"/.exec(line)?.[1]?.toLowerCase() ?? line
    commands.set(command, (commands.get(command) ?? 0) + 1)
  }
  process.stdout.write(`MONITOR: ${JSON.stringify(Object.fromEntries(commands))}\n`)
  expect(commands.get('set')).toBeGreaterThanOrEqual(NAMES.length)
  expect([...commands.keys()].filter((command) => !ALLOWED.has(command))).toEqual([])
  for (const word of ['lettre', 'bibliotheque', 'blocked', 'example', '192.0.2', '127.0.0.1:53']) {
    expect(lines.filter((line) => line.slice(line.indexOf(']')).includes(word))).toEqual([])
  }
  for (const line of lines.filter((each) => /"(set|mget)"/i.test(each))) {
    expect(line).toMatch(/\] "(?:set|mget)" "watched:\{[0-9a-f]{2}\}[0-9a-f]{30}"/i)
  }
})

test('a box says in its log that another decides by another policy', async () => {
  const [a, b] = [await startBox('fleet:'), await startBox('fleet:')]
  await a.process.line(/"event":"fleet_policy".*"generation":1/)
  await b.process.line(/"event":"fleet_policy".*"generation":1/)
  await writeFile(join(b.folder, 'adult.txt'), 'blocked.example\nmore.example\n')
  b.process.signal('SIGHUP')
  await a.process.line(/"event":"fleet_policy".*"generation":2,"same":false/)
  expect(
    await a.metric('niveau3_fleet_announcements_total', { direction: 'received' }),
  ).toBeGreaterThanOrEqual(2)
})

describe('the secret', () => {
  test('is made in the state directory, for its owner alone, and kept over a restart', async () => {
    const state = join(await ownFolder(), 'state')
    const args = ['--redis', redis.url, '--state-dir', state]
    const first = await startNiveau3({ upstreams: [upstream], args })
    const file = join(state, 'redis-secret')
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const made = readFileSync(file, 'utf8')
    expect(Buffer.from(made, 'base64')).toHaveLength(32)
    await first.stop()
    const second = await startNiveau3({ upstreams: [upstream], args })
    expect(readFileSync(file, 'utf8')).toBe(made)
    expect(first.process.output() + second.process.output()).not.toContain(made.trim())
    await second.stop()
  })

  test.each([
    { what: 'all users may read', text: 'x'.repeat(40), mode: 0o644, said: /chmod 600/ },
    { what: 'is too short', text: 'short\n', mode: 0o600, said: /has 5 octets; at least 32/ },
  ])('that $what is refused, and not told', async ({ text, mode, said }) => {
    const file = join(await ownFolder(), 'secret')
    await writeFile(file, text, { mode })
    const config = join(await ownFolder(), 'niveau3.yaml')
    await writeFile(config, `redis: {url: "redis://:geheim@127.0.0.1:1", secretFile: ${file}}\n`)
    const ended = await runNiveau3(['serve', '--config', config, '--json'])
    expect(ended.code).toBe(4)
    expect(JSON.parse(ended.stdout)).toMatchObject({ error: { code: 'ERR_SECRET' } })
    expect(ended.stdout).toMatch(said)
    expect(ended.stdout + ended.stderr).not.toMatch(/geheim|xxxx/)
  })
})

test('a password is shown nowhere: not in the configuration, the log or an error', async () => {
  await redis.cli('acl', 'setuser', 'boite', 'on', '>geheim', '~*', '&*', '+@all')
  const url = `redis://boite:geheim@127.0.0.1:${redis.port}`
  const box = await startNiveau3({ upstreams: [upstream], args: ['--redis', url] })
  await eventually('Redis is up', async () => (await box.metric('niveau3_redis_up')) === 1)
  const page = await box.metrics()
  await box.stop()
  const config = join(await ownFolder(), 'niveau3.yaml')
  await writeFile(config, `stateDirectory: state\nredis: {url: "${url}"}\n`)
  const shown = await runNiveau3(['config', 'show', '--config', config])
  expect(shown.stdout).toContain(`redis://boite:***@127.0.0.1:${redis.port}`)
  await writeFile(config, `stateDirectory: state\nredis: {url: "${url}/x/y"}\n`)
  const refused = await runNiveau3(['config', 'check', config])
  expect(refused.code).toBe(4)
  const all = [
    box.process.output(),
    page,
    shown.stdout,
    shown.stderr,
    refused.stdout,
    refused.stderr,
  ]
  expect(all.join('\n')).not.toContain('geheim')
})
