import { expect, test } from 'vitest'
import { REDIS } from '../../src/dataplane/counters.ts'
import { REDIS_HIT, REDIS_LOOKUPS, REDIS_UP } from '../../src/dataplane/redis-counters.ts'
import { advanceClock } from '../support/clock.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askUdp } from '../support/dns-client.ts'
import { redisSettings, startRedis } from '../support/redis.ts'
import { silence, startScriptedUpstream } from '../support/scripted-upstream.ts'

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
