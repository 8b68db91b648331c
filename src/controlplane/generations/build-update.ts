/** The last steps of an update: all good lists to one generation, judged and put in force. */

import { createHash } from 'node:crypto'
import { OperationalError } from '../../base/errors.ts'
import { FORMAT_VERSION } from '../../trie/layout.ts'
import { openTrie } from '../../trie/open.ts'
import { fileDigest } from '../blocklist/download/file-digest.ts'
import type { ListSource } from '../blocklist/list-source.ts'
import type { ControlName } from '../blocklist/safety/control-names.ts'
import type { GateFault } from '../blocklist/safety/list-contract.ts'
import { BUILT_IN_LISTS, type ControlSettings } from '../config/settings.ts'
import { readImage } from '../compiler/image-file.ts'
import { buildGeneration } from './build-generation.ts'
import { countChangedVerdicts, type ChangedVerdicts } from './changed-verdicts.ts'
import { listSourceOf } from './check-list.ts'
import { GenerationStore, type Generation } from './generation-store.ts'
import type { ListVersion } from './list-versions.ts'
import type { OverruledGates } from './overruled-gates.ts'
import { findServedGeneration, type ServedGeneration } from './served-generation.ts'
import type { UpdatedList } from './update-list.ts'
import type { UpdateOptions, UpdateResult } from './update.ts'
import { beginVersions, finishVersions } from './version-journal.ts'

/** What the state directory has in force. */
export interface InForce {
  /** As `current.json` names it; undefined before the first, or where its report is damaged. */
  readonly generation: Generation | undefined
  /** What a server would start with: the same, or an older one where that one is damaged. */
  readonly served: ServedGeneration | undefined
  /** Whether the one that is named can be served. */
  readonly isWhole: boolean
}

/** Looks at the generation in force with the eyes of a server that starts. */
export async function findInForce(stateDirectory: string): Promise<InForce> {
  const store = new GenerationStore(stateDirectory)
  const state = await store.state()
  if (state === undefined) {
    // A lost `current.json` is no new installation: what a start would serve is in force.
    const { served } = await findServedGeneration(stateDirectory)
    return { generation: undefined, served, isWhole: served === undefined }
  }
  const generation = await store.find(state.generation).catch((error: unknown) => {
    if (error instanceof OperationalError) return undefined
    throw error
  })
  const { served } = await findServedGeneration(stateDirectory)
  return { generation, served, isWhole: served?.number === state.generation }
}

/** Builds, judges, puts in force, unless the generation in force is whole and of the same lists. */
export async function buildUpdate(
  lists: readonly UpdatedList[],
  inForce: InForce,
  popular: readonly ControlName[],
  overruled: OverruledGates,
  options: UpdateOptions,
): Promise<UpdateResult> {
  const { compile, control, onProgress, plan, settings, signal, stateDirectory } = options
  const store = new GenerationStore(stateDirectory)
  const current = inForce.generation
  const outcomes = lists.map(({ outcome }) => outcome)
  const nothing = { outcomes, comparison: undefined, probes: 0, faults: [], overruledFaults: [] }
  const lost = lostFaults(inForce, lists)
  if (lost.length > 0) return { ...nothing, kind: 'refused', generation: current, faults: lost }
  const sources = sourcesOf(lists)
  const inputs = await inputsDigest(sources, lists, control)
  if (inForce.isWhole && current?.report.inputs === inputs) {
    if (!plan) await replaceVersions(lists)
    return { ...nothing, kind: 'unchanged', generation: current }
  }
  const built = await buildGeneration({
    compile,
    control,
    settings,
    popular,
    overruled,
    store,
    sources,
    before: inForce.served?.trie,
    areSharesStrict: false,
    expected: new Map(
      lists.map(({ subscription, version }) => [subscription.name, version?.sha256 ?? '']),
    ),
    inputs,
    signal,
    onProgress: (progress) => onProgress({ phase: 'build', compile: progress }),
  })
  const { comparison, draft, faults, overruledFaults, probes } = built
  const facts = { outcomes, comparison, probes, faults, overruledFaults }
  const recentlyAsked = plan ? await recentChanges(draft, inForce, options) : undefined
  if (plan || faults.length > 0 || signal?.aborted === true) {
    await store.discard(draft)
    signal?.throwIfAborted()
    return { ...facts, recentlyAsked, kind: plan ? 'planned' : 'refused', generation: current }
  }
  const generation = await putInForce(draft, lists, store, options)
  return { ...facts, kind: 'built', generation }
}

