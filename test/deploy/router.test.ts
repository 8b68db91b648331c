import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../cli/in-process.ts'
import { join, lay, openHost, whyNoHosts } from '../support/network-hosts.ts'
import type { NetworkNamespace } from '../support/network-namespace.ts'
import { program } from '../support/programs.ts'

const PROGRAM = resolve(import.meta.dirname, '../../dist/bin.js')
const VENDORS = ['openwrt', 'mikrotik', 'pfsense', 'opnsense', 'unifi', 'nftables', 'dnsmasq']

/** The resolver in a network of its own, and in that of the clients. */
const APART = { ipv4: '198.19.30.53', ipv6: 'fd00:30::53' }
const BESIDE = { ipv4: '198.19.20.53', ipv6: 'fd00:20::53' }
const PUBLIC = ['198.18.0.53', '2001:2::53']
/** What the public resolver says of every name. */
const OPEN = '198.18.9.9'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(joinPath(tmpdir(), 'niveau3-router-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function recipe(vendor: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(['router', vendor, ...args])
  expect(code, stderr).toBe(0)
  return stdout
}

describe('every recipe', () => {
  test.each(VENDORS)(
    '%s names both addresses and the port, and nothing of IPv6 alone',
    async (vendor) => {
      const both = await recipe(vendor, '--resolver', APART.ipv4, '--resolver', APART.ipv6)
      for (const address of Object.values(APART)) expect(both).toContain(address)
      if (vendor !== 'dnsmasq') {
        expect(both).toMatch(/\b853\b/)
        expect(both).toContain('9.9.9.9')
        expect(both).toContain('2620:fe::fe')
      }
      const one = await recipe(vendor, '--resolver', APART.ipv4)
      expect(one).not.toContain('undefined')
      expect(one).not.toContain('fd00')
    },
  )

  test('what is closed is refused at once, in the words of each router', async () => {
    const both = ['--resolver', APART.ipv4, '--resolver', APART.ipv6]
    for (const vendor of ['unifi', 'pfsense', 'opnsense']) {
      const text = await recipe(vendor, ...both)
      expect(text, vendor).toMatch(/Reject, .*port 853/)
      expect(text, vendor).not.toMatch(/\b(Block|Drop)\b/)
    }
    const mikrotik = await recipe('mikrotik', ...both)
    const told = mikrotik.split('\n').filter((line) => line.includes('action=reject'))
    expect(told).toHaveLength(8)
    for (const line of told) {
      const how = line.includes('protocol=tcp') ? 'tcp-reset' : 'icmp-port-unreachable'
      expect(line).toContain(` reject-with=${how} `)
    }
    expect(mikrotik).not.toMatch(/action=drop/)
  })

  test('what is no address or interface is refused: recipes are pasted into shells', async () => {
    for (const [resolver, lan] of [
      ['10.20.0.53; reboot', 'lan'],
      ['resolver.example', 'lan'],
      ['fe80::1%eth0', 'lan'],
      ['10.20.0.53', "lan'; reboot"],
    ] as const) {
      const ended = await run(['router', 'openwrt', '--resolver', resolver, '--lan', lan])
      expect(ended.code, resolver + lan).toBe(2)
      expect(ended.stderr).toMatch(/--(resolver|lan): /)
      expect(ended.stdout).toBe('')
    }
    expect((await run(['router', 'openwrt'])).code).toBe(2)
    expect((await run(['router', 'cisco', '--resolver', '10.20.0.53'])).stderr).toMatch(/mikrotik/)
  })

  test('as JSON it carries the notes as well', async () => {
    const { json } = await run(['router', 'unifi', '--resolver', '10.20.0.53', '--json'])
    expect(json()).toMatchObject({
      schema: 'niveau3.router/1',
      vendor: 'unifi',
      ipv4: '10.20.0.53',
    })
    expect(String(json()['notes'])).toMatch(/No list of them is complete/)
  })
})

/** Client, router, resolver and a public resolver, joined. */
interface Network {
  readonly client: NetworkNamespace
  readonly router: NetworkNamespace
  readonly resolver: NetworkNamespace
}

async function openNetwork(where: 'apart' | 'beside'): Promise<Network> {
  const router = await openHost(true)
  const [client, resolver, internet] = [await openHost(), await openHost(), await openHost()]
  await lay(
    { host: router, name: 'port1' },
    { host: client, name: 'eth0', addresses: ['198.19.20.2/24', 'fd00:20::2/64'] },
  )
  const isApart = where === 'apart'
  await lay(
    {
      host: router,
      name: 'port2',
      addresses: isApart ? ['198.19.30.1/24', 'fd00:30::1/64'] : [],
    },
    {
      host: resolver,
      name: 'eth0',
      addresses: isApart
        ? [`${APART.ipv4}/24`, `${APART.ipv6}/64`]
        : [`${BESIDE.ipv4}/24`, `${BESIDE.ipv6}/64`],
    },
  )
  await join(
    { host: router, name: 'br-lan', addresses: ['198.19.20.1/24', 'fd00:20::1/64'] },
    isApart ? ['port1'] : ['port1', 'port2'],
  )
  await lay(
    { host: router, name: 'wan', addresses: ['198.18.0.1/24', '2001:2::1/48'] },
    {
      host: internet,
      name: 'eth0',
      addresses: ['198.18.0.53/24', '198.18.0.44/24', '2001:2::53/48', '2001:2::44/48'],
    },
  )
  const [near, near6] = isApart ? ['198.19.30.1', 'fd00:30::1'] : ['198.19.20.1', 'fd00:20::1']
  for (const [host, way, way6] of [
    [client, '198.19.20.1', 'fd00:20::1'],
    [resolver, near, near6],
    [internet, '198.18.0.1', '2001:2::1'],
  ] as const) {
    await host.ip('route', 'add', 'default', 'via', way)
    await host.ip('-6', 'route', 'add', 'default', 'via', way6)
  }
  // A resolver that says the same of every name, on the ports that clients go around by.
  const dnsmasq = await program('dnsmasq')
  for (const port of [53, 443, 853]) {
    await internet.start(
      dnsmasq,
      [
        '--conf-file=/dev/null',
        '--no-daemon',
        '--no-resolv',
        '--no-hosts',
        '--user=root',
        '--pid-file=',
        `--port=${port}`,
        `--address=/#/${OPEN}`,
        '--log-facility=-',
      ],
      /started/,
    )
  }
  return { client, router, resolver }
}

async function serve(resolver: NetworkNamespace, addresses: readonly string[]): Promise<void> {
  const list = joinPath(folder, 'adult.txt')
  const config = joinPath(folder, 'niveau3.yaml')
  await writeFile(list, 'blocked.example\n')
  await writeFile(config, 'allowFrom: [198.18.0.0/15, "fd00::/8"]\nworkers: 1\n')
  const listen = addresses.flatMap((address) => [
    '--listen',
    address.includes(':') ? `[${address}]:53` : `${address}:53`,
  ])
  await resolver.start(
    process.execPath,
    [
      PROGRAM,
      'serve',
      '--config',
      config,
      '--blocklist',
      `adult=${list}`,
      '--metrics',
      'off',
      '--upstream',
      PUBLIC[0]!,
      ...listen,
    ],
    /"event":"ready"/,
  )
}

/** What dig prints: addresses or the status, or why nobody answered. */
async function ask(
  host: NetworkNamespace,
  server: string,
  name: string,
  ...more: string[]
): Promise<string> {
  const args = [`@${server}`, name, 'A', '+time=3', '+tries=1', ...more]
  const { stdout } = await host.run(await program('dig'), ...args)
  if (/no servers could be reached|refused|unreachable/i.test(stdout)) return 'nobody'
  const address = /\sIN\s+A\s+(\d\S+)/.exec(stdout)?.[1]
  return address ?? /status: (\w+)/.exec(stdout)?.[1] ?? stdout
}

async function load(router: NetworkNamespace, rules: string): Promise<void> {
  const file = joinPath(folder, 'niveau3.nft')
  await writeFile(file, rules)
  const nft = await program('nft')
  // Twice: loading again is how a recipe is changed.
  for (const flags of [['-c'], [], []]) {
    const { code, stderr } = await router.run(nft, ...flags, '-f', file)
    expect(code, stderr).toBe(0)
  }
  // The two public addresses of this network that are known for DNS over HTTPS.
  await router.run(nft, 'add element inet niveau3 doh4 { 198.18.0.44 }')
  await router.run(nft, 'add element inet niveau3 doh6 { 2001:2::44 }')
}

const WAYS = [['+notcp'], ['+tcp']]
const AROUND: readonly (readonly [string, string])[] = [
  ['198.18.0.53', '853'],
  ['2001:2::53', '853'],
  ['198.18.0.44', '443'],
  ['2001:2::44', '443'],
]

const why = whyNoHosts()

/** Where hosts cannot be joined, the rules are still read by the real program. */
async function expectRulesRead(rules: string): Promise<void> {
  process.emitWarning(`the rules were read, and not proved with a client: ${why}`)
  const host = await openHost()
  const file = joinPath(folder, 'read.nft')
  await writeFile(file, rules)
  const { code, stderr } = await host.run(await program('nft'), '-c', '-f', file)
  expect(code, stderr).toBe(0)
}

describe('nftables', () => {
  test.each([
    ['apart', APART, []],
    ['beside', BESIDE, ['--same-network']],
  ] as const)(
    'a resolver %s from its clients answers whoever they ask',
    async (where, at, more) => {
      const rules = await recipe(
        'nftables',
        '--resolver',
        at.ipv4,
        '--resolver',
        at.ipv6,
        '--lan',
        'br-lan',
        ...more,
      )
      if (why !== undefined) return expectRulesRead(rules)
      const { client, router, resolver } = await openNetwork(where)
      // Without the rules every way around is open: the test can tell.
      for (const [server, port] of [
        ...AROUND,
        ...PUBLIC.map((server) => [server, '53'] as const),
      ]) {
        expect(await ask(client, server, 'blocked.example', '-p', port), server + port).toBe(OPEN)
      }
      await serve(resolver, [at.ipv4, at.ipv6])
      await load(router, rules)
      for (const way of WAYS) {
        for (const server of [...PUBLIC, at.ipv4, at.ipv6]) {
          expect(await ask(client, server, 'blocked.example', ...way), server).toBe('NXDOMAIN')
          // The resolver's own question to the public one is led nowhere.
          expect(await ask(client, server, 'open.example', ...way), server).toBe(OPEN)
        }
        for (const [server, port] of AROUND) {
          const said = await ask(client, server, 'blocked.example', '-p', port, ...way)
          expect(said, `${server} ${port} ${way.join('')}`).toBe('nobody')
        }
        // Other servers on 443 are other pages.
        expect(await ask(client, '198.18.0.53', 'a.example', '-p', '443', ...way)).toBe(OPEN)
      }
      return undefined
    },
  )

  test('without an IPv6 address of the resolver, IPv6 is no way around', async () => {
    const rules = await recipe('nftables', '--resolver', APART.ipv4)
    if (why !== undefined) return expectRulesRead(rules)
    const { client, router, resolver } = await openNetwork('apart')
    await serve(resolver, [APART.ipv4])
    await load(router, rules)
    for (const way of WAYS) {
      expect(await ask(client, PUBLIC[0]!, 'blocked.example', ...way)).toBe('NXDOMAIN')
      expect(await ask(client, PUBLIC[1]!, 'blocked.example', ...way)).toBe('nobody')
    }
    return undefined
  })
})

test('dnsmasq on the router asks the resolver, keeps nothing, and hands it out', async () => {
  const text = await recipe(
    'dnsmasq',
    '--resolver',
    APART.ipv4,
    '--resolver',
    APART.ipv6,
    '--lan',
    'br-lan',
  )
  const file = joinPath(folder, 'dnsmasq.conf')
  await writeFile(file, text)
  const dnsmasq = await program('dnsmasq')
  if (why !== undefined) {
    process.emitWarning(`dnsmasq was not asked through a network: ${why}`)
    const host = await openHost()
    expect((await host.run(dnsmasq, '--test', `--conf-file=${file}`)).code).toBe(0)
    return
  }
  const { client, router, resolver } = await openNetwork('apart')
  await serve(resolver, Object.values(APART))
  const range = '--dhcp-range=198.19.20.100,198.19.20.150,255.255.255.0'
  const started = await router.start(
    dnsmasq,
    [
      `--conf-file=${file}`,
      '--no-daemon',
      '--user=root',
      '--pid-file=',
      range,
      `--dhcp-leasefile=${joinPath(folder, 'leases')}`,
      '--log-facility=-',
      '--log-dhcp',
    ],
    /using nameserver|started/,
  )
  for (const way of WAYS) {
    expect(await ask(client, '198.19.20.1', 'blocked.example', ...way)).toBe('NXDOMAIN')
    expect(await ask(client, '198.19.20.1', 'open.example', ...way)).toBe(OPEN)
  }
  expect(started.output()).toMatch(/cachesize 0|cache disabled/)
  expect(started.output()).toContain(`using nameserver ${APART.ipv4}#53`)
})
