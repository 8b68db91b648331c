/** All good lists to one image: built, held to the contract for the whole, tested, and written. */

import { OperationalError } from '../../base/errors.ts'
import { openTrie, type Trie } from '../../trie/open.ts'
import type { DataplaneSettings } from '../../dataplane/settings.ts'
import { loadCatalogue } from '../blocklist/catalogue.ts'
import { EssentialNames } from '../blocklist/essential.ts'
import type { ListReport, ListSource } from '../blocklist/list-source.ts'
import { compareImages, type ImageComparison } from '../blocklist/safety/compare-images.ts'
import { blockedBy, controlNames } from '../blocklist/safety/control-names.ts'
import { shareFaults, shown, type GateFault } from '../blocklist/safety/list-contract.ts'
import type { CompiledLists } from '../compiler/compile.ts'
import { readImage } from '../compiler/image-file.ts'
import type { ControlSettings } from '../config/settings.ts'
import type { CheckSurroundings } from './check-list.ts'
import type { Generation, GenerationReport, GenerationStore } from './generation-store.ts'
import { SELF_TEST_OPEN_NAMES, selfTest } from './self-test.ts'

export interface BuildOptions extends CheckSurroundings {
  readonly control: ControlSettings
  readonly settings: DataplaneSettings
  readonly store: GenerationStore
  readonly sources: readonly ListSource[]
  /** What each source has to be; the file is read once more here. */
  readonly expected: ReadonlyMap<string, string>
  /** Digest of everything that the image is made of. */
  readonly inputs: string
  /** Lists whose gates the operator has overruled. */
  readonly forced: readonly string[]
}

export interface BuiltGeneration {
  /** Written as a draft. */
  readonly draft: Generation
  readonly comparison: ImageComparison | undefined
  /** Questions that the self-test asked. */
  readonly probes: number
  readonly faults: readonly GateFault[]
}

/**
 * Builds and tests a generation. It is written as a draft in any case, because the self-test reads
 * it back; the caller publishes or discards it.
 *
 * @throws OperationalError when lists cannot be read, or the disk cannot be written.
 */
export async function buildGeneration(options: BuildOptions): Promise<BuiltGeneration> {
  const { control, sources, store, signal } = options
  const compiled = await options.compile(sources, options.onProgress)
  requireExpected(compiled, options.expected)
  const after = openTrie(compiled.image)
  const last = await lastGeneration(store)
  const comparison = last && (await compareImages(last.trie, after, { signal }))
  const catalogue = await loadCatalogue()
  const mustBlock = new Map(
    Object.entries(catalogue.categories).map(([category, { mustBlock: names }]) => [
      category,
      controlNames(names, `category ${category}`),
    ]),
  )
  const draft = await store.draft(compiled.image, (number) =>
    reportOf(number, after, compiled, comparison, options),
  )
  try {
    const tested = await selfTest(draft.imageFile, {
      settings: options.settings,
      essential: await EssentialNames.load(control.essentialFiles),
      mustBlock,
      openNames: controlNames(SELF_TEST_OPEN_NAMES, 'the self-test'),
    })
    const faults = [...tested.faults, ...wholeFaults(last?.trie, after, comparison, options)]
    return { draft, comparison, probes: tested.probes, faults }
  } catch (error) {
    await store.discard(draft)
    throw error
  }
}

/** A list that changed on disk between its own check and this build has been judged by nobody. */
function requireExpected(
  { reports }: CompiledLists<ListReport>,
  expected: ReadonlyMap<string, string>,
): void {
  for (const { name, file, sha256 } of reports) {
    const known = expected.get(name)
    if (known === undefined || known === sha256) continue
    throw new OperationalError(
      'ERR_STATE',
      `${file} is not what it was when it was fetched; "niveau3 lists rm ${name}" and "lists add" ` +
        'fetch it anew',
      { file },
    )
  }
}

/** The image in force; undefined where it cannot be read any more: there is nothing to compare. */
async function lastGeneration(
  store: GenerationStore,
): Promise<{ trie: Trie; lists: ReadonlySet<string> } | undefined> {
  const current = await store.current()
  if (current === undefined) return undefined
  try {
    const trie = openTrie(await readImage(current.imageFile))
    return { trie, lists: new Set(trie.lists.map(({ name }) => name)) }
  } catch (error) {
    if (error instanceof OperationalError) return undefined
    throw error
  }
}

/**
 * The contract for the whole. Shares are measured when the same lists make both images and nobody
 * has overruled a gate: else the operator has asked for the difference.
 */
function wholeFaults(
  before: Trie | undefined,
  after: Trie,
  comparison: ImageComparison | undefined,
  { forced, popular, safety }: BuildOptions,
): readonly GateFault[] {
  if (before === undefined || comparison === undefined) return []
  const faults: GateFault[] = []
  if (forced.length > 0) return faults
  if (namesOf(before) === namesOf(after)) faults.push(...shareFaults(comparison, safety))
  const known = new Set(blockedBy(before, popular))
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

function reportOf(
  generation: number,
  trie: Trie,
  { lists, reports }: CompiledLists<ListReport>,
  comparison: ImageComparison | undefined,
  { forced, inputs }: BuildOptions,
): GenerationReport {
  return {
    schema: 'niveau3.generation/1',
    generation,
    digest: trie.digest,
    createdAt: new Date().toISOString(),
    names: trie.names,
    octets: trie.octets,
    lists: lists.map((list, index) => ({
      name: list.name,
      category: list.category,
      sha256: list.sha256,
      rules: list.rules,
      exceptions: list.exceptions,
      kept: list.kept,
      refused: reports[index]?.refusedCount ?? 0,
      exempted: reports[index]?.exemptedCount ?? 0,
      above: reports[index]?.aboveCount ?? 0,
    })),
    ...(comparison && { comparison }),
    inputs,
    forced: [...forced],
  }
}
