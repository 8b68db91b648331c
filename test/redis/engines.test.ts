/** Redis as it is run at scale, each with the real servers: TLS, ACL, Sentinel, Cluster. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { REDIS } from '../../src/dataplane/counters.ts'
import {
  ERROR_CONNECTION,
  ERROR_PERMISSION,
  REDIS_FAILURES,
  REDIS_HIT,
  REDIS_LOOKUPS,
  REDIS_UP,
  REDIS_WRITES_OPEN,
  REDIS_WRITTEN,
  WRITE_STORED,
} from '../../src/dataplane/redis-counters.ts'
import type { RedisSettings } from '../../src/dataplane/settings.ts'
import { createAuthority } from '../support/certificates.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askUdp } from '../support/dns-client.ts'
import { freePort } from '../support/ports.ts'
import { eventually, redisCli, redisSettings, startCluster } from '../support/redis.ts'
import { startRedis, startSentinels } from '../support/redis.ts'
import { startScriptedUpstream, type ScriptedUpstream } from '../support/scripted-upstream.ts'
import { startLoad } from '../support/steady-load.ts'

async function startUp(redis: RedisSettings, upstream: ScriptedUpstream): Promise<Dataplane> {
  const box = await startDataplane({ upstreams: [upstream], redis })
  await eventually('Redis is up', async () => box.count(REDIS + REDIS_UP) === 1)
  return box
}

/** Box A learns the names, box B answers them; returns both. */
async function share(
  redis: RedisSettings,
  names: readonly string[],
): Promise<{ a: Dataplane; b: Dataplane; upstream: ScriptedUpstream }> {
  const upstream = await startScriptedUpstream()
  const a = await startUp(redis, upstream)
  for (const name of names) await askUdp(a, name)
  await a.until(() => a.count(REDIS + REDIS_WRITES_OPEN) === 0)
  const b = await startUp(redis, upstream)
  for (const name of names) expect((await askUdp(b, name)).answers).toHaveLength(1)
  expect(upstream.queries).toHaveLength(names.length)
  expect(b.count(REDIS + REDIS_LOOKUPS + REDIS_HIT)).toBe(names.length)
  return { a, b, upstream }
}

const NAMES = Array.from({ length: 40 }, (_, index) => `e${index}.example`)

describe('TLS', () => {
  test('a server whose certificate the given authority signed is used', async () => {
    const authority = await createAuthority()
    const identity = await authority.sign({ names: ['IP:127.0.0.1'] })
    const port = await freePort()
    const tls = ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no']
    const files = ['--tls-cert-file', identity.certificateFile, '--tls-key-file', identity.keyFile]
    await startRedis([...tls, ...files, '--tls-ca-cert-file', authority.certificateFile], port)
    await share(redisSettings({ port }, { tls: true, ca: authority.certificate }), NAMES)

    const stranger = await createAuthority()
    const upstream = await startScriptedUpstream()
    const redis = redisSettings({ port }, { tls: true, ca: stranger.certificate })
    const box = await startDataplane({ upstreams: [upstream], redis })
    const failed = REDIS + REDIS_FAILURES + ERROR_CONNECTION
    await eventually('the certificate is refused', async () => box.count(failed) > 0)
    expect((await askUdp(box, 'www.example')).rcode).toBe('NOERROR')
    expect(box.count(REDIS + REDIS_UP)).toBe(0)
  })
})

/** The documented rule for an engine: the first is for one server, the second for Cluster. */
function documentedRule(index: 0 | 1): readonly string[] {
  const page = readFileSync(resolve(import.meta.dirname, '../../deploy/redis.md'), 'utf8')
  const rules = [...page.matchAll(/^user (niveau3 on >PASSWORD .*)$/gm)].map(([, rule]) => rule!)
  expect(rules).toHaveLength(2)
  return [
    'acl',
    'setuser',
    ...rules[index]!.replace('PASSWORD', 'open sesame').split(/ (?!sesame)/),
  ]
}

describe('an ACL user with the documented rule', () => {
  test('suffices, and nothing beyond it is tried', async () => {
    const server = await startRedis()
    await server.cli(...documentedRule(0))
    const user = { username: 'niveau3', password: 'open sesame', hotNames: 100 }
    const { a, b } = await share(redisSettings(server, user), NAMES)
    await Promise.all([a.stop(), b.stop()])
    expect(await server.cli('acl', 'log')).toBe('')
    expect(a.count(REDIS + REDIS_FAILURES + ERROR_PERMISSION)).toBe(0)
  })

  test('that is given less is counted, and the service goes on', async () => {
    const server = await startRedis()
    await server.cli(...documentedRule(0), '-set')
    const user = { username: 'niveau3', password: 'open sesame' }
    const upstream = await startScriptedUpstream()
    const box = await startUp(redisSettings(server, user), upstream)
    expect((await askUdp(box, 'www.example')).rcode).toBe('NOERROR')
    await box.until(() => box.count(REDIS + REDIS_FAILURES + ERROR_PERMISSION) > 0)
  })
})

describe('Sentinel', () => {
  test('a failover under load costs no client an answer, and the new master is used', async () => {
    const { servers, sentinelPorts } = await startSentinels()
    const upstream = await startScriptedUpstream()
    const redis = redisSettings(servers[0], {
      deployment: 'sentinel',
      nodes: sentinelPorts.map((port) => ({ host: '127.0.0.1', port })),
      sentinelName: 'mymaster',
      hedgeMs: 2,
      timeoutMs: 20,
    })
    const box = await startUp(redis, upstream)
    const kinds = [
      { kind: 'fresh', name: (index: number) => `s${index}.example`, rcode: 0, parts: 1 },
    ]
    const load = await startLoad(box.port, kinds, 200)
    await servers[0].kill()
    await eventually('the link is down', async () => box.count(REDIS + REDIS_UP) === 0)
    await eventually('the replica is master', async () => {
      return (await servers[1].cli('info', 'replication')).includes('role:master')
    })
    await eventually('the link is up', async () => box.count(REDIS + REDIS_UP) === 1)
    const before = box.count(REDIS + REDIS_WRITTEN + WRITE_STORED)
    await box.until(() => box.count(REDIS + REDIS_WRITTEN + WRITE_STORED) > before)
    const [report] = await load.stop()
    process.stdout.write(`failover: ${JSON.stringify(report)}\n`)
    expect(report).toMatchObject({ lost: 0, wrong: 0 })
    expect(Number(await servers[1].cli('dbsize'))).toBeGreaterThan(0)
  }, 60_000)
})

describe('Cluster', () => {
  test('answers spread over all masters and come back from them; a lost master costs nothing', async () => {
    const nodes = await startCluster()
    for (const node of nodes) await node.cli(...documentedRule(1))
    const redis = redisSettings(nodes[0]!, {
      deployment: 'cluster',
      nodes: nodes.map(({ port }) => ({ host: '127.0.0.1', port })),
      username: 'niveau3',
      password: 'open sesame',
    })
    const { a, b, upstream } = await share(redis, NAMES)
    for (const node of nodes) {
      expect(Number(await node.cli('dbsize'))).toBeGreaterThan(0)
      expect(await node.cli('acl', 'log')).toBe('')
    }
    await nodes[2]!.kill()
    for (const box of [a, b]) {
      for (let index = 0; index < 30; index++) {
        expect((await askUdp(box, `lost${index}.example`)).rcode).toBe('NOERROR')
      }
    }
    expect(upstream.queries.length).toBeGreaterThan(NAMES.length)
    await redisCli(nodes[0]!.port, ['ping'])
  }, 60_000)
})
