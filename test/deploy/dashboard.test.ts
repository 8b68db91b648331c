import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import {
  GRAFANA,
  queryNow,
  readDashboard,
  SITES,
  startObservedServer,
  startPrometheus,
} from '../support/dashboard.ts'
import { askTcp, askUdp, from } from '../support/dns-client.ts'
import type { Niveau3 } from '../support/niveau3.ts'

/** Rows that operators look for, in this order. */
const ROWS = [
  'Overview',
  'Traffic',
  'Latency',
  'Filter',
  'Lists',
  'Cache and Redis',
  'Upstreams',
  'Runtime',
]
const SCRAPES_MIN = 6

const dashboard = readDashboard()
const panels = dashboard.panels.filter(({ type }) => type !== 'row')

test('the dashboard has its rows and variables, and every panel asks the chosen source', () => {
  const rows = dashboard.panels.filter(({ type }) => type === 'row').map(({ title }) => title)
  expect(rows).toEqual(ROWS)
  const names = dashboard.templating.list.map(({ name }) => name)
  expect(names).toEqual(['datasource', 'instance', 'site'])
  expect(panels.length).toBeGreaterThan(40)
  expect(panels.filter(({ datasource }) => datasource?.uid !== '${datasource}')).toEqual([])
  expect(panels.filter(({ targets = [] }) => targets.length === 0)).toEqual([])
})

test('what provisions it are files that Grafana knows', () => {
  expect(provisioned('datasources/niveau3.yaml')).toMatchObject({
    apiVersion: 1,
    datasources: [{ type: 'prometheus' }],
  })
  expect(provisioned('dashboards/niveau3.yaml')).toMatchObject({
    apiVersion: 1,
    providers: [{ type: 'file' }],
  })
})

describe('over a Prometheus that scrapes a loaded server', () => {
  let prometheus = ''

  beforeAll(async () => {
    const server = await startObservedServer()
    prometheus = await startPrometheus(server.metricsPort)
    const scraped = 'count_over_time(niveau3_probe_success{category="essential"}[1m])'
    let scrapes = 0
    while (scrapes < SCRAPES_MIN) {
      await load(server)
      scrapes = Number((await queryNow(prometheus, scraped))[0]?.value[1] ?? 0)
    }
  }, 120_000)

  test.each(panels.map(({ targets = [], title }) => [title, targets] as const))(
    'the panel "%s" has data',
    async (_title, targets) => {
      for (const { expr } of targets) {
        const samples = await queryNow(prometheus, expr)
        expect(samples.length, expr).toBeGreaterThan(0)
      }
    },
  )
})

function provisioned(file: string): unknown {
  return parse(readFileSync(join(GRAFANA, 'provisioning', file), 'utf8'))
}

/** Everything that a house asks in a moment. */
async function load(server: Niveau3): Promise<void> {
  for (let index = 0; index < 40; index++) {
    const name = `www-${Math.floor(Math.random() * 1000)}.example`
    await askUdp(server, name, index % 2 === 0 ? 'A' : 'AAAA')
    await askUdp(server, name)
    await askUdp(server, 'www.pornhub.com', 'HTTPS', { edns: {} })
    await askUdp(server, 'abcdef.onion')
    await askUdp(from(server, SITES.lyon), name)
    await askTcp(server, 'mullvad.net')
  }
}
