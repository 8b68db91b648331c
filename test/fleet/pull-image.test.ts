import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeFleetKey, readFleetKey } from '../../src/controlplane/fleet/fleet-key.ts'
import { imageNameOf, MANIFEST_NAME } from '../../src/controlplane/fleet/image-place.ts'
import { readPullStatus } from '../../src/controlplane/fleet/pull-status.ts'
import { signManifest, type ImageManifest } from '../../src/controlplane/fleet/signed-image.ts'
import { GenerationStore } from '../../src/controlplane/generations/generation-store.ts'
import { findServedGeneration } from '../../src/controlplane/generations/served-generation.ts'
import { startListServer, type ListServer } from '../blocklist/download/list-server.ts'
import { manyNames } from '../generations/installation.ts'
import { makeBox, makeBuilder, type Box, type Builder } from './fleet-house.ts'

let web: ListServer
let builder: Builder
let box: Box

beforeEach(async () => {
  web = await startListServer()
  builder = await makeBuilder()
  await builder.build(manyNames(3000))
  await builder.publish(web)
  box = await makeBox(web, builder.publicKey)
})
afterEach(async () => {
  await web[Symbol.asyncDispose]()
  await builder.remove()
  await box.house.remove()
})

const status = () => readPullStatus(box.house.folder)
const served = () => box.house.served()

/** The manifest that is published, and the key of its builder. */
async function current(): Promise<{ manifest: ImageManifest; sign: (m: ImageManifest) => Buffer }> {
  const { manifest } = await builder.sign()
  const key = await readFleetKey(builder.keyFile)
  return { manifest, sign: (changed) => signManifest(changed, key) }
}

