/**
 * One kind of queries, shown to operators while they look. Nothing is noted unless somebody does. A
 * look ends with its command, after its time, and an hour after the first one began; then the rings
 * of the workers are overwritten. Each look, its end and its reason stand in the audit log.
 */
import type { Logger } from 'pino'
import { OperationalError } from '../../base/errors.ts'
import { HOUR_S, MINUTE_S, SECOND_MS } from '../../base/units.ts'
import type { ObservedKind } from '../../dataplane/observed-queries.ts'
import { DENIED_CATEGORY, PRIVATE_CATEGORY } from '../../dataplane/settings.ts'
import type { ObservedWorkers } from '../admin/administered-server.ts'
import type { Call } from '../admin/route.ts'
import { audit, requireAudit, type Actor } from '../generations/audit.ts'
import { spanText } from '../overrule/duration.ts'
import { readRecord } from './observed-record.ts'
import type { ObserveEnd, ObserveEvent, ObservedQuestion, ObserveWish } from './requests.ts'
import type { ObserverFacts } from './requests.ts'
import { RingReader } from './ring-reader.ts'

const SECONDS_DEFAULT = 10 * MINUTE_S
/** Between two looks into the rings. */
const TICK_MS = 100
const OBSERVERS_MAX = 8
/** What blocks besides the lists. */
const OTHER_CATEGORIES = [DENIED_CATEGORY, PRIVATE_CATEGORY]

/** The server whose queries are looked at. */
export interface ObservedServer {
  readonly workers: ObservedWorkers
  /** The configuration in force. */
  settings(): { readonly observeSecondsMax: number; readonly stateDirectory: string | undefined }
  /** What questions can be told apart by. */
  known(): { readonly categories: readonly string[]; readonly sites: readonly string[] }
}

/** Why a look is over. */
type Ending = 'time' | 'caller' | 'server' | 'configuration'

/** One command that looks. */
interface Observer {
  readonly wish: ObserveWish
  readonly caller: Actor
  /** On the monotonic clock: a clock that is set prolongs nothing. */
  readonly endsMs: number
  /** ISO 8601, for people. */
  readonly until: string
  readonly tell: (event: ObserveEvent) => boolean
  shown: number
  missed: number
  /** Missed, and not told yet. */
  untold: number
  over: (ending: 'time' | 'configuration') => void
}

/** All looks at one kind of queries. */
export class Observation {
  readonly #kind: ObservedKind
  readonly #server: ObservedServer
  readonly #log: Logger
  readonly #observers = new Set<Observer>()
  readonly #readers = new Map<number, RingReader>()
  #endsMs = 0
  #timer: NodeJS.Timeout | undefined
  /** Beginnings and ends, one after the other. */
  #acting: Promise<unknown> = Promise.resolve()

  constructor(kind: ObservedKind, server: ObservedServer, log: Logger) {
    this.#kind = kind
    this.#server = server
    this.#log = log
  }

  /** Who looks at this moment. */
  get observers(): readonly ObserverFacts[] {
    return [...this.#observers].map(({ caller, until, wish: { category, site } }) => {
      return { what: this.#kind, user: caller.user, until, site, category }
    })
  }

