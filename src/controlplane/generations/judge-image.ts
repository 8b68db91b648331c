/**
 * A new image of all lists before it is taken, wherever it comes from: written as a draft, held
 * against the one in force, and asked through the data plane's own code.
 */

import { openTrie, type Trie } from '../../trie/open.ts'
import type { DataplaneSettings } from '../../dataplane/settings.ts'
import { addressFault } from '../blocklist/address-rules.ts'
import { loadCatalogue } from '../blocklist/catalogue.ts'
import { EssentialNames } from '../blocklist/essential.ts'
import { compareImages, type ImageComparison } from '../blocklist/safety/compare-images.ts'
import { blockedBy, controlNames, type ControlName } from '../blocklist/safety/control-names.ts'
import { shareFaults, shown, type GateFault } from '../blocklist/safety/list-contract.ts'
import type { ControlSettings } from '../config/settings.ts'
import type { Generation, GenerationReport, GenerationStore } from './generation-store.ts'
import { WHOLE, type OverruledGates } from './overruled-gates.ts'
import { SELF_TEST_OPEN_NAMES, selfTest } from './self-test.ts'

export interface JudgeOptions {
  readonly control: ControlSettings
  readonly settings: DataplaneSettings
  readonly store: GenerationStore
  readonly popular: readonly ControlName[]
  readonly overruled: OverruledGates
  /** The image in force; undefined where there is none, or none that can be read. */
  readonly before: Trie | undefined
  /** Whether shares count where the two are not made of the same lists. */
  readonly areSharesStrict: boolean
  readonly signal?: AbortSignal | undefined
}

export interface JudgedImage {
  /** The caller publishes or discards it. */
  readonly draft: Generation
  readonly comparison: ImageComparison | undefined
  /** Questions that the self-test asked. */
  readonly probes: number
  /** Gates that it does not pass. */
  readonly faults: readonly GateFault[]
  /** Gates that it does not pass and that the operator has overruled. */
  readonly overruledFaults: readonly GateFault[]
}

/**
 * Judges an image. It is written as a draft in any case, because the self-test reads it back.
 *
 * @throws OperationalError ERR_IMAGE… for what is no image, ERR_WRITE.
 */
export async function judgeImage(
  image: SharedArrayBuffer,
  reportOf: (
    generation: number,
    trie: Trie,
    comparison: ImageComparison | undefined,
  ) => GenerationReport,
  options: JudgeOptions,
): Promise<JudgedImage> {
  const { before, control, overruled, settings, signal, store } = options
  const after = openTrie(image)
  const comparison = before && (await compareImages(before, after, { signal }))
  const draft = await store.draft(image, (number) => reportOf(number, after, comparison))
  try {
    const tested = await selfTest(draft.imageFile, {
      settings,
      essential: await EssentialNames.load(control.essentialFiles),
      mustBlock: await sentinels(),
      openNames: controlNames(SELF_TEST_OPEN_NAMES, 'the self-test'),
    })
    const all = [...tested.faults, ...wholeFaults(after, comparison, options)]
    const faults = overruled.standing(WHOLE, all)
    const overruledFaults = all.filter((fault) => !faults.includes(fault))
    return { draft, comparison, probes: tested.probes, faults, overruledFaults }
  } catch (error) {
    await store.discard(draft)
    throw error
  }
}

/** By category: names that every image must block. */
async function sentinels(): Promise<ReadonlyMap<string, readonly ControlName[]>> {
  const { categories } = await loadCatalogue()
  return new Map(
    Object.entries(categories).map(([category, { mustBlock: names }]) => [
      category,
      controlNames(names, `category ${category}`),
    ]),
  )
}

/**
 * The contract for the whole. Shares are measured when the same lists make both images: else the
 * operator has asked for the difference. A first image may block no popular name at all.
 */
function wholeFaults(
  after: Trie,
  comparison: ImageComparison | undefined,
  { areSharesStrict, before, control, popular }: JudgeOptions,
): readonly GateFault[] {
  const { addressSources, safety } = control
  const faults: GateFault[] = []
  const why = addressFault(addressSources, after.categories)
  if (why !== undefined) faults.push({ gate: 'address-rules', why })
  if (before && (areSharesStrict || namesOf(before) === namesOf(after))) {
    faults.push(...shareFaults(comparison, safety))
  }
  const known = new Set(before === undefined ? [] : blockedBy(before, popular))
  const hits = blockedBy(after, popular).filter((name) => !known.has(name))
  if (hits.length > safety.popularHitsMax) {
    const texts = hits.map(({ text }) => text)
    faults.push({ gate: 'popular', why: `would newly block ${shown(texts)}` })
  }
  return faults
}

function namesOf({ lists }: Trie): string {
  return lists
    .map(({ name }) => name)
    .toSorted()
    .join()
}
