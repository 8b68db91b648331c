/**
 * One contract for every tier that keeps answers: memory alone, Redis alone (every question goes to
 * a box that has just started), and both together (two boxes in turn).
 */
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { REDIS } from '../../src/dataplane/counters.ts'
import { REDIS_UP, REDIS_WRITES_OPEN } from '../../src/dataplane/redis-counters.ts'
import { advanceClock } from '../support/clock.ts'
import { startDataplane, type Dataplane, type DataplaneOptions } from '../support/dataplane.ts'
import { askTcp, askUdp, type AskOptions } from '../support/dns-client.ts'
import type { Message } from '../support/messages.ts'
import { redisSettings, startRedis, type RedisServer } from '../support/redis.ts'
import {
  nameError,
  noData,
  reply,
  startScriptedUpstream,
  type ReceivedQuery,
  type Script,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'

const TIERS = ['memory', 'redis', 'both'] as const
let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})

/** Asks one question after the other, of the boxes that the tier is made of. */
class Tier {
  readonly upstream: ScriptedUpstream
  readonly #tier: (typeof TIERS)[number]
  readonly #options: DataplaneOptions
  readonly #prefix = `t${Math.random().toString(36).slice(2)}:`
  readonly #boxes: Dataplane[] = []
  #asked = 0

  constructor(
    tier: (typeof TIERS)[number],
    upstream: ScriptedUpstream,
    options: DataplaneOptions = {},
  ) {
    this.#tier = tier
    this.upstream = upstream
    // How long an answer is kept is the matter here, not what is done before and after.
    const cache = { prefetch: false, staleSecondsMax: 0, ...options.cache }
    this.#options = { ...options, cache }
  }

  async ask(
    name: string,
    type = 'A',
    options: AskOptions & { tcp?: boolean } = {},
  ): Promise<Message> {
    const box = await this.#nextBox()
    const ask = options.tcp === true ? askTcp : askUdp
    const message = await ask(box, name, type, options)
    await box.until(() => box.count(REDIS + REDIS_WRITES_OPEN) === 0)
    return message
  }

