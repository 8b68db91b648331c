/** The command line of the benchmark. */
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import type { ListKey } from './lists.ts'
import { SERVERS } from './servers/all.ts'
import type { Server } from './servers/server.ts'
import type { Cores } from './visit.ts'
import { WORKLOADS, type Workload } from './workloads.ts'

/** Fewer rounds, or a part of the servers or workloads, are a trial: README keeps its table. */
const ROUNDS = 5
const ROUNDS_MAX = 100
const SECONDS = 5
const SECONDS_MAX = 60

const LISTS: readonly ListKey[] = ['117k', '826k']

export const USAGE = `Usage: npm run bench:peers -- [options]

  --rounds N            rounds, interleaved between servers (default ${ROUNDS})
  --seconds N           length of each measurement (default ${SECONDS})
  --servers A,B         ${SERVERS.map((server) => server.key).join(', ')}
  --workloads A,B       ${WORKLOADS.map((workload) => workload.key).join(', ')}
  --lists A,B           ${LISTS.join(', ')}
  --server-cpu N        the server's core (default 0)
  --client-cpu N        the core of dnsperf and the open-loop client (default 1)
  --upstream-cpu N      the core of the upstream (default 2, on two cores the client's)
  --json                print the results as JSON, not as tables
  --write               write bench/results/peers.json and README.md after a trial too
`

/** What to run. */
export interface Options {
  readonly rounds: number
  readonly seconds: number
  readonly servers: readonly Server[]
  /** The workloads of each list; an empty one is left out. */
  readonly workloads: Readonly<Record<ListKey, readonly Workload[]>>
  readonly cores: Cores
  readonly json: boolean
  /** Whether results are kept: always after a whole run. */
  readonly write: boolean
}

/** A mistake on the command line. */
export class UsageError extends Error {}

/** Reads the command line; throws `UsageError`. */
export function readOptions(args: readonly string[]): Options | 'help' {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const values = parse(() =>
    parseArgs({
      args: [...args],
      options: {
        rounds: text,
        seconds: text,
        servers: text,
        workloads: text,
        lists: text,
        'server-cpu': text,
        'client-cpu': text,
        'upstream-cpu': text,
        json: flag,
        write: flag,
        help: flag,
      },
    }),
  ).values
  if (values.help) return 'help'
  const coreCount = cpus().length
  const core = (name: 'server-cpu' | 'client-cpu' | 'upstream-cpu', standard: number): number =>
    whole(`--${name}`, values[name], Math.min(standard, coreCount - 1), 0, coreCount - 1)
  const cores = {
    server: core('server-cpu', 0),
    client: core('client-cpu', 1),
    upstream: core('upstream-cpu', 2),
  }
  if (cores.client === cores.server) {
    throw new UsageError('the server and its clients need a core each')
  }
  const rounds = whole('--rounds', values.rounds, ROUNDS, 1, ROUNDS_MAX)
  const isWhole =
    rounds >= ROUNDS && [values.servers, values.workloads, values.lists].every((part) => !part)
  return {
    rounds,
    seconds: whole('--seconds', values.seconds, SECONDS, 1, SECONDS_MAX),
    servers: chosen('--servers', values.servers, SERVERS),
    workloads: workloadsOf(values.workloads, values.lists),
    cores,
    json: values.json,
    write: values.write || isWhole,
  }
}

function parse<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

function whole(
  flag: string,
  text: string | undefined,
  standard: number,
  min: number,
  max: number,
): number {
  if (text === undefined) return standard
  const value = Number(text)
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new UsageError(`${flag} takes a whole number from ${min} to ${max}, not ${text}`)
}

function chosen<T extends { readonly key: string }>(
  flag: string,
  text: string | undefined,
  all: readonly T[],
): readonly T[] {
  if (text === undefined) return all
  const keys = text.split(',').map((key) => key.trim())
  for (const key of keys) {
    if (all.some((item) => item.key === key)) continue
    const known = all.map((item) => item.key).join(', ')
    throw new UsageError(`${flag} knows no ${key}; it knows ${known}`)
  }
  return all.filter((item) => keys.includes(item.key))
}

function workloadsOf(
  workloads: string | undefined,
  lists: string | undefined,
): Record<ListKey, readonly Workload[]> {
  const wanted = chosen('--workloads', workloads, WORKLOADS)
  const named = LISTS.map((key) => ({ key }))
  const on = new Set(chosen('--lists', lists, named).map(({ key }) => key))
  const isExplicit = workloads !== undefined && lists !== undefined
  const of = (list: ListKey): readonly Workload[] => {
    if (!on.has(list)) return []
    return isExplicit ? wanted : wanted.filter((workload) => workload.lists.includes(list))
  }
  return { '117k': of('117k'), '826k': of('826k') }
}
