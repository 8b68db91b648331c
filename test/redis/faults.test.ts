/**
 * Every way in which Redis can fail, under load, against the real server: no client notices, no
 * verdict flips, nothing queues, and it comes back by itself. The table is printed at the end.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createSealed } from '../../src/dataplane/cache/seal.ts'
import { createId, createKey } from '../../src/dataplane/cache/shared-keys.ts'
import { startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { cacheKey, eventually, makeSecret, ownFolder, startRedis } from '../support/redis.ts'
import type { RedisServer } from '../support/redis.ts'
import { startProxy, type SlowProxy } from '../support/slow-proxy.ts'
import { startLoad, type KindReport, type LoadKind } from '../support/steady-load.ts'
import { startScriptedUpstream, type ScriptedUpstream } from '../support/scripted-upstream.ts'
import { conforms } from '../conformance/conforms.ts'

// A busy machine takes its time to start servers; the load itself lasts two seconds.
vi.setConfig({ testTimeout: 60_000 })

const PER_SECOND = 300
const BEFORE_MS = 300
const DURING_MS = 1700
const AFTER_MS = 300
/**
 * The promise for what Redis has no part in. The tests run beside others: a server without Redis,
 * asked at the same time, shows what the machine takes for itself.
 */
const P99_MS = 10
const P99_FACTOR = 4
const OPEN_MAX = 2048
/** Queries of each kind, at least, by which a round is judged. */
const SENT_MIN = 50

interface Row {
  readonly fault: string
  readonly reports: readonly KindReport[]
  /** Of the server without Redis, at the same time. */
  readonly calm: readonly KindReport[]
  readonly backMs: number
  readonly story: string
}

const rows: Row[] = []
let secret: ReturnType<typeof makeSecret>
let upstream: ScriptedUpstream
let redis: RedisServer
let proxy: SlowProxy
let box: Niveau3
/** The same server without Redis. */
let control: Niveau3
let calm: readonly KindReport[] = []
let round = 0

/** Names of one round: fresh ones are asked once, and never in another round. */
function kinds(): readonly LoadKind[] {
  const own = round++
  return [
    { kind: 'blocked', name: (index) => `x${index}.blocked.example`, rcode: 3, parts: 4 },
    { kind: 'cached', name: (index) => `cached${index % 20}.example`, rcode: 0, parts: 4 },
    { kind: 'fresh', name: (index) => `f${index}.r${own}.example`, rcode: 0, parts: 2 },
  ]
}

/** The names that the next round asks freshly. */
function nextFresh(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `f${index}.r${round}.example`)
}

async function startBox(port: number): Promise<Niveau3> {
  const folder = await ownFolder()
  const file = join(folder, 'secret')
  await writeFile(file, secret.text, { mode: 0o600 })
  return startNiveau3({
    upstreams: [upstream],
    blocklists: { adult: ['blocked.example'] },
    config: `redis: {url: "redis://127.0.0.1:${port}", secretFile: ${file}, hotNames: 0}\n`,
  })
}

async function isUp(): Promise<boolean> {
  return (await box.metric('niveau3_redis_up')) === 1
}

async function measure(fault: string, during: () => Promise<void>): Promise<readonly KindReport[]> {
  const own = kinds()
  const controlLoad = await startLoad(control.port, own.slice(0, 2), PER_SECOND / 2)
  const load = await startLoad(box.port, own, PER_SECOND)
  await pause(BEFORE_MS)
  try {
    await during()
    // A starved machine sends late: the fault lasts until there is something to judge by.
    await eventually(`${fault}: load`, async () => load.leastSent > SENT_MIN)
  } finally {
    await pause(AFTER_MS)
  }
  const reports = await load.stop()
  calm = await controlLoad.stop()
  expect(
    reports.every(({ sent }) => sent > SENT_MIN),
    `${fault}: load`,
  ).toBe(true)
  return reports
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}

