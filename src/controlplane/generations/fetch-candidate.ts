/**
 * Brings a new version of one list into its folder: fetched or copied, checked against its digest
 * or signature, unpacked. The version in force is not touched.
 */

import { access, chmod, copyFile, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { OperationalError } from '../../base/errors.ts'
import { KiB } from '../../base/units.ts'
import type { FetchOptions, Validators } from '../blocklist/download/fetch-file.ts'
import { fileDigest } from '../blocklist/download/file-digest.ts'
import type { SectionReport } from '../blocklist/download/unpack-ut1.ts'
import type { UpdatesValues } from '../config/schema-lists.ts'
import { systemCode } from '../config/plain.ts'
import type { ListVersion, ListVersions } from './list-versions.ts'
import { maskedUrl } from './masked-url.ts'
import { unwritable } from './state-file.ts'
import type { Subscription } from './subscriptions.ts'

/** A minisign file has 300 octets. */
const SIGNATURE_OCTETS_MAX = 16 * KiB

export interface FetchSurroundings {
  readonly updates: UpdatesValues
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((octets: number, octetsTotal: number) => void) | undefined
}

/** A list file that nobody has judged yet. */
export interface Candidate {
  readonly file: string
  readonly sha256: string
  readonly validators: Validators
  /** What an archive held; empty for a text list. */
  readonly sections: readonly SectionReport[]
}

/**
 * Returns the candidate, or undefined when the version in force is what its server has.
 *
 * @throws OperationalError ERR_DOWNLOAD, ERR_SIGNATURE, ERR_LIST (damaged archive), ERR_WRITE.
 */
export async function fetchCandidate(
  subscription: Subscription,
  versions: ListVersions,
  current: ListVersion | undefined,
  surroundings: FetchSurroundings,
): Promise<Candidate | undefined> {
  await versions.make()
  const raw = join(versions.folder, 'download')
  const known = current?.url === maskedUrl(subscription.url) ? current : undefined
  const isKept = known !== undefined && (await isThere(versions.listFile(known.sha256)))
  const validators = isKept ? known : undefined
  const { url, allowPrivate, sha256: expected, signingKey } = subscription
  const asStored = expected !== undefined || signingKey !== undefined
  const place = { url, allowPrivate, asStored, validators }
  const validatorsNow = await bring(place, raw, surroundings)
  if (validatorsNow === undefined) return undefined
  await requireAuthentic(subscription, raw, surroundings)
  const sections = await unpack(subscription, raw, surroundings.signal)
  const sha256 = await digestOf(raw)
  if (isKept && sha256 === known.sha256) {
    await rm(raw, { force: true })
    return undefined
  }
  const file = versions.listFile(sha256)
  await rename(raw, file).catch((cause: unknown) => {
    throw unwritable(file, cause)
  })
  return { file, sha256, validators: validatorsNow, sections }
}

/** Where a file is, and how it is asked for. */
interface Place {
  readonly url: string
  readonly allowPrivate: boolean
  readonly asStored: boolean
  readonly validators?: Validators | undefined
}

/** Puts the file at `raw`; undefined when the server says that ours is the same. */
async function bring(
  { url, allowPrivate, asStored, validators }: Place,
  raw: string,
  surroundings: FetchSurroundings,
): Promise<Validators | undefined> {
  const { updates } = surroundings
  if (url.startsWith('file:')) {
    await copyList(fileURLToPath(url), raw, updates.downloadOctetsMax)
    return {}
  }
  const { fetchFile } = await import('../blocklist/download/fetch-file.ts')
  const options: FetchOptions = {
    limits: limitsOf(updates),
    validators,
    allowPrivate,
    asStored,
    environment: surroundings.environment,
    signal: surroundings.signal,
    onProgress: surroundings.onProgress,
  }
  const result = await fetchFile(url, raw, options)
  return result.kind === 'unchanged' ? undefined : result.validators
}

function limitsOf(updates: UpdatesValues) {
  return {
    octetsMax: updates.downloadOctetsMax,
    secondsMax: updates.downloadSecondsMax,
    redirectsMax: updates.redirectsMax,
  }
}

/** A copy: what its author changes while we read does not disturb. */
async function copyList(file: string, raw: string, octetsMax: number): Promise<void> {
  const found = await stat(file).catch((cause: unknown) => {
    throw new OperationalError('ERR_DOWNLOAD', `${file} cannot be read (${systemCode(cause)})`, {
      file,
      cause,
    })
  })
  if (!found.isFile()) throw new OperationalError('ERR_DOWNLOAD', `${file} is no file`, { file })
  if (found.size > octetsMax) {
    const why = `${file} is larger than ${octetsMax} octets (key updates.downloadOctetsMax)`
    throw new OperationalError('ERR_DOWNLOAD', why, { file })
  }
  try {
    await copyFile(file, raw)
    await chmod(raw, 0o640)
  } catch (cause) {
    throw unwritable(raw, cause)
  }
}

async function requireAuthentic(
  { name, sha256, signingKey, url, signatureUrl, allowPrivate }: Subscription,
  raw: string,
  surroundings: FetchSurroundings,
): Promise<void> {
  if (sha256 !== undefined && (await digestOf(raw)) !== sha256) {
    await rm(raw, { force: true })
    const why = `list ${name} is not the file whose SHA-256 was given; it is not taken`
    throw new OperationalError('ERR_SIGNATURE', why)
  }
  if (signingKey === undefined) return
  const { parseSigningKey, requireSignature } =
    await import('../blocklist/download/verify-signature.ts')
  const key = parseSigningKey(signingKey)
  if (key === undefined) throw new OperationalError('ERR_SIGNATURE', `list ${name}: no usable key`)
  const { updates, environment, signal } = surroundings
  const own = { ...updates, downloadOctetsMax: SIGNATURE_OCTETS_MAX }
  const file = `${raw}.signature`
  const place = { url: signatureUrl ?? `${url}.minisig`, allowPrivate, asStored: true }
  try {
    await bring(place, file, { updates: own, environment, signal })
    await requireSignature(raw, await readFile(file), key)
  } catch (cause) {
    await rm(raw, { force: true })
    throw cause
  } finally {
    await rm(file, { force: true })
  }
}

/** Replaces an archive by the list that it holds. */
async function unpack(
  { format, sections }: Subscription,
  raw: string,
  signal: AbortSignal | undefined,
): Promise<readonly SectionReport[]> {
  if (format !== 'ut1') return []
  const { unpackUt1 } = await import('../blocklist/download/unpack-ut1.ts')
  const text = `${raw}.text`
  try {
    const reports = await unpackUt1(raw, text, { sections, signal })
    await rename(text, raw)
    return reports
  } catch (cause) {
    await rm(raw, { force: true })
    throw cause
  } finally {
    await rm(text, { force: true })
  }
}

async function digestOf(file: string): Promise<string> {
  return (await fileDigest(file)).toString('hex')
}

async function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}
