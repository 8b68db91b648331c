import { copyFile, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { GenerationStore } from '../../src/controlplane/generations/generation-store.ts'
import { findServedGeneration } from '../../src/controlplane/generations/served-generation.ts'
import { newSubscription } from '../../src/controlplane/generations/subscriptions.ts'
import { ListVersions } from '../../src/controlplane/generations/list-versions.ts'
import { startListServer, type Answer, type ListServer } from '../blocklist/download/list-server.ts'
import { SELF_SIGNED } from '../blocklist/download/self-signed.ts'
import { makeInstallation, manyNames, type Installation } from './installation.ts'

let server: ListServer
let house: Installation

const LIMITS = 'updates: {downloadSecondsMax: 3, downloadOctetsMax: 1MiB}'

beforeEach(async () => {
  server = await startListServer()
  house = await makeInstallation(LIMITS)
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
  await house.remove()
})

const url = (path: string): string => `${server.origin}${path}`

/** Two good lists, `/adult` and `/other`, and a first generation of them. */
async function startGood(): Promise<string> {
  server.serve('/adult', manyNames(100))
  server.serve('/other', manyNames(40, 0, 'other.example'))
  const other = { name: 'other', url: url('/other'), category: 'gambling' }
  await house.subscribe({ name: 'adult-list', url: url('/adult') }, other)
  expect((await house.update()).kind).toBe('built')
  return house.served()
}

async function tarOf(entries: readonly { readonly name: string; readonly linkname?: string }[]) {
  const tar = pack()
  for (const { name, linkname } of entries) {
    if (linkname === undefined) tar.entry({ name }, 'evil.example\n')
    else tar.entry({ name, type: 'symlink', linkname })
  }
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar) chunks.push(Buffer.from(chunk as Uint8Array))
  return gzipSync(Buffer.concat(chunks))
}

const redirect =
  (location: string): Answer =>
  (_request, response) =>
    void response.writeHead(302, { location }).end()

/** Every way in which a list server can fail, with what is said about it. */
const BAD: readonly (readonly [string, Answer | string | Buffer, RegExp])[] = [
  ['404', (_q, response) => void response.writeHead(404).end(), /answers 404/],
  ['500', (_q, response) => void response.writeHead(500).end(), /answers 500/],
  ['no end in time', (_q, response) => void response.writeHead(200).write('a\n'), /not complete/],
  ['too many octets', Buffer.alloc(2 ** 21, 'a.example\n'), /larger than/],
  [
    'a cut transfer',
    (_q, response) => {
      response.writeHead(200, { 'content-length': 5000 })
      response.write(manyNames(100), () => response.destroy())
    },
    /cut/,
  ],
  ['an HTML page', '<!doctype html><html><body>moved</body></html>\n', /HTML page/],
  ['JSON', '{"error": "gone"}\n', /JSON/],
  ['a binary file', Buffer.from([1, 0, 2, 0, 3, 0, 255, 0]), /binary/],
  ['nothing', (_q, response) => void response.writeHead(200).end(), /nothing in it/],
  ['comments only', '# nothing today\n', /no rule/],
  ['a gzip bomb', gzipSync(Buffer.alloc(64 * 2 ** 20, 'a')), /unpacks to more than/],
  ['a cut gzip file', gzipSync(manyNames(100)).subarray(0, 100), /damaged or cut gzip/],
  ['prose', 'this list has moved\nto another place\n'.repeat(200), /no rule|grammar/],
  ['a redirect to this machine', redirect('http://127.0.0.1:9/list'), /private or special/],
  ['a redirect to the cloud', redirect('http://169.254.169.254/latest'), /private or special/],
  ['half of its names', manyNames(50), /50 of 100 names would no longer be blocked \(50 %\)/],
  ['twice its names and more', manyNames(250), /150 names would be added to 100 \(150 %\)/],
  ['other names, as many', manyNames(100, 60), /60 of 100 names/],
  ['exceptions for its names', manyNames(100) + exceptions(60), /60 of 100 names/],
  ['google.com', `${manyNames(100)}google.com\n`, /newly block google.com/],
  ['a rule above essential names', `${manyNames(100)}mp.microsoft.com\n`, /mp.microsoft.com above/],
  [
    'rules on essential names',
    `${manyNames(100)}caf.fr\nameli.fr\nwww.ofpra.gouv.fr\ncnda.fr\n`,
    /4 new rules on essential names/,
  ],
  ['lines of no grammar', manyNames(100) + '??!! ,, <>\n'.repeat(20), /20 of 120 entries/],
]

