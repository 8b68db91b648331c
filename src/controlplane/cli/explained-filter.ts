/** The filter that `check` explains: what the running server answers by, or would start with. */

import { OperationalError } from '../../base/errors.ts'
import { Matcher } from '../../trie/lookup.ts'
import { openTrie, type Trie } from '../../trie/open.ts'
import { Status } from '../admin/status.ts'
import { readImage } from '../compiler/image-file.ts'
import type { LoadedConfig } from '../config/load.ts'
import { GenerationStore } from '../generations/generation-store.ts'
import { findServedGeneration } from '../generations/served-generation.ts'
import { AdminClient } from './admin-client.ts'
import { openImageFile } from './filter-image.ts'

/** What a name is judged by. */
export interface ExplainedFilter {
  /** Undefined: the configured or curated lists, which are compiled for the few names. */
  readonly image: Trie | undefined
  /** Of the state directory; undefined where it is none of those. */
  readonly generation: number | undefined
  readonly store: GenerationStore | undefined
  /** Such as `generation 87 of the server (process 812)`. */
  readonly label: string
}

/** Since when a rule is in force, as far as kept generations tell. */
export interface RuleSince {
  readonly generation: number
  readonly createdAt: string
  /** No older generation is kept: it may have been there before. */
  readonly isOldestKept: boolean
}

/**
 * Finds the filter: an image or lists that are named, else the generation that the server on this
 * state directory answers by, else the one that a server would start with.
 *
 * @throws OperationalError ERR_IMAGE…, ERR_PERMISSION when the state directory cannot be read.
 */
export async function explainedFilter({ control }: LoadedConfig): Promise<ExplainedFilter> {
  const none = { generation: undefined, store: undefined }
  const { adminSocket, image: file, stateDirectory, usesGenerations } = control
  if (file !== undefined) return { ...none, image: await openImageFile(file), label: file }
  if (!usesGenerations) return { ...none, image: undefined, label: 'the lists that are named' }
  const curated = { ...none, image: undefined, label: 'the curated lists' }
  if (stateDirectory === undefined) return curated
  const store = new GenerationStore(stateDirectory)
  const client = adminSocket && new AdminClient(adminSocket.file)
  if (client !== undefined && (await client.isThere())) {
    const { digest, pid } = await client.ask('/v1/status', Status)
    const found = await byDigest(store, digest)
    if (found === undefined) return curated
    const label = `generation ${found.generation} of the server (process ${pid})`
    return { ...found, store, label }
  }
  const { served } = await findServedGeneration(stateDirectory)
  if (served === undefined) return curated
  const label = `generation ${served.number} of ${stateDirectory}, no server runs`
  return { image: served.trie, generation: served.number, store, label }
}

async function byDigest(
  store: GenerationStore,
  digest: string,
): Promise<{ readonly image: Trie; readonly generation: number } | undefined> {
  for (const generation of await store.numbers()) {
    const { imageFile, report } = await store.find(generation)
    if (report.digest !== digest) continue
    return { image: openTrie(await readImage(imageFile)), generation }
  }
  return undefined
}

/**
 * Finds for each name the oldest generation, of those in a row up to the one in force, that blocks
 * it by the same rule; undefined where no generation is explained, or none blocks the name.
 */
export async function rulesSince(
  { generation: current, image, store }: ExplainedFilter,
  names: readonly Uint8Array[],
): Promise<readonly (RuleSince | undefined)[]> {
  if (store === undefined || image === undefined || current === undefined) {
    return names.map(() => undefined)
  }
  const rules = names.map((name) => ruleOf(new Matcher(image), name))
  const since = names.map((): RuleSince | undefined => undefined)
  const open = new Set(names.keys())
  const numbers = (await store.numbers()).filter((number) => number <= current)
  for (const [position, generation] of numbers.entries()) {
    const found = await opened(store, generation)
    if (found === undefined || open.size === 0) break
    const matcher = new Matcher(found.trie)
    for (const index of open) {
      const rule = ruleOf(matcher, names[index]!)
      if (rule === undefined || rule !== rules[index]) {
        open.delete(index)
        continue
      }
      const isOldestKept = position === numbers.length - 1
      since[index] = { generation, createdAt: found.createdAt, isOldestKept }
    }
  }
  return since
}

/** Where the rule that blocks a name begins within it; undefined when none does. */
function ruleOf(matcher: Matcher, name: Uint8Array): number | undefined {
  return matcher.find(name, 0) === 0 ? undefined : matcher.ruleStart
}

async function opened(
  store: GenerationStore,
  number: number,
): Promise<{ readonly trie: Trie; readonly createdAt: string } | undefined> {
  try {
    const { imageFile, report } = await store.find(number)
    return { trie: openTrie(await readImage(imageFile)), createdAt: report.createdAt }
  } catch (error) {
    // Behind a damaged generation nothing is known any more.
    if (error instanceof OperationalError) return undefined
    throw error
  }
}

/** `generation 41 (2026-10-02 04:02), or before`. */
export function sinceText({ createdAt, generation, isOldestKept }: RuleSince): string {
  const time = createdAt.slice(0, 16).replace('T', ' ')
  const before = isOldestKept ? ', or before: it is the oldest that is kept' : ''
  return `generation ${generation} (${time} UTC)${before}`
}
