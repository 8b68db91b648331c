/**
 * Rules and pauses of a fleet: one sealed state in Redis that every box merges with its own. The
 * later version of an entry wins and what is gone stays known, so it does not matter who writes
 * when, what Redis loses, or that it hands out an old state again. A box that was away merges when
 * it is back, and tells what it has done meanwhile.
 *
 * Boxes look at a mark that changes with the state, every two seconds: announcements would be heard
 * sooner by little, and lost with the connection.
 */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import type { Logger } from 'pino'

import { DAY_S, MiB, SECOND_MS } from '../../base/units.ts'
import { RedisLink } from '../../dataplane/cache/redis-link.ts'
import { createCounters } from '../../dataplane/counters.ts'
import type { RedisSettings } from '../../dataplane/settings.ts'
import { currentActor } from '../generations/audit.ts'
import {
  ENTRIES_MAX,
  GONE_MAX,
  isForgettable,
  isNewer,
  OverruleState,
  type Entry,
} from '../overrule/entry.ts'
import type { OverruleStore } from '../overrule/overrule-store.ts'
import { SealedValues } from './sealed-values.ts'

const LOOK_MS = 2 * SECOND_MS
/** Boxes that start together do not look together. */
const JITTER_SHARE = 0.2
const KEPT_MS = 31 * DAY_S * SECOND_MS
/** 10,000 entries in force and as many gone ones have half of it. */
const PACKED_OCTETS_MAX = 2 * MiB
const TEXT_OCTETS_MAX = 64 * MiB
const MARK_TEXT = '\u00ffrules mark'
const STATE_TEXT = '\u00ffrules'

/** Sealed with our secret, and nothing that this version knows. */
const UNREADABLE = 'unreadable'
/** No revision of a store: the state is read, whatever the mark. */
const UNKNOWN = -1

const pack = promisify(gzip)
const unpack = promisify(gunzip)

/** What came of looking, since the start. */
export interface SharedRulesCounts {
  /** Entries that have changed here by what another box has done. */
  readonly merged: number
  /** Values that nobody with our secret has sealed, and states or entries that make no sense. */
  readonly refused: { readonly seal: number; readonly format: number }
  /** Times that this box has told something that the fleet did not know. */
  readonly told: number
  /** Unix time of the last look that Redis answered; undefined before. */
  readonly lookedAtSeconds: number | undefined
}

/** What the fleet knows, and the mark that belongs to it. */
interface MarkedState {
  readonly entries: readonly Entry[]
  readonly mark: string
}

function markOf(packed: Uint8Array): string {
  return createHash('sha256').update(packed).digest('hex')
}

/** One box's part; from `start` to `stop`. */
export class SharedRules {
  readonly #store: OverruleStore
  readonly #log: Logger
  readonly #link: RedisLink
  readonly #values: SealedValues
  readonly #refused = { seal: 0, format: 0 }
  #merged = 0
  #told = 0
  #lookedAtMs: number | undefined
  #timer: NodeJS.Timeout | undefined
  #isStopped = false
  #isLooking = false
  #isLookWanted = false
  /**
   * The mark and our revision when both were the same; a box knows neither that has just started,
   * or has told something and not read it back.
   */
  #mark: string | undefined
  #revision = UNKNOWN
  /** A value that was refused is counted once, however often it is looked at. */
  #refusedDigest = ''

