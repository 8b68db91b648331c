import { availableParallelism } from 'node:os'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { folder, load, problemsOf } from './loading.ts'

function listOf(more: object) {
  return {
    category: 'vpn',
    file: join(folder, 'lists/vpn.txt.gz'),
    curated: false,
    ...more,
  }
}

describe('defaults', () => {
  test('an empty file gives the documented defaults', () => {
    const { dataplane, control } = load('')
    expect(dataplane.listen).toEqual([{ protocol: 'dns', address: '127.0.0.1', port: 5300 }])
    expect(dataplane.allowFrom).toContain('fc00::/7')
    expect(dataplane.categories.map(({ name }) => name)).toEqual([
      'darkweb',
      'adult',
      'vpn',
      'denied',
    ])
    expect(dataplane.categories[0]).toEqual({
      name: 'darkweb',
      blocked: true,
      response: { kind: 'nxdomain', ipv4: undefined, ipv6: undefined },
    })
    expect(dataplane.blockTtlSeconds).toBe(60)
    expect(dataplane.udpOctetsMax).toBe(1232)
    expect(dataplane.cache.octetsMax).toBe(64 * 1024 * 1024)
    expect(control.metrics).toEqual({ address: '127.0.0.1', port: 9353 })
    expect(control.workers).toBe(availableParallelism())
    expect(control.lists.map(({ name, curated }) => [name, curated])).toEqual([
      ['darkweb', true],
      ['adult', true],
      ['vpn', true],
    ])
    expect(control.essentialFiles).toEqual([expect.stringMatching(/blocklists\/essential\.txt$/)])
  })

  test('the settings of the data plane can be posted to a thread', () => {
    const { dataplane } = load('categories: {adult: {response: address, ipv4: 10.0.0.1}}')
    expect(structuredClone(dataplane)).toEqual(dataplane)
    expect(dataplane.categories[1]!.response.ipv4).toEqual(Uint8Array.of(10, 0, 0, 1))
  })

  test('without upstreams the nameservers of resolv.conf are asked, less ourselves', () => {
    expect(load('').dataplane.upstreams.map(({ address }) => address)).toEqual([
      '10.1.1.1',
      '127.0.0.53',
    ])
    const own = load('listen: ["127.0.0.53:53", "10.1.1.1:5300"]').dataplane.upstreams
    expect(own.map(({ address }) => address)).toEqual(['10.1.1.1'])
  })

  test('a wildcard listen leaves out the nameservers that are addresses of this machine', () => {
    writeFileSync(join(folder, 'own.conf'), 'nameserver 10.9.9.9\nnameserver 127.0.0.53\n')
    const text = 'listen: ["0.0.0.0:53"]\nallowFrom: [10.0.0.0/8]'
    const { upstreams } = load(text, { resolvConfFile: join(folder, 'own.conf') }).dataplane
    expect(upstreams.map(({ address }) => address)).toEqual(['127.0.0.53'])
  })

  test('no resolv.conf and no upstreams is legal: blocks are still answered', () => {
    const { dataplane, control } = load('', { resolvConfFile: join(folder, 'nowhere') })
    expect(dataplane.upstreams).toEqual([])
    expect(control.upstreamsFromSystem).toBe(true)
  })

  test('a group whose lines are all commented out counts as left out', () => {
    expect(load('cache:\n  # octetsMax: 1MiB\nlisten:\n').values).toEqual(load('').values)
  })

  test('response: null is the answer, not a left-out key', () => {
    const { categories } = load('categories: {vpn: {response: null}}').dataplane
    expect(categories[2]!.response.kind).toBe('null')
  })
})

describe('layers', () => {
  const text = 'workers: 2\ncache: {octetsMax: 2MiB, ttlSecondsMax: 60}\nlisten: ["127.0.0.1:1"]'

  test('flags win over the environment, which wins over the file', () => {
    const environment = { NIVEAU3_WORKERS: '3', NIVEAU3_CACHE__OCTETS_MAX: '3MiB' }
    const { values, originOf } = load(text, { environment, flags: { workers: '4' } })
    expect(values.workers).toBe(4)
    expect(values.cache.octetsMax).toBe(3 * 1024 * 1024)
    expect(values.cache.ttlSecondsMax).toBe(60)
    expect(originOf(['workers'])).toEqual({ kind: 'flag', flag: '--workers' })
    expect(originOf(['cache', 'octetsMax'])).toEqual({
      kind: 'environment',
      name: 'NIVEAU3_CACHE__OCTETS_MAX',
    })
    expect(originOf(['cache', 'ttlSecondsMax'])).toMatchObject({ line: 2, column: 41 })
    expect(originOf(['cache', 'ttlSecondsMin'])).toEqual({ kind: 'default' })
  })

  test('lists are replaced whole', () => {
    const flags = { listen: ['127.0.0.1:2', '[::1]:2'], metrics: 'off' }
    const { dataplane, control } = load(text, { flags })
    expect(dataplane.listen.map(({ address }) => address)).toEqual(['127.0.0.1', '::1'])
    expect(control.metrics).toBeUndefined()
  })

  test.each([
    ['NIVEAU3_LISTEN', '127.0.0.1:1, [::1]:1', (v: Values) => v.listen, ['127.0.0.1:1', '[::1]:1']],
    ['NIVEAU3_LISTEN', '["127.0.0.1:1"]', (v: Values) => v.listen, ['127.0.0.1:1']],
    ['NIVEAU3_METRICS__LISTEN', 'off', (v: Values) => v.metrics.listen, 'off'],
    ['NIVEAU3_BLOCK', '{ttlSeconds: 7}', (v: Values) => v.block.ttlSeconds, 7],
    [
      'NIVEAU3_CATEGORIES__ADULT__BLOCKED',
      'false',
      (v: Values) => v.categories['adult']?.blocked,
      false,
    ],
    [
      'NIVEAU3_CATEGORIES__VPN__RESPONSE',
      'null',
      (v: Values) => v.categories['vpn']?.response,
      'null',
    ],
    ['NIVEAU3_WORKERS', '', (v: Values) => v.workers, undefined],
  ])('%s=%s', (name, value, read, expected) => {
    expect(read(load('', { environment: { [name]: value } }).values)).toEqual(expected)
  })

  test('a category with a hyphen is reached with an underscore', () => {
    const environment = {
      NIVEAU3_CATEGORIES__MIXED_ADULT__RESPONSE: 'refused',
      NIVEAU3_LISTS: '[{category: mixed-adult, file: lists/adult.txt}]',
    }
    const { categories } = load('', { environment }).dataplane
    expect(categories.find(({ name }) => name === 'mixed-adult')?.response.kind).toBe('refused')
  })

  test('variables of the tests are no mistakes', () => {
    const environment = { NIVEAU3_DATA: '/data', NIVEAU3_CACHE_DIR: '/c', NIVEAU3_PROGRAMS: 'x' }
    expect(load('', { environment }).values).toEqual(load('').values)
  })

  test('NIVEAU3_CONFIG names the file, and --config wins over it', () => {
    writeFileSync(join(folder, 'a.yaml'), 'workers: 5')
    writeFileSync(join(folder, 'b.yaml'), 'workers: 6')
    const options = { source: undefined, environment: { NIVEAU3_CONFIG: 'a.yaml' } }
    expect(load('', options).values.workers).toBe(5)
    expect(load('', { ...options, configFile: 'b.yaml' }).values.workers).toBe(6)
    expect(load('', options).file).toBe('a.yaml')
  })

  test('a file that was named and does not exist is an error', () => {
    const options = { source: undefined, configFile: 'nowhere.yaml' }
    expect(problemsOf('', options)).toEqual(['the configuration file nowhere.yaml does not exist'])
  })
})

