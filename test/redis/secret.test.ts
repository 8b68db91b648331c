/** The secret of the shared cache is made whole or not at all, and once. */
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadRedis, type RedisConfiguration } from '../../src/controlplane/redis/load-redis.ts'
import { runToEnd, startProcess } from '../support/processes.ts'
import { ownFolder } from '../support/redis.ts'

const CONFIGURED: RedisConfiguration = {
  address: {
    deployment: 'single',
    nodes: [{ host: '127.0.0.1', port: 1 }],
    tls: false,
    username: undefined,
    password: undefined,
    database: 0,
    sentinelName: '',
  },
  passwordFile: undefined,
  sentinelPasswordFile: undefined,
  caFile: undefined,
  secretFile: undefined,
  prefix: 'niveau3:',
  hedgeMs: 2,
  timeoutMs: 20,
  hotNames: 0,
}

test('of twenty who make it at once all get the same, and nothing else is left behind', async () => {
  const state = join(await ownFolder(), 'state')
  const made = await Promise.all(Array.from({ length: 20 }, () => loadRedis(CONFIGURED, state)))
  const secrets = new Set(made.map(({ secret }) => Buffer.from(secret).toString('hex')))
  expect(secrets.size).toBe(1)
  expect(readdirSync(state)).toEqual(['redis-secret'])
  expect(statSync(join(state, 'redis-secret')).mode & 0o777).toBe(0o600)
  expect(Buffer.from(readFileSync(join(state, 'redis-secret'), 'latin1'), 'base64')).toHaveLength(
    32,
  )
})

test('whoever looks while it is made sees none of it or all of it', async () => {
  const state = await ownFolder()
  const file = join(state, 'redis-secret')
  // Another process, so that it looks between any two steps of this one.
  const look = `
    const { readFileSync, writeSync } = require('node:fs')
    const seen = new Set()
    for (const end = Date.now() + 60_000; Date.now() < end; ) {
      let octets = -1
      try { octets = readFileSync(process.argv[1]).length } catch {}
      // Only now may it be made: the first look has found none.
      if (seen.size === 0) writeSync(1, 'looks\\n')
      seen.add(octets)
      if (octets === 45) break
    }
    writeSync(1, JSON.stringify([...seen]))`
  const looking = await startProcess(process.execPath, ['-e', look, file], {
    ready: { line: /^looks$/ },
  })
  await loadRedis(CONFIGURED, state)
  await looking.exited
  const seen: unknown = JSON.parse(looking.stdout().split('\n').at(-1)!)
  expect(seen).toEqual([-1, 45])
})

test('what a crash has left behind is no secret', async () => {
  const state = await ownFolder()
  writeFileSync(join(state, 'redis-secret.0123456789ab'), 'half', { mode: 0o600 })
  await loadRedis(CONFIGURED, state)
  expect(readFileSync(join(state, 'redis-secret'))).toHaveLength(45)
})

test('a place where none can be made is an error that names it', async () => {
  const folder = await ownFolder()
  mkdirSync(join(folder, 'state', 'redis-secret'), { recursive: true })
  await expect(loadRedis(CONFIGURED, join(folder, 'state'))).rejects.toThrow(/redis-secret/)
  const { code } = await runToEnd('test', ['-d', join(folder, 'state', 'redis-secret')])
  expect(code).toBe(0)
})
