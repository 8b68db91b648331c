/** Boxes as an operator starts them: one image, built and signed elsewhere, through Redis. */
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXIT } from '../../src/base/errors.ts'
import { signManifest } from '../../src/controlplane/fleet/signed-image.ts'
import { makeFleetKey, readFleetKey } from '../../src/controlplane/fleet/fleet-key.ts'
import { RedisPlace } from '../../src/controlplane/fleet/redis-place.ts'
import { loadRedis } from '../../src/controlplane/redis/load-redis.ts'
import { parseRedisUrl } from '../../src/controlplane/config/redis-url.ts'
import { accepted } from '../../src/controlplane/config/addresses.ts'
import { makeInstallation, manyNames, type Installation } from '../generations/installation.ts'
import { askUdp } from '../support/dns-client.ts'
import { runNiveau3, startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { startProcess } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { eventually, ownFolder, startRedis, type RedisServer } from '../support/redis.ts'
import { makeBuilder, type Builder } from './fleet-house.ts'

/** A look is a process of low priority, on a machine that others keep busy. */
const WAIT_MS = 150_000
const USER = 'boite'
/** The documented rule for one server (deploy/redis.md). */
const RULE = '~niveau3:* resetchannels &niveau3:* -@all +ping +mget +set +publish +subscribe'

let redis: RedisServer
let builder: Builder
let redisText = ''
let redisUrl = ''
let configFile = ''

beforeAll(async () => {
  redis = await startRedis()
  await redis.cli('acl', 'setuser', USER, 'on', '>geheim', 'resetkeys', ...RULE.split(' '))
  const secretFile = join(await ownFolder(), 'secret')
  await writeFile(secretFile, randomBytes(32).toString('base64'), { mode: 0o600 })
  const url = redis.url.replace('//', `//${USER}:geheim@`)
  redisUrl = url
  redisText = `redis: {url: "${url}", secretFile: ${secretFile}}\n`
  builder = await makeBuilder()
  configFile = join(await ownFolder(), 'builder.yaml')
  await writeFile(configFile, redisText)
}, 120_000)
afterAll(() => builder.remove())

async function publish(list: string): Promise<string> {
  await builder.build(list)
  const state = ['--state-dir', builder.house.folder, '--config', configFile]
  const done = await runNiveau3(['fleet', 'publish', '--key', builder.keyFile, '--redis', ...state])
  expect(done).toMatchObject({ code: EXIT.ok })
  return done.stdout
}

/** The address of Redis is in the file, or that of the flag. */
function startBox(house: Installation, more = '', flag?: string): Promise<Niveau3> {
  const fleet = `fleet: {source: redis, publicKey: "${builder.publicKey}", ${more}}\n`
  return startNiveau3({
    upstreams: ['127.0.0.1:9'],
    config: (flag === undefined ? redisText : redisText.replace(/url: "[^"]*", /, '')) + fleet,
    args: ['--state-dir', house.folder, ...(flag === undefined ? [] : ['--redis', flag])],
  })
}

async function becomes(box: Niveau3, name: string, rcode: string): Promise<void> {
  await eventually(
    `${name} is ${rcode}`,
    async () => (await askUdp(box, name)).rcode === rcode,
    WAIT_MS,
  )
}

describe('a fleet', { timeout: 600_000 }, () => {
  test('has each image within seconds on every box, and on one that was away when it comes back', async () => {
    expect(await publish(manyNames(3000))).toContain('published redis')
    const [house, other] = [await makeInstallation(), await makeInstallation()]
    const monitor = await program('redis-cli').then((cli) =>
      startProcess(cli, ['-p', String(redis.port), 'monitor'], { ready: { line: /^OK$/ } }),
    )
    const a = await startBox(house)
    const b = await startBox(other, '', redisUrl)
    expect(a.ready).not.toHaveProperty('generation')
    await becomes(a, 'n2999.bad.example', 'NXDOMAIN')
    await becomes(b, 'n2999.bad.example', 'NXDOMAIN')
    await b.stop()

    expect(await publish(manyNames(3100))).toContain('published redis, and told the boxes')
    await becomes(a, 'n3099.bad.example', 'NXDOMAIN')
    await eventually('the image is known', async () => {
      return (await a.metric('niveau3_fleet_image_generation')) === 2
    })
    expect(await a.metric('niveau3_filter_generation')).toBe(2)
    expect(await a.metric('niveau3_fleet_pull_failures')).toBe(0)
    expect(await a.metric('niveau3_fleet_refusals_total', { reason: 'signature' })).toBe(0)
    const again = await startBox(other)
    expect(again.ready).toMatchObject({ generation: 1 })
    await becomes(again, 'n3099.bad.example', 'NXDOMAIN')
    // Nobody who reads Redis learns a name, and nobody needed more than the documented rule.
    expect(monitor.stdout()).not.toMatch(/bad\.example|niveau3-image|fleet-image/)
    expect(await redis.cli('acl', 'log')).toBe('')
    await monitor.end('SIGTERM')
    await a.stop()
    await again.stop()
    await house.remove()
    await other.remove()
  })

  test('refuses and counts what an intruder in Redis has signed, and starts without Redis', async () => {
    await publish(manyNames(3200))
    const house = await makeInstallation()
    const box = await startBox(house, 'pollSeconds: 10')
    await becomes(box, 'n3199.bad.example', 'NXDOMAIN')
    const { image, manifest } = await builder.sign()
    const keyFile = join(house.folder, 'other.key')
    await makeFleetKey(keyFile)
    const forged = { ...manifest, sequence: manifest.sequence + 1000 }
    const secretFile = /secretFile: (\S+)}/.exec(redisText)?.[1]
    const address = accepted(parseRedisUrl(redis.url))
    const files = { passwordFile: undefined, sentinelPasswordFile: undefined, caFile: undefined }
    const times = { hedgeMs: 2, timeoutMs: 20, hotNames: 0 }
    const configured = { address, secretFile, prefix: 'niveau3:', ...files, ...times }
    const place = new RedisPlace(await loadRedis(configured, undefined))
    await place.publish(
      forged,
      signManifest(forged, await readFleetKey(keyFile)),
      new Uint8Array(image),
    )
    place.close()
    await eventually(
      'the refusal is counted',
      async () => (await box.metric('niveau3_fleet_refusals_total', { reason: 'signature' })) > 0,
      WAIT_MS,
    )
    expect((await askUdp(box, 'n3199.bad.example')).rcode).toBe('NXDOMAIN')
    await box.process.line(/"event":"fleet_image_failed".*not signed with the key/)
    await box.stop()

    await redis.kill()
    const alone = await startBox(house)
    expect(alone.ready).toMatchObject({ generation: 1 })
    expect((await askUdp(alone, 'n3199.bad.example')).rcode).toBe('NXDOMAIN')
    await redis.restart()
    await redis.cli('acl', 'setuser', USER, 'on', '>geheim', 'resetkeys', ...RULE.split(' '))
    await publish(manyNames(3300))
    await becomes(alone, 'n3299.bad.example', 'NXDOMAIN')
    await alone.stop()
    await house.remove()
  })
})
