import { describe, expect, test } from 'vitest'
import { startNiveau3, type Niveau3, type Niveau3Options } from '../support/niveau3.ts'
import { answerAddresses, silence, startScriptedUpstream } from '../support/scripted-upstream.ts'

const EVERY_SECOND = {
  env: { NIVEAU3_PROBE__INTERVAL_SECONDS: '1', NIVEAU3_LOG__LEVEL: 'debug' },
}

function start(options: Niveau3Options): Promise<Niveau3> {
  return startNiveau3({ ...options, process: EVERY_SECOND })
}

/** Resolves when the probe has run so often. */
async function untilRun(server: Niveau3, run = 1): Promise<void> {
  await server.process.line(new RegExp(`"event":"probe_run","run":${run},`))
}

function success(server: Niveau3, category: string): Promise<number> {
  return server.metric('niveau3_probe_success', { category })
}

function answers(server: Niveau3, category: string, result: string): Promise<number> {
  return server.metric('niveau3_probe_answers_total', { category, result })
}

async function sumOf(server: Niveau3, name: string): Promise<number> {
  const lines = (await server.metrics()).split('\n').filter((line) => line.startsWith(`${name}{`))
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

test('with the lists that ship, every category is blocked and essential names are open', async () => {
  const upstream = await startScriptedUpstream()
  const server = await start({ upstreams: [upstream] })
  await untilRun(server, 2)
  for (const category of ['darkweb', 'adult', 'vpn', 'essential']) {
    expect(await success(server, category), category).toBe(1)
  }
  expect(await answers(server, 'adult', 'blocked')).toBeGreaterThanOrEqual(6)
  expect(await answers(server, 'essential', 'open')).toBeGreaterThanOrEqual(6)
  expect(upstream.queries.length).toBeGreaterThan(0)
  expect(server.process.output()).not.toMatch(/probe_(failed|ok|not_run)/)
})

test('what the probe asks is counted as any query, and every one of them is accounted for', async () => {
  const server = await start({ upstreams: [await startScriptedUpstream()] })
  await untilRun(server, 2)
  const page = await server.metrics()
  const sum = (name: string): number =>
    page
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`))
      .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0)
  const received = sum('niveau3_dns_queries_total')
  const inFlight = Number(/^niveau3_dns_inflight_queries (\d+)$/m.exec(page)?.[1])
  expect(received).toBeGreaterThanOrEqual(sum('niveau3_probe_answers_total'))
  expect(sum('niveau3_dns_responses_total') + sum('niveau3_dns_dropped_total') + inFlight).toBe(
    received,
  )
})

test('own lists are asked for names that they hold', async () => {
  const upstream = await startScriptedUpstream()
  const server = await start({
    upstreams: [upstream],
    blocklists: { gambling: ['casino.example'] },
  })
  await untilRun(server)
  expect(await success(server, 'gambling')).toBe(1)
  expect(await answers(server, 'gambling', 'blocked')).toBeGreaterThan(0)
  expect(await server.metrics()).not.toContain('niveau3_probe_success{category="adult"}')
})

test('a name that must be blocked and is not makes the probe fail, and says so once', async () => {
  const server = await start({
    upstreams: [await startScriptedUpstream()],
    config: 'probe: {mustBlock: {adult: [open.example]}}\n',
  })
  await server.process.line(/"event":"probe_failed"/)
  await untilRun(server, 2)
  expect(await success(server, 'adult')).toBe(0)
  expect(await success(server, 'vpn')).toBe(1)
  expect(await answers(server, 'adult', 'open')).toBeGreaterThan(0)
  const said = server.process.output().split('\n')
  expect(said.filter((line) => line.includes('probe_failed'))).toHaveLength(1)
  expect(said.join()).not.toContain('open.example')
})

test('upstreams that do not answer are told apart from essential names that are blocked', async () => {
  const upstream = await startScriptedUpstream(silence)
  const server = await start({
    upstreams: [upstream],
    config: 'forward: {tryTimeoutMs: 100, totalTimeoutMs: 200}\n',
  })
  await untilRun(server)
  expect(await success(server, 'essential')).toBe(1)
  expect(await success(server, 'adult')).toBe(1)
  expect(await answers(server, 'essential', 'failed')).toBeGreaterThan(0)
  upstream.follow(answerAddresses)
  await untilRun(server, 5)
  expect(await answers(server, 'essential', 'open')).toBeGreaterThan(0)
})

test('a category that is switched off is not asked', async () => {
  const server = await start({
    upstreams: [await startScriptedUpstream()],
    config: 'categories: {adult: {blocked: false}}\n',
  })
  await untilRun(server)
  expect(await success(server, 'vpn')).toBe(1)
  expect(await server.metrics()).not.toContain('niveau3_probe_success{category="adult"}')
})

describe('where the machine itself may not ask', () => {
  test('the probe says so once, and does not pretend to have run', async () => {
    const server = await start({
      upstreams: [await startScriptedUpstream()],
      config: 'allowFrom: [192.0.2.0/24]\n',
    })
    await server.process.line(/"event":"probe_not_run".*allowFrom/)
    expect(await server.metric('niveau3_probe_last_run_timestamp_seconds')).toBe(0)
    expect(await server.metric('niveau3_probe_interval_seconds')).toBe(1)
    expect(await sumOf(server, 'niveau3_dns_queries_total')).toBe(0)
  })
})
