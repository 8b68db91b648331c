/**
 * Rules and pauses of one state directory: on the disk, in force, and between boxes. Changes are
 * made one after the other: each is on the disk before it counts, all workers decide by it before
 * the caller hears of it, and one line of the audit log says who did it and why.
 *
 * The one writer of its file is the server, or a command while no server runs.
 */

import type { Logger } from 'pino'

import { OperationalError } from '../../base/errors.ts'
import { MINUTE_S, SECOND_MS } from '../../base/units.ts'
import type { OverlayMessage, OverlayPause } from '../../dataplane/policy/overlay.ts'
import { DENIED_CATEGORY } from '../../dataplane/settings.ts'
import { nameToWire } from '../blocklist/name-text.ts'
import { audit, currentActor, requireAudit, type Actor } from '../generations/audit.ts'
import {
  ENTRIES_MAX,
  OVERRULE_SCHEMA,
  OverruleState,
  compareTexts,
  isForgettable,
  isNewer,
  isOpen,
  isPause,
  isRule,
  type Entry,
} from './entry.ts'
import { Lasting } from './lasting.ts'
import { dropOldestGone, fitting } from './limits.ts'
import { loadOverrule, saveOverrule } from './overrule-file.ts'
import type { OverruleChange, ShownEntry } from './requests.ts'

/** The wall clock may be set: what has ended is looked for so often at the least. */
const LOOK_MS_MAX = MINUTE_S * SECOND_MS
/** Clocks of two boxes may differ by this much; an entry further ahead would never be overruled. */
const AHEAD_MS_MAX = 60 * MINUTE_S * SECOND_MS
/** A clock before this has not been set since the machine started: it knows no future. */
const CLOCK_SET_MS = Date.UTC(2025, 0, 1)

export interface StoreOptions {
  readonly stateDirectory: string
  readonly log: Logger
  /** Longest pause, of this moment's configuration. */
  readonly pauseSecondsMax: () => number
}

/** Puts an overlay in force; resolves when every query is decided by it. */
export type ApplyOverlay = (overlay: OverlayMessage) => Promise<void>

/** Entries that change together: new versions of those that there are, or new ones. */
export interface StoreChange {
  readonly entries: readonly Entry[]
  /** What the operator should know besides. */
  readonly notes?: readonly string[]
}

/** From `open` to `close`. */
export class OverruleStore {
  readonly #options: StoreOptions
  readonly #entries: Map<string, Entry>
  readonly #lasting = new Lasting()
  #revision: number
  #apply: ApplyOverlay = () => Promise.resolve()
  #acting: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #isClosed = false
  readonly #listeners: ((revision: number) => void)[] = []

  private constructor(options: StoreOptions, state: OverruleState) {
    this.#options = options
    this.#revision = state.revision
    this.#entries = new Map(state.entries.map((entry) => [entry.id, entry]))
    this.#lasting.follow(this.#entries)
    this.#lasting.endPausesAfter(Date.now() + AHEAD_MS_MAX, state.entries)
  }

  /**
   * Reads the state.
   *
   * @throws OperationalError ERR_STATE when it is damaged and its copy is too.
   */
  static async open(options: StoreOptions): Promise<OverruleStore> {
    const { state, damage } = await loadOverrule(options.stateDirectory)
    if (damage !== undefined) {
      const facts = { event: 'overrule_damaged', file: damage.file }
      options.log.error(facts, `rules and pauses are those of the copy: ${damage.message}`)
    }
    return new OverruleStore(options, state)
  }

  /** From now on changes are put in force, and what ends is dropped by itself. */
  follow(apply: ApplyOverlay): void {
    this.#apply = apply
    this.#schedule()
  }

  /** Ends what `follow` began; changes that are under way are finished. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#acting
  }

  /** Counts the changes of this box. */
  get revision(): number {
    return this.#revision
  }

  /** What workers decide by at this moment. */
  get overlay(): OverlayMessage {
    const open = this.inForce()
    return {
      rules: open.filter(isRule).map(({ name, action, exact, site, category, untilMs }) => ({
        name: wireOf(name),
        action,
        exact,
        site: site ?? '',
        category: category ?? DENIED_CATEGORY,
        untilMs: untilMs ?? Number.POSITIVE_INFINITY,
      })),
      pauses: this.pauses,
    }
  }

  /** Its pauses alone. */
  get pauses(): readonly OverlayPause[] {
    return this.inForce()
      .filter(isPause)
      .map((entry) => ({
        category: entry.category ?? '',
        site: entry.site ?? '',
        untilMs: this.endOf(entry),
      }))
  }