function exceptions(count: number): string {
  return Array.from({ length: count }, (_, index) => `@@||n${index}.bad.example^\n`).join('')
}

describe('a list that has become', { timeout: 60_000 }, () => {
  test.each(BAD)(
    '%s keeps its last good version, and the others go ahead',
    async (_k, answer, why) => {
      const before = await startGood()
      server.serve('/adult', answer)
      const first = await house.update()
      expect(first.outcomes[0]?.why).toMatch(why)
      expect(first.outcomes[0]?.outcome).toMatch(/^(failed|refused)$/)
      expect(await house.served()).toBe(before)
      server.serve('/other', manyNames(45, 0, 'other.example'))
      const second = await house.update()
      expect(second.outcomes.map(({ outcome }) => outcome)[1]).toBe('updated')
      expect(second.kind).toBe('built')
      expect(await house.blocks('n44.other.example')).toBe(true)
      expect(await house.blocks('n99.bad.example')).toBe(true)
      expect(await house.blocks('google.com')).toBe(false)
      const status = await new ListVersions(house.folder, 'adult-list').status()
      expect(status).toMatchObject({ failures: 2 })
      expect(status?.why).toMatch(why)
      const folder = new ListVersions(house.folder, 'adult-list').folder
      expect(await readdir(folder)).toHaveLength(4)
    },
  )

  test.each([
    ['a path that leads out', [{ name: '../adult/domains' }]],
    ['a link in the place of its names', [{ name: 'adult/domains', linkname: '/etc/passwd' }]],
  ])('an archive with %s', async (_kind, entries) => {
    const before = await startGood()
    server.serve('/archive', await tarOf(entries))
    await house.subscribe(
      { name: 'adult-list', url: url('/adult') },
      { name: 'other', url: url('/other'), category: 'gambling' },
      { name: 'archive', url: url('/archive'), format: 'ut1' },
    )
    const { outcomes } = await house.update()
    expect(outcomes[2]).toMatchObject({ list: 'archive', outcome: 'refused', code: 'ERR_LIST' })
    expect(await house.served()).toBe(before)
    expect(await house.blocks('evil.example')).toBe(false)
  })
})

