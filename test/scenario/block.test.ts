import { describe, expect, test } from 'vitest'
import { DECISIONS, DECISIONS_PASSED, DECISION_BLOCK } from '../../src/dataplane/counters.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askTcp, askUdp, exchangeUdp } from '../support/dns-client.ts'
import type { Message, ResourceRecord } from '../support/messages.ts'
import { join, name, u16 } from '../support/octets.ts'
import { noData, reply, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { conforms } from '../conformance/conforms.ts'

const TRANSPORTS = [
  ['UDP', askUdp],
  ['TCP', askTcp],
] as const
const TYPES = [
  'A',
  'AAAA',
  'HTTPS',
  'SVCB',
  'TXT',
  'MX',
  'NS',
  'SOA',
  'CNAME',
  'DNAME',
  'PTR',
  'SRV',
  'DS',
  'DNSKEY',
  'ANY',
  'TYPE666',
  'TYPE65535',
]

function isBlocked(answer: Message): boolean {
  return answer.ede?.code === 15 && answer.answers.length === 0
}

async function expectBalanced(server: Dataplane): Promise<void> {
  const { received, answered, dropped } = await server.idle()
  expect(received).toBe(answered + dropped)
}

describe.each(TRANSPORTS)('over %s', (_transport, ask) => {
  test('every type of a blocked name is blocked, in every letter case', async () => {
    conforms('filter-bypass', 'svcb')
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({
      rules: { adult: ['blocked.example'] },
      upstreams: [upstream],
    })
    const names = [
      'blocked.example',
      'BLOCKED.EXAMPLE',
      'bLoCkEd.ExAmPlE',
      'deep.under.Blocked.example',
    ]
    for (const asked of names) {
      for (const type of TYPES) {
        for (const flags of [{}, { checkingDisabled: true }, { recursionDesired: false }]) {
          const answer = await ask(server, asked, type, { ...flags, edns: { dnssecOk: true } })
          expect(answer, `${asked} ${type}`).toMatchObject({
            rcode: 'NXDOMAIN',
            ede: { code: 15, text: 'category adult' },
          })
          expect(answer.questions[0]?.name).toBe(asked)
          expect(answer.authorities[0]).toMatchObject({ type: 'SOA', ttl: 60 })
        }
      }
    }
    expect(upstream.queries).toHaveLength(0)
    const asked = names.length * TYPES.length * 3
    expect(server.count(DECISIONS + DECISION_BLOCK * 32)).toBe(asked)
    await expectBalanced(server)
  })

  test('names beside a blocked one pass', async () => {
    conforms('over-blocking')
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({
      rules: { adult: ['blocked.example', '=only.example'] },
      upstreams: [upstream],
    })
    const passing = [
      'notblocked.example',
      'example',
      'blocked.example.net',
      'blocked-example',
      'blocked.examplex',
      'sub.only.example',
    ]
    for (const asked of passing) {
      expect((await ask(server, asked, 'A', { edns: {} })).rcode, asked).toBe('NOERROR')
    }
    expect(upstream.queries.map((query) => query.name)).toEqual(passing)
    expect(server.count(DECISIONS_PASSED)).toBe(passing.length)
  })

  test('a label that holds a dot is no boundary', async () => {
    conforms('any-octet', 'over-blocking', 'strings')
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({
      rules: { adult: ['blocked.example'] },
      upstreams: [upstream],
    })
    // One label "blocked.example" at the root is another name than two labels.
    const message = join(
      Buffer.from([0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
      Buffer.from([15]),
      Buffer.from('blocked.example'),
      Buffer.from([0]),
      u16(1),
      u16(1),
    )
    const answer = await exchangeUdp(server, message)
    expect(answer.readUInt16BE(2) & 0xf).toBe(0)
    expect(upstream.queries).toHaveLength(1)
  })
})

test('EDNS of a higher version gets BADVERS and no answer, blocked or not', async () => {
  conforms('edns-version')
  const server = await startDataplane({ rules: { adult: ['blocked.example'] } })
  for (const asked of ['blocked.example', 'other.example']) {
    const answer = await askUdp(server, asked, 'A', { edns: { version: 1 } })
    expect(answer).toMatchObject({ extendedRcode: 16, answers: [], authorities: [] })
  }
})

function aliasMode(target: string): ResourceRecord {
  return { name: 'alias.test.example', type: 'HTTPS', data: join(u16(0), name(target)) }
}

describe('an answer that leads to a blocked name is blocked', () => {
  const address: ResourceRecord = { name: 'x.blocked.example', type: 'A', data: '192.0.2.66' }
  const chains: readonly {
    readonly what: string
    readonly type: string
    readonly answers: readonly ResourceRecord[]
  }[] = [
    {
      what: 'CNAME',
      type: 'A',
      answers: [{ name: 'alias.test.example', type: 'CNAME', data: 'x.blocked.example' }, address],
    },
    {
      what: 'three CNAMEs, the blocked name in the middle',
      type: 'AAAA',
      answers: [
        { name: 'alias.test.example', type: 'CNAME', data: 'one.example' },
        { name: 'one.example', type: 'CNAME', data: 'X.Blocked.Example' },
        { name: 'x.blocked.example', type: 'CNAME', data: 'three.example' },
        { name: 'three.example', type: 'AAAA', data: '2001:db8::66' },
      ],
    },
    {
      what: 'DNAME and the CNAME made from it',
      type: 'A',
      answers: [
        { name: 'test.example', type: 'DNAME', data: 'blocked.example' },
        { name: 'alias.test.example', type: 'CNAME', data: 'alias.blocked.example' },
        { name: 'alias.blocked.example', type: 'A', data: '192.0.2.66' },
      ],
    },
    { what: 'HTTPS in alias mode', type: 'HTTPS', answers: [aliasMode('x.blocked.example')] },
    {
      what: 'HTTPS in service mode',
      type: 'HTTPS',
      answers: [
        {
          name: 'alias.test.example',
          type: 'HTTPS',
          data: join(
            u16(1),
            name('svc.blocked.example'),
            u16(1),
            u16(3),
            Buffer.from([2, 0x68, 0x32]),
          ),
        },
      ],
    },
    {
      what: 'a CNAME asked for as such',
      type: 'CNAME',
      answers: [{ name: 'alias.test.example', type: 'CNAME', data: 'x.blocked.example' }],
    },
  ]

  test.each(chains)('by $what: the first time and from the cache', async ({ type, answers }) => {
    conforms('filter-bypass', 'svcb')
    const upstream = await startScriptedUpstream((query) => reply(query, { answers }))
    const server = await startDataplane({
      rules: { adult: ['blocked.example'] },
      upstreams: [upstream],
    })
    for (const [, ask] of [...TRANSPORTS, ...TRANSPORTS]) {
      const answer = await ask(server, 'alias.test.example', type, { edns: {} })
      expect(isBlocked(answer)).toBe(true)
      // NXDOMAIN would deny the names beside the alias.
      expect(answer.rcode).toBe('NOERROR')
    }
    expect(upstream.queries).toHaveLength(1)
    await expectBalanced(server)
  })

  test.each([
    {
      what: 'an address of it',
      additionals: [{ name: 'Svc.Blocked.example', type: 'A', data: '192.0.2.66' }],
    },
    {
      what: 'a service whose target it is',
      additionals: [{ ...aliasMode('svc.blocked.example'), name: 'svc.example' }],
    },
    {
      what: 'an alias to it',
      additionals: [{ name: 'svc.example', type: 'CNAME', data: 'svc.blocked.example' }],
    },
  ] as const)('by $what beside the service that was asked for', async ({ additionals }) => {
    conforms('filter-bypass', 'svcb')
    const upstream = await startScriptedUpstream((query) =>
      reply(query, {
        answers: [{ ...aliasMode('svc.example'), type: query.type }],
        additionals,
      }),
    )
    const server = await startDataplane({
      rules: { adult: ['blocked.example'] },
      upstreams: [upstream],
    })
    for (const type of ['HTTPS', 'SVCB']) {
      for (const [, ask] of [...TRANSPORTS, ...TRANSPORTS]) {
        const answer = await ask(server, 'alias.test.example', type, { edns: {} })
        expect(isBlocked(answer)).toBe(true)
        expect(answer.additionals.filter((record) => record.type !== 'OPT')).toEqual([])
      }
    }
    expect(upstream.queries).toHaveLength(2)
    server.reload({ rules: { adult: ['elsewhere.example'] } })
    const passed = await askTcp(server, 'alias.test.example', 'HTTPS')
    expect(passed).toMatchObject({ rcode: 'NOERROR' })
    expect(passed.answers).toHaveLength(1)
  })

  test('but an essential name on the way is not', async () => {
    const answers = [
      { name: 'alias.test.example', type: 'CNAME', data: 'help.blocked.example' },
      { name: 'help.blocked.example', type: 'A', data: '192.0.2.7' },
    ]
    const upstream = await startScriptedUpstream((query) => reply(query, { answers }))
    const server = await startDataplane({
      rules: { adult: ['blocked.example'] },
      essential: ['help.blocked.example'],
      upstreams: [upstream],
    })
    expect((await askUdp(server, 'alias.test.example')).answers).toHaveLength(2)
  })

  test.each(['abcdefghij.onion', 'mask.icloud.com', 'localhost'])(
    'to the special name %s is NODATA, the first time and from the cache',
    async (target) => {
      conforms('onion')
      const upstream = await startScriptedUpstream((query) =>
        reply(query, {
          answers: [
            { name: query.name, type: 'CNAME', data: target },
            { name: target, type: 'A', data: '192.0.2.1' },
          ],
        }),
      )
      const server = await startDataplane({ upstreams: [upstream] })
      for (let time = 0; time < 2; time++) {
        const answer = await askUdp(server, 'alias.example')
        expect(answer).toMatchObject({ rcode: 'NOERROR', answers: [] })
        expect(answer.authorities).toHaveLength(1)
      }
      expect(upstream.queries).toHaveLength(1)
    },
  )

  test('but an essential name passes wherever it leads, the first time and from the cache', async () => {
    const upstream = await startScriptedUpstream((query) =>
      reply(query, {
        answers: [
          { name: query.name, type: 'CNAME', data: 'cdn.blocked.example' },
          { name: 'cdn.blocked.example', type: 'A', data: '192.0.2.1' },
        ],
      }),
    )
    const server = await startDataplane({
      rules: { adult: ['blocked.example'] },
      essential: ['hospital.example'],
      upstreams: [upstream],
    })
    for (const asked of ['www.hospital.example', 'WWW.hospital.example', 'hospital.example']) {
      expect((await askUdp(server, asked)).answers).toHaveLength(2)
    }
    expect((await askUdp(server, 'other.example')).answers).toEqual([])
  })

  test('but a name server in the authority section is no way there', async () => {
    const upstream = await startScriptedUpstream((query) =>
      reply(query, {
        answers: [{ name: query.name, type: 'A', data: '192.0.2.1' }],
        authorities: [{ name: 'test.example', type: 'NS', data: 'ns.blocked.example' }],
      }),
    )
    const server = await startDataplane({
      rules: { adult: ['blocked.example'] },
      upstreams: [upstream],
    })
    expect((await askUdp(server, 'a.test.example')).answers).toHaveLength(1)
  })
})

describe('special names are answered here', () => {
  test.each([
    { asked: 'expyuzz4wqqyqhjn.onion', type: 'A', rcode: 'NXDOMAIN' },
    { asked: 'A.Onion', type: 'TXT', rcode: 'NXDOMAIN' },
    { asked: '1.0.168.192.in-addr.arpa', type: 'PTR', rcode: 'NXDOMAIN' },
    { asked: '8.b.d.0.1.0.0.2.ip6.arpa', type: 'PTR', rcode: 'NOERROR' },
    { asked: '1.0.0.d.f.ip6.arpa', type: 'PTR', rcode: 'NXDOMAIN' },
    { asked: 'home.arpa', type: 'SOA', rcode: 'NOERROR' },
    { asked: 'printer.home.arpa', type: 'A', rcode: 'NXDOMAIN' },
    { asked: 'www.invalid', type: 'A', rcode: 'NXDOMAIN' },
    { asked: 'name.alt', type: 'A', rcode: 'NXDOMAIN' },
    { asked: '_dns.resolver.arpa', type: 'SVCB', rcode: 'NOERROR' },
    { asked: 'use-application-dns.net', type: 'A', rcode: 'NXDOMAIN' },
    { asked: 'mask.icloud.com', type: 'HTTPS', rcode: 'NXDOMAIN' },
  ])('$asked $type: $rcode, and no packet goes upstream', async ({ asked, type, rcode }) => {
    conforms('special-names', 'onion')
    const upstream = await startScriptedUpstream(noData)
    const server = await startDataplane({ upstreams: [upstream] })
    for (const [, ask] of TRANSPORTS) {
      expect(await ask(server, asked, type)).toMatchObject({ rcode, answers: [] })
    }
    expect(upstream.queries).toHaveLength(0)
  })

  test('localhost is 127.0.0.1 and ::1, and no packet goes upstream', async () => {
    conforms('special-names')
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({ upstreams: [upstream] })
    const ask = async (asked: string, type: string): Promise<unknown> =>
      (await askUdp(server, asked, type)).answers.map(({ data }) => data)
    expect(await ask('localhost', 'A')).toEqual(['127.0.0.1'])
    expect(await ask('App.LocalHost', 'AAAA')).toEqual(['::1'])
    expect(await ask('localhost', 'MX')).toEqual([])
    expect(upstream.queries).toHaveLength(0)
  })
})

test('ANY gets the small answer, unless the name is blocked (RFC 8482)', async () => {
  conforms('any')
  const upstream = await startScriptedUpstream()
  const server = await startDataplane({
    rules: { adult: ['blocked.example'] },
    upstreams: [upstream],
  })
  expect((await askUdp(server, 'www.example', 'ANY')).answers[0]).toMatchObject({ type: 'HINFO' })
  expect((await askUdp(server, 'blocked.example', 'ANY')).rcode).toBe('NXDOMAIN')
  expect(upstream.queries).toHaveLength(0)
})
