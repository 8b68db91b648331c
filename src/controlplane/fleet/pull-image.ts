/**
 * Takes the fleet's image: fetched, believed by its signature alone, held to the same contract as
 * an image of one's own, put in force. Whatever fails leaves the generation in force.
 */

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { OperationalError } from '../../base/errors.ts'
import type { DataplaneSettings } from '../../dataplane/settings.ts'
import { openTrie } from '../../trie/open.ts'
import { fileDigest } from '../blocklist/download/file-digest.ts'
import type { ImageComparison } from '../blocklist/safety/compare-images.ts'
import { loadPopularNames } from '../blocklist/safety/control-names.ts'
import { readImage } from '../compiler/image-file.ts'
import type { ControlSettings } from '../config/settings.ts'
import { audit, type Actor } from '../generations/audit.ts'
import { findInForce, type InForce } from '../generations/build-update.ts'
import { GenerationStore, type Generation } from '../generations/generation-store.ts'
import { judgeImage, type JudgedImage } from '../generations/judge-image.ts'
import { overruleTexts, OverruledGates, WHOLE } from '../generations/overruled-gates.ts'
import { whileLocked } from '../generations/version-journal.ts'
import type { FetchedManifest, ImageSource } from './image-place.ts'
import { readPullStatus, writePullStatus, type PullStatus } from './pull-status.ts'
import { openManifest, RefusedImage, type ImageManifest } from './signed-image.ts'

