/**
 * Answers shared through Redis: the tier between memory and upstream. It can save an upstream query
 * and nothing else: what it returns is checked as if a stranger had sent it, and policy decides
 * before and after it.
 *
 * The look-ups of one turn of the event loop travel as one batch, and so do the writes. Redis is
 * read first; after `hedgeMs` the upstream is asked too and the first sound answer wins; after
 * `timeoutMs` the read is a miss. What is on its way is bounded here, because a client library
 * keeps a command that has timed out until the server answers or the connection ends.
 */
import { REDIS, count, type Counters } from '../counters.ts'
import {
  ERROR_SILENCE,
  REDIS_FAILURES,
  REDIS_HEDGED,
  REDIS_HIT,
  REDIS_LOOKUPS,
  REDIS_MISS,
  REDIS_OVERTAKEN,
  REDIS_READS_OPEN,
  REDIS_REJECTED,
  REDIS_REJECTED_VALUES,
  REDIS_TIMEOUT,
  REDIS_UNAVAILABLE,
} from '../redis-counters.ts'
import type { AskedName } from '../query.ts'
import type { RedisSettings } from '../settings.ts'
import type { SocketLoop } from '../../sys/socket-loop.ts'
import type { AnswerFacts } from '../../wire/answer.ts'
import type { ParsedQuery } from '../../wire/query.ts'
import { RedisLink } from './redis-link.ts'
import { Pause } from './redis-pause.ts'
import { countLookups } from './redis-times.ts'
import { ReadBatches, type ReadBatch } from './read-batch.ts'
import { createWire, type RedisWire } from './redis-wire.ts'
import { RedisWarm } from './redis-warm.ts'
import { RedisWrites } from './redis-writes.ts'
import { Seal, type CreateGcm } from './seal.ts'
import { SharedKeys, createViewKey } from './shared-keys.ts'
import type { SharedCacheEvents, SharedVerdict } from './shared-events.ts'
import type { SharedQuestion } from './shared-question.ts'
import { VALUE_OCTETS_MAX } from './shared-value.ts'
import { SOUND, ValueCheck } from './value-check.ts'

/** Batches on their way: 2,048 look-ups; past it a question goes to the upstream at once. */
const BATCHES_MAX = 32
/** Numbers of look-ups start over before they stop being small integers. */
const NUMBER_MAX = 0x3fff_ffff

const NO_RULE = new Uint8Array(0)

/** The Redis tier of one worker. */
export class RedisCache<Question extends SharedQuestion> {
  readonly keys: SharedKeys
  readonly link: RedisLink
  readonly wire: RedisWire
  readonly writes: RedisWrites
  readonly check: ValueCheck
  /** Null where no names are kept hot. */
  readonly warm: RedisWarm | null
  readonly #events: SharedCacheEvents<Question>
  readonly #counters: Counters
  readonly #hedgeMs: number
  readonly #timeoutMs: number
  readonly #pause = new Pause()
  readonly #batches: ReadBatches<Question>
  #batch: ReadBatch<Question>
  #inFlight: ReadBatch<Question>[] = []
  #number = 0
  #isFlushDue = false
  #closed = false
  #timer: NodeJS.Timeout | null = null
  readonly #seal: Seal
  readonly #loop: SocketLoop | undefined
  /** What is written leaves only when Node gets its turn: it is gathered there, or encrypted. */
  readonly #needsNode: boolean
  readonly #keyOfKeys: Uint8Array
  readonly #onFlush: () => void
  readonly #onTimer: () => void
  readonly #onTurn: () => void

  constructor(
    settings: RedisSettings,
    counters: Counters,
    events: SharedCacheEvents<Question>,
    view: string,
    createGcm: CreateGcm,
    loop?: SocketLoop,
  ) {
    this.#events = events
    this.#counters = counters
    this.#loop = loop
    this.#needsNode = settings.deployment === 'cluster' || settings.tls
    this.#hedgeMs = settings.hedgeMs
    this.#timeoutMs = settings.timeoutMs
    const seal = new Seal(settings.secret, 'niveau3 answers', createGcm(VALUE_OCTETS_MAX))
    this.#seal = seal
    this.#keyOfKeys = settings.keyOfKeys
    this.keys = new SharedKeys(createViewKey(settings.keyOfKeys, view), settings.prefix)
    this.#batches = new ReadBatches(this.keys)
    this.#batch = this.#batches.next()
    this.check = new ValueCheck(seal)
    this.link = new RedisLink(settings, counters, {
      up: () => this.warm?.warmUp(),
      down: () => this.#lost(),
    })
    this.wire = createWire(this.link, settings.deployment === 'cluster')
    this.writes = new RedisWrites(this.link, this.wire, this.keys, seal, counters, () =>
      this.#flushLater(),
    )
    this.warm =
      settings.hotNames === 0
        ? null
        : new RedisWarm({
            settings,
            counters,
            keys: this.keys,
            wire: this.wire,
            writes: this.writes,
            check: this.check,
            take: (question, value, facts, storedMs) =>
              events.sharedWarm(question, value, facts, storedMs),
          })
    this.#onFlush = () => this.#flush()
    // Timers run before the sockets are read: an answer that has come already wins.
    this.#onTurn = () => this.#expire()
    this.#onTimer = () => setImmediate(this.#onTurn)
  }

