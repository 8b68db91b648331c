/**
 * The filter that a server starts with or reloads to: a compiled image (read from disk, or made
 * from the configured lists off the main thread) and the essential names, under one stamp.
 */
import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { OperationalError } from '../base/errors.ts'
import type { AddressRanges } from '../dataplane/address-table.ts'
import { buildAddressTable } from '../dataplane/build-address-table.ts'
import type { PolicyMessage } from '../dataplane/messages.ts'
import type { OverlayMessage } from '../dataplane/policy/overlay.ts'
import { PRIVATE_ADDRESS } from '../dataplane/policy/answer-addresses.ts'
import type { PolicySettings } from '../dataplane/settings.ts'
import { openTrie, type Trie } from '../trie/open.ts'
import { addressFault, readAddressRules, type AddressRules } from './blocklist/address-rules.ts'
import { NEVER_PUBLIC_PREFIXES } from './config/addresses.ts'
import { EssentialNames } from './blocklist/essential.ts'
import type { ListReport } from './blocklist/list-source.ts'
import { compileInThread } from './compiler/compile-thread.ts'
import { readImage } from './compiler/image-file.ts'
import type { ControlSettings } from './config/settings.ts'
import type { ServedSearch } from './generations/served-generation.ts'

/** A filter in force. */
export interface LoadedFilter {
  readonly trie: Trie
  readonly essential: EssentialNames
  /** What reading the lists has shown; empty when an image was given. */
  readonly reports: readonly ListReport[]
  /** What the addresses of answers are looked up in; null without rules. */
  readonly addresses: AddressRanges | null
  /** Names whose answers may lead into private networks. */
  readonly privateZones: Uint8Array
  readonly loadedAtSeconds: number
  /** Number of the generation of the state directory; undefined when it is none of those. */
  readonly generation?: number | undefined
  /** Why newer generations are not in force; empty when all is well. */
  readonly passedOver?: readonly string[] | undefined
}

/**
 * Loads what the configuration names: an image, lists, or else the newest good generation of the
 * state directory, and before there is one the curated lists. No network is waited for.
 *
 * @param running the filter in force: a reload takes the generation that is named, or none.
 * @throws OperationalError ERR_LIST…, ERR_IMAGE…; ERR_NO_LIST when no name would be blocked:
 *   without a list there is no service.
 */
export async function loadFilter(
  control: ControlSettings,
  running?: LoadedFilter,
): Promise<LoadedFilter> {
  const essential = await EssentialNames.load(control.essentialFiles)
  const loadedAtSeconds = Math.floor(Date.now() / 1000)
  const loaded = await loadNames(control, running)
  const { categories, names } = loaded.trie
  if (names === 0) {
    throw new OperationalError(
      'ERR_NO_LIST',
      'the lists hold no name that can be blocked; a filter without names is refused: give lists ' +
        'with --blocklist CATEGORY=FILE, an image with --image, or the key "lists"',
    )
  }
  const rules = await readAddressRules(control.addressSources)
  const isGuarded = control.privateZones !== undefined
  return {
    ...loaded,
    essential,
    addresses: addressRangesOf(rules, categories, isGuarded),
    privateZones: Buffer.concat(EssentialNames.of(control.privateZones ?? []).names),
    loadedAtSeconds,
  }
}

type LoadedNames = Pick<LoadedFilter, 'trie' | 'reports' | 'generation' | 'passedOver'>

async function loadNames(
  control: ControlSettings,
  running: LoadedFilter | undefined,
): Promise<LoadedNames> {
  const { passedOver, served } = await searchGenerations(control, running)
  if (served !== undefined) {
    const { number, trie } = served
    return { trie, reports: [], generation: number, passedOver }
  }
  const { image, reports } =
    control.image === undefined
      ? await compileInThread(control.lists, { essentialFiles: control.essentialFiles })
      : { image: await readImage(control.image), reports: [] }
  return { trie: openImage(image, control.image), reports, passedOver }
}

/**
 * Puts the address rules of all categories and the private networks into one table.
 *
 * @param categories by bit of the image.
 * @throws OperationalError ERR_CONFIG for rules of a category that the image does not have.
 */
