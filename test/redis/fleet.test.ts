import { afterEach, describe, expect, test } from 'vitest'
import { FleetEvents, type PolicyAnnouncement } from '../../src/dataplane/cache/redis-events.ts'
import type { RedisSettings } from '../../src/dataplane/settings.ts'
import {
  eventually,
  redisSettings,
  startCluster,
  startRedis,
  type RedisServer,
} from '../support/redis.ts'
import { startProxy } from '../support/slow-proxy.ts'

const open: FleetEvents[] = []
afterEach(() => {
  for (const events of open.splice(0)) events.close()
})

function join(settings: RedisSettings): { events: FleetEvents; heard: PolicyAnnouncement[] } {
  const heard: PolicyAnnouncement[] = []
  const events = new FleetEvents(settings, {
    policy: (announcement) => heard.push(announcement),
    up: () => {},
    down: () => {},
  })
  open.push(events)
  return { events, heard }
}

async function heardStamp(heard: readonly PolicyAnnouncement[], stamp: string): Promise<void> {
  await eventually(`"${stamp}" is heard`, async () => heard.at(-1)?.stamp === stamp)
}

describe('an announced policy', () => {
  test('reaches every other box, once, and not the one that announced it', async () => {
    const settings = redisSettings(await startRedis())
    const [a, b, c] = [join(settings), join(settings), join(settings)]
    a.events.announce('first', 1)
    await heardStamp(b.heard, 'first')
    await heardStamp(c.heard, 'first')
    b.events.announce('second', 7)
    await heardStamp(a.heard, 'second')
    await heardStamp(c.heard, 'second')
    expect(a.heard.map(({ stamp }) => stamp)).toEqual(['second'])
    expect(b.heard.map(({ stamp }) => stamp)).toEqual(['first'])
    expect(c.heard).toMatchObject([
      { stamp: 'first', generation: 1, box: a.events.box },
      { stamp: 'second', generation: 7, box: b.events.box },
    ])
  })

  test('is read by a box that was away when it was sent', async () => {
    const server = await startRedis()
    const proxy = await startProxy(server.port)
    const a = join(redisSettings(server))
    const b = join(redisSettings(proxy))
    a.events.announce('before', 1)
    await heardStamp(b.heard, 'before')
    proxy.refuses = true
    proxy.cut()
    a.events.announce('meanwhile', 2)
    await eventually('it is sent', async () => a.events.sent === 2)
    expect(b.heard).toHaveLength(1)
    proxy.refuses = false
    await heardStamp(b.heard, 'meanwhile')
    a.events.announce('after', 3)
    await heardStamp(b.heard, 'after')
    expect(b.heard).toHaveLength(3)
  })

  test('comes through after connections that were cut in the middle of everything', async () => {
    const server = await startRedis()
    const proxy = await startProxy(server.port)
    const a = join(redisSettings(server))
    const b = join(redisSettings(proxy))
    a.events.announce('before', 1)
    await heardStamp(b.heard, 'before')
    // Whoever subscribes again and is cut off meanwhile must not leave a rejection unheard.
    for (let times = 0; times < 40; times++) {
      proxy.cut()
      await new Promise((resolve) => setTimeout(resolve, times))
    }
    a.events.announce('after', 2)
    await heardStamp(b.heard, 'after')
  })

  test('waits for a Redis that is absent', async () => {
    const server = await startRedis()
    const b = join(redisSettings(server))
    await server.kill()
    const a = join(redisSettings(server))
    a.events.announce('late', 1)
    await server.restart()
    await heardStamp(b.heard, 'late')
  })

  test('travels through Cluster too', async () => {
    const nodes = await startCluster()
    const settings = redisSettings(nodes[0]!, {
      deployment: 'cluster',
      nodes: nodes.map(({ port }) => ({ host: '127.0.0.1', port })),
    })
    const [a, b] = [join(settings), join(settings)]
    a.events.announce('first', 1)
    await heardStamp(b.heard, 'first')
  })

  test('is told by a Redis without memory, and kept as soon as it has some again', async () => {
    const server = await startRedis()
    const settings = redisSettings(server)
    const [a, b] = [join(settings), join(settings)]
    await bothListen(server, 2)
    await server.cli('config', 'set', 'maxmemory', '1')
    a.events.announce('first', 1)
    await heardStamp(b.heard, 'first')
    expect(await server.cli('dbsize')).toBe('0')
    await server.cli('config', 'set', 'maxmemory', '0')
    const late = join(settings)
    await heardStamp(late.heard, 'first')
    expect(a.events.sent).toBe(1)
  })

  test('is told by a read-only replica, and kept when it is a master again', async () => {
    const server = await startRedis()
    const settings = redisSettings(server)
    const [a, b] = [join(settings), join(settings)]
    await bothListen(server, 2)
    await server.cli('replicaof', '127.0.0.1', '1')
    a.events.announce('first', 1)
    await heardStamp(b.heard, 'first')
    await server.cli('replicaof', 'no', 'one')
    const late = join(settings)
    await heardStamp(late.heard, 'first')
  })

  test('is told again until nobody forbids it', async () => {
    const server = await startRedis()
    const settings = redisSettings(server)
    const [a, b] = [join(settings), join(settings)]
    await bothListen(server, 2)
    await server.cli('acl', 'setuser', 'default', '-publish', '-set')
    a.events.announce('first', 1)
    a.events.announce('second', 2)
    await eventually('it was tried', async () => {
      const log = await server.cli('acl', 'log')
      return log.includes('publish') && log.includes('set')
    })
    expect(b.heard).toEqual([])
    await server.cli('acl', 'setuser', 'default', '+publish', '+set')
    await heardStamp(b.heard, 'second')
    expect(b.heard).toHaveLength(1)
    expect(a.events.sent).toBe(1)
  })

  test('comes back into a Redis that has lost everything', async () => {
    const server = await startRedis()
    const settings = redisSettings(server)
    const a = join(settings)
    a.events.announce('first', 1)
    await eventually('it is kept', async () => (await server.cli('dbsize')) === '1')
    await server.cli('flushall')
    const late = join(settings)
    await heardStamp(late.heard, 'first')
  })

  test("reaches a box whose node of the cluster hangs with the box's subscription", async () => {
    const nodes = await startCluster(['--cluster-require-full-coverage', 'no'])
    const settings = redisSettings(nodes[0]!, {
      deployment: 'cluster',
      nodes: nodes.map(({ port }) => ({ host: '127.0.0.1', port })),
    })
    const { heard, node } = await listenAwayFromKey(nodes, settings)
    const speaker = join(settings)
    node.process.signal('SIGSTOP')
    try {
      speaker.events.announce('unheard', 1)
      await heardStamp(heard, 'unheard')
    } finally {
      node.process.signal('SIGCONT')
    }
    speaker.events.announce('afterwards', 2)
    await heardStamp(heard, 'afterwards')
  })

  test('is not believed when it is not sealed under the secret', async () => {
    const server = await startRedis()
    const settings = redisSettings(server)
    const stranger = join({ ...settings, secret: new Uint8Array(32) })
    const [a, b] = [join(settings), join(settings)]
    stranger.events.announce('forged', 1)
    await eventually('it is sent', async () => stranger.events.sent === 1)
    await server.cli('publish', 'niveau3:fleet', '{"kind":"policy","stamp":"plain"}')
    a.events.announce('genuine', 1)
    await heardStamp(b.heard, 'genuine')
    expect(b.heard.map(({ stamp }) => stamp)).toEqual(['genuine'])
  })
})