  /**
   * Shows the caller what it wishes to see, an event each, until its time is over.
   *
   * @throws OperationalError ERR_OBSERVE where it is forbidden, ERR_USAGE for a wish that cannot be
   *   met, ERR_NO_STATE and ERR_WRITE where it cannot be written down.
   */
  async show({ body, caller, progress, signal }: Call<ObserveWish>): Promise<ObserveEnd> {
    const stateDirectory = this.#require(body)
    await requireAudit(stateDirectory)
    const observer = await this.#inTurn(() => this.#enter(body, caller, progress, stateDirectory))
    const startMs = performance.now()
    let ending: Ending = 'caller'
    try {
      const { endsMs, until } = observer
      const seconds = Math.round((endsMs - startMs) / SECOND_MS)
      const observers = this.#observers.size
      observer.tell({ event: 'started', until, seconds, observers })
      ending = await untilOver(observer, signal)
    } finally {
      await this.#inTurn(() => this.#leave(observer))
      const lastedSeconds = Math.round((performance.now() - startMs) / SECOND_MS)
      await this.#note(stateDirectory, caller, 'observe-end', {
        kind: this.#kind,
        lastedSeconds,
        shown: observer.shown,
        missed: observer.missed,
        endedBy: signal.aborted ? abortedBy(signal) : ending,
      })
    }
    if (ending === 'configuration') throw forbidden()
    return { shown: observer.shown, missed: observer.missed }
  }

  /** Checks the wish; returns where the audit log is. */
  #require({ category, seconds, site }: ObserveWish): string {
    const { observeSecondsMax, stateDirectory } = this.#server.settings()
    if (observeSecondsMax === 0) throw forbidden()
    if (seconds !== null && seconds > observeSecondsMax) {
      const most = spanText(observeSecondsMax * SECOND_MS)
      const why = `questions may be looked at for ${most} at most (admin.observeSecondsMax)`
      throw new OperationalError('ERR_USAGE', `${why}: give a shorter --for`)
    }
    const { categories, sites } = this.#server.known()
    requireKnown('site', site, sites)
    requireKnown('category', category, [...categories, ...OTHER_CATEGORIES])
    if (stateDirectory !== undefined) return stateDirectory
    throw new OperationalError(
      'ERR_NO_STATE',
      'who looks at questions is written down in the audit log, and the server has no state ' +
        'directory to keep it in: start it with --state-dir DIR or the key stateDirectory',
    )
  }

  async #enter(
    wish: ObserveWish,
    caller: Actor,
    tell: (event: object) => boolean,
    stateDirectory: string,
  ): Promise<Observer> {
    if (this.#observers.size >= OBSERVERS_MAX) {
      const why = `${OBSERVERS_MAX} commands look at questions already: end one of them`
      throw new OperationalError('ERR_OBSERVE', why)
    }
    const nowMs = performance.now()
    const isFirst = this.#observers.size === 0
    if (isFirst) this.#endsMs = nowMs + HOUR_S * SECOND_MS
    const { category, reason, site } = wish
    const { observeSecondsMax } = this.#server.settings()
    const seconds = wish.seconds ?? Math.min(SECONDS_DEFAULT, observeSecondsMax)
    const endsMs = Math.min(nowMs + seconds * SECOND_MS, this.#endsMs)
    const until = new Date(Date.now() + endsMs - nowMs).toISOString()
    const kind = this.#kind
    // Before anything is noted: what cannot be told of shall not be done.
    await audit(stateDirectory, caller, 'observe', { kind, seconds, until, site, category, reason })
    this.#log.info(
      { event: 'observed', kind, user: caller.user, until },
      `${caller.user} looks at ${kind} questions until ${until}`,
    )
    if (isFirst) await this.#server.workers.observe(kind, this.#endsMs)
    else this.#read()
    const observer: Observer = {
      wish,
      caller,
      endsMs,
      until,
      tell,
      shown: 0,
      missed: 0,
      untold: 0,
      over: () => undefined,
    }
    this.#observers.add(observer)
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref()
    return observer
  }

  async #leave(observer: Observer): Promise<void> {
    // What came since the last tick is told, or counted as missed.
    this.#read()
    this.#observers.delete(observer)
    if (this.#observers.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#readers.clear()
    await this.#server.workers.observeNoMore(this.#kind)
  }

  #tick(): void {
    this.#read()
    const nowMs = performance.now()
    const isForbidden = this.#server.settings().observeSecondsMax === 0
    for (const observer of this.#observers) {
      this.#tellMissed(observer)
      if (isForbidden) observer.over('configuration')
      else if (nowMs >= observer.endsMs) observer.over('time')
    }
  }

  /** Gives everybody what is new in the workers' rings. */
  #read(): void {
    for (const [slot, memory] of this.#server.workers.observedRings(this.#kind)) {
      let reader = this.#readers.get(slot)
      // A worker that came for one that died has a new ring.
      if (reader?.memory !== memory) reader = new RingReader(memory)
      this.#readers.set(slot, reader)
      const missed = reader.take((record) => this.#give(readRecord(this.#kind, record)))
      for (const observer of this.#observers) this.#miss(observer, missed)
    }
  }

  #give(question: ObservedQuestion): void {
    for (const observer of this.#observers) {
      const { category, site } = observer.wish
      if (site !== null && site !== question.site) continue
      if (category !== null && category !== question.category) continue
      if (observer.tell(question)) observer.shown++
      else this.#miss(observer, 1)
    }
  }

  #miss(observer: Observer, count: number): void {
    observer.missed += count
    observer.untold += count
  }

  #tellMissed(observer: Observer): void {
    if (observer.untold === 0) return
    if (observer.tell({ event: 'missed', count: observer.untold })) observer.untold = 0
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#acting.then(work)
    this.#acting = done.catch(() => undefined)
    return done
  }

  /** The end is over whether it can be written down or not; that it cannot stands in the log. */
  async #note(directory: string, caller: Actor, what: string, facts: object): Promise<void> {
    try {
      await audit(directory, caller, what, facts)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.#log.error({ event: 'audit_failed', what, why }, `${what} is not written down: ${why}`)
    }
  }
}

/** Resolves when the time is over; rejects when the caller goes away, or the server stops. */
function untilOver(observer: Observer, signal: AbortSignal): Promise<'time' | 'configuration'> {
  return new Promise((resolve, reject) => {
    observer.over = resolve
    const abort = (): void => {
      const reason: unknown = signal.reason
      reject(reason instanceof Error ? reason : new Error(String(reason)))
    }
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}

/** The socket aborts with an error of its own when the server stops. */
function abortedBy({ reason }: AbortSignal): Ending {
  return reason instanceof OperationalError ? 'server' : 'caller'
}

function forbidden(): OperationalError {
  const why = 'the configuration forbids to look at questions (admin.observeSecondsMax: 0)'
  return new OperationalError('ERR_OBSERVE', `${why}; niveau3 top without --slow shows counts`)
}

function requireKnown(what: string, wanted: string | null, known: readonly string[]): void {
  if (wanted === null || known.includes(wanted)) return
  const message = `there is no ${what} "${wanted}"; there are: ${known.join(', ')}`
  throw new OperationalError('ERR_USAGE', message)
}