  /**
   * Everything that another box needs, gone entries included: what `importState` there merges.
   * `revision` tells whether anything has changed since a state was exported last; it counts this
   * box's changes, and says nothing about those of others.
   */
  exportState(): OverruleState {
    const entries = [...this.#entries.values()].toSorted((a, b) => compareTexts(a.id, b.id))
    return { schema: OVERRULE_SCHEMA, revision: this.#revision, entries }
  }

  /**
   * Takes from another box's state what is newer than ours, entry by entry: the last writer wins.
   * What is gone there goes here, if it was removed later than our version was made; gone entries
   * are forgotten after 30 days. Merging is commutative and idempotent: boxes that have exchanged
   * their states in any order have the same entries, and their overlays add the same to their
   * policy stamps. Guards are not asked again: the box that took the change has asked its own. A
   * pause lasts here no longer than this box's configuration lets one last.
   *
   * @param who `by: 'fleet'` and the box that it comes from, for the audit log.
   * @returns the ids that have changed here, none when all was known; entries that claim to be made
   *   more than an hour from now, and what there is no room for, are left out and counted in
   *   `refused`.
   * @throws OperationalError ERR_STATE for what is no such state, ERR_WRITE.
   */
  async importState(
    state: unknown,
    who: Actor,
  ): Promise<{ readonly changed: readonly string[]; readonly refused: number }> {
    const parsed = OverruleState.safeParse(state)
    if (!parsed.success) {
      const [issue] = parsed.error.issues
      const why = issue === undefined ? '' : ` (${issue.path.join('.')}: ${issue.message})`
      throw new OperationalError('ERR_STATE', `no rules and pauses of a box${why}`)
    }
    const latestMs = Date.now() + AHEAD_MS_MAX
    const sane = parsed.data.entries.filter(({ versionMs }) => versionMs <= latestMs)
    let refused = parsed.data.entries.length - sane.length
    let changed: readonly string[] = []
    const news = (): { readonly entries: readonly Entry[]; readonly left: number } => {
      const nowMs = Date.now()
      const all = sane.filter(
        (entry) => isNewer(entry, this.#entries.get(entry.id)) && !isForgettable(entry, nowMs),
      )
      const entries = fitting(all, this.#entries, (entry) => this.#isOpen(entry, nowMs))
      return { entries, left: all.length - entries.length }
    }
    const { entries: first, left } = news()
    if (first.length === 0) return { changed, refused: refused + left }
    await this.change('rules-merge', who, () => {
      const { entries, left: leftNow } = news()
      refused += leftNow
      changed = entries.map(({ id }) => id)
      return { entries }
    })
    return { changed, refused }
  }

  /** Calls back after each change, whoever has made it, with the revision that it led to. */
  onChange(listener: (revision: number) => void): void {
    this.#listeners.push(listener)
  }

  /** Makes one change after the other: disk, then workers, then the audit log. */
  async change(what: string, who: Actor, make: () => StoreChange): Promise<OverruleChange> {
    const turn = this.#acting.then(() => this.#changeNow(what, who, make()))
    this.#acting = turn.catch(() => undefined)
    return turn
  }

  async #changeNow(
    what: string,
    who: Actor,
    { entries, notes = [] }: StoreChange,
  ): Promise<OverruleChange> {
    const nowMs = Date.now()
    const before = entries.flatMap(({ id }) => this.#entries.get(id) ?? [])
    const removed = before.filter(({ gone }) => !gone)
    const added = entries.filter((entry) => this.#isOpen(entry, nowMs))
    const next = new Map(this.#entries)
    for (const entry of entries) next.set(entry.id, entry)
    for (const [id, entry] of next) if (isForgettable(entry, nowMs)) next.delete(id)
    const open = [...next.values()].filter((entry) => this.#isOpen(entry, nowMs)).length
    if (open > ENTRIES_MAX && added.length > 0) {
      const message = `there are ${ENTRIES_MAX} rules already; more of them are a list: lists add`
      throw new OperationalError('ERR_USAGE', message)
    }
    dropOldestGone(next, (entry) => this.#isOpen(entry, nowMs))
    const revision = this.#revision + 1
    const all = [...next.values()]
    const { stateDirectory, log } = this.#options
    const state = { schema: OVERRULE_SCHEMA, revision, entries: all } as const
    await requireAudit(stateDirectory)
    const copyFailure = await saveOverrule(stateDirectory, state)
    if (copyFailure !== undefined) {
      const facts = { event: 'overrule_copy_failed', code: copyFailure.code }
      log.warn(facts, `the copy of rules and pauses is not up to date: ${copyFailure.message}`)
    }
    this.#revision = revision
    this.#entries.clear()
    for (const entry of all) this.#entries.set(entry.id, entry)
    this.#lasting.follow(this.#entries)
    await this.#apply(this.overlay)
    this.#schedule()
    log.info(
      { event: 'overruled', what, revision, added: added.length, removed: removed.length },
      'rules or pauses have changed',
    )
    for (const listener of this.#listeners) listener(revision)
    const change = {
      revision,
      added: added.map((entry) => this.shown(entry)),
      removed: removed.map((entry) => this.shown(entry)),
    }
    await audit(stateDirectory, who, what, { ...change, reason: reasonOf(entries) })
    return { ...change, notes: [...notes] }
  }

  /** Drops what has ended; the workers have stopped obeying it to the moment, by themselves. */
  async #dropEnded(): Promise<void> {
    const nowMs = Date.now()
    // By its own time: where this box cuts a pause short, others may go on with theirs.
    const isEnded = (entry: Entry): boolean => !entry.gone && !isOpen(entry, nowMs)
    if (![...this.#entries.values()].some(isEnded)) {
      this.#schedule()
      return
    }
    const { log } = this.#options
    await this.change('rule-end', currentActor('schedule'), () => ({
      // The version stays: an older one of another box shall not come back, a newer one may.
      entries: [...this.#entries.values()]
        .filter(isEnded)
        .map((entry) => ({ ...entry, gone: true })),
    })).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error)
      log.error({ event: 'overrule_end_failed' }, `what has ended could not be dropped: ${why}`)
      // It has ended already: without a pause this would be tried again at once, and for ever.
      this.#schedule(LOOK_MS_MAX)
    })
  }

  #schedule(waitMsMin = 1): void {
    clearTimeout(this.#timer)
    if (this.#isClosed) return
    let endMs = Number.POSITIVE_INFINITY
    for (const { gone, untilMs } of this.#entries.values()) {
      if (!gone && untilMs !== null) endMs = Math.min(endMs, untilMs)
    }
    if (endMs === Number.POSITIVE_INFINITY) return
    const waitMs = Math.min(LOOK_MS_MAX, Math.max(waitMsMin, endMs - Date.now()))
    this.#timer = setTimeout(() => void this.#dropEnded(), waitMs)
    this.#timer.unref()
  }

  /** The entries that are in force. */
  inForce(): readonly Entry[] {
    const nowMs = Date.now()
    return [...this.#entries.values()].filter((entry) => this.#isOpen(entry, nowMs))
  }

  #isOpen(entry: Entry, nowMs: number): boolean {
    return isOpen(entry, nowMs) && this.endOf(entry) > nowMs
  }

  /** When an entry ends by itself; a pause never later than the configuration lets it last. */
  endOf(entry: Entry): number {
    if (entry.kind === 'rule') return this.#lasting.endOf(entry, Number.POSITIVE_INFINITY)
    const longestMs = this.#options.pauseSecondsMax() * SECOND_MS
    return Math.min(this.#lasting.endOf(entry, longestMs), entry.versionMs + longestMs)
  }

  /**
   * Later than every version that is known here: what is done now is the last word. Versions that
   * other boxes would refuse do not count, or no change of this box would be taken until then.
   */
  nextVersionMs(): number {
    const nowMs = Date.now()
    const latestMs = nowMs < CLOCK_SET_MS ? Number.POSITIVE_INFINITY : nowMs + AHEAD_MS_MAX
    let latest = 0
    for (const { versionMs } of this.#entries.values()) {
      if (versionMs < latestMs) latest = Math.max(latest, versionMs)
    }
    return Math.max(nowMs, latest + 1)
  }

  /** The entry as people and other programs see it. */
  shown(entry: Entry): ShownEntry {
    const { id, site, category, versionMs, user, reason } = entry
    const endMs = this.endOf(entry)
    return {
      id,
      what: entry.kind === 'rule' ? entry.action : 'pause',
      name: entry.kind === 'rule' ? entry.name : null,
      exact: entry.kind === 'rule' && entry.exact,
      site,
      category:
        entry.kind === 'rule' && entry.action === 'deny' ? (category ?? DENIED_CATEGORY) : category,
      since: new Date(versionMs).toISOString(),
      until: Number.isFinite(endMs) ? new Date(endMs).toISOString() : null,
      user,
      reason,
    }
  }
}

function wireOf(name: string): Uint8Array {
  const wire = nameToWire(name)
  // Entries are checked when they are read and made.
  return typeof wire === 'string' ? new Uint8Array(1) : wire
}

function reasonOf(entries: readonly Entry[]): string {
  return [...new Set(entries.map(({ reason }) => reason))].join('; ')
}
