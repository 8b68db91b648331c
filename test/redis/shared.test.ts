import { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { OPENED } from '../../src/dataplane/cache/seal.ts'
import { createId, createKey } from '../../src/dataplane/cache/shared-keys.ts'
import { SharedValue, readValue } from '../../src/dataplane/cache/shared-value.ts'
import { REDIS } from '../../src/dataplane/counters.ts'
import {
  REDIS_HIT,
  REDIS_LOOKUPS,
  REDIS_MISS,
  REDIS_UP,
  REDIS_WRITES_OPEN,
  REDIS_WRITTEN,
  WRITE_STORED,
} from '../../src/dataplane/redis-counters.ts'
import { advanceClock } from '../support/clock.ts'
import type { RedisSettings } from '../../src/dataplane/settings.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askUdp } from '../support/dns-client.ts'
import { decodeMessage } from '../support/messages.ts'
import { answersSeal, cacheKey, keysOf, redisSettings, startRedis } from '../support/redis.ts'
import {
  reply,
  silence,
  startScriptedUpstream,
  type Script,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'
import { startProxy, type SlowProxy } from '../support/slow-proxy.ts'

test('what one box has learned answers on another', async () => {
  const server = await startRedis()
  const upstream = await startScriptedUpstream()
  const redis = redisSettings(server)
  const a = await startDataplane({ upstreams: [upstream], redis })
  const b = await startDataplane({ upstreams: [upstream], redis })
  await a.until(() => a.count(REDIS + REDIS_UP) === 1)
  await b.until(() => b.count(REDIS + REDIS_UP) === 1)
  const first = await askUdp(a, 'www.example')
  await server.cli('ping')
  const second = await askUdp(b, 'www.example')
  expect(second.answers).toEqual(first.answers)
  expect(upstream.queries).toHaveLength(1)
  expect(b.count(REDIS + REDIS_LOOKUPS + REDIS_HIT)).toBe(1)
})

test('a box whose upstreams are gone waits for what Redis has, however late', async () => {
  const server = await startRedis()
  const upstream = await startScriptedUpstream()
  const a = await startDataplane({ upstreams: [upstream], redis: redisSettings(server) })
  const forward = { tryTimeoutMs: 80, totalTimeoutMs: 80, triesMax: 1 }
  const redis = redisSettings(server, { hedgeMs: 0, timeoutMs: 5000 })
  const b = await startDataplane({ upstreams: [upstream], redis, forward })
  for (const box of [a, b]) await box.until(() => box.count(REDIS + REDIS_UP) === 1)
  await askUdp(a, 'www.example')
  upstream.follow(silence)
  await Promise.all(Array.from({ length: 20 }, (_, index) => askUdp(b, `n${index}.example`)))
  advanceClock(3000)
  const asked = upstream.queries.length
  expect((await askUdp(b, 'www.example')).answers).toHaveLength(1)
  expect((await askUdp(b, 'nowhere.example')).rcode).toBe('SERVFAIL')
  // Probes aside, the dead one was left alone.
  expect(upstream.queries.length - asked).toBeLessThanOrEqual(2)
})

test('a worker that stops with look-ups open asks no upstream for them any more', async () => {
  const server = await startRedis()
  const upstream = await startScriptedUpstream()
  const box = await startDataplane({ upstreams: [upstream], redis: redisSettings(server) })
  await box.until(() => box.count(REDIS + REDIS_UP) === 1)
  server.process.signal('SIGSTOP')
  const asked = askUdp(box, 'www.example', 'A', { timeoutMs: 500 })
  await box.until(() => box.balance().inFlight === 1)
  await box.stop()
  expect(box.balance()).toMatchObject({ received: 1, answered: 0, dropped: 1, inFlight: 0 })
  server.process.signal('SIGCONT')
  await expect(asked).rejects.toThrow('500 ms')
  expect(upstream.queries).toHaveLength(0)
})

test('the whole verdict is stored: decision, rule, list, names, expiry, policy, question, answer', async () => {
  const server = await startRedis()
  const redis = redisSettings(server)
  const upstream = await startScriptedUpstream((query) =>
    reply(query, {
      answers: [
        { name: query.name, type: 'CNAME', ttl: 300, data: 'x.tracker.example' },
        { name: 'x.tracker.example', type: 'CNAME', ttl: 200, data: 'end.example' },
        { name: 'end.example', type: 'A', ttl: 100, data: '192.0.2.1' },
      ],
    }),
  )
  const rules = { adult: ['onion.ws'], vpn: ['tracker.example'] }
  const box = await startDataplane({ upstreams: [upstream], redis, rules })
  await box.until(() => box.count(REDIS + REDIS_UP) === 1)
  const beforeMs = Date.now()
  expect((await askUdp(box, 'WWW.example')).answers).toEqual([])
  await box.until(() => box.count(REDIS + REDIS_WRITTEN + WRITE_STORED) === 1)
  const client = new Redis({ port: server.port, host: '127.0.0.1' })
  const keys = keysOf(redis, upstream, false)
  const id = createId(keys, cacheKey('www.example'))
  const sealed = await client.getBuffer(createKey(keys, id))
  const ttlMs = await client.pttl(createKey(keys, id))
  client.disconnect()
  const seal = answersSeal(redis.secret)
  expect(seal.unseal(sealed!, id)).toBe(OPENED)
  const value = new SharedValue()
  expect(readValue(seal.opened, value)).toBe(true)
  const { category, list, stamp, question, ttlCount } = value
  expect({ category, list, ttlCount }).toEqual({ category: 1, list: 1, ttlCount: 3 })
  expect(Buffer.from(value.rule).toString('latin1')).toBe('\x07tracker\x07example\0')
  expect(Buffer.from(value.names).toString('latin1')).toBe(
    '\x01x\x07tracker\x07example\0\x03end\x07example\0',
  )
  expect(stamp).toMatch(/^policy \d+$/)
  expect(question).toBe(cacheKey('www.example'))
  expect(value.expiresAtMs - beforeMs).toBeGreaterThan(99_000)
  expect(value.expiresAtMs - beforeMs).toBeLessThanOrEqual(110_000)
  expect(ttlMs).toBeLessThanOrEqual(100_000)
  expect(decodeMessage(Buffer.from(value.message)).answers).toHaveLength(3)
})

/** A box behind a slow network whose upstream fails; Redis holds `www.example`. */
async function startHedging(script: Script): Promise<{
  readonly box: Dataplane
  readonly upstream: ScriptedUpstream
  readonly proxy: SlowProxy
}> {
  const server = await startRedis()
  const proxy = await startProxy(server.port)
  const upstream = await startScriptedUpstream()
  const first = await startDataplane({ upstreams: [upstream], redis: redisSettings(server) })
  const forward = { tryTimeoutMs: 60, totalTimeoutMs: 60, triesMax: 1 }
  const redis = redisSettings(proxy, { hedgeMs: 5 })
  const box = await startDataplane({ upstreams: [upstream], redis, forward })
  for (const each of [first, box]) await each.until(() => each.count(REDIS + REDIS_UP) === 1)
  await askUdp(first, 'www.example')
  await first.until(() => first.count(REDIS + REDIS_WRITTEN + WRITE_STORED) === 1)
  upstream.follow(script)
  proxy.delayMs = 150
  return { box, upstream, proxy }
}

describe('after the hedge, while Redis is still being read', () => {
  const failing: readonly { readonly what: string; readonly script: Script }[] = [
    { what: 'SERVFAIL', script: (query) => reply(query, { rcode: 'SERVFAIL' }) },
    { what: 'silence', script: silence },
  ]

  test.each(failing)("an upstream's $what does not settle the question", async ({ script }) => {
    const { box, upstream, proxy } = await startHedging(script)
    const asked = upstream.queries.length
    expect((await askUdp(box, 'www.example')).answers[0]).toMatchObject({ data: '192.0.2.53' })
    expect(upstream.queries.length).toBe(asked + 1)
    expect(box.count(REDIS + REDIS_LOOKUPS + REDIS_HIT)).toBe(1)
    // The failure is not remembered, and the question is closed: it is in memory now.
    proxy.delayMs = 0
    expect((await askUdp(box, 'www.example')).answers).toHaveLength(1)
    expect(upstream.queries.length).toBe(asked + 1)
    expect(box.balance()).toMatchObject({ received: 2, answered: 2, inFlight: 0 })
  })

  test.each(failing)("an upstream's $what is told when Redis has nothing", async ({ script }) => {
    const { box, upstream } = await startHedging(script)
    const asked = upstream.queries.length
    const answers = [askUdp(box, 'no.example'), askUdp(box, 'no.example', 'A', { id: 7 })]
    for (const answer of await Promise.all(answers)) expect(answer.rcode).toBe('SERVFAIL')
    expect(box.count(REDIS + REDIS_LOOKUPS + REDIS_MISS)).toBe(1)
    // From then on it is remembered (RFC 9520).
    expect((await askUdp(box, 'no.example')).rcode).toBe('SERVFAIL')
    expect(upstream.queries.length).toBe(asked + 1)
    expect(box.balance()).toMatchObject({ received: 3, answered: 3, inFlight: 0 })
  })

  test("an upstream's failure is told when the connection goes meanwhile", async () => {
    const { box, upstream, proxy } = await startHedging(failing[0]!.script)
    const answer = askUdp(box, 'www.example')
    await upstream.query(upstream.queries.length + 1)
    proxy.cut()
    expect((await answer).rcode).toBe('SERVFAIL')
    expect(box.balance()).toMatchObject({ received: 1, answered: 1, inFlight: 0 })
  })
})

const answering =
  (data: string): Script =>
  (query) =>
    reply(query, { answers: [{ name: query.name, type: 'A', ttl: 300, data }] })

async function startBox(
  redis: RedisSettings,
  upstreams: readonly ScriptedUpstream[],
): Promise<Dataplane> {
  const box = await startDataplane({ upstreams: [...upstreams], redis })
  await box.until(() => box.count(REDIS + REDIS_UP) === 1)
  return box
}

async function addressOf(box: Dataplane, name: string): Promise<unknown> {
  const answer = await askUdp(box, name)
  await box.until(() => box.count(REDIS + REDIS_WRITES_OPEN) === 0)
  return answer.answers[0]?.data
}

describe('answers are shared by boxes that ask the same upstreams, and by no others', () => {
  test('whatever one resolver says inside, the boxes outside do not hear it from Redis', async () => {
    const redis = redisSettings(await startRedis())
    const inside = await startScriptedUpstream(answering('192.0.2.10'))
    const outside = await startScriptedUpstream(answering('192.0.2.20'))
    const [a, b] = [await startBox(redis, [inside]), await startBox(redis, [outside])]
    expect(await addressOf(a, 'www.example')).toBe('192.0.2.10')
    expect(await addressOf(b, 'www.example')).toBe('192.0.2.20')
    expect(b.count(REDIS + REDIS_LOOKUPS + REDIS_MISS)).toBe(1)
    const again = await startBox(redis, [outside])
    expect(await addressOf(again, 'www.example')).toBe('192.0.2.20')
    expect(again.count(REDIS + REDIS_LOOKUPS + REDIS_HIT)).toBe(1)
  })

  test('the order of the upstreams does not matter', async () => {
    const redis = redisSettings(await startRedis())
    const one = await startScriptedUpstream()
    const other = await startScriptedUpstream()
    await addressOf(await startBox(redis, [one, other]), 'www.example')
    const b = await startBox(redis, [other, one])
    await addressOf(b, 'www.example')
    expect(b.count(REDIS + REDIS_LOOKUPS + REDIS_HIT)).toBe(1)
  })

  test('a box that gets other upstreams by a reload leaves the answers of the old ones alone', async () => {
    const redis = redisSettings(await startRedis())
    const old = await startScriptedUpstream(answering('192.0.2.10'))
    const now = await startScriptedUpstream(answering('192.0.2.20'))
    await addressOf(await startBox(redis, [old]), 'www.example')
    const box = await startBox(redis, [old])
    let release: (() => void) | undefined
    old.follow(async (query) => {
      await new Promise<void>((resolve) => {
        release = resolve
      })
      return answering('192.0.2.10')(query)
    })
    const late = askUdp(box, 'late.example')
    await old.query(old.queries.length + 1)
    box.reload({ upstreams: [now] })
    expect(await addressOf(box, 'www.example')).toBe('192.0.2.20')
    // What an upstream of before says is not put where today's answers are.
    release?.()
    expect((await late).answers[0]).toMatchObject({ data: '192.0.2.10' })
    await box.until(() => box.count(REDIS + REDIS_WRITES_OPEN) === 0)
    const other = await startBox(redis, [now])
    expect(await addressOf(other, 'late.example')).toBe('192.0.2.20')
    expect(await addressOf(other, 'www.example')).toBe('192.0.2.20')
    expect(other.count(REDIS + REDIS_LOOKUPS + REDIS_HIT)).toBe(1)
  })
})
