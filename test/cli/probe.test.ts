import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ESSENTIAL_NAMES } from '../../src/controlplane/cli/probe.ts'
import { runNiveau3, startNiveau3 } from '../support/niveau3.ts'
import { freePort } from '../support/ports.ts'
import { reply, silence, startScriptedUpstream } from '../support/scripted-upstream.ts'

interface ProbeJson {
  readonly schema: string
  readonly ok: boolean
  readonly groups: readonly {
    readonly category: string
    readonly ok: boolean
    readonly names: readonly { readonly name: string; readonly verdict: string }[]
  }[]
}

async function probe(server: string): Promise<{ code: number | null; told: ProbeJson }> {
  const { code, stdout } = await runNiveau3(['probe', '--server', server, '--json'])
  return { code, told: JSON.parse(stdout) as ProbeJson }
}

test('a resolver that filters ends the command with 0', async () => {
  const server = await startNiveau3({ upstreams: [await startScriptedUpstream()] })
  const { code, told } = await probe(server.endpoint)
  expect({ code, ok: told.ok, schema: told.schema }).toEqual({
    code: 0,
    ok: true,
    schema: 'niveau3.probe/1',
  })
  const categories = told.groups.map(({ category }) => category)
  expect(categories).toEqual(['darkweb', 'adult', 'vpn', 'essential'])
  const { stdout } = await runNiveau3(['probe', '--server', server.endpoint])
  expect(stdout).toMatch(/^adult +ok +6 of 6 blocked/m)
  expect(stdout).toMatch(/^essential +ok +4 of 4 open/m)
})

test('a resolver that does not filter ends it with 1, and names what is open', async () => {
  const { code, told } = await probe((await startScriptedUpstream()).endpoint)
  expect(code).toBe(1)
  const adult = told.groups.find(({ category }) => category === 'adult')
  expect(adult?.names).toContainEqual({ name: 'pornhub.com', verdict: 'open' })
  expect(told.groups.find(({ category }) => category === 'essential')?.ok).toBe(true)
})

test('a resolver that blocks an essential name ends it with 1', async () => {
  const upstream = await startScriptedUpstream((query) =>
    reply(query, { answers: [{ name: query.name, type: 'A', ttl: 60, data: '0.0.0.0' }] }),
  )
  const { code, told } = await probe(upstream.endpoint)
  expect(code).toBe(1)
  expect(told.groups.filter(({ ok }) => !ok).map(({ category }) => category)).toEqual(['essential'])
})

test('dead upstreams behind a filter end it with 5', async () => {
  const upstream = await startScriptedUpstream(silence)
  const config = 'forward: {tryTimeoutMs: 100, totalTimeoutMs: 200}\n'
  const server = await startNiveau3({ upstreams: [upstream], config })
  expect((await probe(server.endpoint)).code).toBe(5)
})

test('what an operator pauses or allows on the machine itself is no fault', async () => {
  const server = await startNiveau3({ upstreams: [await startScriptedUpstream()] })
  const state = join(server.folder, 'state')
  const env = { NIVEAU3_STATE_DIRECTORY: state }
  const say = (...args: string[]) => runNiveau3([...args, '--state-dir', state, '--reason', 'test'])
  expect((await say('pause', '5m', '--category', 'vpn')).code).toBe(0)
  expect((await say('allow', 'pornhub.com')).code).toBe(0)
  const asked = ['probe', '--server', server.endpoint]
  // Who knows nothing of it sees names that are open.
  expect((await runNiveau3(asked)).code).toBe(1)
  const { code, stdout } = await runNiveau3(asked, { env })
  expect(stdout).not.toMatch(/^vpn/m)
  expect(stdout).toMatch(/^adult +ok +5 of 5 blocked/m)
  expect(code).toBe(0)
})

test('own lists need not hold what the catalogue promises', async () => {
  const upstreams = [await startScriptedUpstream()]
  const server = await startNiveau3({ upstreams, blocklists: { adult: ['open.example'] } })
  const folder = server.folder
  const config = join(folder, 'own.yaml')
  const lists = `lists: [{category: adult, file: ${join(folder, 'adult.txt')}}]\n`
  await writeFile(config, `${lists}probe: {mustBlock: {adult: [open.example]}}\n`)
  const asked = ['probe', '--server', server.endpoint, '--config', config]
  const { code, stdout } = await runNiveau3(asked)
  expect(stdout).toMatch(/^adult +ok +1 of 1 blocked/m)
  expect(code).toBe(0)
})

test('nobody there ends it with 3, and a mistyped address with 2', async () => {
  const nobody = `127.0.0.1:${await freePort()}`
  expect((await runNiveau3(['probe', '--server', nobody])).code).toBe(3)
  expect((await runNiveau3(['probe', '--server', '127.0.0.300'])).code).toBe(2)
})

test('the essential names that it asks for are essential names', () => {
  const file = new URL('../../blocklists/essential.txt', import.meta.url)
  const lines = readFileSync(file, 'utf8').split('\n')
  expect(ESSENTIAL_NAMES.filter((name) => !lines.includes(name))).toEqual([])
})
