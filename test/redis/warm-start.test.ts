import { expect, test } from 'vitest'
import { LIST_OCTETS_MAX, decodeList, encodeList } from '../../src/dataplane/cache/redis-warm.ts'
import { CACHE_ENTRIES, REDIS } from '../../src/dataplane/counters.ts'
import { REDIS_UP, REDIS_WARMED, REDIS_WRITES_OPEN } from '../../src/dataplane/redis-counters.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { openUdp } from '../support/dns-client.ts'
import { encodeQuery } from '../support/messages.ts'
import { eventually, redisSettings, startRedis } from '../support/redis.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'

const NAMES = 1200
const HOT = 1000

/** Asks every name in turn, one after the other is answered. */
async function askAll(server: Dataplane, names: readonly string[]): Promise<void> {
  const client = await openUdp(server)
  for (const [index, name] of names.entries()) {
    await client.send(encodeQuery(name, 'A', { id: index & 0xffff }))
    await client.next(5000)
  }
  await client.close()
}

test('after a restart the 1,000 hottest names are back within 2 s, and no upstream is asked', async () => {
  const redisServer = await startRedis()
  const redis = redisSettings(redisServer, { hotNames: HOT })
  const upstream = await startScriptedUpstream()
  const before = await startDataplane({ upstreams: [upstream], redis })
  await before.until(() => before.count(REDIS + REDIS_UP) === 1)
  const names = Array.from({ length: NAMES }, (_, index) => `w${index}.example`)
  await askAll(before, names)
  // The first thousand are asked again, so that they are the hot ones.
  const hot = names.slice(0, HOT)
  await askAll(before, hot)
  await before.until(() => before.count(REDIS + REDIS_WRITES_OPEN) === 0)
  await before.stop()
  // The list is the last that the old connection says: a new one could be heard before it.
  const keys = String(NAMES + 1)
  await eventually('the list is kept', async () => (await redisServer.cli('dbsize')) === keys)
  expect(upstream.queries).toHaveLength(NAMES)

  const startedMs = performance.now()
  const after = await startDataplane({ upstreams: [upstream], redis })
  await after.until(() => after.count(REDIS + REDIS_WARMED) >= HOT, 'not warm')
  const warmMs = performance.now() - startedMs
  process.stdout.write(`warm: ${HOT} names in ${Math.round(warmMs)} ms\n`)
  expect(warmMs).toBeLessThan(2000)
  expect(after.count(REDIS + REDIS_WARMED)).toBe(HOT)
  expect(after.count(CACHE_ENTRIES)).toBe(HOT)
  await askAll(after, hot)
  expect(upstream.queries).toHaveLength(NAMES)
})

test('a name that is blocked since is not answered from what came back', async () => {
  const redisServer = await startRedis()
  const redis = redisSettings(redisServer, { hotNames: HOT })
  const upstream = await startScriptedUpstream()
  const before = await startDataplane({ upstreams: [upstream], redis })
  await before.until(() => before.count(REDIS + REDIS_UP) === 1)
  await askAll(before, ['gone.example', 'kept.example', 'gone.example', 'kept.example'])
  await before.until(() => before.count(REDIS + REDIS_WRITES_OPEN) === 0)
  await before.stop()
  await eventually('the list is kept', async () => (await redisServer.cli('dbsize')) === '3')
  const rules = { adult: ['gone.example'] }
  const after = await startDataplane({ upstreams: [upstream], redis, rules })
  await after.until(() => after.count(REDIS + REDIS_WARMED) >= 1)
  const client = await openUdp(after)
  await client.send(encodeQuery('gone.example', 'A', { id: 7 }))
  const reply = await client.next(5000)
  await client.close()
  expect(reply.readUInt8(3) & 0xf).toBe(3)
})

test('the list of hot names is bounded however long they are, and keeps the most used ones', () => {
  const listed = Array.from({ length: 10_000 }, (_, index): [string, number] => [
    `${String(index).padStart(5, '0')}${'x'.repeat(253)}`,
    10_000 - index,
  ])
  const octets = encodeList(listed)
  expect(octets.length).toBeLessThanOrEqual(LIST_OCTETS_MAX)
  const read = decodeList(octets)
  expect(read.length).toBeGreaterThan(1900)
  expect(read).toEqual(listed.slice(0, read.length))
})
