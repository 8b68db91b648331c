import { connect } from 'node:net'
import { beforeAll, describe, expect, test } from 'vitest'
import { askTcp, askUdp, openTcp } from '../support/dns-client.ts'
import { startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { openMetricsOf, promtoolFindings } from '../support/metrics-pages.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'
import type { Family } from './openmetrics.ts'
import { conforms } from '../conformance/conforms.ts'

/** The names that every dashboard relies on (the design's contract), with their types. */
const CONTRACT: Readonly<Record<string, string>> = {
  niveau3_dns_queries_total: 'counter',
  niveau3_dns_responses_total: 'counter',
  niveau3_dns_dropped_total: 'counter',
  niveau3_dns_response_duration_seconds: 'histogram',
  niveau3_filter_decisions_total: 'counter',
  niveau3_filter_rules: 'gauge',
  niveau3_filter_generation: 'gauge',
  niveau3_filter_memory_bytes: 'gauge',
  niveau3_list_last_success_timestamp_seconds: 'gauge',
  niveau3_cache_lookups_total: 'counter',
  niveau3_redis_up: 'gauge',
  niveau3_upstream_up: 'gauge',
  niveau3_upstream_failures_total: 'counter',
  niveau3_build_info: 'gauge',
}

const SECRET = 'secret-name'
let server: Niveau3

beforeAll(async () => {
  const upstream = await startScriptedUpstream()
  server = await startNiveau3({
    upstreams: [upstream],
    blocklists: { adult: ['blocked.example', `${SECRET}.example`] },
  })
})

const openMetrics = (): Promise<Family[]> => openMetricsOf(server)

async function labelsOf(name: string): Promise<string[]> {
  const family = (await openMetrics()).find((each) => each.name === name)
  return [...new Set(family?.samples.flatMap(({ labels }) => Object.keys(labels)))].toSorted()
}

async function series(): Promise<number> {
  return (await openMetrics()).reduce((total, { samples }) => total + samples.length, 0)
}

/** Queries of every kind: answered, blocked, special, malformed, refused, over both transports. */
async function load(): Promise<void> {
  for (let index = 0; index < 10; index++) {
    await askUdp(server, `${SECRET}-${index}.example`, 'A')
    await askTcp(server, `${SECRET}.example`, 'HTTPS', { edns: {} })
    await askUdp(server, 'blocked.example', 'TXT')
    await askUdp(server, `${SECRET}.onion`)
    await askUdp(server, 'version.bind', 'TXT', { class: 'CH' })
    await askUdp(server, 'www.example', 'ANY', { edns: { version: 1 } })
  }
  const client = await openTcp(server)
  await client.send(Buffer.alloc(5))
  await client.close()
}

describe.each(['after the start', 'after load'])('%s, /metrics', (when) => {
  beforeAll(async () => {
    if (when === 'after load') await load()
  })

  test('passes promtool', async () => {
    const response = await server.get('/metrics')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(await promtoolFindings(await response.text())).toBe('')
  })

  test('is OpenMetrics for who asks for it', async () => {
    const families = await openMetrics()
    expect(families.length).toBeGreaterThan(30)
    expect(families.filter(({ help }) => help === '').map(({ name }) => name)).toEqual([])
  })

  test('has every name of the contract, each with samples', async () => {
    const text = await server.metrics()
    const families = await openMetrics()
    for (const [name, type] of Object.entries(CONTRACT)) {
      expect(text).toContain(`# TYPE ${name} ${type}\n`)
      const family = families.find((each) => each.name === name.replace(/_total$/, ''))
      expect(family?.type, name).toBe(type)
      expect(family?.samples.length, name).toBeGreaterThan(0)
    }
    const ours = families.filter(({ name }) => name.startsWith('niveau3_'))
    const values = ours.flatMap(({ samples }) => samples.map(({ value }) => value))
    expect(values.every((value) => Number.isFinite(value) && value >= 0)).toBe(true)
  })

  test('holds no queried name and no client address, in labels or elsewhere', async () => {
    conforms('metric-labels', 'privacy')
    const text = await server.metrics()
    expect(text).not.toContain(SECRET)
    expect(text).not.toContain('blocked.example')
    const labels = (await openMetrics()).flatMap(({ samples }) =>
      samples.flatMap((sample) => Object.entries(sample.labels)),
    )
    const addresses = labels.filter(([, value]) => /^(127\.|::1)/.test(value))
    expect(new Set(addresses.map(([label]) => label))).toEqual(new Set(['upstream']))
  })

  test('has the labels of the contract and no other', async () => {
    expect(await labelsOf('niveau3_dns_queries')).toEqual(['family', 'proto', 'type'])
    expect(await labelsOf('niveau3_dns_responses')).toEqual(['outcome', 'rcode'])
    expect(await labelsOf('niveau3_dns_dropped')).toEqual(['reason'])
    expect(await labelsOf('niveau3_dns_response_duration_seconds')).toEqual(['le', 'outcome'])
    expect(await labelsOf('niveau3_filter_decisions')).toEqual(['action', 'category'])
    expect(await labelsOf('niveau3_cache_lookups')).toEqual(['result', 'tier'])
    expect(await labelsOf('niveau3_upstream_failures')).toEqual(['reason', 'upstream'])
  })
})

test('what was received is what was answered, dropped or is in flight', async () => {
  const families = await openMetrics()
  const sum = (name: string): number =>
    families
      .find((family) => family.name === name)!
      .samples.reduce((total, { value }) => total + value, 0)
  expect(sum('niveau3_dns_queries')).toBeGreaterThan(60)
  expect(sum('niveau3_dns_responses') + sum('niveau3_dns_dropped')).toBe(sum('niveau3_dns_queries'))
})

test('the buckets of the histogram add up, and their count is that of the responses', async () => {
  const families = await openMetrics()
  const histogram = families.find(({ name }) => name === 'niveau3_dns_response_duration_seconds')
  const byOutcome = new Map<string, number[]>()
  for (const { name, labels, value } of histogram?.samples ?? []) {
    if (!name.endsWith('_bucket')) continue
    const buckets = byOutcome.get(labels['outcome']!) ?? []
    byOutcome.set(labels['outcome']!, [...buckets, value])
  }
  expect(byOutcome.size).toBe(7)
  for (const [outcome, buckets] of byOutcome) {
    expect(buckets).toEqual(buckets.toSorted((a, b) => a - b))
    const count = histogram?.samples.find(
      ({ name, labels }) => name.endsWith('_count') && labels['outcome'] === outcome,
    )
    expect(buckets.at(-1)).toBe(count?.value)
  }
})

test('the number of series does not grow with the names that are asked', async () => {
  conforms('metric-labels')
  await load()
  const before = await series()
  for (let index = 0; index < 50; index++) await askUdp(server, `"},\\n{${index}.example`)
  expect(await series()).toBe(before)
  expect(await promtoolFindings(await server.metrics())).toBe('')
})

describe('the admin pages', () => {
  test('/livez says that the process is alive, /readyz that it can serve', async () => {
    expect((await server.get('/livez')).status).toBe(200)
    const ready = await server.get('/readyz')
    expect(ready.status).toBe(200)
    const { checks } = (await ready.json()) as { checks: { check: string; ok: boolean }[] }
    expect(checks.every(({ ok }) => ok)).toBe(true)
    expect(checks.map(({ check }) => check)).toEqual(['workers', 'filter', 'upstreams'])
  })

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])('%s is refused', async (method) => {
    conforms('admin-endpoint')
    const url = `http://127.0.0.1:${server.metricsPort}/metrics`
    const response = await fetch(url, { method })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe('GET, HEAD')
  })

  test('HEAD has no body', async () => {
    const url = `http://127.0.0.1:${server.metricsPort}/metrics`
    const response = await fetch(url, { method: 'HEAD' })
    expect([response.status, await response.text()]).toEqual([200, ''])
  })

  test.each(['/', '/metrics/', '/metricsx', '/../etc/passwd', '//metrics'])(
    '%s is not found',
    async (path) => {
      expect((await server.get(path)).status).toBe(404)
    },
  )

  test('a query string changes nothing', async () => {
    expect((await server.get('/livez?x=1')).status).toBe(200)
  })

  test('no other origin may read them, and no server version is told', async () => {
    conforms('admin-endpoint', 'version-disclosure')
    const { headers } = await server.get('/metrics')
    expect(headers.get('access-control-allow-origin')).toBeNull()
    expect(headers.get('server')).toBeNull()
  })

  test('a header of a megabyte is refused, and the pages go on', async () => {
    conforms('admin-endpoint')
    const status = await new Promise<string>((resolve) => {
      const socket = connect(server.metricsPort, '127.0.0.1')
      let text = ''
      socket.on('data', (chunk) => (text += chunk.toString()))
      socket.on('error', () => {})
      socket.on('close', () => resolve(text.split('\r\n')[0] ?? ''))
      socket.write(`GET /metrics HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(1_000_000)}\r\n\r\n`)
    })
    expect(['', 'HTTP/1.1 431 Request Header Fields Too Large']).toContain(status)
    expect((await server.get('/livez')).status).toBe(200)
  })
})
