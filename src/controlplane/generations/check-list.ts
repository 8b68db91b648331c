/** A new version of one list before it is taken: compiled alone, compared, held to the contract. */

import { access } from 'node:fs/promises'
import { OperationalError } from '../../base/errors.ts'
import { openTrie, type Trie } from '../../trie/open.ts'
import type { ListReport, ListSource } from '../blocklist/list-source.ts'
import { compareImages, type ImageComparison } from '../blocklist/safety/compare-images.ts'
import { blockedBy, controlNames, type ControlName } from '../blocklist/safety/control-names.ts'
import { judgeList, type GateFault } from '../blocklist/safety/list-contract.ts'
import type { CompiledLists, CompileProgress } from '../compiler/compile.ts'
import { readImage } from '../compiler/image-file.ts'
import type { SafetyValues } from '../config/schema-lists.ts'
import type { ListVersion, ListVersions } from './list-versions.ts'
import type { Subscription } from './subscriptions.ts'

/** Compiles lists: in a thread of its own for the program, in this one for a test. */
export type Compile = (
  sources: readonly ListSource[],
  onProgress: (progress: CompileProgress) => void,
) => Promise<CompiledLists<ListReport>>

export interface CheckSurroundings {
  readonly compile: Compile
  readonly safety: SafetyValues
  readonly popular: readonly ControlName[]
  readonly signal?: AbortSignal | undefined
  readonly onProgress: (progress: CompileProgress) => void
}

/** What is known of a list file after it was compiled alone. */
export interface CheckedList {
  readonly report: ListReport
  readonly image: SharedArrayBuffer
  /** Names that it blocks by itself. */
  readonly names: number
  readonly comparison: ImageComparison | undefined
  /** Gates that it does not pass; empty for a good list. */
  readonly faults: readonly GateFault[]
}

/** What the compiler is told of a version of a subscribed list. */
export function listSourceOf(subscription: Subscription, file: string): ListSource {
  const { name, category, licence, attribution, publicSuffixes } = subscription
  const { icann, private: own } = publicSuffixes ?? {}
  return {
    name,
    category,
    file,
    curated: false,
    licence,
    attribution,
    ...(publicSuffixes && {
      publicSuffixes: { ...(icann && { icann }), ...(own && { private: own }) },
    }),
  }
}

/**
 * Compiles a list file alone and judges it against the version in force.
 *
 * @throws OperationalError ERR_LIST, ERR_LIST_EMPTY, ERR_LIST_TOO_LARGE when it is no list at all.
 */
export async function checkList(
  subscription: Subscription,
  file: string,
  versions: ListVersions,
  current: ListVersion | undefined,
  surroundings: CheckSurroundings,
): Promise<CheckedList> {
  const { compile, onProgress, popular, safety, signal } = surroundings
  const compiled = await compile([listSourceOf(subscription, file)], onProgress)
  const [report] = compiled.reports
  if (report === undefined) throw new OperationalError('ERR_LIST', `list ${file} gave no report`)
  const after = openTrie(compiled.image)
  const before = current && (await lastImage(current, versions, subscription, surroundings))
  const comparison = before && (await compareImages(before, after, { signal }))
  const known = new Set(before === undefined ? [] : blockedBy(before, popular))
  const hits = blockedBy(after, popular).filter((name) => !known.has(name))
  const must = controlNames(subscription.mustBlock, subscription.name)
  const blocked = new Set(blockedBy(after, must))
  const names = after.names
  const faults = judgeList(
    {
      report,
      names,
      namesMin: namesMinOf(subscription, current, comparison, safety),
      namesMax: current === undefined ? (subscription.namesMax ?? Infinity) : Infinity,
      comparison,
      knownEssentialRules: new Set(current?.essentialRules ?? []),
      popularHits: hits.map(({ text }) => text),
      openSentinels: must.filter((name) => !blocked.has(name)).map(({ text }) => text),
    },
    safety,
  )
  return { report, image: compiled.image, names, comparison, faults }
}

/** Without the last good version to compare with, its recorded size still bounds the loss. */
function namesMinOf(
  { namesMin }: Subscription,
  current: ListVersion | undefined,
  comparison: ImageComparison | undefined,
  { removedShareMax }: SafetyValues,
): number {
  if (current === undefined || comparison !== undefined) return namesMin
  return Math.max(namesMin, Math.ceil(current.names * (1 - removedShareMax)))
}

/**
 * The image of the version in force, made again where it is damaged or of another format;
 * undefined when the list file is lost as well.
 */
async function lastImage(
  { sha256 }: ListVersion,
  versions: ListVersions,
  subscription: Subscription,
  { compile, onProgress }: CheckSurroundings,
): Promise<Trie | undefined> {
  try {
    return openTrie(await readImage(versions.imageFile(sha256)))
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error
    const file = versions.listFile(sha256)
    const isThere = await access(file).then(
      () => true,
      () => false,
    )
    if (!isThere) return undefined
    const source = listSourceOf(subscription, file)
    return openTrie((await compile([source], onProgress)).image)
  }
}