type Values = ReturnType<typeof load>['values']

describe('lists and image', () => {
  test('paths of the file start at its folder, names come from the file name', () => {
    const { control } = load(
      'lists:\n  - {category: vpn, file: lists/vpn.txt.gz, licence: CC0}\n' +
        '  - {category: x-y, file: lists/vpn.txt.gz}\n' +
        '  - {category: adult, file: lists/adult.txt, name: mine, publicSuffixes: {private: keep}}',
      { workingDirectory: '/' },
    )
    expect(control.lists).toEqual([
      listOf({ name: 'vpn', licence: 'CC0' }),
      listOf({ name: 'vpn-2', category: 'x-y' }),
      listOf({
        name: 'mine',
        category: 'adult',
        file: join(folder, 'lists/adult.txt'),
        publicSuffixes: { private: 'keep' },
      }),
    ])
  })

  test('with --blocklist the image of the file and the built-in lists are left out', () => {
    const blocklist = [{ category: 'vpn', file: 'lists/vpn.txt.gz' }]
    const { control } = load('image: image.n3', { flags: { blocklist } })
    expect(control.image).toBeUndefined()
    expect(control.lists).toHaveLength(1)
  })

  test('with --image the lists of the file are left out', () => {
    const text = 'lists: [{category: vpn, file: lists/vpn.txt.gz}]'
    const { control } = load(text, { flags: { image: 'image.n3' } })
    expect(control.image).toBe(join(folder, 'image.n3'))
    expect(control.lists).toEqual([])
  })

  test('lists and image in one layer are an error', () => {
    const text = 'lists: [{category: vpn, file: lists/vpn.txt.gz}]\nimage: image.n3'
    expect(problemsOf(text)).toEqual([expect.stringMatching(/^n.yaml:2:8: image: .*already/)])
  })

  test('a category that only the image may hold is accepted beside an image', () => {
    const { categories } = load('image: image.n3\ncategories: {drugs: {}}').dataplane
    expect(categories.map(({ name }) => name)).toEqual([
      'darkweb',
      'adult',
      'vpn',
      'denied',
      'drugs',
    ])
  })
})

test('random letters go to the upstreams that are named for them', () => {
  const text = `
upstreams: [192.0.2.1, udp://192.0.2.2, tcp://192.0.2.3]
forward: {caseRandomisation: ['192.0.2.2:53'], strategy: fastest}`
  const { forward } = load(text).dataplane
  expect(forward.mixesCase).toEqual([false, true, false])
  expect(forward.strategy).toBe('fastest')
})

describe('AD of upstreams is believed', () => {
  test('from loopback, over TLS and HTTPS, and from those that are named', () => {
    const text = `
upstreams: [127.0.0.9, 192.0.2.1, udp://192.0.2.2, tls://dns.example@192.0.2.3,
  'https://dns.example/dns-query#192.0.2.4']
forward: {trustAdFrom: [192.0.2.2:53]}`
    expect(load(text).dataplane.forward.trustsAd).toEqual([true, false, true, true, true])
  })
})

test.each([
  { written: 'off', option: '' },
  { written: '0.0.0.0/0', option: '0008 0004 0001 00 00' },
  { written: '198.51.100.0/24', option: '0008 0007 0001 18 00 c63364' },
  { written: '198.51.96.0/20', option: '0008 0007 0001 14 00 c63360' },
  { written: '2001:db8:1234::/56', option: '0008 000b 0002 38 00 20010db8123400' },
])('edns.clientSubnet $written is an option of its own', ({ written, option }) => {
  const { clientSubnet } = load(`edns: {clientSubnet: "${written}"}`).dataplane.forward
  expect(Buffer.from(clientSubnet).toString('hex')).toBe(option.replaceAll(' ', ''))
})
