/** A running server and the commands: what they change is served, and nothing else is. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXIT } from '../../src/base/errors.ts'
import { GenerationStore } from '../../src/controlplane/generations/generation-store.ts'
import { findServedGeneration } from '../../src/controlplane/generations/served-generation.ts'
import { ListVersions } from '../../src/controlplane/generations/list-versions.ts'
import { startListServer, type ListServer } from '../blocklist/download/list-server.ts'
import { askUdp } from '../support/dns-client.ts'
import { runNiveau3, startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { run } from '../cli/in-process.ts'
import { runToEnd, startProcess } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { makeInstallation, manyNames } from './installation.ts'

const REPOSITORY = join(import.meta.dirname, '../..')
const PROGRAM = join(REPOSITORY, 'dist/bin.js')

let lists: ListServer
beforeAll(async () => {
  lists = await startListServer()
})
afterAll(() => lists[Symbol.asyncDispose]())

/** Many programs run one after another here, on a machine that may be busy. */
const LONG_MS = 240_000

/** Runs a command: those that compile as the built program, the others in this process. */
function listsCommand(stateDirectory: string, ...args: readonly string[]) {
  const line = ['lists', ...args, '--state-dir', stateDirectory]
  return args[0] === 'update' || args[0] === 'test' ? runNiveau3(line) : run(line)
}

/** Waits until the server answers a name with a rcode: it has taken another generation. */
async function becomes(server: Niveau3, name: string, rcode: string): Promise<void> {
  for (let looks = 0; looks < 200; looks += 1) {
    if ((await askUdp(server, name)).rcode === rcode) return
    await sleep(25)
  }
  expect.unreachable(`${name} is not ${rcode}`)
}

