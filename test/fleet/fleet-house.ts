/** A machine that builds and signs, and boxes that take its images, in this process. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../src/controlplane/config/load.ts'
import { publishToDirectory } from '../../src/controlplane/fleet/directory-place.ts'
import { makeFleetKey, readFleetKey } from '../../src/controlplane/fleet/fleet-key.ts'
import { createWebSource } from '../../src/controlplane/fleet/https-source.ts'
import { imageNameOf, MANIFEST_NAME } from '../../src/controlplane/fleet/image-place.ts'
import { signGeneration, type SignedImage } from '../../src/controlplane/fleet/publish-image.ts'
import {
  pullImage,
  type PullOptions,
  type PullResult,
} from '../../src/controlplane/fleet/pull-image.ts'
import { currentActor } from '../../src/controlplane/generations/audit.ts'
import type { ListServer } from '../blocklist/download/list-server.ts'
import { makeInstallation, type Installation } from '../generations/installation.ts'

const OCTETS_MAX = 2 ** 26

/** Builds from one list of the local disk. */
export interface Builder {
  readonly house: Installation
  readonly keyFile: string
  readonly publicKey: string
  /** Makes a generation of a list. */
  build(list: string, force?: readonly string[]): Promise<void>
  /** Signs the generation in force. */
  sign(): Promise<SignedImage>
  /** Publishes it on a web server, and returns what was published. */
  publish(web: ListServer): Promise<SignedImage>
  remove(): Promise<void>
}

export async function makeBuilder(): Promise<Builder> {
  const house = await makeInstallation()
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-builder-'))
  const keyFile = join(folder, 'fleet.key')
  const publicKey = await makeFleetKey(keyFile)
  const key = await readFleetKey(keyFile)
  const listFile = join(folder, 'list.txt')
  await house.subscribe({ name: 'mine', url: `file://${listFile}` })
  const sign = () => signGeneration(house.folder, undefined, key)
  return {
    house,
    keyFile,
    publicKey,
    build: async (list, force = []) => {
      await writeFile(listFile, list)
      const { faults, kind, outcomes } = await house.update({ force, reason: 'a test' })
      if (kind !== 'built') throw new Error(JSON.stringify({ kind, faults, outcomes }))
    },
    sign,
    publish: async (web) => {
      const signed = await sign()
      const { generation, manifest, signed: octets } = signed
      await publishToDirectory(join(folder, 'www'), manifest, octets, generation.imageFile)
      await serve(web, folder, manifest)
      return signed
    },
    remove: async () => {
      await house.remove()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function serve(
  web: ListServer,
  folder: string,
  manifest: SignedImage['manifest'],
): Promise<void> {
  for (const name of [MANIFEST_NAME, imageNameOf(manifest)]) {
    web.serve(`/${name}`, await readFile(join(folder, 'www', name)))
  }
}

/** A box that takes images from a web server. */
export interface Box {
  readonly house: Installation
  pull(options?: Partial<PullOptions>): Promise<PullResult>
}

export async function makeBox(web: ListServer, publicKey: string): Promise<Box> {
  const house = await makeInstallation()
  const flags = { stateDir: house.folder }
  const source = { name: 'niveau3.yaml', text: 'upstreams: ["127.0.0.1:1"]\n' }
  const { control, dataplane } = loadConfig({ source, environment: {}, flags })
  return {
    house,
    pull: (options = {}) =>
      pullImage({
        stateDirectory: house.folder,
        control,
        settings: dataplane,
        source: createWebSource({
          url: `${web.origin}/${MANIFEST_NAME}`,
          octetsMax: OCTETS_MAX,
          secondsMax: 10,
          redirectsMax: 2,
          environment: {},
          scratchFile: join(house.folder, 'manifest.download'),
        }),
        publicKey,
        octetsMax: OCTETS_MAX,
        actor: currentActor('command'),
        force: [],
        allowOlder: false,
        due: false,
        ...options,
      }),
  }
}
