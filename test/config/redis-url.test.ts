import { describe, expect, test } from 'vitest'
import { parseRedisUrl, withoutPassword } from '../../src/controlplane/config/redis-url.ts'

const PLAIN = {
  deployment: 'single',
  tls: false,
  username: undefined,
  password: undefined,
  database: 0,
  sentinelName: '',
}

describe('a Redis URL', () => {
  test.each([
    { url: 'redis://cache', parsed: { nodes: [{ host: 'cache', port: 6379 }] } },
    {
      url: 'redis://10.0.0.1:7000/3',
      parsed: { nodes: [{ host: '10.0.0.1', port: 7000 }], database: 3 },
    },
    {
      url: 'rediss://[fd00::1]:6380',
      parsed: { nodes: [{ host: 'fd00::1', port: 6380 }], tls: true },
    },
    {
      url: 'redis://boite:p%40ss:w/rd@cache',
      parsed: { nodes: [{ host: 'cache', port: 6379 }], username: 'boite', password: 'p@ss:w/rd' },
    },
    {
      url: 'redis://:secret@cache',
      parsed: { nodes: [{ host: 'cache', port: 6379 }], password: 'secret' },
    },
    {
      url: 'redis+sentinel://a,b:26380/mymaster/2',
      parsed: {
        deployment: 'sentinel',
        nodes: [
          { host: 'a', port: 26_379 },
          { host: 'b', port: 26_380 },
        ],
        sentinelName: 'mymaster',
        database: 2,
      },
    },
    {
      url: 'rediss+cluster://a:7000,b:7001',
      parsed: {
        deployment: 'cluster',
        tls: true,
        nodes: [
          { host: 'a', port: 7000 },
          { host: 'b', port: 7001 },
        ],
      },
    },
  ])('$url', ({ url, parsed }) => {
    expect(parseRedisUrl(url)).toEqual({ ...PLAIN, ...parsed })
  })

  test.each([
    ['http://cache', /is not a URL of Redis/],
    ['cache:6379', /is not a URL of Redis/],
    ['redis://', /host or port/],
    ['redis://a:0', /host or port/],
    ['redis://a:70000', /host or port/],
    ['redis://a b', /host or port/],
    ['redis://geheim:geheim@a b', /host or port/],
    ['redis://a,b', /several servers/],
    ['redis://a/x', /database/],
    ['redis://a/1/2', /database/],
    ['redis+sentinel://a', /group that the Sentinels watch/],
    ['redis+cluster://a/1', /a cluster has one/],
    ['redis://u:%zz@a', /percent sign/],
  ])('%s is refused, without being repeated', (url, fault) => {
    const said = JSON.stringify(parseRedisUrl(url))
    expect(said).toMatch(fault)
    expect(said).not.toContain('geheim')
  })

  test('is shown without its password', () => {
    expect(withoutPassword('redis://u:p@ss:x@host/1')).toBe('redis://u:***@host/1')
    expect(withoutPassword('redis://:p@host')).toBe('redis://:***@host')
    expect(withoutPassword('redis://user@host')).toBe('redis://user@host')
    expect(withoutPassword('redis+cluster://a:1,b:2')).toBe('redis+cluster://a:1,b:2')
  })
})
