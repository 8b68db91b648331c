import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { OPENED, Seal } from '../../src/dataplane/cache/seal.ts'
import { SharedKeys } from '../../src/dataplane/cache/shared-keys.ts'
import { SharedValue, readValue } from '../../src/dataplane/cache/shared-value.ts'
import { REDIS } from '../../src/dataplane/counters.ts'
import {
  REDIS_HIT,
  REDIS_LOOKUPS,
  REDIS_UP,
  REDIS_WRITTEN,
  WRITE_STORED,
} from '../../src/dataplane/redis-counters.ts'
import { advanceClock } from '../support/clock.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askUdp } from '../support/dns-client.ts'
import { decodeMessage } from '../support/messages.ts'
import { cacheKey, redisSettings, startRedis } from '../support/redis.ts'
import { reply, silence, startScriptedUpstream } from '../support/scripted-upstream.ts'

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
  const dead = await startScriptedUpstream(silence)
  const forward = { tryTimeoutMs: 80, totalTimeoutMs: 80, triesMax: 1 }
  const redis = redisSettings(server, { hedgeMs: 0, timeoutMs: 5000 })
  const b = await startDataplane({ upstreams: [dead], redis, forward })
  for (const box of [a, b]) await box.until(() => box.count(REDIS + REDIS_UP) === 1)
  await askUdp(a, 'www.example')
  await Promise.all(Array.from({ length: 20 }, (_, index) => askUdp(b, `n${index}.example`)))
  advanceClock(3000)
  const asked = dead.queries.length
  expect((await askUdp(b, 'www.example')).answers).toHaveLength(1)
  expect((await askUdp(b, 'nowhere.example')).rcode).toBe('SERVFAIL')
  // Probes aside, the dead one was left alone.
  expect(dead.queries.length - asked).toBeLessThanOrEqual(2)
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
  const keys = new SharedKeys(redis.keyOfKeys, redis.prefix)
  const id = keys.id(cacheKey('www.example'))
  const sealed = await client.getBuffer(keys.keyOf(id))
  const ttlMs = await client.pttl(keys.keyOf(id))
  client.disconnect()
  const seal = new Seal(redis.secret, 'niveau3 answers')
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