describe('a list', () => {
  test('that has moved to a server whose certificate nobody signed keeps its last good version', async () => {
    const before = await startGood()
    await using impostor = await startListServer(SELF_SIGNED)
    impostor.serve('/adult', manyNames(110))
    server.serve('/adult', redirect(`${impostor.origin}/adult`))
    await house.subscribe(
      { name: 'adult-list', url: url('/adult'), allowPrivate: true },
      { name: 'other', url: url('/other'), category: 'gambling' },
    )
    const why = expect.stringContaining('its certificate is signed by itself') as string
    const first = await house.update()
    expect(first.outcomes[0]).toMatchObject({ outcome: 'failed', code: 'ERR_DOWNLOAD', why })
    expect(await house.served()).toBe(before)
    server.serve('/other', manyNames(45, 0, 'other.example'))
    const second = await house.update()
    expect(second).toMatchObject({ kind: 'built', outcomes: [{ why }, { outcome: 'updated' }] })
    expect(impostor.requests).toEqual([])
    expect(await house.blocks('n99.bad.example')).toBe(true)
    expect(await house.blocks('n105.bad.example')).toBe(false)
    expect(await house.blocks('n44.other.example')).toBe(true)
    const status = await new ListVersions(house.folder, 'adult-list').status()
    expect(status).toMatchObject({ failures: 2, why })
  })

  test('with one name too many on an essential service or a registry is taken without it', async () => {
    await startGood()
    server.serve('/adult', `${manyNames(105)}www.caf.fr\ncom.cn\n`)
    const { outcomes, kind } = await house.update()
    expect(outcomes[0]).toMatchObject({ outcome: 'updated', names: 105 })
    expect(outcomes[0]?.report).toMatchObject({ exemptedCount: 1, refusedCount: 1 })
    expect(kind).toBe('built')
    expect(await house.blocks('www.caf.fr')).toBe(false)
    expect(await house.blocks('x.com.cn')).toBe(false)
    expect(await house.blocks('n104.bad.example')).toBe(true)
  })

  test('that nobody changed is not fetched again, in another process neither', async () => {
    const before = await startGood()
    const { kind, outcomes } = await house.update()
    expect(kind).toBe('unchanged')
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['unchanged', 'unchanged'])
    expect(server.requests.at(-1)?.headers['if-none-match']).toMatch(/^"/)
    expect(await house.served()).toBe(before)
  })

  test('whose file was lost here is fetched whole again', async () => {
    await startGood()
    const { folder } = new ListVersions(house.folder, 'adult-list')
    for (const name of await readdir(folder)) {
      if (name.endsWith('.list')) await rm(join(folder, name))
    }
    const { outcomes } = await house.update()
    expect(outcomes[0]?.outcome).toBe('updated')
  })

  test.each([
    ['cannot be told', (file: string) => writeFile(file, '{')],
    ['is lost', (file: string) => rm(file)],
  ])('whose version %s has it told again by the generation in force', async (_what, damage) => {
    await startGood()
    const versions = new ListVersions(house.folder, 'adult-list')
    const before = await versions.current()
    await damage(join(versions.folder, 'version.json'))
    server.serve('/adult', manyNames(20))
    // More than once: what was refused takes nothing of the version that is kept along.
    for (let time = 0; time < 2; time += 1) {
      const refused = await house.update()
      expect(refused.outcomes[0]?.faults.map(({ gate }) => gate)).toEqual(['removed-share'])
    }
    server.serve('/adult', manyNames(110))
    const { kind, outcomes } = await house.update()
    expect(kind).toBe('built')
    expect(outcomes[0]).toMatchObject({ outcome: 'updated', comparison: { added: { names: 10 } } })
    expect(await versions.current()).toMatchObject({ names: 110, url: before?.url })
  })

  test('whose version cannot be told by anything keeps all its files, and the others are checked', async () => {
    const before = await startGood()
    const { folder } = new ListVersions(house.folder, 'adult-list')
    for (const name of await readdir(folder)) {
      if (name.endsWith('.list')) await writeFile(join(folder, name), 'damaged.example\n')
    }
    const files = await readdir(folder)
    await writeFile(join(folder, 'version.json'), '{')
    server.serve('/other', manyNames(45, 0, 'other.example'))
    const { faults, kind, outcomes } = await house.update()
    expect(outcomes[0]).toMatchObject({ outcome: 'failed', code: 'ERR_STATE' })
    expect(outcomes[1]).toMatchObject({ names: 45 })
    expect(kind).toBe('refused')
    expect(faults.map(({ gate }) => gate)).toEqual(['list-lost'])
    expect(await readdir(folder)).toEqual(files)
    expect(await house.served()).toBe(before)
  })

  test('whose file was damaged here is fetched whole again', async () => {
    await startGood()
    const versions = new ListVersions(house.folder, 'adult-list')
    const file = versions.listFile((await versions.current())?.sha256 ?? '')
    await writeFile(file, 'damaged.example\n')
    server.serve('/other', manyNames(45, 0, 'other.example'))
    const { kind, outcomes } = await house.update()
    expect(kind).toBe('built')
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['updated', 'updated'])
    expect(await readFile(file, 'utf8')).toBe(manyNames(100))
    expect(await house.blocks('damaged.example')).toBe(false)
  })

  test('that ends in an error nobody foresaw is one list that failed', async () => {
    await startGood()
    server.serve('/adult', manyNames(110))
    server.serve('/other', manyNames(45, 0, 'other.example'))
    const { compile } = house
    const { kind, outcomes } = await house.update({
      compile: (sources, onProgress) => {
        if (sources.length === 1 && sources[0]?.name === 'adult-list')
          throw new TypeError('a defect')
        return compile(sources, onProgress)
      },
    })
    expect(outcomes[0]).toMatchObject({ outcome: 'failed', code: 'ERR_UNEXPECTED' })
    expect(outcomes[0]?.why).toContain('TypeError: a defect')
    expect(outcomes[1]?.outcome).toBe('updated')
    expect(kind).toBe('built')
    expect(await house.blocks('n44.other.example')).toBe(true)
    expect(await house.blocks('n99.bad.example')).toBe(true)
  })

  test('whose last good version is lost is held to its recorded size', async () => {
    await startGood()
    const { folder } = new ListVersions(house.folder, 'adult-list')
    for (const name of await readdir(folder)) {
      if (!name.endsWith('.json')) await rm(join(folder, name))
    }
    server.serve('/adult', manyNames(20))
    const { outcomes } = await house.update({ lists: ['adult-list'] })
    expect(outcomes[0]).toMatchObject({ outcome: 'refused', code: 'ERR_LIST_REFUSED' })
    expect(outcomes[0]?.faults.map(({ gate }) => gate)).toEqual(['names-min'])
    server.serve('/adult', manyNames(95))
    expect((await house.update()).kind).toBe('built')
    expect(await house.blocks('n94.bad.example')).toBe(true)
  })

  test('is taken against its gates when the operator says so, and the audit log says so', async () => {
    await startGood()
    server.serve('/adult', manyNames(20))
    const force = ['adult-list:removed-share']
    await expect(house.update({ force })).rejects.toThrow('say why with --reason')
    const other = await house.update({ force: ['adult-list:popular'], reason: 'renamed' })
    expect(other.outcomes[0]?.outcome).toBe('refused')
    const { outcomes, kind } = await house.update({ force, reason: 'renamed' })
    expect(outcomes[0]).toMatchObject({ outcome: 'updated', forced: true, names: 20 })
    expect(kind).toBe('built')
    expect(await house.blocks('n50.bad.example')).toBe(false)
    expect((await house.audit()).at(-1)).toMatchObject({
      what: 'lists-update',
      reason: 'renamed',
      lists: [
        {
          list: 'adult-list',
          outcome: 'updated',
          forced: true,
          overruled: [{ gate: 'removed-share' }],
        },
      ],
    })
  })

  test('that is taken against its gates leaves those of all lists together in force', async () => {
    const before = await startGood()
    server.serve('/adult', `${manyNames(100)}google.com\nwikipedia.org\n`)
    const reason = 'we know better'
    const first = await house.update({ force: ['adult-list'], reason })
    expect(first.outcomes[0]).toMatchObject({ outcome: 'refused', forced: true })
    expect(first.kind).toBe('refused')
    expect(first.faults.map(({ gate }) => gate)).toEqual(['popular'])
    expect(await house.served()).toBe(before)
    const second = await house.update({ force: ['adult-list', 'all:popular'], reason })
    expect(second).toMatchObject({ kind: 'built', overruledFaults: [{ gate: 'popular' }] })
    expect(await house.blocks('google.com')).toBe(true)
    expect((await house.audit()).at(-1)).toMatchObject({ overruled: [{ gate: 'popular' }], reason })
  })

  test.each(['', 'all', 'all:self-test', 'adult-list:', 'adult-list:x', 'a:popular:b', ':popular'])(
    'is not forced by "%s", which names no gate',
    async (force) => {
      await startGood()
      await expect(house.update({ force: [force], reason: 'a test' })).rejects.toMatchObject({
        code: 'ERR_USAGE',
      })
    },
  )

  test('of the local disk may be half written or gone', async () => {
    const file = join(house.folder, 'house.txt')
    await writeFile(file, manyNames(100))
    await house.subscribe({ name: 'house', url: pathToFileURL(file).href })
    await house.update()
    const before = await house.served()
    await writeFile(file, manyNames(10))
    expect((await house.update()).outcomes[0]?.outcome).toBe('refused')
    await rm(file)
    expect((await house.update()).outcomes[0]).toMatchObject({ outcome: 'failed' })
    expect(await house.served()).toBe(before)
  })

  test('that must be another file by its digest is not taken', async () => {
    server.serve('/adult', manyNames(100))
    const sha256 = 'a'.repeat(64)
    await house.subscribe({ name: 'adult-list', url: url('/adult'), sha256 })
    const { outcomes } = await house.update()
    expect(outcomes[0]).toMatchObject({ outcome: 'refused', code: 'ERR_SIGNATURE' })
    expect(await house.blocks('n1.bad.example')).toBe(false)
    expect(await house.blocks('pornhub.com')).toBe(true)
  })

  test('with fewer names than it must have, or without those that it must block', async () => {
    server.serve('/adult', manyNames(100))
    const list = { name: 'adult-list', url: url('/adult') }
    await house.subscribe({ ...list, namesMin: 101 })
    expect((await house.update()).outcomes[0]?.why).toBe('100 names, and 101 is the least')
    await house.subscribe({ ...list, mustBlock: ['n5.bad.example', 'missing.example'] })
    expect((await house.update()).outcomes[0]?.why).toBe('does not block missing.example')
  })

  test('with more names at first than it may have; a list that is known may grow', async () => {
    server.serve('/adult', manyNames(100))
    const list = { name: 'adult-list', url: url('/adult') }
    await house.subscribe({ ...list, namesMax: 99 })
    expect((await house.update()).outcomes[0]?.why).toBe('100 names, and 99 is the most at first')
    await house.subscribe({ ...list, namesMax: 100 })
    expect((await house.update()).outcomes[0]?.outcome).toBe('updated')
    server.serve('/adult', manyNames(120))
    expect((await house.update()).outcomes[0]?.outcome).toBe('updated')
  })
})