/** How many of the names that were asked lately the planned image judges otherwise. */
async function recentChanges(
  { imageFile }: Generation,
  { served }: InForce,
  { recent, settings }: UpdateOptions,
): Promise<ChangedVerdicts | undefined> {
  if (recent === undefined || served === undefined) return undefined
  const off = settings.categories.flatMap(({ blocked, name }) => (blocked ? [] : [name]))
  const planned = openTrie(await readImage(imageFile))
  return countChangedVerdicts(recent, served.trie, planned, new Set(off))
}

/**
 * From here on the new generation is served. An interruption before `setCurrent` leaves the old
 * one with the old versions; one behind it leaves the journal, by which the next change goes on.
 */
async function putInForce(
  draft: Generation,
  lists: readonly UpdatedList[],
  store: GenerationStore,
  { control, stateDirectory }: UpdateOptions,
): Promise<Generation> {
  const hold = (await store.state())?.hold ?? null
  const generation = await store.publish(draft)
  const changed = lists.flatMap(({ kept, subscription, version }): [string, ListVersion][] =>
    version === undefined || version === kept.stored ? [] : [[subscription.name, version]],
  )
  await beginVersions(stateDirectory, generation.number, Object.fromEntries(changed))
  await store.setCurrent(generation.number, hold)
  await finishVersions(stateDirectory)
  await store.prune(control.updates.generationsKept)
  return generation
}

/** Versions of which the generation in force is made and that `version.json` does not name yet. */
async function replaceVersions(lists: readonly UpdatedList[]): Promise<void> {
  for (const { kept, version, versions } of lists) {
    if (version !== undefined && version !== kept.stored) await versions.replace(version)
  }
}

/** A list of the image in force that is still wanted never leaves it for want of its file. */
function lostFaults(
  { generation, served }: InForce,
  lists: readonly UpdatedList[],
): readonly GateFault[] {
  const report = generation?.report ?? served?.report
  const inForce = new Set(report?.lists.map(({ name }) => name))
  return lists.flatMap(({ subscription: { name }, version }) => {
    if (version !== undefined || !inForce.has(name)) return []
    const why =
      `list ${name} is in the image in force, and its version on disk is gone or damaged: "niveau3 ` +
      `lists update ${name}" fetches it anew, "niveau3 lists disable ${name}" goes on without it`
    return [{ gate: 'list-lost', why }]
  })
}

function sourcesOf(lists: readonly UpdatedList[]): readonly ListSource[] {
  const subscribed = lists.flatMap(({ subscription, version, versions }) => {
    if (version === undefined) return []
    return [listSourceOf(subscription, versions.listFile(version.sha256))]
  })
  return [...BUILT_IN_LISTS, ...subscribed]
}

async function inputsDigest(
  sources: readonly ListSource[],
  lists: readonly UpdatedList[],
  { essentialFiles }: ControlSettings,
): Promise<string> {
  const hash = createHash('sha256')
  hash.update(`format ${FORMAT_VERSION}\n`)
  for (const file of essentialFiles) hash.update(`essential ${await digestOf(file)}\n`)
  const versions = new Map(lists.map(({ subscription, version }) => [subscription.name, version]))
  for (const { name, category, file, publicSuffixes } of sources) {
    const digest = versions.get(name)?.sha256 ?? (await digestOf(file))
    hash.update(`${name} ${category} ${digest} ${JSON.stringify(publicSuffixes ?? {})}\n`)
  }
  return hash.digest('hex')
}

async function digestOf(file: string): Promise<string> {
  return (await fileDigest(file)).toString('hex')
}
