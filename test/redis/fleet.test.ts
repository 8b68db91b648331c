import { afterEach, describe, expect, test } from 'vitest'
import { FleetEvents, type PolicyAnnouncement } from '../../src/dataplane/cache/redis-events.ts'
import type { RedisSettings } from '../../src/dataplane/settings.ts'
import { eventually, redisSettings, startCluster, startRedis } from '../support/redis.ts'
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