describe('a generation', { timeout: 60_000 }, () => {
  test('is planned without a trace', async () => {
    const before = await startGood()
    server.serve('/adult', manyNames(110))
    const plan = await house.update({ plan: true })
    expect(plan).toMatchObject({ kind: 'planned', comparison: { added: { names: 10 } } })
    expect(await house.served()).toBe(before)
    expect(await new GenerationStore(house.folder).numbers()).toEqual([1])
    expect((await house.update()).kind).toBe('built')
  })

  test('of a new installation is planned without a trace, too', async () => {
    server.serve('/adult', manyNames(100))
    const mine = newSubscription({ name: 'mine', category: 'adult', url: url('/adult') })
    const newcomer = [mine]
    const plan = await house.update({ newcomer, plan: true })
    expect(plan).toMatchObject({ kind: 'planned', outcomes: [{ list: 'mine', names: 100 }] })
    expect(await house.audit()).toEqual([])
    expect(await readdir(house.folder)).not.toContain('subscriptions.json')
    expect(await house.update({ newcomer, due: true })).toMatchObject({ outcomes: [] })
    expect(await readdir(house.folder)).not.toContain('subscriptions.json')
    await expect(house.update({ newcomer, lists: ['x'] })).rejects.toMatchObject({
      code: 'ERR_NO_STATE',
    })
    expect((await house.update({ newcomer })).kind).toBe('built')
    expect((await house.audit()).map(({ what }) => what)).toContain('lists-subscribe-default')
    expect(await house.blocks('n5.bad.example')).toBe(true)
  })

  test('is kept with its report; old ones go, but for the pinned and the one in force', async () => {
    await startGood()
    const store = new GenerationStore(house.folder)
    await store.pin(1, true)
    for (let names = 101; names < 109; names += 1) {
      server.serve('/adult', manyNames(names))
      expect((await house.update()).kind).toBe('built')
    }
    expect(await store.numbers()).toEqual([9, 8, 7, 6, 5, 1])
    const { report } = await store.find(9)
    expect(report.comparison).toMatchObject({ added: { names: 1, byCategory: { adult: 1 } } })
    expect(report.lists.map(({ name }) => name)).toContain('adult-list')
    await expect(store.find(2)).rejects.toMatchObject({ code: 'ERR_NO_STATE' })
  })

  test('that loses too much as a whole is refused, though each of its lists is good', async () => {
    server.serve('/adult', manyNames(5000))
    await house.subscribe({ name: 'adult-list', url: url('/adult') })
    await house.update()
    server.serve('/adult', manyNames(1000))
    const force = ['adult-list', 'all:removed-share']
    expect((await house.update({ force, reason: 'a test' })).kind).toBe('built')
    const store = new GenerationStore(house.folder)
    await store.setCurrent(1, null)
    const before = await house.served()
    const { faults, kind, outcomes } = await house.update()
    expect(outcomes[0]?.outcome).toBe('unchanged')
    expect(kind).toBe('refused')
    expect(faults.map(({ gate }) => gate)).toEqual(['removed-share'])
    expect(await house.served()).toBe(before)
    expect(await store.numbers()).toEqual([2, 1])
    expect((await house.update({ force, reason: 'a test' })).kind).toBe('built')
  })

  test('is held to the one that a start would serve, where nothing names it any more', async () => {
    server.serve('/adult', manyNames(5000))
    await house.subscribe({ name: 'adult-list', url: url('/adult') })
    await house.update()
    const before = await house.served()
    await rm(join(house.folder, 'current.json'))
    await rm(new ListVersions(house.folder, 'adult-list').folder, { recursive: true })
    server.serve('/adult', manyNames(1000))
    const { faults, kind, outcomes } = await house.update()
    expect(kind).toBe('refused')
    expect(faults.map(({ gate }) => gate)).toEqual(['removed-share'])
    expect(outcomes[0]).toMatchObject({ outcome: 'refused', code: 'ERR_IMAGE_REFUSED' })
    expect(await house.served()).toBe(before)
    server.serve('/adult', manyNames(5001))
    expect((await house.update()).kind).toBe('built')
  })

  test('without the category of address rules is refused, and nobody can force it', async () => {
    server.serve('/adult', manyNames(100))
    server.serve('/own', manyNames(40, 0, 'own.example'))
    const adult = { name: 'adult-list', url: url('/adult') }
    await house.subscribe(adult, { name: 'own', url: url('/own'), category: 'homemade' })
    const rules = { category: 'homemade', prefixes: ['203.0.113.0/24'], files: [] }
    const control = { ...house.control, addressSources: [rules] }
    expect((await house.update({ control })).kind).toBe('built')
    await house.subscribe(adult)
    const { faults, kind } = await house.update({ control })
    expect(kind).toBe('refused')
    expect(faults).toMatchObject([
      { gate: 'address-rules', why: expect.stringContaining('categories.homemade') as string },
    ])
    expect(await house.blocks('n5.own.example')).toBe(true)
    const forced = house.update({ force: ['all:address-rules'], reason: 'a test' })
    await expect(forced).rejects.toMatchObject({ code: 'ERR_USAGE' })
  })

  test('never loses a list that is still subscribed to', async () => {
    const before = await startGood()
    await rm(new ListVersions(house.folder, 'other').folder, { recursive: true })
    server.serve('/adult', manyNames(110))
    server.serve('/other', (_request, response) => void response.writeHead(404).end())
    const { faults, kind } = await house.update()
    expect(kind).toBe('refused')
    expect(faults.map(({ gate }) => gate)).toEqual(['list-lost'])
    expect(faults[0]?.why).toContain('"niveau3 lists disable other" goes on without it')
    expect(await house.served()).toBe(before)
    expect(await house.blocks('n5.other.example')).toBe(true)
    server.serve('/other', manyNames(40, 0, 'other.example'))
    expect((await house.update()).kind).toBe('built')
    expect(await house.blocks('n105.bad.example')).toBe(true)
  })

  test('that is damaged on disk is passed over for the one before it, and says so', async () => {
    await startGood()
    server.serve('/adult', manyNames(110))
    await house.update()
    const { imageFile } = await new GenerationStore(house.folder).find(2)
    const octets = await readFile(imageFile)
    octets[octets.length >> 1]! ^= 1
    await writeFile(imageFile, octets)
    const { passedOver, served } = await findServedGeneration(house.folder)
    expect(served?.number).toBe(1)
    expect(passedOver[0]).toMatch(/^generation 2: the compiled blocklist is damaged/)
    await writeFile(join(house.folder, 'current.json'), '{')
    const lost = await findServedGeneration(house.folder)
    expect(lost.served?.number).toBe(1)
    expect(lost.passedOver).toHaveLength(2)
  })

  test('that is damaged on disk is made again of the kept versions, though no list has changed', async () => {
    await startGood()
    server.serve('/adult', manyNames(110))
    await house.update()
    const store = new GenerationStore(house.folder)
    const { imageFile, folder } = await store.find(2)
    for (const damage of [
      async () => writeFile(imageFile, 'damaged'),
      async () => writeFile(join(folder, 'report.json'), '{'),
      async () => copyFile((await store.find(1)).imageFile, imageFile),
      async () => rm(imageFile),
    ]) {
      const report = await readFile(join(folder, 'report.json'))
      const image = await readFile(imageFile)
      await damage()
      expect((await findServedGeneration(house.folder)).served?.number).toBe(1)
      const healed = await house.update({ offline: true })
      expect(healed).toMatchObject({ kind: 'built', outcomes: [], generation: { number: 3 } })
      expect(healed.comparison?.added.names).toBe(10)
      expect(await house.blocks('n105.bad.example')).toBe(true)
      const { passedOver, served } = await findServedGeneration(house.folder)
      expect(passedOver).toEqual([])
      expect(served?.number).toBe(3)
      expect((await house.update()).kind).toBe('unchanged')
      await writeFile(join(folder, 'report.json'), report)
      await writeFile(imageFile, image)
      await store.setCurrent(2, null)
      await rm((await store.find(3)).folder, { recursive: true })
    }
  })

  test('is not made after a rollback before somebody lets updates go on', async () => {
    const rolledBack = await startGood()
    server.serve('/adult', manyNames(110))
    expect((await house.update()).kind).toBe('built')
    const store = new GenerationStore(house.folder)
    await store.setCurrent(1, { since: new Date().toISOString(), why: 'blocks a bank' })
    const asked = server.requests.length
    const lines = (await house.audit()).length
    expect(await house.update({ due: true })).toMatchObject({
      kind: 'unchanged',
      outcomes: [],
      isHeld: true,
    })
    await expect(house.update()).rejects.toMatchObject({ code: 'ERR_HELD' })
    expect(await house.served()).toBe(rolledBack)
    expect(await store.numbers()).toEqual([2, 1])
    expect(server.requests).toHaveLength(asked)
    expect(await house.audit()).toHaveLength(lines)
    await store.release()
    expect((await house.update()).kind).toBe('built')
    expect(await house.blocks('n105.bad.example')).toBe(true)
  })

  test('is not made while another update runs', async () => {
    await startGood()
    server.serve('/adult', manyNames(110))
    const outcomes = await Promise.allSettled([house.update(), house.update()])
    const refused = outcomes.filter(({ status }) => status === 'rejected')
    expect(refused).toMatchObject([{ reason: { code: 'ERR_STATE_LOCKED' } }])
  })

  test('that is called off leaves everything as it was', async () => {
    const before = await startGood()
    server.serve('/adult', manyNames(110))
    const controller = new AbortController()
    const calledOff = house.update({
      signal: controller.signal,
      onProgress: ({ phase }) => {
        if (phase === 'build') controller.abort(new Error('called off'))
      },
    })
    await expect(calledOff).rejects.toThrow('called off')
    expect(await house.served()).toBe(before)
    expect(await new GenerationStore(house.folder).numbers()).toEqual([1])
    expect((await house.update()).kind).toBe('built')
  })
})