/** Breaks Redis under load, mends it, and holds the promise against what was measured. */
async function survive(
  fault: string,
  breakIt: () => Promise<unknown>,
  mendIt: () => Promise<unknown>,
  story: () => Promise<string>,
): Promise<void> {
  const reports = await measure(fault, async () => {
    await breakIt()
    await pause(DURING_MS)
  })
  if (!box.process.isRunning()) throw new Error(box.process.output())
  const openLookups = await box.metric('niveau3_redis_open_lookups')
  const openWrites = await box.metric('niveau3_redis_open_writes')
  let told = ''
  let mendedMs = 0
  try {
    told = await story()
  } finally {
    mendedMs = performance.now()
    await mendIt()
  }
  await eventually(`${fault}: Redis is used again`, isUp)
  const backMs = performance.now() - mendedMs
  rows.push({ fault, reports, calm, backMs, story: told })
  for (const { kind, lost, wrong } of reports)
    expect({ kind, lost, wrong }).toMatchObject(FAULTLESS)
  expect(openLookups).toBeLessThanOrEqual(OPEN_MAX)
  expect(openWrites).toBeLessThanOrEqual(OPEN_MAX / 2)
  for (const kind of ['blocked', 'cached']) {
    const [now, without] = [reports, calm].map((each) => each.find((row) => row.kind === kind)!)
    const limitMs = P99_MS + P99_FACTOR * without!.maxMs
    expect(now!.p99Ms, `${fault}: p99 of ${kind}`).toBeLessThan(limitMs)
  }
  // Whatever happened, a fresh answer is shared again.
  await eventually(`${fault}: answers are shared again`, async () => {
    const before = await stored()
    await measureOne()
    return (await stored()) > before
  })
}

const FAULTLESS = { lost: 0, wrong: 0 }

function stored(): Promise<number> {
  return box.metric('niveau3_redis_writes_total', { result: 'stored' })
}

function errors(reason: string): Promise<number> {
  return box.metric('niveau3_redis_errors_total', { reason })
}

function lookups(result: string): Promise<number> {
  return box.metric('niveau3_cache_lookups_total', { tier: 'redis', result })
}

function rejected(reason: string): Promise<number> {
  return box.metric('niveau3_redis_rejected_values_total', { reason })
}

/** The key in Redis of a question for this name. */
function placeOf(name: string): string {
  return createKey(secret.keys, createId(secret.keys, cacheKey(name)))
}

async function measureOne(): Promise<void> {
  const load = await startLoad(box.port, kinds().slice(2), 50)
  await pause(60)
  await load.stop()
}

/** Writes into Redis as an intruder would: with a connection of its own. */
async function withClient(work: (client: Redis) => Promise<unknown>): Promise<void> {
  const client = new Redis({ port: redis.port, host: '127.0.0.1', protocol: 2 } as object)
  try {
    await work(client)
  } finally {
    client.disconnect()
  }
}

beforeAll(async () => {
  upstream = await startScriptedUpstream()
  secret = makeSecret(upstream)
  redis = await startRedis()
  proxy = await startProxy(redis.port)
  box = await startBox(redis.port)
  await eventually('Redis is up', isUp)
  control = await startNiveau3({
    upstreams: [upstream],
    blocklists: { adult: ['blocked.example'] },
  })
  await measure('warm-up', () => pause(DURING_MS))
  const reports = await measure('none', () => pause(DURING_MS))
  rows.push({ fault: 'none', reports, calm, backMs: 0, story: '' })
})

afterAll(() => {
  process.stdout.write(`\n${table()}\n`)
})

function table(): string {
  const head = '| fault | p99 ms: blocked / cached / fresh | without Redis: blocked / cached |'
  const lines = [`${head} lost | wrong | back after, ms | counted |`]
  lines.push('|---|---|---|--:|--:|--:|---|')
  for (const { fault, reports, calm: without, backMs, story } of rows) {
    const calmP99 = without.map(({ p99Ms }) => p99Ms.toFixed(1)).join(' / ')
    const p99 = reports.map(({ p99Ms }) => p99Ms.toFixed(1)).join(' / ')
    const lost = reports.reduce((sum, row) => sum + row.lost, 0)
    const wrong = reports.reduce((sum, row) => sum + row.wrong, 0)
    const counts = `${lost} | ${wrong} | ${Math.round(backMs)}`
    lines.push(`| ${fault} | ${p99} | ${calmP99} | ${counts} | ${story} |`)
  }
  return lines.join('\n')
}

