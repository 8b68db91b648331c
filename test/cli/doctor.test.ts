import { createServer } from 'node:net'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { lookAtClock } from '../../src/controlplane/doctor/state.ts'
import { startNiveau3 } from '../support/niveau3.ts'
import { freePort } from '../support/ports.ts'
import { startRedis } from '../support/redis.ts'
import { answerAddresses, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { run } from './in-process.ts'

interface Finding {
  readonly check: string
  readonly state: string
  readonly text: string
  readonly remedy: string
}

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-doctor-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** What doctor finds for a configuration, and its exit code. */
async function findingsOf(yaml: string): Promise<{ code: number; findings: readonly Finding[] }> {
  const file = join(folder, 'niveau3.yaml')
  await writeFile(file, yaml)
  await chmod(file, 0o644)
  const { code, json } = await run(['doctor', '--config', file, '--json'])
  expect(json()).toMatchObject({ schema: 'niveau3.doctor/1' })
  const findings = json()['findings'] as readonly Finding[]
  // Whoever is told of a fault is told what to do as well.
  for (const { state, remedy } of findings) expect(remedy !== '').toBe(state !== 'ok')
  return { code, findings }
}

function of(findings: readonly Finding[], check: string): readonly Finding[] {
  return findings.filter((finding) => finding.check === check)
}

test('where all is well it ends with 0, and tells the time of each upstream', async () => {
  const upstream = await startScriptedUpstream((query) => answerAddresses(query))
  const port = await freePort()
  const { code, findings } = await findingsOf(
    `listen: ["127.0.0.1:${port}"]\nupstreams: ["${upstream.endpoint}"]\n`,
  )
  expect(code).toBe(0)
  expect(of(findings, 'port')).toMatchObject([
    { state: 'ok', text: `127.0.0.1:${port} over UDP is free` },
    { state: 'ok', text: `127.0.0.1:${port} over TCP is free` },
  ])
  expect(of(findings, 'upstream')[0]!.text).toMatch(/answers in \d+\.\d ms/)
  expect(of(findings, 'lists')[0]!.remedy).toMatch(/stateDirectory/)
})

test('a port in use is told with the process that has it, and its own server is no fault', async () => {
  const port = await freePort()
  const other = createServer().listen(port, '127.0.0.1')
  await once(other, 'listening')
  const upstream = await startScriptedUpstream((query) => answerAddresses(query))
  const taken = await findingsOf(
    `listen: ["127.0.0.1:${port}"]\nupstreams: ["${upstream.endpoint}"]\n`,
  )
  other.close()
  expect(taken.code).toBe(1)
  const [udp, tcp] = of(taken.findings, 'port')
  expect(udp!.state).toBe('ok')
  expect(tcp!.state).toBe('failed')
  expect(tcp!.text).toContain(`(process ${process.pid})`)
  expect(tcp!.remedy).toMatch(/systemctl/)

  const server = await startNiveau3({ upstreams: [upstream] })
  const own = await findingsOf(
    `listen: ["${server.endpoint}"]\nupstreams: ["${upstream.endpoint}"]\n`,
  )
  expect(own.code).toBe(0)
  expect(of(own.findings, 'port')[0]!.text).toContain(`niveau3 (process ${server.process.pid})`)
  await server.stop()
})

test('upstreams, Redis and addresses that are not there are told with what to do', async () => {
  const nobody = await freePort()
  const { code, findings } = await findingsOf(
    [
      `listen: ["192.0.2.53:${nobody}"]`,
      'allowFrom: [0.0.0.0/0]',
      `upstreams: ["tcp://127.0.0.1:${nobody}", "tls://dns.example@127.0.0.1:${nobody}"]`,
      `redis: {url: "redis://127.0.0.1:${nobody}"}`,
      `stateDirectory: ${join(folder, 'state')}`,
    ].join('\n'),
  )
  expect(code).toBe(1)
  expect(of(findings, 'port')[0]).toMatchObject({
    state: 'failed',
    text: expect.stringContaining('no address of this machine'),
  })
  expect(of(findings, 'upstream').map(({ state }) => state)).toEqual(['failed', 'failed'])
  expect(of(findings, 'upstream')[1]!.text).toContain('ECONNREFUSED')
  expect(of(findings, 'redis')[0]!.state).toBe('warning')
  expect(of(findings, 'access')[0]).toMatchObject({
    state: 'warning',
    text: expect.stringContaining('0.0.0.0/0'),
  })
})

test('a Redis that answers is told with its time', async () => {
  const redis = await startRedis()
  const upstream = await startScriptedUpstream((query) => answerAddresses(query))
  await mkdir(join(folder, 'with-redis'), { recursive: true })
  const { code, findings } = await findingsOf(
    [
      `listen: ["127.0.0.1:${await freePort()}"]`,
      `upstreams: ["${upstream.endpoint}"]`,
      `redis: {url: "redis://127.0.0.1:${redis.port}"}`,
      `stateDirectory: ${join(folder, 'with-redis')}`,
    ].join('\n'),
  )
  expect(code).toBe(0)
  expect(of(findings, 'redis')[0]!.text).toMatch(/the shared cache answers, \d/)
  expect(of(findings, 'lists')[0]!.remedy).toMatch(/niveau3 lists update/)
})

test('files that everybody may change or read are told', async () => {
  const state = join(folder, 'open-state')
  await mkdir(state)
  await chmod(state, 0o777)
  const { code, findings } = await findingsOf(
    `listen: ["127.0.0.1:${await freePort()}"]\nupstreams: ["tcp://127.0.0.1:1"]\nstateDirectory: ${state}\n`,
  )
  expect(code).toBe(1)
  const rights = of(findings, 'rights').filter(({ state }) => state === 'failed')
  expect(rights).toMatchObject([{ remedy: `chmod o-w ${state}` }])
})

test('a configuration with mistakes ends with 4, and each mistake is told with its line', async () => {
  const { code, findings } = await findingsOf('lissten: []\nworkers: many\n')
  expect(code).toBe(4)
  expect(findings).toHaveLength(2)
  expect(findings[0]!.text).toMatch(/niveau3\.yaml:1/)
})

test('a clock before the program was made is wrong', () => {
  expect(lookAtClock(Date.UTC(2020, 0, 1)).state).toBe('failed')
  expect(lookAtClock().state).not.toBe('failed')
})