export interface PullOptions {
  readonly stateDirectory: string
  readonly control: ControlSettings
  readonly settings: DataplaneSettings
  readonly source: ImageSource
  readonly publicKey: string
  readonly octetsMax: number
  readonly actor: Actor
  /** `all:GATE`; a reason belongs to them. */
  readonly force: readonly string[]
  /** Takes an image that was published before the one that this box has had. */
  readonly allowOlder: boolean
  /** By the schedule: nothing is done while updates are held. */
  readonly due: boolean
  readonly reason?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface PullResult {
  readonly kind: 'taken' | 'unchanged' | 'held'
  readonly generation: Generation | undefined
  readonly manifest: ImageManifest | undefined
  readonly comparison: ImageComparison | undefined
  readonly probes: number
}

/**
 * Looks for an image and takes it.
 *
 * @throws OperationalError ERR_FLEET_IMAGE (`RefusedImage`), ERR_DOWNLOAD, ERR_HELD, ERR_WRITE,
 *   ERR_STATE_LOCKED, ERR_USAGE.
 */
export async function pullImage(options: PullOptions): Promise<PullResult> {
  const { allowOlder, force, reason, stateDirectory } = options
  if ((force.length > 0 || allowOlder) && (reason ?? '').trim() === '') {
    const why = '--force and --allow-older overrule a check: say why with --reason TEXT'
    throw new OperationalError('ERR_USAGE', why)
  }
  const overruled = new OverruledGates(force)
  return whileLocked(stateDirectory, async () => {
    const held = await heldResult(options)
    if (held !== undefined) return held
    const status = await readPullStatus(stateDirectory).catch(() => undefined)
    try {
      return await pullLocked(status, overruled, options)
    } catch (error) {
      options.signal?.throwIfAborted()
      await noteFailure(status, error, options)
      throw error
    }
  })
}

async function heldResult({ due, stateDirectory }: PullOptions): Promise<PullResult | undefined> {
  const state = await new GenerationStore(stateDirectory).state()
  if (state === undefined || state.hold === null) return undefined
  if (due) return { ...NOTHING, kind: 'held' }
  const since = `updates are held since ${state.hold.since} (${state.hold.why})`
  throw new OperationalError('ERR_HELD', `${since}: "niveau3 lists resume" first`)
}

const NOTHING = { generation: undefined, manifest: undefined, comparison: undefined, probes: 0 }

async function pullLocked(
  status: PullStatus | undefined,
  overruled: OverruledGates,
  options: PullOptions,
): Promise<PullResult> {
  const { publicKey, source, stateDirectory } = options
  const inForce = await findInForce(stateDirectory)
  // What is not in force, or not whole, is fetched again, though its publisher has no newer one.
  const isCurrent =
    inForce.isWhole && inForce.generation?.report.digest === (status?.taken?.digest ?? 'none')
  const fetched = await source.manifest(isCurrent ? status?.validators : undefined)
  if (fetched === undefined) {
    await noteSuccess(status, {}, options)
    return { ...NOTHING, kind: 'unchanged', generation: inForce.generation }
  }
  const manifest = openManifest(fetched.octets, publicKey)
  requireAllowed(manifest, status, inForce, options)
  if (isCurrent && manifest.digest === status?.taken?.digest) {
    await noteSuccess(status, { manifest, fetched }, options)
    return { ...NOTHING, kind: 'unchanged', manifest, generation: inForce.generation }
  }
  const { judged, generation } = await take(manifest, inForce, overruled, options)
  await noteSuccess(status, { manifest, fetched }, options)
  const { comparison, probes } = judged
  return { kind: 'taken', generation, manifest, comparison, probes }
}

/** What the manifest alone can be refused for. */
function requireAllowed(
  { digest, octets, sequence }: ImageManifest,
  status: PullStatus | undefined,
  { generation }: InForce,
  { allowOlder, octetsMax }: PullOptions,
): void {
  if (octets > octetsMax) {
    const why = `it has ${octets} octets, and ${octetsMax} are allowed (key fleet.octetsMax)`
    throw new RefusedImage('size', why)
  }
  // Where the status is lost, the generation in force still tells.
  const last = Math.max(status?.taken?.sequence ?? 0, generation?.report.fleet?.sequence ?? 0)
  if (allowOlder || sequence > last) return
  const lastDigest = status?.taken?.digest ?? generation?.report.digest
  if (sequence === last && digest === lastDigest) return
  const why =
    'it was published before the last one that this box has had; "niveau3 fleet ' +
    'pull --allow-older --reason TEXT" takes it all the same'
  throw new RefusedImage('rollback', why)
}

interface TakenImage {
  readonly judged: JudgedImage
  readonly generation: Generation
}

async function take(
  manifest: ImageManifest,
  inForce: InForce,
  overruled: OverruledGates,
  options: PullOptions,
): Promise<TakenImage> {
  const { actor, control, reason, stateDirectory } = options
  const store = new GenerationStore(stateDirectory)
  const image = await fetchImage(manifest, options)
  const judged = await judge(image, manifest, inForce, overruled, options)
  const { draft, faults, overruledFaults } = judged
  const facts = {
    sequence: manifest.sequence,
    digest: manifest.digest,
    builtAt: manifest.createdAt,
    ...(overruledFaults.length > 0 && { overruled: overruledFaults }),
    ...(reason !== undefined && { reason }),
  }
  if (faults.length > 0 || options.signal?.aborted === true) {
    await store.discard(draft)
    options.signal?.throwIfAborted()
    await audit(stateDirectory, actor, 'fleet-pull', { result: 'refused', ...facts, faults })
    throw new RefusedImage('safety', safetyText(faults))
  }
  const hold = (await store.state())?.hold ?? null
  const generation = await store.publish(draft)
  await store.setCurrent(generation.number, hold)
  await store.prune(control.updates.generationsKept)
  const { number } = generation
  await audit(stateDirectory, actor, 'fleet-pull', {
    result: 'taken',
    generation: number,
    ...facts,
  })
  return { judged, generation }
}

function safetyText(faults: JudgedImage['faults']): string {
  const whys = faults.map(({ gate, why }) => `it ${why} (${gate})`).join('; ')
  const texts = overruleTexts(WHOLE, faults)
  if (texts.length === 0) return whys
  const force = texts.map((text) => `--force ${text}`).join(' ')
  return `${whys}; "niveau3 fleet pull ${force} --reason TEXT" takes it all the same`
}

/** The octets, once they are those that were signed. */
async function fetchImage(
  manifest: ImageManifest,
  { source, stateDirectory }: PullOptions,
): Promise<SharedArrayBuffer> {
  const file = join(stateDirectory, 'fleet-image.download')
  try {
    await source.image(manifest, file)
    if ((await fileDigest(file)).toString('hex') !== manifest.sha256) {
      throw new RefusedImage('digest', 'its octets are not those that were signed')
    }
    return await readImage(file)
  } finally {
    await rm(file, { force: true })
  }
}

async function judge(
  image: SharedArrayBuffer,
  manifest: ImageManifest,
  { served }: InForce,
  overruled: OverruledGates,
  { control, settings, signal, stateDirectory }: PullOptions,
): Promise<JudgedImage> {
  const { digest, report, sequence } = manifest
  requireOpens(image, digest)
  const { comparison: _theirs, ...theirs } = report
  return judgeImage(
    image,
    (generation, trie, comparison) => ({
      ...theirs,
      generation,
      digest: trie.digest,
      names: trie.names,
      octets: trie.octets,
      ...(comparison && { comparison }),
      forced: [...overruled.texts],
      fleet: { sequence, generation: report.generation },
    }),
    {
      control,
      settings,
      store: new GenerationStore(stateDirectory),
      popular: await loadPopularNames(),
      overruled,
      before: served?.trie,
      areSharesStrict: true,
      signal,
    },
  )
}

/** What was signed and cannot be opened is refused like what was not signed. */
function requireOpens(image: SharedArrayBuffer, digest: string): void {
  try {
    const trie = openTrie(image)
    if (trie.digest === digest && trie.names > 0) return
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error
    throw new RefusedImage(error.code === 'ERR_IMAGE_VERSION' ? 'format' : 'digest', error.message)
  }
  throw new RefusedImage('digest', 'the image is not the one of its manifest, or holds no name')
}

interface Seen {
  readonly manifest?: ImageManifest
  readonly fetched?: FetchedManifest
}

async function noteSuccess(
  status: PullStatus | undefined,
  { fetched, manifest }: Seen,
  { stateDirectory }: PullOptions,
): Promise<void> {
  const now = new Date().toISOString()
  const taken = manifest && {
    sequence: manifest.sequence,
    digest: manifest.digest,
    createdAt: manifest.createdAt,
    generation: manifest.report.generation,
    takenAt: manifest.digest === status?.taken?.digest ? status.taken.takenAt : now,
  }
  await writePullStatus(stateDirectory, {
    ...emptyStatus(now),
    ...status,
    ...(taken && { taken }),
    ...(fetched && { validators: fetched.validators }),
    checkedAt: now,
    succeededAt: now,
    why: '',
    code: undefined,
    failures: 0,
  })
}

async function noteFailure(
  status: PullStatus | undefined,
  error: unknown,
  { stateDirectory }: PullOptions,
): Promise<void> {
  const now = new Date().toISOString()
  const refusals = { ...status?.refusals }
  if (error instanceof RefusedImage) refusals[error.reason] = (refusals[error.reason] ?? 0) + 1
  const noted = {
    ...emptyStatus(now),
    ...status,
    checkedAt: now,
    why: error instanceof Error ? error.message : String(error),
    code: error instanceof OperationalError ? error.code : 'ERR_UNEXPECTED',
    failures: (status?.failures ?? 0) + 1,
    refusals,
  }
  // The failure itself is what has to be told, on a full disk too.
  await writePullStatus(stateDirectory, noted).catch(() => undefined)
}

function emptyStatus(now: string): PullStatus {
  return {
    schema: 'niveau3.fleet-status/1',
    validators: {},
    checkedAt: now,
    why: '',
    failures: 0,
    refusals: {},
  }
}
