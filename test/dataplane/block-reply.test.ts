import { describe, expect, test } from 'vitest'
import { startDataplane, type Rules } from '../support/dataplane.ts'
import { askTcp, askUdp } from '../support/dns-client.ts'
import type { BlockResponseSettings } from '../../src/dataplane/settings.ts'
import { conforms } from '../conformance/conforms.ts'

const rules: Rules = { adult: ['blocked.example', '=exact.example'] }
const IPV4 = Uint8Array.from([192, 0, 2, 80])
const IPV6 = Uint8Array.from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80])

interface Case {
  readonly response: Partial<BlockResponseSettings>
  readonly type: string
  readonly rcode: string
  readonly data?: string
  readonly soa: boolean
  readonly why: string
}

const CASES: readonly Case[] = [
  ...['A', 'AAAA', 'HTTPS', 'TXT'].flatMap((type): Case[] => [
    {
      response: { kind: 'nxdomain' },
      type,
      rcode: 'NXDOMAIN',
      soa: true,
      why: 'it denies the name',
    },
    { response: { kind: 'nodata' }, type, rcode: 'NOERROR', soa: true, why: 'it denies the type' },
    { response: { kind: 'refused' }, type, rcode: 'REFUSED', soa: false, why: 'it says no' },
  ]),
  {
    response: { kind: 'null' },
    type: 'A',
    rcode: 'NOERROR',
    data: '0.0.0.0',
    soa: false,
    why: 'an address that leads nowhere',
  },
  {
    response: { kind: 'null' },
    type: 'AAAA',
    rcode: 'NOERROR',
    data: '::',
    soa: false,
    why: 'an address that leads nowhere',
  },
  {
    response: { kind: 'address', ipv4: IPV4, ipv6: IPV6 },
    type: 'A',
    rcode: 'NOERROR',
    data: '192.0.2.80',
    soa: false,
    why: 'the block page',
  },
  {
    response: { kind: 'address', ipv4: IPV4, ipv6: IPV6 },
    type: 'AAAA',
    rcode: 'NOERROR',
    data: '2001:db8::80',
    soa: false,
    why: 'the block page',
  },
  {
    response: { kind: 'address', ipv4: IPV4 },
    type: 'AAAA',
    rcode: 'NOERROR',
    soa: true,
    why: 'the block page has no IPv6 address',
  },
  {
    response: { kind: 'address', ipv6: IPV6 },
    type: 'A',
    rcode: 'NOERROR',
    soa: true,
    why: 'the block page has no IPv4 address',
  },
  ...(['null', 'address'] as const).flatMap((kind) =>
    ['HTTPS', 'TXT', 'MX'].map((type): Case => ({
      response: { kind, ipv4: IPV4, ipv6: IPV6 },
      type,
      rcode: 'NOERROR',
      soa: true,
      why: 'only addresses are given out',
    })),
  ),
]

describe.each([
  ['UDP', askUdp],
  ['TCP', askTcp],
])('over %s', (_transport, ask) => {
  test.each(CASES)(
    '$response.kind answers $type with $rcode: $why',
    async ({ response, type, rcode, data, soa }) => {
      const server = await startDataplane({ rules, categories: { adult: response } })
      for (const edns of [undefined, {}]) {
        const options = edns === undefined ? {} : { edns }
        const answer = await ask(server, 'Www.Blocked.example', type, options)
        expect(answer.rcode).toBe(rcode)
        expect(answer.answers.map((record) => [record.name, record.ttl, record.data])).toEqual(
          data === undefined ? [] : [['Www.Blocked.example', 60, data]],
        )
        expect(answer.authorities.map((record) => [record.type, record.name, record.ttl])).toEqual(
          soa ? [['SOA', 'Blocked.example', 60]] : [],
        )
        expect(answer.ede).toEqual(
          edns === undefined ? undefined : { code: 15, text: 'category adult' },
        )
        expect(answer.edns === undefined).toBe(edns === undefined)
      }
      await server.stop()
    },
  )
})

test('an exact rule gets NODATA: NXDOMAIN would deny the names below', async () => {
  conforms('nxdomain-subtree')
  const server = await startDataplane({ rules })
  expect(await askUdp(server, 'exact.example')).toMatchObject({ rcode: 'NOERROR', answers: [] })
  server.reload({ categories: { adult: { kind: 'refused' } } })
  expect((await askUdp(server, 'exact.example')).rcode).toBe('REFUSED')
})
