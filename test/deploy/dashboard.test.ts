import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { manyNames } from '../generations/installation.ts'
import {
  GRAFANA,
  queryNow,
  readDashboard,
  SITES,
  startObservedServer,
  startPrometheus,
} from '../support/dashboard.ts'
import { askTcp, askUdp, from } from '../support/dns-client.ts'
import { runNiveau3, type Niveau3 } from '../support/niveau3.ts'

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
    await subscribe(server)
    prometheus = await startPrometheus(server.metricsPort)
    await untilFound(prometheus, 'niveau3_list_updates_total{list="house",result="updated"} == 1')
    await updateLists(server, 120)
    await untilFound(prometheus, 'niveau3_list_updates_total{list="house",result="updated"} == 2')
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

  test.each([
    ['Rules', 'list', 'house', 120],
    ['Age', 'list', 'house', 0],
    ['Lines that are no rules', 'list', 'house', 1],
    ['Updates in a day', 'result', 'updated', 0.5],
  ])('the panel "%s" shows the subscription', async (title, label, value, atLeast) => {
    const [target] = panels.find((panel) => panel.title === title)?.targets ?? []
    const samples = await queryNow(prometheus, target!.expr)
    const found = samples.find(({ metric }) => metric[label] === value)
    expect(Number(found?.value[1]), JSON.stringify(samples)).toBeGreaterThanOrEqual(atLeast)
  })
})

/** A list that the house subscribes to, with its first version. */
async function subscribe(server: Niveau3): Promise<void> {
  const url = pathToFileURL(join(server.folder, 'house.txt')).href
  await writeFile(join(server.folder, 'house.txt'), manyNames(100))
  await command(server, 'add', 'house', '--only', '--url', url, '--category', 'adult')
  await updateLists(server, 110)
}

/** A further version, with a line that is no rule. */
async function updateLists(server: Niveau3, names: number): Promise<void> {
  await writeFile(join(server.folder, 'house.txt'), `${manyNames(names)}<no name>\n`)
  await command(server, 'update')
}

async function command(server: Niveau3, ...args: readonly string[]): Promise<void> {
  const all = ['lists', ...args, '--state-dir', join(server.folder, 'state')]
  const { code, stdout, stderr } = await runNiveau3(all)
  expect(code, stdout + stderr).toBe(0)
}

/** Until Prometheus has scraped what the expression asks for. */
async function untilFound(prometheus: string, expr: string): Promise<void> {
  while ((await queryNow(prometheus, expr)).length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

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
