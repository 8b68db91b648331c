/** Runs the open-loop client: latency at a fixed rate, every answer checked. */
import { SECOND_MS } from '../../src/base/units.ts'
import { runPinned } from './children.ts'
import { native } from './native.ts'

/** Start and end of a run take at most this long beside its own seconds. */
const SPARE_MS = 20 * SECOND_MS

/**
 * Latencies in microseconds, counted from the moment when each query was due. A query that was
 * never answered counts as one second: losing it must not make a server look quick.
 */
export interface Latency {
  readonly sent: number
  readonly answered: number
  /** Blocked names that were answered, allowed ones that were not, or another question's answer. */
  readonly wrong: number
  readonly p50Us: number
  readonly p90Us: number
  readonly p99Us: number
  readonly p999Us: number
  readonly maxUs: number
  /** How far the client itself was behind its schedule, at the 99th percentile. */
  readonly lateP99Us: number
}

/** How one run asks. */
export interface LatencyOptions {
  readonly port: number
  readonly cpu: number
  readonly queriesPerSecond: number
  readonly seconds: number
  readonly seed: number
  /** Lines of `name blocked` or `name allowed`. */
  readonly file: string
}

/** Measures latencies once. */
export async function measureLatency(options: LatencyOptions): Promise<Latency> {
  const { port, cpu, queriesPerSecond, seconds, seed, file } = options
  const args = [port, queriesPerSecond, seconds, seed].map(String)
  const command = { program: await native('open-loop'), args: [...args, file] }
  const text = await runPinned(command, cpu, seconds * SECOND_MS + SPARE_MS)
  return JSON.parse(text) as Latency
}
