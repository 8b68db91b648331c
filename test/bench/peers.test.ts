import { describe, expect, test } from 'vitest'
import { readStatistics, workloadArguments } from '../../bench/peers/dnsperf.ts'
import { UsageError, readOptions } from '../../bench/peers/options.ts'
import { table } from '../../bench/peers/report.ts'
import { withTable } from '../../bench/readme-table.ts'
import { type ServerResult, bestPeer, listResult } from '../../bench/peers/results.ts'
import { SERVERS } from '../../bench/peers/servers/all.ts'
import { echo } from '../../bench/peers/servers/echo.ts'
import type { Server } from '../../bench/peers/servers/server.ts'
import { draw, median, randomFrom } from '../../bench/peers/statistics.ts'
import type { Measurement, Visit } from '../../bench/peers/visit.ts'
import { WORKLOADS, type Workload } from '../../bench/peers/workloads.ts'

const STATISTICS = `
Statistics:

  Queries sent:         198482
  Queries completed:    198480 (100.00%)
  Queries lost:         2 (0.00%)

  Response codes:       NOERROR 132320 (66.67%), NXDOMAIN 66160 (33.33%)
  Average packet size:  request 35, response 61
  Run time (s):         2.000129
  Queries per second:   99234.152843
`

function workload(key: Workload['key']): Workload {
  const found = WORKLOADS.find((each) => each.key === key)
  if (found === undefined) throw new Error(`no workload ${key}`)
  return found
}

function server(key: string, role: Server['role']): Server {
  return { ...echo, key, title: key, role }
}

function visitWith(cpuUsPerQuery: number): Visit {
  const measurement: Measurement = {
    cpuUsPerQuery,
    queriesPerSecond: 1000,
    completed: 5000,
    lost: 0,
    serverBusy: 1,
    othersBusy: 0,
    stolen: 0,
  }
  const memory = { rssOctets: 1, pssOctets: 1 }
  const workloads = { cached: measurement }
  return {
    startMs: 5,
    unfilteredAtStart: 0,
    blockForm: 'NXDOMAIN',
    memory,
    workloads,
    failures: {},
  }
}

function resultOf(figures: readonly [string, Server['role'], readonly number[]][]): ServerResult[] {
  const findings = figures.map(([key, role, cpu]) => ({
    server: server(key, role),
    version: '1',
    visits: cpu.map(visitWith),
    failures: [],
  }))
  const list = { key: '117k' as const, names: [] }
  return [...listResult(list, [workload('cached')], findings).servers]
}

function workloadsOfLarger(args: readonly string[]): string[] {
  const options = readOptions(args)
  return options === 'help' ? [] : options.workloads['826k'].map(({ key }) => key)
}

describe('reading dnsperf', () => {
  test('its statistics are read with every rcode', () => {
    expect(readStatistics(STATISTICS)).toEqual({
      sent: 198_482,
      completed: 198_480,
      seconds: 2.000129,
      rcodes: { NOERROR: 132_320, NXDOMAIN: 66_160 },
    })
  })

  test('statistics that lack a figure are an error with the text', () => {
    expect(() => readStatistics('Queries sent: 5')).toThrow(/Queries completed[^]*Queries sent: 5/)
  })

  test('the clients, the queries in flight and the rate belong to the workload', () => {
    const args = ['-m', 'udp', '-c', '10', '-q', '200', '-Q', '20000']
    expect(workloadArguments(workload('cached-20k'))).toEqual(args)
  })
})

