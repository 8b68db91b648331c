import { expect, test } from 'vitest'
import { REDIS } from '../../src/dataplane/counters.ts'
import { REDIS_HIT, REDIS_LOOKUPS, REDIS_UP } from '../../src/dataplane/redis-counters.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askUdp } from '../support/dns-client.ts'
import { redisSettings, startRedis } from '../support/redis.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'

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