describe('a running server', { timeout: LONG_MS }, () => {
  test('takes a new generation, rolls back at once, and holds updates until they go on', async () => {
    const server = await startNiveau3({ upstreams: ['127.0.0.1:9'] })
    const state = join(server.folder, 'state')
    expect((await askUdp(server, 'n5.bad.example')).rcode).toBe('SERVFAIL')
    lists.serve('/adult', manyNames(100))
    const add = ['add', 'mine', '--url', `${lists.origin}/adult`, '--category', 'adult', '--only']
    expect(await listsCommand(state, ...add)).toMatchObject({ code: EXIT.ok })
    const first = await listsCommand(state, 'update')
    expect(first).toMatchObject({ code: EXIT.ok })
    expect(first.stdout).toContain('updated mine: 100 names\n')
    expect(first.stdout).toMatch(/generation 1: .* self-test [\d,]+ questions/)
    expect(first.stdout).toMatch(/the server \(process \d+\) answers by generation 1\n$/)
    await becomes(server, 'n5.bad.example', 'NXDOMAIN')
    expect(await server.metric('niveau3_filter_generation')).toBe(1)

    lists.serve('/adult', manyNames(100, 20))
    expect(await listsCommand(state, 'update')).toMatchObject({ code: EXIT.ok })
    await becomes(server, 'n5.bad.example', 'SERVFAIL')
    await becomes(server, 'n110.bad.example', 'NXDOMAIN')
    const diff = await listsCommand(state, 'diff')
    expect(diff.stdout).toMatch(/^generation 1 -> 2: .*\+20 -20 moved 0\n/)

    const back = await listsCommand(state, 'rollback', '--reason', 'a complaint')
    expect(back.stdout).toContain('generation 2 -> 1')
    await becomes(server, 'n5.bad.example', 'NXDOMAIN')
    expect((await listsCommand(state, 'ls')).stdout).toContain('held since')
    const due = await listsCommand(state, 'update', '--due')
    expect(due).toMatchObject({ code: EXIT.ok, stdout: 'generation 1 stays: updates are held\n' })
    const asked = await listsCommand(state, 'update')
    expect(asked).toMatchObject({ code: EXIT.refused })
    expect(asked.stderr).toContain('"niveau3 lists resume" first')
    expect(JSON.parse(await readFile(join(state, 'current.json'), 'utf8'))).toMatchObject({
      generation: 1,
      hold: { why: 'a complaint' },
    })
    expect(await server.metric('niveau3_list_updates_held')).toBe(1)
    expect(await listsCommand(state, 'resume')).toMatchObject({ code: EXIT.ok })
    expect(await server.stop()).toMatchObject({ code: 0 })
  })

  test('fetches what is due by itself, and tells which list failed', async () => {
    const house = await makeInstallation()
    lists.serve('/good', manyNames(50, 0, 'good.example'))
    await house.subscribe(
      { name: 'good', url: `${lists.origin}/good` },
      { name: 'gone', url: `${lists.origin}/gone` },
    )
    const server = await startNiveau3({
      upstreams: ['127.0.0.1:9'],
      args: ['--state-dir', house.folder],
    })
    await server.process.line(/"event":"list_failed","list":"gone".*answers 404/)
    await server.process.line(/"event":"update_incomplete","exit":5/)
    await becomes(server, 'n7.good.example', 'NXDOMAIN')
    expect(await server.metric('niveau3_list_update_failures', { list: 'gone' })).toBe(1)
    expect(await server.metric('niveau3_list_update_failures', { list: 'good' })).toBe(0)
    const labels = { list: 'good' }
    const seconds = await server.metric('niveau3_list_last_success_timestamp_seconds', labels)
    expect(Math.abs(Date.now() / 1000 - seconds)).toBeLessThan(60)
    expect((await house.audit()).at(-1)).toMatchObject({ by: 'schedule', result: 'built' })
    await server.stop()
    await house.remove()
  })

  test('that starts with an older generation, as the newest is damaged, has it made again', async () => {
    const house = await makeInstallation()
    lists.serve('/healed', manyNames(50, 0, 'healed.example'))
    await house.subscribe({ name: 'healed', url: `${lists.origin}/healed` })
    await house.update()
    lists.serve('/healed', manyNames(60, 0, 'healed.example'))
    await house.update()
    const { imageFile } = await new GenerationStore(house.folder).find(2)
    await writeFile(imageFile, 'damaged')
    const server = await startNiveau3({
      upstreams: ['127.0.0.1:9'],
      args: ['--state-dir', house.folder],
    })
    expect(server.ready).toMatchObject({ generation: 1 })
    expect((await askUdp(server, 'n7.healed.example')).rcode).toBe('NXDOMAIN')
    await server.process.line(/"event":"generation_passed_over".*generation 2/)
    await server.process.line(/"event":"reloaded","generation":3/)
    expect((await askUdp(server, 'n57.healed.example')).rcode).toBe('NXDOMAIN')
    await server.stop()
    await house.remove()
  })

  test('is well again when what it serves is made again under another number', async () => {
    const house = await makeInstallation()
    lists.serve('/same', manyNames(50, 0, 'same.example'))
    await house.subscribe({ name: 'same', url: `${lists.origin}/same` })
    await house.update()
    const server = await startNiveau3({
      upstreams: ['127.0.0.1:9'],
      config: 'updates: {automatic: false}\n',
      args: ['--state-dir', house.folder],
    })
    const { imageFile } = await new GenerationStore(house.folder).find(1)
    await writeFile(imageFile, 'damaged')
    server.process.signal('SIGHUP')
    await server.process.line(/"event":"reload_failed"/)
    expect(await server.metric('niveau3_config_last_reload_successful')).toBe(0)
    expect((await house.update()).generation?.number).toBe(2)
    await server.process.line(/"event":"reloaded","generation":2/)
    expect(await server.metric('niveau3_config_last_reload_successful')).toBe(1)
    expect(await server.metric('niveau3_filter_generation')).toBe(2)
    await server.stop()
    await house.remove()
  })

  test('starts from the newest good generation without a network, and from none with curated lists', async () => {
    const house = await makeInstallation()
    lists.serve('/once', manyNames(50, 0, 'once.example'))
    await house.subscribe({ name: 'once', url: `${lists.origin}/once` })
    await house.update()
    await house.subscribe({ name: 'once', url: 'http://127.0.0.1:9/once' })
    const options = { upstreams: ['127.0.0.1:9'], args: ['--state-dir', house.folder] }
    const server = await startNiveau3(options)
    expect(server.ready).toMatchObject({ generation: 1 })
    expect((await askUdp(server, 'n7.once.example')).rcode).toBe('NXDOMAIN')
    await server.stop()
    for (const name of await readdir(join(house.folder, 'generations'))) {
      await writeFile(join(house.folder, 'generations', name, 'image.n3'), 'damaged')
    }
    const curated = await startNiveau3(options)
    await curated.process.line(/"event":"generation_passed_over"/)
    expect((await askUdp(curated, 'pornhub.com')).rcode).toBe('NXDOMAIN')
    await curated.stop()
    await house.remove()
  })
})

