/** The workloads, with everything that dnsperf is told. */

export type WorkloadKey =
  | 'cached'
  | 'cached-20k'
  | 'cached-2k'
  | 'tcp'
  | 'blocked-unique'
  | 'forwarded'

/** Which names are asked. */
export type QuerySet = 'mix' | 'blocked-unique' | 'forwarded'

/** One way to drive a server. */
export interface Workload {
  readonly key: WorkloadKey
  readonly title: string
  readonly queries: QuerySet
  readonly transport: 'udp' | 'tcp'
  /** dnsperf `-c`: sockets or connections. */
  readonly clients: number
  /** dnsperf `-q`: queries in flight. */
  readonly outstanding: number
  /** dnsperf `-Q`, and the rate of the open-loop client; undefined: as fast as answers come. */
  readonly queriesPerSecond?: number
  /** The share of queries that has to reach the upstream. */
  readonly forwardedShare: 0 | 1
  /** Lists that it runs with unless told otherwise: forwarding does not depend on the list. */
  readonly lists: readonly ('117k' | '826k')[]
}

/** All workloads, in the order of a visit: what empties caches comes last. */
export const WORKLOADS: readonly Workload[] = [
  {
    key: 'cached',
    title: 'cached + blocked',
    queries: 'mix',
    transport: 'udp',
    clients: 10,
    outstanding: 200,
    forwardedShare: 0,
    lists: ['117k', '826k'],
  },
  {
    key: 'cached-20k',
    title: 'cached + blocked, 20,000 q/s',
    queries: 'mix',
    transport: 'udp',
    clients: 10,
    outstanding: 200,
    queriesPerSecond: 20_000,
    forwardedShare: 0,
    lists: ['117k'],
  },
  {
    key: 'cached-2k',
    title: 'cached + blocked, 2,000 q/s',
    queries: 'mix',
    transport: 'udp',
    clients: 10,
    outstanding: 200,
    queriesPerSecond: 2000,
    forwardedShare: 0,
    lists: ['117k'],
  },
  {
    key: 'tcp',
    title: 'cached + blocked, TCP pipelined',
    queries: 'mix',
    transport: 'tcp',
    clients: 10,
    outstanding: 200,
    forwardedShare: 0,
    lists: ['117k'],
  },
  {
    key: 'blocked-unique',
    title: 'unique names below blocked ones',
    queries: 'blocked-unique',
    transport: 'udp',
    clients: 10,
    outstanding: 200,
    forwardedShare: 0,
    lists: ['117k', '826k'],
  },
  {
    key: 'forwarded',
    title: 'every query forwarded',
    queries: 'forwarded',
    transport: 'udp',
    clients: 10,
    outstanding: 100,
    forwardedShare: 1,
    lists: ['117k'],
  },
]