describe('medians and ratios', () => {
  test('the median of an even count lies between the middle two', () => {
    expect(median([4, 1, 3, 2])).toBe(2.5)
    expect(median([3, 1, 2])).toBe(2)
    expect(median([])).toBeUndefined()
  })

  test('ratios are to the best peer, which is never the floor or niveau3, and to the floor', () => {
    const [echo, own, slow, fast] = resultOf([
      ['echo', 'floor', [1]],
      ['niveau3', 'subject', [2, 9, 2]],
      ['slow', 'peer', [8]],
      ['fast', 'peer', [4]],
    ])
    expect(echo?.workloads.cached).toMatchObject({ toBestPeer: 0.25, toFloor: 1 })
    expect(own?.workloads.cached).toMatchObject({ cpuUsPerQuery: 2, toBestPeer: 0.5, toFloor: 2 })
    expect(slow?.workloads.cached).toMatchObject({ toBestPeer: 2, toFloor: 8 })
    expect(fast?.workloads.cached).toMatchObject({ toBestPeer: 1, toFloor: 4 })
  })

  test('a server without a good round has no figures and is no peer to compare with', () => {
    const servers = resultOf([
      ['failed', 'peer', []],
      ['fast', 'peer', [4]],
    ])
    expect(servers[0]).not.toHaveProperty('startMs')
    expect(servers[0]?.workloads).toEqual({})
    expect(bestPeer(servers, (peer) => peer.workloads.cached?.cpuUsPerQuery)?.key).toBe('fast')
  })
})

describe('drawing queries', () => {
  test('one seed draws the same names again, another one draws others', () => {
    const names = Array.from({ length: 1000 }, (_, index) => index)
    const drawn = draw(names, 100, randomFrom(7))
    expect(draw(names, 100, randomFrom(7))).toEqual(drawn)
    expect(draw(names, 100, randomFrom(8))).not.toEqual(drawn)
    expect(new Set(drawn).size).toBe(100)
  })

  test('drawing more than there is draws everything once', () => {
    expect(draw([1, 2, 3], 9, randomFrom(1)).toSorted((a, b) => a - b)).toEqual([1, 2, 3])
  })
})

describe('the command line', () => {
  test('without flags everything runs, and its results are kept', () => {
    const options = readOptions([])
    expect(options).toMatchObject({ rounds: 5, seconds: 5, write: true })
    expect(options !== 'help' && options.servers).toEqual(SERVERS)
  })

  test('a part is a trial, whose results are kept on demand only', () => {
    expect(readOptions(['--servers', 'echo,unbound'])).toMatchObject({ write: false })
    expect(readOptions(['--rounds', '2'])).toMatchObject({ write: false })
    expect(readOptions(['--rounds', '2', '--write'])).toMatchObject({ write: true })
  })

  test('the larger list runs all workloads only when both are named', () => {
    expect(workloadsOfLarger([])).toEqual(['cached', 'blocked-unique'])
    expect(workloadsOfLarger(['--lists', '826k', '--workloads', 'forwarded'])).toEqual([
      'forwarded',
    ])
    expect(workloadsOfLarger(['--lists', '117k'])).toEqual([])
  })

  test('what it does not know is a usage error that names what it knows', () => {
    expect(() => readOptions(['--servers', 'djbdns'])).toThrow(UsageError)
    expect(() => readOptions(['--servers', 'djbdns'])).toThrow(/djbdns[^]*unbound/)
    expect(() => readOptions(['--rounds', '0'])).toThrow(UsageError)
    expect(() => readOptions(['--fast'])).toThrow(UsageError)
    expect(() => readOptions(['--server-cpu', '1', '--client-cpu', '1'])).toThrow(/core each/)
  })
})

describe('the tables', () => {
  test('columns line up and are Markdown', () => {
    expect(table(['a', 'bb'], [['ccc', '1']])).toBe('| a   | bb |\n| --- | -: |\n| ccc |  1 |')
  })

  test('they replace what stands between the markers of README, and nothing else', () => {
    const readme = 'before\n<!-- bench:peers -->\nold\n<!-- /bench:peers -->\nafter\n'
    const next = 'before\n<!-- bench:peers -->\nnew\n<!-- /bench:peers -->\nafter\n'
    expect(withTable(readme, 'peers', '\nnew\n')).toBe(next)
    expect(withTable(next, 'peers', 'new')).toBe(next)
  })

  test('a README without both markers stays as it is', () => {
    expect(withTable('text', 'peers', 'new')).toBeUndefined()
    expect(withTable('<!-- bench:peers -->', 'peers', 'new')).toBeUndefined()
  })
})