describe('an update that is cut off', { timeout: LONG_MS }, () => {
  test('by SIGKILL at any moment leaves a good generation, and the next one goes through', async () => {
    const house = await makeInstallation()
    lists.serve('/kill', manyNames(5000))
    await house.subscribe({ name: 'kill', url: `${lists.origin}/kill` })
    await house.update()
    const args = [PROGRAM, 'lists', 'update', '--state-dir', house.folder]
    for (let kills = 0; kills < 8; kills += 1) {
      lists.serve('/kill', manyNames(5000, kills + 1))
      const child = await startProcess(process.execPath, args)
      await sleep(150 + kills * 150)
      child.signal('SIGKILL')
      await child.exited
      const { passedOver, served } = await findServedGeneration(house.folder)
      expect(passedOver).toEqual([])
      expect(served?.trie.names).toBeGreaterThan(5000)
    }
    lists.serve('/kill', manyNames(5000, 100))
    expect(await listsCommand(house.folder, 'update')).toMatchObject({ code: EXIT.ok })
    expect(await house.blocks('n5050.bad.example')).toBe(true)
    const drafts = await readdir(join(house.folder, 'generations'))
    expect(drafts.filter((name) => name.startsWith('.'))).toEqual([])
    await house.remove()
  })

  test('by SIGKILL between the generation and the versions it is made of is finished by the next', async () => {
    const house = await makeInstallation()
    lists.serve('/step', manyNames(100))
    await house.subscribe({ name: 'step', url: `${lists.origin}/step` })
    await house.update()
    lists.serve('/step', manyNames(120))
    // The versions' own rename is the first step behind the one that puts the generation in force.
    const killer = join(house.folder, 'killer.mjs')
    await writeFile(
      killer,
      `import promises from 'node:fs/promises'
      import { syncBuiltinESMExports } from 'node:module'
      const { rename } = promises
      promises.rename = async (from, to) => {
        if (to.endsWith('/step/version.json')) process.kill(process.pid, 'SIGKILL')
        await rename(from, to)
      }
      syncBuiltinESMExports()`,
    )
    const args = ['--import', killer, PROGRAM, 'lists', 'update', '--state-dir', house.folder]
    const child = await startProcess(process.execPath, args)
    expect(await child.exited).toMatchObject({ signal: 'SIGKILL' })
    expect(await house.served()).toMatch(/^2 /)
    const kept = new ListVersions(house.folder, 'step')
    expect((await kept.current())?.names).toBe(100)
    lists.serve('/step', (_request, response) => void response.writeHead(503).end())
    const next = await house.update()
    expect(next).toMatchObject({ kind: 'unchanged', generation: { number: 2 } })
    expect((await kept.current())?.names).toBe(120)
    expect(await house.blocks('n119.bad.example')).toBe(true)
    expect(await readdir(house.folder)).not.toContain('version-journal.json')
    await house.remove()
  })

  test('by Ctrl-C ends with 130 and changes nothing', async () => {
    const house = await makeInstallation()
    lists.serve('/hangs', (_request, response) => {
      response.writeHead(200).write('a.example\n')
    })
    await house.subscribe({ name: 'hangs', url: `${lists.origin}/hangs` })
    const args = [PROGRAM, 'lists', 'update', '--state-dir', house.folder]
    const before = lists.requests.length
    const child = await startProcess(process.execPath, args)
    while (lists.requests.length === before) await sleep(10)
    child.signal('SIGINT')
    expect(await child.exited).toMatchObject({ code: EXIT.interrupted })
    expect(child.stderr()).toContain('are what they were')
    expect(await house.served()).toBe('none')
    expect(await readdir(join(house.folder, 'lists', 'hangs'))).toEqual([])
    await house.remove()
  })

  test('by a rollback leaves all as it was: who goes back does not wait for what still fetches', async () => {
    const house = await makeInstallation()
    lists.serve('/late', manyNames(100))
    await house.subscribe({ name: 'late', url: `${lists.origin}/late` })
    await house.update()
    lists.serve('/late', manyNames(100, 20))
    await house.update()
    expect(await house.served()).toMatch(/^2 /)
    lists.serve('/late', (_request, response) => {
      response.writeHead(200).write('a.example\n')
    })
    const before = lists.requests.length
    const args = [PROGRAM, 'lists', 'update', '--state-dir', house.folder]
    const child = await startProcess(process.execPath, args)
    while (lists.requests.length === before) await sleep(10)
    const pin = await listsCommand(house.folder, 'pin', '1')
    expect(pin.stderr).toContain(`lists are being updated by process ${child.pid}`)
    const startMs = performance.now()
    const back = await listsCommand(house.folder, 'rollback', '--reason', 'a complaint')
    expect(performance.now() - startMs).toBeLessThan(2000)
    expect(back).toMatchObject({ code: EXIT.ok })
    expect(await child.exited).toMatchObject({ signal: 'SIGTERM' })
    expect(await house.served()).toMatch(/^1 /)
    expect(await readdir(house.folder)).not.toContain('update.lock')
    await house.remove()
  })

  test('by a full disk says so, and the generation in force stays whole', async () => {
    const house = await makeInstallation()
    lists.serve('/full', manyNames(100))
    await house.subscribe({ name: 'full', url: `${lists.origin}/full` })
    await house.update()
    lists.serve('/full', manyNames(40_000, 0, 'a-rather-long-name-that-fills-a-disk.example'))
    const script = [
      'set -e; mount -t tmpfs -o size=600k niveau3 "$1/mnt"; cp -a "$1/state/." "$1/mnt/"',
      'code=0; "$2" "$3" lists update --force full --reason test --state-dir "$1/mnt" || code=$?',
      'echo "code $code"; cat "$1/mnt/current.json"; ls "$1/mnt/generations"',
    ].join('\n')
    const place = await makeInstallation()
    await runToEnd('sh', [
      '-c',
      'mkdir "$1/mnt"; cp -a "$2" "$1/state"',
      '-',
      place.folder,
      house.folder,
    ])
    const namespace =
      process.getuid?.() === 0 ? ['--mount'] : ['--user', '--map-root-user', '--mount']
    const { stdout, stderr } = await runToEnd(await program('unshare'), [
      ...namespace,
      'sh',
      '-c',
      script,
      '-',
      place.folder,
      process.execPath,
      PROGRAM,
    ])
    expect(stderr).toMatch(/no space is left|ENOSPC/)
    expect(stdout).toContain('code 1\n')
    expect(stdout).toContain('"generation": 1')
    expect(stdout).toMatch(/000001-[0-9a-f]{12}\n$/)
    await house.remove()
    await place.remove()
  })
})

