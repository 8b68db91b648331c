import { describe, expect, test } from 'vitest'
import { DECISIONS_PRIVATE, decisionSlot, DECISION_BLOCK } from '../../src/dataplane/counters.ts'
import { addressOctets } from '../../src/controlplane/config/addresses.ts'
import { conforms } from '../conformance/conforms.ts'
import { startDataplane, type Dataplane, type DataplaneOptions } from '../support/dataplane.ts'
import { askTcp, askUdp } from '../support/dns-client.ts'
import type { Message, ResourceRecord } from '../support/messages.ts'
import { join, name, u16 } from '../support/octets.ts'
import {
  reply,
  startScriptedUpstream,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'

const ASKED = 'www.asked.example'
const IPV4_HINT = 4
const IPV6_HINT = 6

function answering(
  answers: readonly ResourceRecord[],
  additionals: readonly ResourceRecord[] = [],
): Promise<ScriptedUpstream> {
  return startScriptedUpstream((query) => reply(query, { answers, additionals }))
}

function at(address: string, owner = ASKED): ResourceRecord {
  return { name: owner, type: address.includes(':') ? 'AAAA' : 'A', data: address }
}

/** HTTPS in service mode for the owner itself, with `alpn` and the hints. */
function service(...addresses: readonly string[]): ResourceRecord {
  const hints = addresses.map(addressOctets)
  const key = hints[0]!.length === 4 ? IPV4_HINT : IPV6_HINT
  const value = join(...hints)
  const alpn = join(u16(1), u16(3), Buffer.from('\x02h2'))
  return {
    name: ASKED,
    type: 'HTTPS',
    data: join(u16(1), name('.'), alpn, u16(key), u16(value.length), value),
  }
}

async function start(upstream: ScriptedUpstream, options: DataplaneOptions): Promise<Dataplane> {
  return startDataplane({ rules: { adult: ['adult.example'] }, ...options, upstreams: [upstream] })
}

/** The answer, which has to be the same over both transports and when it is cached. */
async function answerTo(server: Dataplane, type: string, asked = ASKED): Promise<Message> {
  const first = await askUdp(server, asked, type, { edns: {} })
  for (const ask of [askUdp, askTcp]) {
    const { rcode, answers, ede } = await ask(server, asked, type, { edns: {} })
    expect({ rcode, answers: answers.length, ede }).toEqual({
      rcode: first.rcode,
      answers: first.answers.length,
      ede: first.ede,
    })
  }
  return first
}

function typeOf(record: ResourceRecord): string {
  return record.type
}

const ADULT = { addressRules: { adult: ['192.0.2.0/24', '203.0.113.7/32', '2001:db8:bad::/48'] } }

describe('an answer with an address of a category is blocked', () => {
  conforms('filter-bypass', 'svcb')

  test.each([
    { what: 'in A', records: [at('192.0.2.77')] },
    { what: 'in one A of several', records: [at('198.51.100.1'), at('203.0.113.7')] },
    { what: 'in AAAA', records: [at('2001:db8:bad::1')] },
    { what: 'in an IPv4-mapped AAAA', records: [at('::ffff:192.0.2.1')] },
    { what: 'in a NAT64 address', records: [at('64:ff9b::cb00:7107')] },
    { what: 'in a local NAT64 address', records: [at('64:ff9b:1::cb00:7107')] },
    { what: 'in a 6to4 address', records: [at('2002:c000:0201::1')] },
    { what: 'in ipv4hint', records: [service('198.51.100.1', '192.0.2.3')] },
    { what: 'in ipv6hint', records: [service('2001:db8::1', '2001:db8:bad::9')] },
    {
      what: 'behind an alias',
      records: [
        { name: ASKED, type: 'CNAME', data: 'cdn.example' },
        at('192.0.2.5', 'cdn.example'),
      ],
    },
  ])('$what', async ({ records }) => {
    const upstream = await answering(records)
    const server = await start(upstream, ADULT)
    expect(await answerTo(server, typeOf(records.at(-1)!))).toMatchObject({
      rcode: 'NOERROR',
      answers: [],
      ede: { code: 15, text: 'category adult' },
    })
    expect(server.count(decisionSlot(DECISION_BLOCK, 0))).toBe(3)
    expect(upstream.queries).toHaveLength(1)
  })

  test.each([
    { what: 'addresses beside the rules', records: [at('198.51.100.1'), at('203.0.113.8')] },
    { what: 'hints beside the rules', records: [service('198.51.100.1')] },
    {
      what: 'text that looks like one',
      records: [{ name: ASKED, type: 'TXT', data: '192.0.2.1' }],
    },
  ] as const)('but not $what', async ({ records }) => {
    const server = await start(await answering(records), ADULT)
    expect((await answerTo(server, records[0].type)).answers).toHaveLength(records.length)
  })

  test('an additional address counts where a service was asked for, and not where a name server stands', async () => {
    const glue = at('192.0.2.9', 'svc.example')
    const server = await start(await answering([service('198.51.100.1')], [glue]), ADULT)
    expect((await answerTo(server, 'HTTPS')).answers).toHaveLength(0)
    const other = await start(await answering([at('198.51.100.1')], [glue]), ADULT)
    expect((await answerTo(other, 'A')).answers).toHaveLength(1)
  })

  test('an essential name keeps its address, a category that is off blocks none', async () => {
    const essential = { ...ADULT, essential: ['asked.example'] }
    const server = await start(await answering([at('192.0.2.1')]), essential)
    expect((await answerTo(server, 'A')).answers).toHaveLength(1)
    const off = await start(await answering([at('192.0.2.1')]), {
      ...ADULT,
      categories: { adult: false },
    })
    expect((await answerTo(off, 'A')).answers).toHaveLength(1)
  })

  test('a reload judges answers that are kept, without asking upstream', async () => {
    const upstream = await answering([at('192.0.2.1')])
    const server = await start(upstream, {})
    expect((await answerTo(server, 'A')).answers).toHaveLength(1)
    server.reload(ADULT)
    expect((await answerTo(server, 'A')).answers).toHaveLength(0)
    server.reload({ addressRules: {} })
    expect((await answerTo(server, 'A')).answers).toHaveLength(1)
    expect(upstream.queries).toHaveLength(1)
  })
})

describe('a public name that leads into a private network has no data', () => {
  conforms('filter-bypass', 'svcb', 'upstream-lies')
  const guarded = { privateZones: ['corp.example'] }

  test.each([
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '192.168.1.1',
    '::',
    '::1',
    'fd00::1',
    'fe80::1',
    'fec0::1',
    '::ffff:192.168.1.1',
    '::ffff:0:a00:1',
    '::10.0.0.1',
    '64:ff9b::a00:1',
    '64:ff9b:1::c0a8:101',
    '2002:a00:1::1',
  ])('%s, in the record and in the hint', async (address) => {
    for (const record of [at(address), service(address)]) {
      const server = await start(await answering([record]), guarded)
      expect(await answerTo(server, record.type)).toMatchObject({
        rcode: 'NOERROR',
        answers: [],
        ede: { code: 15, text: 'private address' },
      })
      expect(server.count(DECISIONS_PRIVATE)).toBe(3)
    }
  })

  test.each([
    '11.0.0.1',
    '100.128.0.1',
    '172.32.0.1',
    '192.169.0.1',
    '2001:db8::1',
    '64:ff9b::808:808',
  ])('%s is public', async (address) => {
    const server = await start(await answering([at(address)]), guarded)
    expect((await answerTo(server, at(address).type)).answers).toHaveLength(1)
  })

  test('an essential name is no exception, a zone of the configuration is, by the asked name', async () => {
    const inside = at('10.0.0.5', 'www.corp.example')
    const server = await start(await answering([inside]), guarded)
    expect((await answerTo(server, 'A', 'www.corp.example')).answers).toHaveLength(1)
    const alias: ResourceRecord = { name: ASKED, type: 'CNAME', data: 'www.corp.example' }
    const behind = await start(await answering([alias, inside]), {
      ...guarded,
      essential: ['asked.example'],
    })
    expect((await answerTo(behind, 'A')).answers).toHaveLength(0)
  })

  test('can be let through', async () => {
    const server = await start(await answering([at('10.0.0.5')]), {})
    expect((await answerTo(server, 'A')).answers).toHaveLength(1)
  })
})

test('service parameters that do not fill their record are no answer', async () => {
  conforms('svcb')
  const whole = service('192.0.2.1')
  const cut: ResourceRecord = { ...whole, data: join(whole.data as Buffer, u16(IPV4_HINT)) }
  const server = await start(await answering([cut]), {
    forward: { triesMax: 1, tryTimeoutMs: 100 },
  })
  expect((await askUdp(server, ASKED, 'HTTPS')).rcode).toBe('SERVFAIL')
})