describe('a box', { timeout: 120_000 }, () => {
  test('takes the image that its builder has signed, and asks for no more than it needs', async () => {
    const taken = await box.pull()
    expect(taken).toMatchObject({ kind: 'taken', generation: { number: 1 } })
    expect(taken.probes).toBeGreaterThan(1000)
    expect((await served()).split(' ')[1]).toBe((await builder.house.served()).split(' ')[1])
    expect(await box.house.blocks('n2999.bad.example')).toBe(true)
    expect((await box.house.audit()).at(-1)).toMatchObject({ what: 'fleet-pull', result: 'taken' })
    const { requests } = web
    expect(await box.pull()).toMatchObject({ kind: 'unchanged', generation: { number: 1 } })
    expect(requests).toHaveLength(3)
    expect(requests.at(-1)?.headers['if-none-match']).toMatch(/^"/)
    expect(await status()).toMatchObject({ failures: 0, refusals: {}, taken: { generation: 1 } })

    await builder.build(manyNames(3100))
    await builder.publish(web)
    expect(await box.pull()).toMatchObject({
      kind: 'taken',
      generation: { number: 2, report: { fleet: { generation: 2 } } },
      comparison: { added: { names: 100 }, removed: { names: 0 } },
    })
    expect(await box.house.blocks('n3099.bad.example')).toBe(true)
  })

  test('does not look while a rollback holds updates', async () => {
    await box.pull()
    const store = new GenerationStore(box.house.folder)
    await store.setCurrent(1, { since: new Date().toISOString(), why: 'blocks a bank' })
    expect(await box.pull({ due: true })).toMatchObject({ kind: 'held' })
    await expect(box.pull()).rejects.toMatchObject({ code: 'ERR_HELD' })
    expect(web.requests).toHaveLength(2)
  })

  test('fetches again what was damaged here, though nobody has published anything', async () => {
    await box.pull()
    const { imageFile } = await new GenerationStore(box.house.folder).find(1)
    await writeFile(imageFile, 'damaged')
    expect((await findServedGeneration(box.house.folder)).served).toBeUndefined()
    expect(await box.pull()).toMatchObject({ kind: 'taken', generation: { number: 2 } })
    expect(await box.house.blocks('n2999.bad.example')).toBe(true)
  })

  test('follows its builder back to an older generation', async () => {
    await box.pull()
    await builder.build(manyNames(3100))
    await builder.publish(web)
    await box.pull()
    await new GenerationStore(builder.house.folder).setCurrent(1, null)
    await builder.publish(web)
    expect(await box.pull()).toMatchObject({ kind: 'taken', generation: { number: 3 } })
    expect(await box.house.blocks('n3099.bad.example')).toBe(false)
  })

  test('whose server is gone, slow or broken keeps its image and says so', async () => {
    await box.pull()
    const before = await served()
    await builder.build(manyNames(3100))
    const { manifest } = await builder.publish(web)
    web.serve(`/${imageNameOf(manifest)}`, (_request, response) => void response.destroy())
    await expect(box.pull()).rejects.toMatchObject({ code: 'ERR_DOWNLOAD' })
    web.serve(`/${MANIFEST_NAME}`, (_request, response) => void response.writeHead(503).end())
    await expect(box.pull()).rejects.toThrow('answers 503')
    expect(await served()).toBe(before)
    expect(await status()).toMatchObject({ failures: 2, refusals: {}, code: 'ERR_DOWNLOAD' })
    expect(await readdir(box.house.folder)).not.toContain('fleet-image.download')
  })
})

describe('refused, counted and without any effect is', { timeout: 120_000 }, () => {
  let before = ''
  beforeEach(async () => {
    await box.pull()
    before = await served()
  })

  /** Looks, and expects a refusal for a reason. */
  async function refused(reason: string, why: RegExp): Promise<void> {
    await expect(box.pull()).rejects.toMatchObject({
      code: 'ERR_FLEET_IMAGE',
      reason,
      message: expect.stringMatching(why) as string,
    })
    expect(await served()).toBe(before)
    expect((await findServedGeneration(box.house.folder)).passedOver).toEqual([])
    const noted = await status()
    expect(noted?.refusals).toEqual({ [reason]: 1 })
    expect(noted?.failures).toBe(1)
    const drafts = await readdir(join(box.house.folder, 'generations'))
    expect(drafts.filter((name) => name.startsWith('.'))).toEqual([])
  }

  test('what another key has signed', async () => {
    const { manifest } = await current()
    const keyFile = join(box.house.folder, 'other.key')
    await makeFleetKey(keyFile)
    web.serve(`/${MANIFEST_NAME}`, signManifest(manifest, await readFleetKey(keyFile)))
    await refused('signature', /not signed with the key fleet.publicKey/)
  })

  test('a manifest that was changed after it was signed', async () => {
    const { manifest, sign } = await current()
    const envelope = JSON.parse(sign(manifest).toString()) as Record<string, string>
    const changed = { ...manifest, sequence: manifest.sequence + 1 }
    envelope['content'] = Buffer.from(JSON.stringify(changed)).toString('base64')
    web.serve(`/${MANIFEST_NAME}`, JSON.stringify(envelope))
    await refused('signature', /not signed/)
  })

  test.each(['<!doctype html><p>Moved', '{}', '{"schema":"niveau3.signed/1"}', '\0\0'])(
    'no manifest: %j',
    async (text) => {
      web.serve(`/${MANIFEST_NAME}`, text)
      await refused('format', /no signed manifest/)
    },
  )

  test('an image in a format of another version', async () => {
    const { manifest, sign } = await current()
    const imageFormat = manifest.imageFormat + 1
    web.serve(`/${MANIFEST_NAME}`, sign({ ...manifest, imageFormat }))
    await refused('format', /its format is \d+, and this version reads \d+/)
  })

  test('an image that is larger than the box allows', async () => {
    const { manifest, sign } = await current()
    web.serve(`/${MANIFEST_NAME}`, sign({ ...manifest, octets: 2 ** 27 }))
    await refused('size', /134217728 octets/)
  })

  test('an old manifest, again', async () => {
    const old = await builder.sign()
    await builder.build(manyNames(3100))
    await builder.publish(web)
    await box.pull()
    before = await served()
    web.serve(`/${MANIFEST_NAME}`, old.signed)
    await refused('rollback', /published before the last one/)
    await rm(join(box.house.folder, 'fleet.json'))
    await expect(box.pull()).rejects.toMatchObject({ reason: 'rollback' })
    await expect(box.pull({ allowOlder: true })).rejects.toMatchObject({ code: 'ERR_USAGE' })
    const reason = 'the builder was set up anew'
    expect(await box.pull({ allowOlder: true, reason })).toMatchObject({ kind: 'taken' })
    expect(await box.house.blocks('n3099.bad.example')).toBe(false)
  })

  test('octets that are not those that were signed', async () => {
    await builder.build(manyNames(3100))
    const { generation, manifest } = await builder.publish(web)
    const octets = await readFile(generation.imageFile)
    octets[octets.length >> 1]! ^= 1
    web.serve(`/${imageNameOf(manifest)}`, octets)
    await refused('digest', /not those that were signed/)
  })

  test('what was signed and is no image', async () => {
    const { manifest, sign } = await current()
    const { createHash } = await import('node:crypto')
    const octets = Buffer.alloc(5000, 'no image')
    const sha256 = createHash('sha256').update(octets).digest('hex')
    const own = { ...manifest, sha256, octets: octets.length, digest: sha256 }
    web.serve(`/${MANIFEST_NAME}`, sign(own))
    web.serve(`/${imageNameOf(own)}`, octets)
    await refused('digest', /no compiled blocklist|not a|damaged/)
  })

  test('a signed image that loses half of its names, until somebody here takes it by name', async () => {
    await builder.build(manyNames(1000), ['mine:removed-share', 'all:removed-share'])
    await builder.publish(web)
    await refused(
      'safety',
      /2000 of \d+ names would no longer be blocked .*--force all:removed-share/,
    )
    await expect(box.pull({ force: ['all:removed-share'] })).rejects.toMatchObject({
      code: 'ERR_USAGE',
    })
    const force = ['all:removed-share']
    expect(await box.pull({ force, reason: 'we know' })).toMatchObject({ kind: 'taken' })
    expect((await box.house.audit()).at(-1)).toMatchObject({
      overruled: [{ gate: 'removed-share' }],
      reason: 'we know',
    })
  })

  test('a signed image that blocks what everybody uses', async () => {
    await builder.build(`${manyNames(3000)}google.com\n`, ['mine', 'all:popular'])
    await builder.publish(web)
    await refused('safety', /newly block google.com.*\(popular\)/)
    expect(await box.house.blocks('google.com')).toBe(false)
  })
})

test('a first image is held to the popular names as well', { timeout: 60_000 }, async () => {
  await builder.build(`${manyNames(3000)}google.com\n`, ['mine', 'all:popular'])
  await builder.publish(web)
  await expect(box.pull()).rejects.toMatchObject({ reason: 'safety' })
  expect(await served()).toBe('none')
})

test('a private key is its owner’s alone, and is never written over', async () => {
  const file = join(box.house.folder, 'a.key')
  await makeFleetKey(file)
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  await expect(makeFleetKey(file)).rejects.toMatchObject({ code: 'ERR_WRITE' })
  const { chmod } = await import('node:fs/promises')
  await chmod(file, 0o640)
  await expect(readFleetKey(file)).rejects.toThrow('may be read by others')
  await writeFile(file, 'rubbish')
  await chmod(file, 0o600)
  await expect(readFleetKey(file)).rejects.toThrow('no Ed25519 private key')
})
