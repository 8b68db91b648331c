/** A state directory of its own, updated in this process: what an installation has and serves. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EssentialNames } from '../../src/controlplane/blocklist/essential.ts'
import { readList } from '../../src/controlplane/blocklist/read-list.ts'
import { controlNames } from '../../src/controlplane/blocklist/safety/control-names.ts'
import { compile } from '../../src/controlplane/compiler/compile.ts'
import { loadConfig } from '../../src/controlplane/config/load.ts'
import type { ControlSettings } from '../../src/controlplane/config/settings.ts'
import { currentActor } from '../../src/controlplane/generations/audit.ts'
import { findServedGeneration } from '../../src/controlplane/generations/served-generation.ts'
import {
  newSubscription,
  saveSubscriptions,
  type Subscription,
} from '../../src/controlplane/generations/subscriptions.ts'
import {
  updateLists,
  type UpdateOptions,
  type UpdateResult,
} from '../../src/controlplane/generations/update.ts'
import { Matcher } from '../../src/trie/lookup.ts'

/** A subscription as a test gives it: the rest has its defaults. */
export type Wanted = Partial<Subscription> & Pick<Subscription, 'name' | 'url'>

/** An installation without a server. */
export interface Installation {
  readonly folder: string
  readonly control: ControlSettings
  readonly compile: UpdateOptions['compile']
  subscribe(...wanted: readonly Wanted[]): Promise<void>
  update(options?: Partial<UpdateOptions>): Promise<UpdateResult>
  /** Whether the generation that a server would answer by blocks a name. */
  blocks(name: string): Promise<boolean>
  /** Number and digest of that generation, `none` before the first. */
  served(): Promise<string>
  /** The lines of the audit log. */
  audit(): Promise<readonly Record<string, unknown>[]>
  remove(): Promise<void>
}

/** Makes one; `yaml` is its configuration. */
export async function makeInstallation(yaml = ''): Promise<Installation> {
  const folder = await mkdtemp(join(tmpdir(), 'niveau3-state-'))
  const source = { name: 'niveau3.yaml', text: `upstreams: ["127.0.0.1:1"]\n${yaml}` }
  const flags = { stateDir: folder }
  const { control, dataplane } = loadConfig({ source, environment: {}, flags })
  const essential = await EssentialNames.load(control.essentialFiles)
  const compileHere: UpdateOptions['compile'] = (sources, onProgress) =>
    compile(sources, {
      readList: (list, sink) => readList(list, sink, { essential }),
      onProgress,
    })
  const served = async () => (await findServedGeneration(folder)).served
  return {
    folder,
    control,
    compile: compileHere,
    subscribe: (...wanted) =>
      saveSubscriptions(
        folder,
        wanted.map((list) => newSubscription({ category: 'adult', ...list })),
      ),
    update: (options = {}) =>
      updateLists({
        stateDirectory: folder,
        control,
        settings: dataplane,
        environment: {},
        compile: compileHere,
        actor: currentActor('command'),
        force: [],
        plan: false,
        onProgress: () => undefined,
        ...options,
      }),
    blocks: async (name) => {
      const generation = await served()
      if (generation === undefined) return false
      const [asked] = controlNames([name], 'test')
      return asked !== undefined && new Matcher(generation.trie).find(asked.wire, 0) !== 0
    },
    served: async () => {
      const generation = await served()
      return generation === undefined ? 'none' : `${generation.number} ${generation.trie.digest}`
    },
    audit: async () => {
      const text = await readFile(join(folder, 'audit.ndjson'), 'utf8').catch(() => '')
      const lines = text.split('\n').filter((line) => line !== '')
      return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

/** A list of so many names, `first` the number of the first. */
export function manyNames(count: number, first = 0, suffix = 'bad.example'): string {
  return Array.from({ length: count }, (_, index) => `n${first + index}.${suffix}\n`).join('')
}