describe('Redis may', () => {
  test('be killed', async () => {
    await survive(
      'killed',
      () => redis.kill(),
      () => redis.restart(),
      async () => {
        expect(await box.metric('niveau3_redis_up')).toBe(0)
        expect(await errors('connection')).toBeGreaterThan(0)
        await box.process.line(/"event":"redis_down"/)
        return `up 0, ${await lookups('unavailable')} look-ups left out`
      },
    )
  })

  test('hang: SIGSTOP', async () => {
    await survive(
      'SIGSTOP',
      async () => redis.process.signal('SIGSTOP'),
      async () => redis.process.signal('SIGCONT'),
      async () => {
        expect(await errors('silence')).toBeGreaterThan(0)
        const overtaken = await lookups('overtaken')
        return `${await errors('silence')} silences, ${overtaken} overtaken by the upstream`
      },
    )
  })

  test('pause: CLIENT PAUSE', async () => {
    const before = await errors('silence')
    await survive(
      'CLIENT PAUSE',
      () => redis.cli('client', 'pause', '3000', 'ALL'),
      // Paused clients cannot even end the pause.
      async () => {},
      async () => {
        expect(await errors('silence')).toBeGreaterThan(before)
        return `${(await errors('silence')) - before} silences`
      },
    )
  })

  test('be out of memory, with noeviction', async () => {
    await survive(
      'out of memory',
      () => redis.cli('config', 'set', 'maxmemory', '100kb'),
      () => redis.cli('config', 'set', 'maxmemory', '0'),
      async () => {
        expect(await errors('memory')).toBeGreaterThan(0)
        expect(await box.metric('niveau3_redis_up')).toBe(1)
        return `${await errors('memory')} OOM`
      },
    )
  })

  test('be a read-only replica', async () => {
    await survive(
      'read-only replica',
      () => redis.cli('replicaof', '127.0.0.1', '1'),
      () => redis.cli('replicaof', 'no', 'one'),
      async () => {
        expect(await errors('readonly')).toBeGreaterThan(0)
        return `${await errors('readonly')} READONLY`
      },
    )
  })

  test('be loading its data', async () => {
    await redis.cli('debug', 'populate', '4000')
    await redis.cli('save')
    await survive(
      'LOADING',
      async () => {
        await redis.kill()
        const slow = ['--key-load-delay', '1000', '--loading-process-events-interval-bytes', '1024']
        await redis.restart(slow, { line: /Server initialized/ })
      },
      () => redis.process.line(/Ready to accept connections/),
      async () => {
        expect(await errors('loading')).toBeGreaterThan(0)
        expect(await box.metric('niveau3_redis_up')).toBe(0)
        return `${await errors('loading')} LOADING`
      },
    )
  })

  test('ask for another password', async () => {
    await survive(
      'wrong password',
      async () => {
        await redis.cli('config', 'set', 'requirepass', 'another')
        await redis.cli('-a', 'another', '--no-auth-warning', 'client', 'kill', 'type', 'normal')
      },
      () => redis.cli('-a', 'another', '--no-auth-warning', 'config', 'set', 'requirepass', ''),
      async () => {
        expect(await errors('auth')).toBeGreaterThan(0)
        return `${await errors('auth')} NOAUTH`
      },
    )
  })

  test('lose everything: FLUSHALL, again and again', async () => {
    await survive(
      'FLUSHALL',
      async () => {
        for (let times = 0; times < 5; times++) await redis.cli('flushall')
      },
      async () => {},
      async () => `${await lookups('miss')} misses`,
    )
  })

  test.each([
    { what: 'garbage', value: () => Buffer.alloc(400, 0x01), reason: 'seal' },
    { what: 'nothing', value: () => Buffer.alloc(0), reason: 'size' },
    { what: 'another version', value: () => Buffer.alloc(400, 0x02), reason: 'version' },
    { what: 'too much', value: () => Buffer.alloc(200 * 1024, 0x01), reason: 'size' },
    {
      what: 'sealed nonsense',
      value: (id: Uint8Array) => createSealed(secret.seal, Buffer.alloc(128, 0xff), id)!,
      reason: 'layout',
    },
    {
      what: 'truncated values',
      value: (id: Uint8Array) => createSealed(secret.seal, Buffer.alloc(256), id)!.subarray(0, 150),
      reason: 'seal',
    },
  ])('hold $what', async ({ what, value, reason }) => {
    conforms('redis-poison')
    const before = await rejected(reason)
    await withClient(async (client) => {
      for (const name of nextFresh(300)) {
        const id = createId(secret.keys, cacheKey(name))
        await client.set(createKey(secret.keys, id), value(id), 'PX', 60_000)
      }
    })
    await survive(
      what,
      async () => {},
      async () => {},
      async () => {
        expect(await rejected(reason)).toBeGreaterThan(before)
        return `${(await rejected(reason)) - before} rejected: ${reason}`
      },
    )
  })

  test('hold lists where values should be (WRONGTYPE)', async () => {
    await withClient(async (client) => {
      for (const name of nextFresh(300)) {
        await client.lpush(placeOf(name), 'element')
      }
    })
    const before = await lookups('miss')
    await survive(
      'WRONGTYPE',
      async () => {},
      async () => {},
      async () => `${(await lookups('miss')) - before} misses`,
    )
  })

  test('hold a value of 100 MB: it is not read to its end', async () => {
    await withClient(async (client) => {
      for (const name of nextFresh(40)) {
        await client.setrange(placeOf(name), 100 * 1024 * 1024, 'end')
        break
      }
    })
    const before = await box.metric('process_resident_memory_bytes')
    await survive(
      '100 MB value',
      async () => {},
      () => redis.cli('flushall'),
      async () => {
        expect(await errors('flood')).toBeGreaterThan(0)
        const grown = (await box.metric('process_resident_memory_bytes')) - before
        expect(grown).toBeLessThan(64 * 1024 * 1024)
        return `${await errors('flood')} flood, ${Math.round(grown / 1e6)} MB more`
      },
    )
  })
})