  constructor(settings: RedisSettings, store: OverruleStore, log: Logger) {
    this.#store = store
    this.#log = log
    this.#link = new RedisLink(settings, createCounters(), {
      up: () => void this.#look(),
      down: () => undefined,
    })
    const purpose = 'niveau3 fleet rules'
    this.#values = new SealedValues(this.#link, settings, purpose, PACKED_OCTETS_MAX)
    store.onChange(() => void this.#look())
    this.#schedule()
  }

  get counts(): SharedRulesCounts {
    const lookedAtSeconds = this.#lookedAtMs && this.#lookedAtMs / SECOND_MS
    const refused = { ...this.#refused }
    return { merged: this.#merged, refused, told: this.#told, lookedAtSeconds }
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#link.close()
    this.#values.close()
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.#isStopped) return
    const waitMs = LOOK_MS * (1 + Math.random() * JITTER_SHARE)
    this.#timer = setTimeout(() => void this.#look(), waitMs)
    this.#timer.unref()
  }

  /** One look at a time; what changes during one leads to another. */
  async #look(): Promise<void> {
    if (this.#isStopped || !this.#link.isUp) {
      this.#schedule()
      return
    }
    this.#isLookWanted = true
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      while (this.#isLookWanted && !this.#isStopped) {
        this.#isLookWanted = false
        await this.#lookOnce()
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.#log.warn({ event: 'fleet_rules_failed' }, `rules of the fleet: ${why}`)
    } finally {
      this.#isLooking = false
      this.#schedule()
    }
  }

  async #lookOnce(): Promise<void> {
    const mark = (await this.#read(MARK_TEXT))?.toString('latin1')
    const { revision } = this.#store
    this.#lookedAtMs = Date.now()
    if (mark === this.#mark && revision === this.#revision) return
    const theirs = await this.#readState()
    if (theirs === UNREADABLE) {
      // Boxes of another version understand it: it is not written over.
      this.#mark = mark
      this.#revision = revision
      return
    }
    if (theirs !== undefined) await this.#merge(theirs.entries)
    const known = new Map(theirs?.entries.map((entry) => [entry.id, entry]))
    const nowMs = Date.now()
    const { revision: merged, entries } = this.#store.exportState()
    const news = entries.filter(
      (entry) => !isForgettable(entry, nowMs) && isNewer(entry, known.get(entry.id)),
    )
    // State and mark are two writes: where two boxes wrote at once, or one went away between
    // them, the mark is not that of the state, and nobody else may ever look.
    const isMarked = theirs === undefined || theirs.mark === mark
    const isTold = news.length > 0 || !isMarked
    if (isTold) await this.#tell(known, news)
    this.#mark = mark
    // What was told is looked at once more: another box may have written over it.
    this.#revision = isTold ? UNKNOWN : merged
  }

  /** Takes what is newer there; guards, limits and clocks are the store's matter. */
  async #merge(entries: readonly Entry[]): Promise<void> {
    const state = { schema: 'niveau3.overrule/1', revision: 0, entries }
    const who = { ...currentActor('fleet'), user: 'fleet' }
    const { changed, refused } = await this.#store.importState(state, who)
    this.#merged += changed.length
    this.#refused.format += refused
  }

  /** Writes what all know and what we know better, and its mark. */
  async #tell(known: Map<string, Entry>, news: readonly Entry[]): Promise<void> {
    for (const entry of news) known.set(entry.id, entry)
    const nowMs = Date.now()
    const entries = [...known.values()].filter((entry) => !isForgettable(entry, nowMs))
    const state = { schema: 'niveau3.overrule/1', revision: 0, entries }
    const packed = await pack(JSON.stringify(state))
    const isTooMany = entries.length > ENTRIES_MAX + GONE_MAX
    if (isTooMany || packed.length > PACKED_OCTETS_MAX) throw new Error('too many for one fleet')
    await this.#values.write(STATE_TEXT, packed, KEPT_MS)
    await this.#values.write(MARK_TEXT, Buffer.from(markOf(packed), 'latin1'), KEPT_MS)
    this.#told += 1
  }

  /** Undefined where there is none. */
  async #readState(): Promise<MarkedState | typeof UNREADABLE | undefined> {
    const packed = await this.#read(STATE_TEXT)
    if (packed === undefined) return undefined
    try {
      const text = await unpack(packed, { maxOutputLength: TEXT_OCTETS_MAX })
      const { entries } = OverruleState.parse(JSON.parse(text.toString('utf8')))
      return { entries, mark: markOf(packed) }
    } catch {
      this.#refuse('format', packed)
      return UNREADABLE
    }
  }

  #refuse(reason: 'seal' | 'format', octets: Uint8Array): void {
    const digest = markOf(octets)
    if (digest === this.#refusedDigest) return
    this.#refusedDigest = digest
    this.#refused[reason] += 1
    const facts = { event: 'fleet_rules_refused', reason }
    this.#log.warn(facts, 'what lies in the shared cache as rules of the fleet is not taken')
  }

  /** Undefined for what is not there, or that nobody with our secret has sealed. */
  async #read(text: string): Promise<Buffer | undefined> {
    const value = await this.#values.read(text)
    if (value.kind === 'foreign') this.#refuse('seal', value.sealed)
    return value.kind === 'opened' ? value.octets : undefined
  }
}
