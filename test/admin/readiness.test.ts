import { afterAll, beforeAll, expect, test } from 'vitest'
import { AdminServer } from '../../src/controlplane/admin/http-server.ts'
import { Metrics } from '../../src/controlplane/admin/metrics.ts'
import type { ReadinessCheck, ServerFacts } from '../../src/controlplane/admin/server-facts.ts'
import { runToEnd } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { serverFacts } from '../support/server-facts.ts'
import { readOpenMetrics } from './openmetrics.ts'

let checks: readonly ReadinessCheck[] = []
const facts = (): ServerFacts =>
  serverFacts({
    upstreams: ['udp://[2001:db8::1]:53', 'odd "label"\\ with\neverything'],
    checks,
  })
const metrics = new Metrics(facts, 0)
const admin = new AdminServer({ metrics, checks: () => checks })
let url = ''

beforeAll(async () => {
  const { address, port } = await admin.listen({ address: '127.0.0.1', port: 0 })
  url = `http://${address}:${port}`
})
afterAll(() => admin.close())

test('/readyz is 503 as long as one check fails, and says why', async () => {
  checks = [
    { check: 'workers', ok: true, why: '' },
    { check: 'upstreams', ok: false, why: 'give --upstream ADDR' },
  ]
  const refused = await fetch(`${url}/readyz`)
  expect(refused.status).toBe(503)
  expect(await refused.json()).toEqual({ checks })
  expect((await fetch(`${url}/livez`)).status).toBe(200)
  checks = [{ check: 'workers', ok: true, why: '' }]
  expect((await fetch(`${url}/readyz`)).status).toBe(200)
})

test('labels of any text are escaped: both formats stay readable', async () => {
  checks = [{ check: 'upstreams', ok: false, why: 'none' }]
  const { body } = await metrics.render(false)
  const args = ['check', 'metrics']
  const { code, stdout, stderr } = await runToEnd(await program('promtool'), args, { input: body })
  expect({ code, said: stdout + stderr }).toEqual({ code: 0, said: '' })
  const families = readOpenMetrics((await metrics.render(true)).body)
  const up = families.find(({ name }) => name === 'niveau3_upstream_up')
  expect(up?.samples[1]?.labels['upstream']).toBe('odd \\"label\\"\\\\ with\\neverything')
})

test('an address that is in use is told with the way out', async () => {
  const other = new AdminServer({ metrics, checks: () => checks })
  const port = Number(new URL(url).port)
  await expect(other.listen({ address: '127.0.0.1', port })).rejects.toMatchObject({
    code: 'ERR_ADDRESS_IN_USE',
    exitCode: 1,
  })
})
