import { expect, test } from 'vitest'
import { Metrics } from '../../src/controlplane/admin/metrics.ts'
import { listFacts, serverFacts, subscribedFacts } from '../support/server-facts.ts'

const PAGES = 100

function names(count: number, name: string): string[] {
  return Array.from({ length: count }, (_, index) => `${name}-${index}`)
}

/** Processor time of each of so many pages: others use the machine too. */
async function pageCostsMs(metrics: Metrics): Promise<number[]> {
  const tookMs: number[] = []
  for (let turn = 0; turn < PAGES; turn++) {
    const start = process.cpuUsage()
    const { body } = await metrics.render(turn % 2 === 0)
    const { system, user } = process.cpuUsage(start)
    tookMs.push((system + user) / 1000)
    expect(body.length).toBeGreaterThan(50_000)
  }
  return tookMs
}

test('a page of 100 sites, 8 upstreams and 40 lists takes less than 5 ms', async () => {
  const { filter } = serverFacts()
  const facts = serverFacts({
    sites: names(100, 'centre'),
    upstreams: names(8, 'tls://dns.example@192.0.2'),
    filter: {
      ...filter,
      lists: names(40, 'list').map(listFacts),
      subscriptions: names(40, 'list').map(subscribedFacts),
    },
  })
  const metrics = new Metrics(() => facts, 0)
  // A server scraped for some minutes has its pages' code compiled, which counts as time here.
  await pageCostsMs(metrics)
  const tookMs = await pageCostsMs(metrics)
  expect(tookMs.toSorted((a, b) => a - b)[PAGES / 2]).toBeLessThan(5)
})
