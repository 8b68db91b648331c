import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { askTcp, askUdp } from '../support/dns-client.ts'
import { startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { freePort } from '../support/ports.ts'
import { startProcess } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { startRedis } from '../support/redis.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'

const GRAFANA = resolve(import.meta.dirname, '../../deploy/grafana')
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

interface Panel {
  readonly title: string
  readonly type: string
  readonly datasource?: { readonly uid: string }
  readonly targets?: readonly { readonly expr: string }[]
}

interface Dashboard {
  readonly uid: string
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string }[] }
}

const dashboard = JSON.parse(readFileSync(join(GRAFANA, 'niveau3.json'), 'utf8')) as Dashboard
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
    const server = await startLoadedServer()
    prometheus = await startPrometheus(server.metricsPort)
    const scraped = 'count_over_time(niveau3_probe_success{category="essential"}[1m])'
    let scrapes = 0
    while (scrapes < SCRAPES_MIN) {
      await load(server)
      scrapes = Number((await query(prometheus, scraped))[0]?.value[1] ?? 0)
    }
  }, 120_000)

  test.each(panels.map(({ targets = [], title }) => [title, targets] as const))(
    'the panel "%s" has data',
    async (_title, targets) => {
      for (const { expr } of targets) {
        const samples = await query(prometheus, substituted(expr))
        expect(samples.length, expr).toBeGreaterThan(0)
      }
    },
  )
})

function provisioned(file: string): unknown {
  return parse(readFileSync(join(GRAFANA, 'provisioning', file), 'utf8'))
}

async function startLoadedServer(): Promise<Niveau3> {
  const redis = await startRedis()
  return startNiveau3({
    upstreams: [await startScriptedUpstream(), await startScriptedUpstream()],
    config: 'sites: [{name: lyon, from: [127.0.0.9/32]}]\n',
    args: ['--redis', redis.url],
    process: { env: { NIVEAU3_PROBE__INTERVAL_SECONDS: '1' } },
  })
}

/** Everything that a house asks in a moment. */
async function load(server: Niveau3): Promise<void> {
  for (let index = 0; index < 40; index++) {
    const name = `www-${Math.floor(Math.random() * 1000)}.example`
    await askUdp(server, name, index % 2 === 0 ? 'A' : 'AAAA')
    await askUdp(server, name)
    await askUdp(server, 'www.pornhub.com', 'HTTPS', { edns: {} })
    await askUdp(server, 'abcdef.onion')
    await askTcp(server, 'mullvad.net')
  }
}

async function startPrometheus(metricsPort: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-prometheus-'))
  const port = await freePort()
  const config = join(folder, 'prometheus.yml')
  const scrape = `{job_name: niveau3, static_configs: [{targets: ['127.0.0.1:${metricsPort}']}]}`
  await writeFile(config, `global: {scrape_interval: 1s}\nscrape_configs: [${scrape}]\n`)
  const address = `127.0.0.1:${port}`
  const args = [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`]
  await startProcess(await program('prometheus'), [...args, `--web.listen-address=${address}`], {
    ready: { line: /Server is ready to receive web requests/ },
    cleanUp: () => rm(folder, { recursive: true, force: true }),
  })
  return `http://${address}`
}

interface PrometheusSample {
  readonly value: readonly [number, string]
}

/** What Grafana puts in for its variables; the rate over a few scrapes. */
function substituted(expr: string): string {
  return expr
    .replaceAll('$__rate_interval', '10s')
    .replaceAll('$instance', '.*')
    .replaceAll('$site', '.*')
}

async function query(prometheus: string, expr: string): Promise<readonly PrometheusSample[]> {
  const url = `${prometheus}/api/v1/query?query=${encodeURIComponent(expr)}`
  const told = (await (await fetch(url)).json()) as {
    status: string
    error?: string
    data: { result: readonly PrometheusSample[] }
  }
  if (told.status !== 'success') throw new Error(`${expr}: ${told.error ?? told.status}`)
  return told.data.result.filter(({ value }) => value[1] !== 'NaN')
}