const CHANNEL = 'niveau3:fleet'

async function bothListen(server: RedisServer, boxes: number): Promise<void> {
  await eventually('all have subscribed', async () => {
    return (await listenersAt(server)) === boxes
  })
}

async function listenersAt(server: RedisServer): Promise<number> {
  const [, count] = (await server.cli('pubsub', 'numsub', CHANNEL)).split('\n')
  return Number(count)
}

/** A box that listens at another node than that which keeps the latest announcement. */
async function listenAwayFromKey(
  nodes: readonly RedisServer[],
  settings: RedisSettings,
): Promise<{ heard: PolicyAnnouncement[]; node: RedisServer }> {
  const first = join(settings)
  first.events.announce('first', 1)
  let keeper: RedisServer | undefined
  await eventually('it is kept', async () => {
    for (const node of nodes) if ((await node.cli('dbsize')) === '1') keeper = node
    return keeper !== undefined
  })
  first.events.close()
  // ioredis picks the node by chance.
  for (let tries = 0; tries < 40; tries++) {
    const { events, heard } = join(settings)
    let node: RedisServer | undefined
    await eventually('one node has the subscription', async () => {
      const counts = await Promise.all(nodes.map((each) => listenersAt(each)))
      node = nodes[counts.indexOf(1)]
      return node !== undefined && counts.reduce((sum, each) => sum + each) === 1
    })
    if (node !== undefined && node !== keeper) return { heard, node }
    events.close()
    await eventually('it has left', async () => (await listenersAt(node!)) === 0)
  }
  throw new Error('the subscription is always where the key is')
}
