import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { FleetEvents } from '../../src/dataplane/cache/redis-events.ts'
import { REDIS } from '../../src/dataplane/counters.ts'
import {
  ERROR_FLOOD,
  REDIS_CONNECTIONS,
  REDIS_FAILURES,
  REDIS_UP,
} from '../../src/dataplane/redis-counters.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askUdp } from '../support/dns-client.ts'
import { eventually, redisSettings } from '../support/redis.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'

/** Replies that a sound server never sends, to any command but PING. */
const REPLIES = [
  { what: 'a list in the place of a value', reply: `*1\r\n*41\r\n${':1\r\n'.repeat(41)}` },
  { what: 'a number in the place of a value', reply: '*1\r\n:7\r\n' },
  { what: 'a number in the place of a list', reply: ':7\r\n' },
  { what: 'more replies than commands', reply: '*1\r\n$-1\r\n'.repeat(100) },
  { what: 'a list of four thousand million values', reply: '*4294967296\r\n' },
  { what: 'twenty thousand lists in each other', reply: '*1\r\n'.repeat(20_000) },
  { what: 'no protocol at all', reply: 'HTTP/1.1 400 Bad Request\r\n\r\n' },
] as const

const servers: { server: Server; sockets: Set<Socket> }[] = []
const fleets: FleetEvents[] = []
afterEach(() => {
  for (const fleet of fleets.splice(0)) fleet.close()
  for (const { server, sockets } of servers.splice(0)) {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
})

/** In the place of Redis: PONG to every PING, `reply` to everything else. */
async function startHostile(reply: string): Promise<{ port: number }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('data', (octets: Buffer) => {
      socket.write(/\r\nping\r\n/i.test(octets.toString('latin1')) ? '+PONG\r\n' : reply)
    })
  })
  servers.push({ server, sockets })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { port: address.port }
}

test.each(REPLIES)('$what harms no answer and no worker', async ({ reply }) => {
  const hostile = await startHostile(reply)
  const upstream = await startScriptedUpstream()
  const redis = redisSettings(hostile, { hedgeMs: 0, timeoutMs: 200 })
  const box = await startDataplane({
    upstreams: [upstream],
    redis,
    rules: { vpn: ['blocked.example'] },
  })
  await box.until(() => box.count(REDIS + REDIS_UP) === 1)
  for (let index = 0; index < 10; index++) {
    expect((await askUdp(box, `n${index}.example`)).answers).toHaveLength(1)
    expect((await askUdp(box, 'blocked.example')).rcode).toBe('NXDOMAIN')
  }
  expect(upstream.queries).toHaveLength(10)
  expect(box.balance()).toMatchObject({ received: 20, answered: 20, dropped: 0, inFlight: 0 })
})

test('what the parser cannot take closes the connection, is counted, and another one comes', async () => {
  const hostile = await startHostile('*4294967296\r\n')
  const upstream = await startScriptedUpstream()
  const box = await startDataplane({ upstreams: [upstream], redis: redisSettings(hostile) })
  await box.until(() => box.count(REDIS + REDIS_UP) === 1)
  await askUdp(box, 'www.example')
  await box.until(() => box.count(REDIS + REDIS_FAILURES + ERROR_FLOOD) > 0)
  await box.until(() => box.count(REDIS + REDIS_CONNECTIONS) > 1)
})

test.each([
  ...REPLIES,
  { what: 'a message without octets', reply: '*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$-1\r\n' },
  { what: 'a message without a kind', reply: '*0\r\n*1\r\n$-1\r\n' },
])('$what ends no control plane', async ({ reply }) => {
  const hostile = await startHostile(reply)
  let ups = 0
  const fleet = new FleetEvents(redisSettings(hostile), {
    policy: () => {
      throw new Error('nothing was announced')
    },
    up: () => ups++,
    down: () => {},
  })
  fleets.push(fleet)
  fleet.announce('stamp', 1)
  await eventually('Redis is up', async () => ups > 0)
  // Long enough for the commands that follow, and for a further connection where one was closed.
  const endMs = performance.now() + 300
  await eventually('the time is over', async () => performance.now() > endMs)
  expect(fleet.received).toBe(0)
})
