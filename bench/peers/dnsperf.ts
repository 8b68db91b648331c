/** Runs dnsperf and reads what it prints. */
import { program } from '../../test/support/programs.ts'
import { SECOND_MS } from '../../src/base/units.ts'
import { runPinned } from './children.ts'
import type { Workload } from './workloads.ts'

/** dnsperf waits this long for a lost answer (its `-t`). */
const TIMEOUT_S = 2

/** Start, end and lost answers of a run take at most this long beside its own seconds. */
const SPARE_MS = 20 * SECOND_MS

/** What one run of dnsperf saw. */
export interface Drive {
  readonly sent: number
  readonly completed: number
  readonly seconds: number
  /** How many answers had each rcode. */
  readonly rcodes: Readonly<Record<string, number>>
}

/** How one run drives. */
export interface DriveOptions {
  readonly port: number
  readonly cpu: number
  readonly file: string
  readonly seconds: number
  /** True reads the query file once and ends with it, so that no unique name comes twice. */
  readonly once: boolean
}

/** Reads the statistics that dnsperf 2.x prints. */
export function readStatistics(text: string): Drive {
  const number = (pattern: RegExp): number => {
    const value = Number(pattern.exec(text)?.[1])
    if (Number.isNaN(value)) throw new Error(`dnsperf printed no ${String(pattern)}:\n${text}`)
    return value
  }
  const rcodes: Record<string, number> = {}
  const line = /Response codes:(.*)/.exec(text)?.[1] ?? ''
  for (const [, rcode = '', count] of line.matchAll(/([A-Z]+\d*) (\d+)/g)) {
    rcodes[rcode] = Number(count)
  }
  return {
    sent: number(/Queries sent:\s+(\d+)/),
    completed: number(/Queries completed:\s+(\d+)/),
    seconds: number(/Run time \(s\):\s+([\d.]+)/),
    rcodes,
  }
}

/** The arguments that are the workload's own: they are printed with the results. */
export function workloadArguments(workload: Workload): string[] {
  const args = ['-m', workload.transport, '-c', String(workload.clients)]
  args.push('-q', String(workload.outstanding))
  if (workload.queriesPerSecond !== undefined) args.push('-Q', String(workload.queriesPerSecond))
  return args
}

/** Drives a server once. */
export async function drive(workload: Workload, options: DriveOptions): Promise<Drive> {
  const { port, cpu, file, seconds, once } = options
  const args = ['-s', '127.0.0.1', '-p', String(port), '-d', file, '-T', '1']
  args.push('-l', String(seconds), '-t', String(TIMEOUT_S), ...workloadArguments(workload))
  if (once) args.push('-n', '1')
  const command = { program: await program('dnsperf'), args }
  return readStatistics(await runPinned(command, cpu, seconds * SECOND_MS + SPARE_MS))
}
