import { expect, test } from 'vitest'
import { askTcp, askUdp } from './dns-client.ts'
import { sampleOf, startNiveau3 } from './niveau3.ts'
import { startScriptedUpstream } from './scripted-upstream.ts'

const TEXT = `# HELP niveau3_dns_queries_total Queries received.
# TYPE niveau3_dns_queries_total counter
niveau3_dns_queries_total{proto="udp",family="ipv4",type="A"} 12
niveau3_dns_queries_total{proto="tcp",family="ipv4",type="A"} 3
niveau3_filter_memory_bytes 5.5e+06
`

test('a sample is found by its labels in any order', () => {
  const labels = { type: 'A', proto: 'tcp', family: 'ipv4' }
  expect(sampleOf(TEXT, 'niveau3_dns_queries_total', labels)).toBe(3)
  expect(sampleOf(TEXT, 'niveau3_filter_memory_bytes', {})).toBe(5_500_000)
})

test('a sample with other labels, or more of them, is not it', () => {
  expect(sampleOf(TEXT, 'niveau3_dns_queries_total', { type: 'A' })).toBe(0)
  expect(sampleOf(TEXT, 'niveau3_dns_queries', {})).toBe(0)
})

test.each(['127.0.0.1', '::1'] as const)(
  'the built server runs on %s and ends',
  async (address) => {
    const upstream = await startScriptedUpstream(undefined, { address })
    const blocklists = { adult: ['blocked.example.com'] }
    const server = await startNiveau3({ address, upstreams: [upstream], blocklists })
    const blocked = await askUdp(server, 'www.blocked.example.com', 'A', { edns: {} })
    expect(blocked).toMatchObject({ rcode: 'NXDOMAIN', ede: { code: 15 } })
    const allowed = await askTcp(server, 'www.example.com')
    expect(allowed.answers).toMatchObject([{ data: '192.0.2.53' }])
    expect(upstream.queries.map((query) => query.name)).toEqual(['www.example.com'])
    const labels = { outcome: 'blocked', rcode: 'NXDOMAIN' }
    expect(await server.metric('niveau3_dns_responses_total', labels)).toBe(1)
    expect(await server.stop()).toEqual({ code: 0, signal: null })
  },
)