describe('the network to Redis may', () => {
  beforeAll(async () => {
    await box.stop()
    box = await startBox(proxy.port)
    await eventually('Redis is up', isUp)
    await measure('warm-up', () => pause(DURING_MS))
  })

  test('be slow', async () => {
    await survive(
      'slow network, 60 ms',
      async () => {
        proxy.delayMs = 30
      },
      async () => {
        proxy.delayMs = 0
      },
      async () => {
        expect(await errors('silence')).toBeGreaterThan(0)
        return `${await errors('silence')} silences`
      },
    )
  })

  test('swallow everything', async () => {
    await survive(
      'black hole',
      async () => {
        proxy.swallows = true
      },
      async () => {
        proxy.swallows = false
        proxy.cut()
      },
      async () => `${proxy.connections} connections`,
    )
  })

  test('cut connections all the time', async () => {
    let cutting: NodeJS.Timeout | undefined
    await survive(
      'cut every 50 ms',
      async () => {
        cutting = setInterval(() => proxy.cut(), 50)
      },
      async () => clearInterval(cutting),
      async () => `${proxy.connections} connections`,
    )
  })
})

test('Redis may be absent at the start and arrive later', async () => {
  await redis.kill()
  await box.stop()
  box = await startBox(redis.port)
  expect(await isUp()).toBe(false)
  // What runs for the first time is not what is measured.
  await measure('warm-up', () => pause(DURING_MS))
  await survive(
    'absent at start',
    async () => {},
    () => redis.restart(),
    async () => `up 0, ${await errors('connection')} refused`,
  )
})
