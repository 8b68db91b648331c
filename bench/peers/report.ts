/** Results as tables for people: the same Markdown on the terminal and in README. */
import { MiB, SECOND_MS } from '../../src/base/units.ts'
import { workloadArguments } from './dnsperf.ts'
import type { ListResult, ServerResult } from './results.ts'
import type { WorkloadKey } from './workloads.ts'

const NONE = '-'

/** Everything that a run found. */
export interface Results {
  readonly machine: {
    readonly processor: string
    readonly cores: number
    readonly memoryOctets: number
    readonly kernel: string
    readonly node: string
    /** Load averages over 1, 5 and 15 minutes before the run. */
    readonly loadBefore: readonly number[]
    readonly pinning: string
  }
  readonly upstream: string
  readonly dnsperf: string
  readonly rounds: number
  readonly seconds: number
  readonly finishedAt: string
  readonly lists: readonly ListResult[]
}

/** Returns a Markdown table whose columns line up as text too. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, at) =>
    Math.max(title.length, ...rows.map((row) => (row[at] ?? '').length)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => pad(cell, widths[at] ?? 0, at)).join(' | ')} |`
  const rule = widths.map((width, at) =>
    at === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  )
  return [line(head), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n')
}

function pad(cell: string, width: number, column: number): string {
  return column === 0 ? cell.padEnd(width) : cell.padStart(width)
}

function shown(value: number | undefined, digits: number): string {
  return value === undefined ? NONE : value.toFixed(digits)
}

function cpuCell(server: ServerResult, key: WorkloadKey): string {
  const own = server.workloads[key]
  if (own === undefined)
    return server.failures.some((why) => why.includes(`, ${key}: `)) ? 'failed' : NONE
  const { cpuUsPerQuery, toBestPeer, toFloor } = own
  return `${cpuUsPerQuery.toFixed(2)} (${shown(toBestPeer, 2)}, ${shown(toFloor, 2)})`
}

function cpuTable({ servers, workloads }: ListResult): string {
  const head = ['CPU us/query (x best peer, x floor)', ...workloads.map(({ title }) => title)]
  const rows = servers.map((server) => [
    `${server.title} ${server.version}`,
    ...workloads.map(({ key }) => cpuCell(server, key)),
  ])
  return table(head, rows)
}

function rateTable({ servers, workloads }: ListResult): string {
  const driven = workloads.filter((workload) => workload.queriesPerSecond === undefined)
  if (driven.length === 0) return ''
  const head = ['queries/s (share of its core in use)', ...driven.map(({ title }) => title)]
  const rows = servers.map((server) => [
    server.title,
    ...driven.map(({ key }) => {
      const own = server.workloads[key]
      if (own === undefined) return NONE
      const thousands = Math.round(own.queriesPerSecond / 1000)
      return `${thousands} k (${(own.serverBusy * 100).toFixed(0)} %)`
    }),
  ])
  return table(head, rows)
}

function latencyTable({ servers, workloads }: ListResult): string {
  const paced = workloads.filter((workload) => workload.queriesPerSecond !== undefined)
  if (paced.length === 0) return ''
  const head = ['latency us, p50 / p90 / p99 / p99.9', ...paced.map(({ title }) => title)]
  const rows = servers.map((server) => [
    server.title,
    ...paced.map(({ key }) => {
      const own = server.workloads[key]?.latencyUs
      if (own === undefined) return NONE
      const shares = [own.p50, own.p90, own.p99, own.p999].map((us) => us.toFixed(0)).join(' / ')
      return own.lost === 0 ? shares : `${shares} (${own.lost} lost)`
    }),
  ])
  return table(head, rows)
}

function megabytes(octets: number | undefined): string {
  return octets === undefined ? NONE : (octets / MiB).toFixed(0)
}

function lifeTable({ servers }: ListResult): string {
  const head = [
    'server',
    'told by',
    'blocks as',
    'start s',
    'unfiltered',
    'RSS MB',
    'PSS MB',
    'rounds',
  ]
  const rows = servers.map((server) => [
    server.title,
    server.method,
    server.blockForm === '' ? NONE : server.blockForm,
    server.startMs === undefined ? NONE : (server.startMs / SECOND_MS).toFixed(2),
    shown(server.unfilteredAtStart, 0),
    megabytes(server.rssOctets),
    megabytes(server.pssOctets),
    String(server.rounds),
  ])
  return table(head, rows)
}

/** What has no figure, and why. */
function notesOf(
  heading: string,
  servers: readonly ServerResult[],
  notes: (server: ServerResult) => readonly string[],
): string {
  const lines = servers.flatMap((server) =>
    notes(server).map((note) => `- **${server.title}**: ${note.replaceAll(/\s+/g, ' ')}`),
  )
  return lines.length === 0 ? '' : `${heading}\n\n${lines.join('\n')}`
}

function worst(shares: readonly number[]): string {
  return `${(Math.max(0, ...shares) * 100).toFixed(0)} %`
}

/** What others took of the server's core at the worst moment: how far to trust the figures. */
function noiseOf(lists: readonly ListResult[]): string {
  const all = lists.flatMap(({ servers }) =>
    servers.flatMap(({ workloads }) => Object.values(workloads)),
  )
  const others = worst(all.map(({ othersBusyMax }) => othersBusyMax))
  const stolen = worst(all.map(({ stolenMax }) => stolenMax))
  const late = Math.max(0, ...all.map(({ latencyUs }) => latencyUs?.clientLateP99 ?? 0))
  return (
    `at most ${others} of the server's core taken by other programs and ${stolen} by the host, the ` +
    `open-loop client at most ${late.toFixed(0)} us behind its schedule (p99)`
  )
}

function settingOf(results: Results): string {
  const { machine } = results
  const [load = 0] = machine.loadBefore
  return [
    `${machine.processor}, ${machine.cores} cores, ${(machine.memoryOctets / MiB).toFixed(0)} MB,`,
    `Linux ${machine.kernel}, Node ${machine.node}; ${machine.pinning};`,
    `load ${load.toFixed(2)} before the run, ${noiseOf(results.lists)};`,
    `upstream ${results.upstream}; dnsperf ${results.dnsperf};`,
    `medians of ${results.rounds} interleaved rounds of ${results.seconds} s;`,
    `${results.finishedAt.slice(0, 10)}.`,
  ].join(' ')
}

function drivenBy(lists: readonly ListResult[]): string {
  const all = lists.flatMap(({ workloads }) => workloads)
  const unlike = all.filter(
    (workload, at) => all.findIndex(({ key }) => key === workload.key) === at,
  )
  return unlike
    .map((workload) => `${workload.title}: \`${workloadArguments(workload).join(' ')}\``)
    .join('; ')
}

/** Returns all tables as Markdown. */
export function markdown(results: Results): string {
  const parts = results.lists.map((list) => {
    const title = `**${list.names.toLocaleString('en')} names**`
    const blocks = [
      title,
      cpuTable(list),
      rateTable(list),
      latencyTable(list),
      lifeTable(list),
      notesOf('Left out:', list.servers, ({ leftOut }) => leftOut),
      notesOf('Failed:', list.servers, ({ failures }) => failures),
    ]
    return `${blocks.filter((text) => text !== '').join('\n\n')}\n`
  })
  const setting = `${settingOf(results)}\n\ndnsperf: ${drivenBy(results.lists)}.`
  return `${setting}\n\n${parts.join('\n')}`
}
