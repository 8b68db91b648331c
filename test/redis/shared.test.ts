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