  /** From now on every box decides by these rules. */
  reload(options: DataplaneOptions): void {
    Object.assign(this.#options, options)
    for (const box of this.#boxes) box.reload(options)
  }

  async #nextBox(): Promise<Dataplane> {
    const asked = this.#asked++
    if (this.#tier === 'memory') return (this.#boxes[0] ??= await this.#start())
    if (this.#tier === 'both') return (this.#boxes[asked % 2] ??= await this.#start())
    return this.#start()
  }

  async #start(): Promise<Dataplane> {
    const shared = { redis: redisSettings(server, { prefix: this.#prefix }) }
    const redis = this.#tier === 'memory' ? {} : shared
    const box = await startDataplane({ ...this.#options, upstreams: [this.upstream], ...redis })
    if (this.#tier !== 'memory') await box.until(() => box.count(REDIS + REDIS_UP) === 1)
    return box
  }
}

async function startTier(
  tier: (typeof TIERS)[number],
  script: Script,
  options: DataplaneOptions = {},
): Promise<Tier> {
  return new Tier(tier, await startScriptedUpstream(script), options)
}

/** Both clocks: the monotonic one of memory, and the wall clock of Redis. */
function advanceClocks(seconds: number): void {
  advanceClock(seconds * 1000)
  aheadMs += seconds * 1000
  vi.spyOn(Date, 'now').mockImplementation(() => now() + aheadMs)
}

const now = Date.now.bind(Date)
let aheadMs = 0
afterEach(() => {
  aheadMs = 0
})

function withTtl(ttl: number) {
  return (query: ReceivedQuery): Buffer =>
    reply(query, { answers: [{ name: query.name, type: 'A', ttl, data: '192.0.2.1' }] })
}

/** Boxes take a moment to start, so a TTL may be some seconds less. */
function expectTtl(ttl: number | undefined, atMost: number): void {
  expect(ttl).toBeLessThanOrEqual(atMost)
  expect(ttl).toBeGreaterThan(atMost - 9)
}

describe.each(TIERS)('%s', (name) => {
  test('keeps an answer for its TTL, which every client sees shrink', async () => {
    const tier = await startTier(name, withTtl(100))
    expectTtl((await tier.ask('www.example')).answers[0]?.ttl, 100)
    advanceClocks(30)
    expectTtl((await tier.ask('www.example')).answers[0]?.ttl, 70)
    advanceClocks(60)
    expectTtl((await tier.ask('www.example')).answers[0]?.ttl, 10)
    expect(tier.upstream.queries).toHaveLength(1)
    advanceClocks(10)
    expectTtl((await tier.ask('www.example')).answers[0]?.ttl, 100)
    expect(tier.upstream.queries).toHaveLength(2)
  })

  test('gives the whole answer to any letter case and transport', async () => {
    const tier = await startTier(name, (query) =>
      reply(query, {
        answers: [
          { name: query.name, type: 'CNAME', ttl: 300, data: 'target.example' },
          { name: 'target.example', type: 'A', ttl: 200, data: '192.0.2.2' },
        ],
      }),
    )
    const first = await tier.ask('www.example')
    const again = await tier.ask('WWW.Example', 'A', { tcp: true, id: 7 })
    expect(again).toMatchObject({ id: 7, rcode: 'NOERROR' })
    expect(again.answers.map(({ data }) => data)).toEqual(first.answers.map(({ data }) => data))
    expect(tier.upstream.queries).toHaveLength(1)
  })

  test('tells types and DO apart', async () => {
    const tier = await startTier(name, withTtl(100))
    await tier.ask('www.example', 'A')
    await tier.ask('www.example', 'TXT')
    await tier.ask('www.example', 'A', { edns: { dnssecOk: true } })
    await tier.ask('ww.example', 'A')
    const asked = tier.upstream.queries.length
    expect(asked).toBeGreaterThanOrEqual(3)
    await tier.ask('www.example', 'A')
    await tier.ask('ww.example', 'A')
    expect(tier.upstream.queries).toHaveLength(asked)
  })

  test.each([
    { what: 'NXDOMAIN', script: (query: ReceivedQuery) => nameError(query, 60) },
    { what: 'NODATA', script: (query: ReceivedQuery) => noData(query, 60) },
  ])('keeps $what as long as its SOA says', async ({ script }) => {
    const tier = await startTier(name, script)
    const first = await tier.ask('no.example')
    advanceClocks(50)
    const last = await tier.ask('no.example')
    expect(last).toMatchObject({ rcode: first.rcode, answers: [] })
    expectTtl(last.authorities[0]?.ttl, 10)
    expect(tier.upstream.queries).toHaveLength(1)
    advanceClocks(10)
    await tier.ask('no.example')
    expect(tier.upstream.queries).toHaveLength(2)
  })

  test('keeps nothing longer than the configuration says', async () => {
    const tier = await startTier(name, withTtl(5000), { cache: { ttlSecondsMax: 50 } })
    expectTtl((await tier.ask('www.example')).answers[0]?.ttl, 50)
    advanceClocks(51)
    await tier.ask('www.example')
    expect(tier.upstream.queries).toHaveLength(2)
  })

  test.each([
    { what: 'with TTL 0', script: withTtl(0) },
    { what: 'with the top bit of its TTL set', script: withTtl(0x80000000) },
    {
      what: 'that says NXDOMAIN without a SOA',
      script: (query: ReceivedQuery) => reply(query, { rcode: 'NXDOMAIN' }),
    },
  ])('does not keep an answer $what', async ({ script }) => {
    const tier = await startTier(name, script)
    await tier.ask('www.example')
    await tier.ask('www.example')
    await tier.ask('www.example')
    expect(tier.upstream.queries).toHaveLength(3)
  })

  test('decides again by the names that an answer led through, without asking upstream', async () => {
    const tier = await startTier(name, (query) =>
      reply(query, {
        answers: [
          { name: query.name, type: 'CNAME', ttl: 300, data: 'hidden.tracker.example' },
          { name: 'hidden.tracker.example', type: 'A', ttl: 300, data: '192.0.2.2' },
        ],
      }),
    )
    expect(await tier.ask('www.example')).toMatchObject({ rcode: 'NOERROR' })
    tier.reload({ rules: { adult: ['tracker.example'] } })
    const blocked = await tier.ask('www.example')
    expect(blocked.answers).toEqual([])
    tier.reload({ rules: { adult: ['other.example'] } })
    expect((await tier.ask('www.example')).answers).toHaveLength(2)
    expect(tier.upstream.queries).toHaveLength(1)
  })
})
