/** The shipped Grafana dashboard, and the real servers over which its panels are asked. */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { startNiveau3, type Niveau3 } from './niveau3.ts'
import { freePort } from './ports.ts'
import { startProcess } from './processes.ts'
import { program } from './programs.ts'
import { startRedis } from './redis.ts'
import { answerAddresses, startScriptedUpstream, type Script } from './scripted-upstream.ts'

/** The folder of the dashboard and of what provisions it. */
export const GRAFANA = resolve(import.meta.dirname, '../../deploy/grafana')

/** Addresses that ask as clients of a site. */
export const SITES = { lyon: '127.0.0.9', paris: '127.0.0.10' } as const

/** A value in Grafana's words where one number stands for a word. */
export interface ValueMapping {
  readonly options: Readonly<Record<string, { readonly text: string; readonly color: string }>>
}

/** As much of a panel as the tests and the picture read. */
export interface Panel {
  readonly title: string
  readonly type: string
  readonly datasource?: { readonly uid: string }
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit?: string
      readonly mappings?: readonly ValueMapping[]
      readonly custom?: {
        readonly fillOpacity?: number
        readonly stacking?: { readonly mode: string }
      }
    }
  }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[]
}

/** As much of a dashboard. */
export interface Dashboard {
  readonly uid: string
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string }[] }
}

/** Reads the dashboard that ships. */
export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync(join(GRAFANA, 'niveau3.json'), 'utf8')) as Dashboard
}

/** What the upstreams do, and what the server is told beside its sites and Redis. */
export interface ObservedOptions {
  readonly upstreams?: readonly [Script, Script]
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a server with Redis, two upstreams, sites and a probe each second. */
export async function startObservedServer(options: ObservedOptions = {}): Promise<Niveau3> {
  const redis = await startRedis()
  const [first, second] = options.upstreams ?? [answerAddresses, answerAddresses]
  const sites = Object.entries(SITES).map(
    ([name, address]) => `{name: ${name}, from: [${address}]}`,
  )
  return startNiveau3({
    upstreams: [await startScriptedUpstream(first), await startScriptedUpstream(second)],
    config: `sites: [${sites.join(', ')}]\n`,
    args: ['--redis', redis.url],
    process: { env: { NIVEAU3_PROBE__INTERVAL_SECONDS: '1', ...options.env } },
  })
}

/** Starts a Prometheus that scrapes the server each second, and returns its URL. */
export async function startPrometheus(metricsPort: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-prometheus-'))
  const port = await freePort()
  const config = join(folder, 'prometheus.yml')
  const target = `{targets: ['127.0.0.1:${metricsPort}'], labels: {instance: box-1}}`
  const scrape = `{job_name: niveau3, static_configs: [${target}]}`
  await writeFile(config, `global: {scrape_interval: 1s}\nscrape_configs: [${scrape}]\n`)
  const address = `127.0.0.1:${port}`
  const args = [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`]
  await startProcess(await program('prometheus'), [...args, `--web.listen-address=${address}`], {
    ready: { line: /Server is ready to receive web requests/ },
    cleanUp: () => rm(folder, { recursive: true, force: true }),
  })
  return `http://${address}`
}

type Labels = Readonly<Record<string, string>>
type Point = readonly [seconds: number, value: string]

/** One series at one moment. */
export interface PrometheusSample {
  readonly metric: Labels
  readonly value: Point
}

/** One series over time. */
export interface PrometheusSeries {
  readonly metric: Labels
  readonly values: readonly Point[]
}

/** Evaluates a panel's expression now; series without a value are left out. */
export async function queryNow(
  prometheus: string,
  expr: string,
): Promise<readonly PrometheusSample[]> {
  const samples = await ask<PrometheusSample>(prometheus, 'query', { query: substituted(expr) })
  return samples.filter(({ value }) => value[1] !== 'NaN')
}

/** Evaluates a panel's expression each second from one moment to another (Unix seconds). */
export function queryRange(
  prometheus: string,
  expr: string,
  startSeconds: number,
  endSeconds: number,
): Promise<readonly PrometheusSeries[]> {
  const [start, end] = [String(startSeconds), String(endSeconds)]
  return ask(prometheus, 'query_range', { query: substituted(expr), start, end, step: '1' })
}

/** What Grafana puts in for its variables; the rate over a few scrapes. */
function substituted(expr: string): string {
  return expr
    .replaceAll('$__rate_interval', '10s')
    .replaceAll('$instance', '.*')
    .replaceAll('$site', '.*')
}

async function ask<Result>(
  prometheus: string,
  path: 'query' | 'query_range',
  parameters: Labels,
): Promise<readonly Result[]> {
  const url = `${prometheus}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`
  const told = (await (await fetch(url)).json()) as {
    status: string
    error?: string
    data: { result: readonly Result[] }
  }
  if (told.status !== 'success') {
    throw new Error(`${parameters['query']}: ${told.error ?? told.status}`)
  }
  return told.data.result
}
