import pino from 'pino'
import { afterEach, expect, test } from 'vitest'
import { loadConfig, type LoadedConfig } from '../../src/controlplane/config/load.ts'
import { SiteAddresses } from '../../src/controlplane/site-addresses.ts'
import type { DataplaneSettings } from '../../src/dataplane/settings.ts'
import { Gate } from '../support/gate.ts'
import { record } from '../support/octets.ts'
import {
  nameError,
  noData,
  reply,
  startScriptedUpstream,
  type ReceivedQuery,
} from '../support/scripted-upstream.ts'

/** What the provider of dynamic DNS says at the moment: addresses by type, or that it has none. */
let zone: Readonly<Record<string, readonly string[]>> | undefined
/** Stands behind the addresses of every answer, as one more record. */
let behind: Uint8Array | undefined

function answer(query: ReceivedQuery): Buffer {
  const message = plainAnswer(query)
  if (behind === undefined) return message
  message.writeUInt16BE(message.readUInt16BE(6) + 1, 6)
  return Buffer.concat([message, behind])
}

function plainAnswer(query: ReceivedQuery): Buffer {
  if (zone === undefined) return nameError(query)
  const addresses = zone[query.type]
  if (addresses === undefined) return noData(query)
  return reply(query, {
    answers: addresses.map((data) => ({ name: query.name, type: query.type as 'A', data })),
  })
}

const running: SiteAddresses[] = []
afterEach(() => {
  for (const sites of running.splice(0)) sites.stop()
  behind = undefined
})

async function configOf(refreshMs: number): Promise<LoadedConfig> {
  const upstream = await startScriptedUpstream(answer)
  const text = `
upstreams: ["${upstream.address}:${upstream.port}"]
sites:
  - {name: lyon, from: [10.1.0.0/16, Lyon.dyn.example.]}
  - {name: nantes, from: [10.2.0.0/16]}
`
  const loaded = loadConfig({ source: { name: 'n.yaml', text }, environment: {} })
  const control = { ...loaded.control, siteRefreshSeconds: refreshMs / 1000 }
  return { ...loaded, control }
}

function open(apply: (settings: DataplaneSettings) => void, lines: string[] = []): SiteAddresses {
  const log = pino({ base: null }, { write: (line: string) => lines.push(line) })
  const sites = new SiteAddresses(log, (settings) => Promise.resolve(apply(settings)))
  running.push(sites)
  return sites
}

function prefixesOf({ sites }: DataplaneSettings): unknown {
  return Object.fromEntries(sites.map(({ name, from }) => [name, from]))
}

const never = (): void => expect.unreachable()

test('a site has the addresses behind its name, of IPv6 the network of 64 bits', async () => {
  zone = { A: ['192.0.2.7'], AAAA: ['2001:db8:1:2:3::4'] }
  const settings = await open(never).follow(await configOf(60_000))
  expect(prefixesOf(settings)).toEqual({
    lyon: ['10.1.0.0/16', '192.0.2.7/32', '2001:db8:1:2::/64'],
    nantes: ['10.2.0.0/16'],
  })
})

test('nobody becomes this machine, or everybody, by a record', async () => {
  zone = { A: ['127.0.0.1', '0.0.0.0', '192.0.2.8'], AAAA: ['::1', '::', '::ffff:192.0.2.1'] }
  const settings = await open(never).follow(await configOf(60_000))
  expect(prefixesOf(settings)).toMatchObject({ lyon: ['10.1.0.0/16', '192.0.2.8/32'] })
})

test('a new address is applied, and a name that is gone keeps its last one', async () => {
  zone = { A: ['192.0.2.7'] }
  const lines: string[] = []
  const applied = new Gate<DataplaneSettings>()
  const sites = open((settings) => applied.open(settings), lines)
  await sites.follow(await configOf(20))
  zone = { A: ['198.51.100.9'] }
  expect(prefixesOf(await applied.opened)).toMatchObject({
    lyon: ['10.1.0.0/16', '198.51.100.9/32'],
  })
  zone = undefined
  const gone = await sites.follow(await configOf(60_000))
  expect(prefixesOf(gone)).toMatchObject({ lyon: ['10.1.0.0/16', '198.51.100.9/32'] })
  expect(lines.join('')).toContain('"event":"site_lookup_failed","site":"lyon","kept":1')
  expect(lines.join('')).not.toMatch(/192\.0\.2|198\.51/)
})

test.each([
  { what: 'a signature without octets', type: 46 },
  { what: 'a key without octets', type: 48 },
])('a reply that ends in $what changes nothing and ends nothing', async ({ type }) => {
  const lines: string[] = []
  const sites = open(never, lines)
  zone = { A: ['192.0.2.7'] }
  await sites.follow(await configOf(60_000))
  zone = { A: ['198.51.100.9'], AAAA: ['2001:db8::1'] }
  behind = record({ type, rdata: Buffer.alloc(0) })
  const after = await sites.follow(await configOf(60_000))
  expect(prefixesOf(after)).toMatchObject({ lyon: ['10.1.0.0/16', '192.0.2.7/32'] })
  expect(lines.join('')).toContain('"event":"site_lookup_failed","site":"lyon","kept":1')
  expect(lines.join('')).not.toMatch(/dyn|192\.0\.2|198\.51/i)
})
