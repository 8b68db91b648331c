/** The pages of `/metrics`, held to what Prometheus takes: promtool and a strict reader. */
import { readOpenMetrics, type Family } from '../admin/openmetrics.ts'
import type { Niveau3 } from './niveau3.ts'
import { runToEnd } from './processes.ts'
import { program } from './programs.ts'

const OPENMETRICS = 'application/openmetrics-text; version=1.0.0'

/** What `promtool check metrics` finds in a page of the text format; empty when it is clean. */
export async function promtoolFindings(text: string): Promise<string> {
  const args = ['check', 'metrics']
  const { code, stdout, stderr } = await runToEnd(await program('promtool'), args, { input: text })
  return code === 0 ? '' : stdout + stderr
}

/** The page in OpenMetrics, read; rejects where it is none. */
export async function openMetricsOf(server: Niveau3): Promise<Family[]> {
  const url = `http://127.0.0.1:${server.metricsPort}/metrics`
  const response = await fetch(url, { headers: { accept: OPENMETRICS } })
  const type = response.headers.get('content-type') ?? ''
  if (!type.includes('application/openmetrics-text')) throw new Error(`${url} is ${type}`)
  return readOpenMetrics(await response.text())
}

/** Both pages of a server: what promtool finds in the one, the names of our series in the other. */
export async function metricsPages(
  server: Niveau3,
): Promise<{ readonly findings: string; readonly series: readonly string[] }> {
  const findings = await promtoolFindings(await server.metrics())
  const samples = (await openMetricsOf(server)).flatMap((family) => family.samples)
  const ours = samples.filter(({ name }) => name.startsWith('niveau3_'))
  return { findings, series: ours.map(({ labels, name }) => `${name}${JSON.stringify(labels)}`) }
}