export function addressRangesOf(
  rules: readonly AddressRules[],
  categories: readonly string[],
  isGuarded: boolean,
): AddressRanges | null {
  const fault = addressFault(rules, categories)
  if (fault !== undefined) throw new OperationalError('ERR_CONFIG', fault)
  const privateNetworks = isGuarded ? NEVER_PUBLIC_PREFIXES : []
  const all = privateNetworks.map((prefix) => ({ prefix, value: PRIVATE_ADDRESS }))
  for (const { category, prefixes } of rules) {
    const bit = categories.indexOf(category)
    for (const prefix of prefixes) all.push({ prefix, value: 1 << bit })
  }
  return all.length === 0 ? null : buildAddressTable(all, 0, (around, own) => around | own)
}

/** The state directory is read only where there is one that counts: starts stay short. */
async function searchGenerations(
  control: ControlSettings,
  running: LoadedFilter | undefined,
): Promise<ServedSearch> {
  const { stateDirectory, usesGenerations } = control
  if (!usesGenerations || stateDirectory === undefined) return NO_GENERATION
  const isFirst = running?.generation === undefined
  if (isFirst && isAbsent(join(stateDirectory, 'generations'))) return NO_GENERATION
  const { findServedGeneration, openNamedGeneration } =
    await import('./generations/served-generation.ts')
  if (running === undefined) {
    const search = await findServedGeneration(stateDirectory, control.addressSources)
    // None fits: the configuration is at fault, and loading the best one says so.
    return search.served === undefined ? findServedGeneration(stateDirectory) : search
  }
  const served = await openNamedGeneration(stateDirectory)
  if (served !== undefined || isFirst) return { served, passedOver: [] }
  const why = `${stateDirectory} has no generation any more; generation ${running.generation} stays`
  throw new OperationalError('ERR_NO_STATE', why)
}

/** Only what is known not to be there: a folder that may not be read is no empty one. */
function isAbsent(folder: string): boolean {
  try {
    return statSync(folder, { throwIfNoEntry: false }) === undefined
  } catch {
    return false
  }
}

const NO_GENERATION: ServedSearch = { served: undefined, passedOver: [] }

function openImage(image: SharedArrayBuffer, file: string | undefined): Trie {
  try {
    return openTrie(image)
  } catch (cause) {
    if (file === undefined || !(cause instanceof OperationalError)) throw cause
    throw new OperationalError(cause.code, `${file}: ${cause.message}`, { file, cause })
  }
}

/**
 * Returns what the workers decide by. The stamp changes with anything that can change a verdict.
 */
export function policyOf(
  filter: LoadedFilter,
  { categories, sites }: PolicySettings,
  overlay: OverlayMessage,
): PolicyMessage {
  const essentialNames = Buffer.concat(filter.essential.names)
  const sitePolicies = sites.map((site) => [site.name, site.categories])
  const hash = createHash('sha256')
  hash.update(filter.trie.digest).update('\n')
  hash.update(createHash('sha256').update(essentialNames).digest('hex')).update('\n')
  hash.update(
    JSON.stringify([categories, sitePolicies], (_key, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
    ),
  )
  hash.update(filter.privateZones)
  for (const words of Object.values(filter.addresses ?? {})) {
    hash.update('\n').update(Buffer.from(words.buffer))
  }
  for (const line of overlayLines(overlay)) hash.update('\n').update(line)
  return {
    trie: filter.trie,
    addresses: filter.addresses,
    privateZones: filter.privateZones,
    essentialNames: new Uint8Array(essentialNames),
    overlay,
    stamp: hash.digest('hex'),
  }
}

/**
 * What of the overlay decides verdicts, in an order of its own: boxes with the same rules have the
 * same stamp, whoever made them and however long they last.
 */
function overlayLines({ rules, pauses }: OverlayMessage): readonly string[] {
  const ruleLines = rules.map(({ name, action, exact, site, category }) =>
    JSON.stringify([Buffer.from(name).toString('latin1'), exact, site, action, category]),
  )
  const pauseLines = pauses.map(({ category, site }) => JSON.stringify(['pause', category, site]))
  return [...ruleLines, ...pauseLines].toSorted()
}
