/**
 * The last good version of a list, as far as its files still say so. One damaged file of one list
 * ends no update: a lost `version.json` is made again from the generation in force, a damaged list
 * file is fetched anew.
 */

import { OperationalError } from '../../base/errors.ts'
import { openTrie } from '../../trie/open.ts'
import { fileDigest } from '../blocklist/download/file-digest.ts'
import { readImage } from '../compiler/image-file.ts'
import type { GenerationReport } from './generation-store.ts'
import type { ListVersion, ListVersions } from './list-versions.ts'
import type { Subscription } from './subscriptions.ts'
import { maskedUrl } from './masked-url.ts'

export interface KeptVersion {
  /** The last good version; undefined when there is none, or nobody can tell. */
  readonly version: ListVersion | undefined
  /** What `version.json` says: another version has to be written there. */
  readonly stored: ListVersion | undefined
  /** Whether the list file is what the version says. */
  readonly isWhole: boolean
  /** Why the version cannot be told: the list is not updated then. */
  readonly error: OperationalError | undefined
}

/** Looks at the files of one list. */
export async function keptVersion(
  subscription: Subscription,
  versions: ListVersions,
  inForce: GenerationReport | undefined,
): Promise<KeptVersion> {
  let stored: ListVersion | undefined
  try {
    stored = await versions.current()
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error
    const version = await versionInForce(subscription, versions, inForce)
    if (version !== undefined) return { version, stored, isWhole: true, error: undefined }
    return { version, stored, isWhole: false, error }
  }
  if (stored === undefined) {
    // Lost, not new, where the generation in force is made of it: its gates hold on.
    const version = await versionInForce(subscription, versions, inForce)
    return { version, stored, isWhole: version !== undefined, error: undefined }
  }
  const isWhole = await isFile(versions, stored.sha256)
  return { version: stored, stored, isWhole, error: undefined }
}

/** The version that the generation in force was made of, where its file is still there. */
async function versionInForce(
  { name, url }: Subscription,
  versions: ListVersions,
  inForce: GenerationReport | undefined,
): Promise<ListVersion | undefined> {
  const list = inForce?.lists.find((known) => known.name === name)
  if (list === undefined || !(await isFile(versions, list.sha256))) return undefined
  return {
    schema: 'niveau3.list-version/1',
    url: maskedUrl(url),
    sha256: list.sha256,
    fetchedAt: inForce?.createdAt ?? new Date().toISOString(),
    names: (await namesOf(versions.imageFile(list.sha256))) ?? list.kept,
    rules: list.rules,
    exceptions: list.exceptions,
    essentialRules: [],
    notEnforceable: 0,
  }
}

async function namesOf(imageFile: string): Promise<number | undefined> {
  try {
    return openTrie(await readImage(imageFile)).names
  } catch {
    return undefined
  }
}

async function isFile(versions: ListVersions, sha256: string): Promise<boolean> {
  const file = versions.listFile(sha256)
  const digest = await fileDigest(file).catch(() => undefined)
  return digest?.toString('hex') === sha256
}