  /** From now on answers count that came from these upstreams: see `answersOf`. */
  setView(view: string): void {
    this.keys.setKey(createViewKey(this.#keyOfKeys, view))
    // What is read still stands under the other view; what will be written does not.
    this.#forgetIds(this.#batch)
    for (const batch of this.#inFlight) this.#forgetIds(batch)
  }

  #forgetIds({ questions, numbers }: ReadBatch<Question>): void {
    for (const [index, question] of questions.entries()) {
      if (question.sharedRead === numbers[index]) question.hasSharedId = false
    }
  }

  /** Looks the question up; false when Redis is not to be asked now, and the upstream is. */
  read(question: Question): boolean {
    if (!this.#isReadable()) {
      count(this.#counters, REDIS + REDIS_LOOKUPS + REDIS_UNAVAILABLE)
      return false
    }
    const id = question.sharedId
    this.keys.writeId(question.key.text, id)
    this.#number = (this.#number % NUMBER_MAX) + 1
    question.hasSharedId = true
    question.sharedRead = this.#number
    const batch = this.#batch
    batch.row.add(id)
    batch.questions.push(question)
    batch.numbers.push(this.#number)
    if (batch.row.isFull) this.#sendReads()
    else this.#flushLater()
    return true
  }

  /**
   * Shares an answer that an upstream gave, with the verdict on it. Nobody waits for it.
   *
   * @param message without OPT, its TTLs within our limits; copied.
   * @param asked holds the name that blocks, when one does, and its rule from `ruleStart` on.
   */
  write(
    question: Question,
    message: Uint8Array,
    facts: AnswerFacts,
    verdict: SharedVerdict,
    asked: AskedName,
    ruleStart: number,
    list: number,
  ): void {
    const writes = this.writes
    if (!writes.isOpen || this.#pause.isOn()) {
      writes.drop()
      return
    }
    const { category, stamp, storedMs, expiresMs } = verdict
    const ageMs = performance.now() - storedMs
    const ttlMs = expiresMs - storedMs - ageMs
    const isBlocked = category >= 0
    const value = writes.value
    value.category = category
    value.list = isBlocked ? list : -1
    value.rule = isBlocked ? asked.octets.subarray(ruleStart, asked.length) : NO_RULE
    value.expiresAtMs = Date.now() + ttlMs
    value.stamp = stamp
    value.question = question.key.text
    value.names = facts.names
    value.namesOctets = facts.namesOctets
    value.ttlOffsets = facts.ttlOffsets
    value.ttlCount = facts.ttlCount
    value.message = message
    value.octets = facts.octets
    writes.add(question, ttlMs)
  }

  /** An answer in memory was used. */
  noteUse(asked: AskedName, query: ParsedQuery): void {
    this.warm?.uses.note(asked, query)
  }

  /** The question needs no answer from Redis any more. */
  forget(question: Question): void {
    if (question.sharedRead !== 0) {
      count(this.#counters, REDIS + REDIS_LOOKUPS + REDIS_OVERTAKEN)
    }
    question.sharedRead = 0
  }

  /** Writes what is to be shared, then closes; nobody hears of open look-ups any more. */
  close(): void {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.warm?.close()
    this.writes.send()
    this.link.close()
    this.#seal.close()
  }

  #isReadable(): boolean {
    if (!this.link.isUp || this.#inFlight.length >= BATCHES_MAX) return false
    return !this.#pause.isOn()
  }

  #flushLater(): void {
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    const loop = this.#loop
    if (loop !== undefined && loop.isInside) {
      if (!this.#needsNode) {
        loop.atTurnEnd(this.#onFlush)
        return
      }
      loop.yieldSoon()
    }
    setImmediate(this.#onFlush)
  }

  #flush(): void {
    this.#isFlushDue = false
    if (!this.#closed) this.#sendReads()
    this.writes.send()
  }

  #sendReads(): void {
    const batch = this.#batch
    if (batch.questions.length === 0) return
    this.#batch = this.#batches.next()
    batch.sentMs = performance.now()
    this.#inFlight.push(batch)
    this.#showOpen(batch.questions.length)
    this.wire.read(batch.row, (error, values) => this.#replied(batch, error, values))
    this.#arm()
  }

  #replied(
    batch: ReadBatch<Question>,
    error: unknown,
    values: readonly (Buffer | null)[] | undefined,
  ): void {
    if (batch.done || this.#closed) return
    const nowMs = performance.now()
    this.#finish(batch)
    if (values === undefined || error !== null) {
      if (error !== null && error !== undefined) this.link.noteError(error)
      if (values === undefined) {
        this.#fail(batch)
        return
      }
    }
    this.link.noteReply()
    this.#batches.keep(batch)
    if (batch.timedOut) this.#pause.heard()
    else this.#pause.end()
    countLookups(this.#counters, batch.questions.length, nowMs - batch.sentMs)
    const wallMs = Date.now()
    for (let index = 0; index < batch.questions.length; index++) {
      const question = batch.questions[index]!
      if (question.sharedRead !== batch.numbers[index]) continue
      question.sharedRead = 0
      const result = this.#take(question, values[index] ?? null, nowMs, wallMs)
      count(this.#counters, REDIS + REDIS_LOOKUPS + result)
      if (result !== REDIS_HIT && !question.isAsked) this.#events.sharedMissed(question)
    }
  }

  #take(question: Question, sealed: Buffer | null, nowMs: number, wallMs: number): number {
    if (sealed === null) return REDIS_MISS
    const check = this.check
    let rejection = check.check(sealed, question.sharedId, question.key.text, nowMs, wallMs)
    if (rejection === SOUND) {
      const { value, facts, storedMs } = check
      rejection = this.#events.sharedFound(question, value, facts, storedMs)
    }
    if (rejection === SOUND) return REDIS_HIT
    count(this.#counters, REDIS + REDIS_REJECTED_VALUES + rejection)
    return REDIS_REJECTED
  }

  /** The connection went: nothing of what is on its way will be answered. */
  #lost(): void {
    if (this.#closed) return
    const batches = this.#inFlight.slice()
    for (const batch of batches) {
      this.#finish(batch)
      this.#fail(batch)
    }
    this.#pause.end()
  }

  #fail(batch: ReadBatch<Question>): void {
    for (let index = 0; index < batch.questions.length; index++) {
      const question = batch.questions[index]!
      if (question.sharedRead !== batch.numbers[index]) continue
      question.sharedRead = 0
      count(this.#counters, REDIS + REDIS_LOOKUPS + REDIS_UNAVAILABLE)
      if (!question.isAsked) this.#events.sharedMissed(question)
    }
  }

  #finish(batch: ReadBatch<Question>): void {
    batch.done = true
    const index = this.#inFlight.indexOf(batch)
    if (index !== -1) this.#inFlight.splice(index, 1)
    this.#showOpen(-batch.questions.length)
  }

  /** Starts the upstream queries that are due, and gives up reads that have taken too long. */
  #expire(): void {
    this.#timer = null
    if (this.#closed) return
    const nowMs = performance.now()
    // What the events do may send further batches: they are not due yet.
    for (const batch of this.#inFlight.slice()) {
      const ageMs = nowMs - batch.sentMs
      if (!batch.hedged && this.#hedgeMs < this.#timeoutMs && ageMs >= this.#hedgeMs) {
        this.#hedge(batch)
      }
      if (!batch.timedOut && ageMs >= this.#timeoutMs) this.#timeOut(batch, nowMs)
    }
    this.#arm()
  }

  #hedge(batch: ReadBatch<Question>): void {
    batch.hedged = true
    for (let index = 0; index < batch.questions.length; index++) {
      const question = batch.questions[index]!
      if (question.sharedRead !== batch.numbers[index]) continue
      count(this.#counters, REDIS + REDIS_HEDGED)
      this.#events.sharedLate(question)
    }
  }

  #timeOut(batch: ReadBatch<Question>, nowMs: number): void {
    batch.timedOut = true
    this.#pause.begin(nowMs)
    count(this.#counters, REDIS + REDIS_FAILURES + ERROR_SILENCE)
    for (let index = 0; index < batch.questions.length; index++) {
      const question = batch.questions[index]!
      if (question.sharedRead !== batch.numbers[index]) continue
      question.sharedRead = 0
      count(this.#counters, REDIS + REDIS_LOOKUPS + REDIS_TIMEOUT)
      if (!question.isAsked) this.#events.sharedMissed(question)
    }
  }

  /** One timer serves all batches: what is due next. */
  #arm(): void {
    if (this.#timer !== null) return
    let dueMs = Infinity
    for (let index = 0; index < this.#inFlight.length; index++) {
      const batch = this.#inFlight[index]!
      if (batch.timedOut) continue
      const hedges = !batch.hedged && this.#hedgeMs < this.#timeoutMs
      dueMs = Math.min(dueMs, batch.sentMs + (hedges ? this.#hedgeMs : this.#timeoutMs))
    }
    if (dueMs === Infinity) return
    this.#timer = setTimeout(this.#onTimer, Math.max(1, Math.ceil(dueMs - performance.now())))
  }

  #showOpen(change: number): void {
    const slot = REDIS + REDIS_READS_OPEN
    this.#counters[slot] = this.#counters[slot]! + change
  }
}