test('the commands say what they need: a state directory, a list, a generation', async () => {
  const house = await makeInstallation()
  const none = await run(['lists', 'ls'])
  expect(none).toMatchObject({ code: EXIT.usage })
  expect(none.stderr).toContain('--state-dir')
  const empty = await listsCommand(house.folder, 'ls')
  expect(empty.stdout).toContain('nothing is subscribed to')
  for (const args of [['rollback'], ['diff'], ['pin', '7'], ['pin', 'x'], ['enable', 'x']]) {
    expect(await listsCommand(house.folder, ...args), args.join(' ')).toMatchObject({
      code: EXIT.usage,
    })
  }
  expect(await listsCommand(house.folder, 'rm', 'x')).toMatchObject({ code: EXIT.usage })
  const catalogue = await listsCommand(house.folder, 'ls', '--catalogue')
  expect(catalogue.stdout).toMatch(/^ut1-adult +adult +default/m)
  const added = await listsCommand(house.folder, 'add', 'v2fly-torproject', '--only', '--json')
  expect(JSON.parse(added.stdout)).toMatchObject({
    schema: 'niveau3.lists-add/1',
    list: { name: 'v2fly-torproject', category: 'darkweb', licence: 'MIT' },
  })
  for (const [verb, word] of [
    ['disable', 'off'],
    ['enable', 'new'],
  ] as const) {
    expect(await listsCommand(house.folder, verb, 'v2fly-torproject')).toMatchObject({ code: 0 })
    expect((await listsCommand(house.folder, 'ls')).stdout).toMatch(
      new RegExp(`^v2fly-torproject +darkweb +${word} `, 'm'),
    )
  }
  await listsCommand(house.folder, 'rm', 'v2fly-torproject', '--yes', '--reason', 'a test')
  const audit = await readFile(join(house.folder, 'audit.ndjson'), 'utf8')
  const whats = audit.split('\n').flatMap((line) => /"what":"([\w-]+)"/.exec(line)?.[1] ?? [])
  expect(whats).toEqual(['lists-add', 'lists-disable', 'lists-enable', 'lists-rm'])
  expect(audit).toContain('"reason":"a test"')
  await house.remove()
})

test('a list is tried before anybody subscribes to it', { timeout: LONG_MS }, async () => {
  const house = await makeInstallation()
  const file = join(house.folder, 'new.txt')
  await writeFile(file, manyNames(30))
  const good = await listsCommand(house.folder, 'test', file)
  expect(good).toMatchObject({ code: EXIT.ok })
  expect(good.stdout).toContain('30 names (plain), 30 of them new here')
  await writeFile(file, `${manyNames(30)}google.com\n`)
  const bad = await listsCommand(house.folder, 'test', file)
  expect(bad).toMatchObject({ code: EXIT.refused })
  expect(bad.stdout).toMatch(/REFUSED: would newly block google.com, .* \(popular\)/)
  await house.remove()
})
