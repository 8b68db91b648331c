/** One list's part of an update: fetched, checked, taken or not; its last good version stays. */

import { EXIT, OperationalError, type ErrorCode } from '../../base/errors.ts'
import type { SectionReport } from '../blocklist/download/unpack-ut1.ts'
import { invalidLinesOf, type ListReport } from '../blocklist/list-source.ts'
import type { ImageComparison } from '../blocklist/safety/compare-images.ts'
import type { GateFault } from '../blocklist/safety/list-contract.ts'
import { writeImage } from '../compiler/image-file.ts'
import { checkList, type CheckedList, type CheckSurroundings } from './check-list.ts'
import { fetchCandidate, type Candidate, type FetchSurroundings } from './fetch-candidate.ts'
import type { KeptVersion } from './kept-version.ts'
import type { ListStatus, ListVersion, ListVersions } from './list-versions.ts'
import { maskedUrl } from './masked-url.ts'
import type { OverruledGates } from './overruled-gates.ts'
import type { Subscription } from './subscriptions.ts'

/** What became of one list. */
export interface ListOutcome {
  readonly list: string
  readonly category: string
  readonly outcome: 'updated' | 'unchanged' | 'failed' | 'refused'
  /** One sentence; empty after success. */
  readonly why: string
  readonly code: ErrorCode | undefined
  readonly faults: readonly GateFault[]
  /** Names of the new version, else of the one that stays; undefined when there is none. */
  readonly names: number | undefined
  readonly comparison: ImageComparison | undefined
  readonly report: ListReport | undefined
  readonly sections: readonly SectionReport[]
  readonly forced: boolean
  readonly seconds: number
}

/** A list in an update: its outcome, and the version that the build shall use. */
export interface UpdatedList {
  readonly subscription: Subscription
  readonly versions: ListVersions
  readonly outcome: ListOutcome
  readonly kept: KeptVersion
  /** What to build with: the new version, else the last good one; undefined when there is none. */
  readonly version: ListVersion | undefined
}

/** What fetching came to. */
export type FetchedList =
  | { readonly kind: 'candidate'; readonly candidate: Candidate }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'failed'; readonly error: OperationalError }

/** A subscribed list with what is kept of it. */
export interface ListPlace {
  readonly subscription: Subscription
  readonly versions: ListVersions
  readonly kept: KeptVersion
}

/** Fetches one list; its failures are outcomes, those of the disk and of the operator are not. */
export async function fetchList(
  { subscription, versions, kept }: ListPlace,
  surroundings: FetchSurroundings,
): Promise<FetchedList> {
  if (kept.error !== undefined) return { kind: 'failed', error: kept.error }
  // A damaged file is fetched whole: its server must not say that we have it.
  const current = kept.isWhole ? kept.version : undefined
  try {
    const candidate = await fetchCandidate(subscription, versions, current, surroundings)
    return candidate === undefined ? { kind: 'unchanged' } : { kind: 'candidate', candidate }
  } catch (error) {
    return { kind: 'failed', error: requireListError(error, surroundings.signal) }
  }
}

/**
 * A full disk is no fault of a list: it ends the update, as the operator does. Anything else, even
 * what nobody has thought of, is the matter of one list.
 */
function requireListError(error: unknown, signal: AbortSignal | undefined): OperationalError {
  if (signal?.aborted === true) throw error
  if (!(error instanceof OperationalError)) {
    const why = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    return new OperationalError('ERR_UNEXPECTED', `an unexpected error: ${why}`, { cause: error })
  }
  if (error.code === 'ERR_WRITE') throw error
  return error
}

/** Judges what was fetched; a refused candidate is removed. */
export async function judgeFetched(
  place: ListPlace,
  fetched: FetchedList,
  overruled: OverruledGates,
  surroundings: CheckSurroundings,
): Promise<UpdatedList> {
  const { subscription, versions, kept } = place
  const before = kept.version
  const startMs = performance.now()
  const outcome = (facts: Partial<ListOutcome> & Pick<ListOutcome, 'outcome'>): ListOutcome => ({
    list: subscription.name,
    category: subscription.category,
    why: '',
    code: undefined,
    faults: [],
    names: before?.names,
    comparison: undefined,
    report: undefined,
    sections: [],
    forced: false,
    seconds: (performance.now() - startMs) / 1000,
    ...facts,
  })
  const stays = (facts: Partial<ListOutcome> & Pick<ListOutcome, 'outcome'>): UpdatedList => ({
    ...place,
    outcome: outcome(facts),
    version: kept.isWhole ? before : undefined,
  })
  if (fetched.kind === 'unchanged') return stays({ outcome: 'unchanged' })
  if (fetched.kind === 'failed') return stays(failureFacts(fetched.error))
  const { candidate } = fetched
  const { sections } = candidate
  try {
    const { file } = candidate
    const checked = await checkList(subscription, file, versions, before, surroundings)
    const { comparison, faults, names, report } = checked
    const facts = { comparison, faults, report, sections }
    const standing = overruled.standing(subscription.name, faults)
    if (standing.length > 0) {
      await versions.sweep(before?.sha256)
      const why = standing.map((fault) => fault.why).join('; ')
      return stays({ outcome: 'refused', code: 'ERR_LIST_REFUSED', why, ...facts })
    }
    await writeImage(versions.imageFile(candidate.sha256), checked.image)
    const version = versionOf(subscription, candidate, checked)
    const isForced = faults.length > 0
    const done = outcome({ outcome: 'updated', ...facts, names, forced: isForced })
    return { ...place, outcome: done, version }
  } catch (error) {
    await versions.sweep(before?.sha256)
    return stays(failureFacts(requireListError(error, surroundings.signal)))
  }
}

/** What is no list is refused; what could not be had has failed. */
function failureFacts({ code, message, exitCode }: OperationalError) {
  const isRefused = exitCode === EXIT.refused || (exitCode === EXIT.invalid && code !== 'ERR_STATE')
  return { outcome: isRefused ? 'refused' : 'failed', code, why: message } as const
}

function versionOf(
  { url }: Subscription,
  { sha256, sections, validators }: Candidate,
  { names, report }: CheckedList,
): ListVersion {
  return {
    schema: 'niveau3.list-version/1',
    url: maskedUrl(url),
    sha256,
    etag: validators.etag,
    lastModified: validators.lastModified,
    fetchedAt: new Date().toISOString(),
    names,
    rules: report.rules,
    exceptions: report.exceptions,
    essentialRules: [...new Set(report.essentialHits.map(({ rule }) => rule))],
    notEnforceable: sections.reduce((sum, { urls, expressions }) => sum + urls + expressions, 0),
    invalidLines: invalidLinesOf(report),
  }
}

/** Writes how the update of a list went. */
export async function saveOutcome({ versions, outcome }: UpdatedList): Promise<void> {
  const last = await versions.status().catch(() => undefined)
  const isGood = outcome.outcome === 'updated' || outcome.outcome === 'unchanged'
  const checkedAt = new Date().toISOString()
  const succeededAt = isGood ? checkedAt : last?.succeededAt
  const status: ListStatus = {
    schema: 'niveau3.list-status/1',
    checkedAt,
    ...(succeededAt !== undefined && { succeededAt }),
    outcome: outcome.outcome,
    why: outcome.why,
    ...(outcome.code !== undefined && { code: outcome.code }),
    failures: isGood ? 0 : (last?.failures ?? 0) + 1,
  }
  await versions.saveStatus(status)
}
