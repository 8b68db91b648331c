/**
 * One worker's link to Redis: whether it answers, and what goes wrong with it. The cache asks
 * `isUp` before it sends anything; everything else happens by itself and only ever counts.
 *
 * Up means that a PING was answered with PONG since the connection stands: a server that loads its
 * data, wants another password or hangs is not up. Every try waits twice as long as the one before,
 * with jitter, so that a fleet does not come back all at once.
 */
import type { Cluster, Redis } from 'ioredis'
import { REDIS, count, type Counters } from '../counters.ts'
import {
  ERROR_FLOOD,
  ERROR_READONLY,
  REDIS_CONNECTIONS,
  REDIS_FAILURES,
  REDIS_UP,
} from '../redis-counters.ts'
import type { RedisSettings } from '../settings.ts'
import { createClient, type RedisClient } from './redis-client.ts'
import { errorKind } from './redis-errors.ts'

const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 2000
const RETRY_DOUBLINGS_MAX = 6
/** Between two PINGs of a connection that does not answer PONG. */
const PING_MS = 250
/** A demoted master is left at most so often for the one that Sentinel names. */
const LEAVE_MS_MIN = 1000
/** Octets since the last reply that no honest server sends: the connection is closed. */
const FLOOD_OCTETS_MAX = 8 * 1024 * 1024

/** What the link tells. */
export interface LinkEvents {
  /** PING was answered: from now on Redis may be used. */
  up(): void
  /** The connection is gone; what was under way has failed or will. */
  down(): void
}

/** The link of one worker, or of the control plane. */
export class RedisLink {
  readonly client: RedisClient
  isUp = false
  readonly #counters: Counters
  readonly #events: LinkEvents
  readonly #sentinel: boolean
  #tries = 0
  #pingTimer: NodeJS.Timeout | undefined
  #octetsSinceReply = 0
  #leftAtMs = 0
  #closed = false

  constructor(settings: RedisSettings, counters: Counters, events: LinkEvents) {
    this.#counters = counters
    this.#events = events
    this.#sentinel = settings.deployment === 'sentinel'
    this.client = createClient(settings, () => this.#retryMs())
    this.client.on('ready', () => this.#ping())
    this.client.on('close', () => this.#lost())
    this.client.on('error', (error) => this.noteError(error))
    if (settings.deployment === 'cluster') {
      this.client.on('+node', (node: Redis) => this.#watch(node))
      this.client.on('node error', (error) => this.noteError(error))
    } else this.#watch(this.single)
  }

  /** The client of one server; the wire of single servers and Sentinel. */
  get single(): Redis {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- by the deployment
    return this.client as Redis
  }

  get cluster(): Cluster {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- by the deployment
    return this.client as Cluster
  }

  /** A reply came: what follows is measured anew. */
  noteReply(): void {
    this.#octetsSinceReply = 0
  }

  /** Counts an error by its kind; leaves a server that has become a replica. */
  noteError(error: unknown): void {
    if (this.#closed) return
    const kind = errorKind(error)
    count(this.#counters, REDIS + REDIS_FAILURES + kind)
    if (kind !== ERROR_READONLY || !this.#sentinel) return
    const nowMs = performance.now()
    if (nowMs - this.#leftAtMs < LEAVE_MS_MIN) return
    this.#leftAtMs = nowMs
    this.client.disconnect(true)
  }

  /** Sends what is written, then closes for good. */
  close(): void {
    this.#closed = true
    this.#setUp(false)
    clearTimeout(this.#pingTimer)
    this.client.disconnect()
  }

  #retryMs(): number {
    const doublings = Math.min(this.#tries++, RETRY_DOUBLINGS_MAX)
    const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** doublings)
    return Math.ceil(waitMs * (0.5 + Math.random() / 2))
  }

  #ping(): void {
    if (this.#closed) return
    clearTimeout(this.#pingTimer)
    this.client.ping().then(
      () => this.#answered(),
      (error: unknown) => {
        this.noteError(error)
        if (this.client.status !== 'ready') return
        this.#pingTimer = setTimeout(() => this.#ping(), PING_MS)
        this.#pingTimer.unref()
      },
    )
  }

  #answered(): void {
    if (this.#closed) return
    this.#tries = 0
    this.noteReply()
    count(this.#counters, REDIS + REDIS_CONNECTIONS)
    this.#setUp(true)
    this.#events.up()
  }

  #lost(): void {
    clearTimeout(this.#pingTimer)
    if (!this.isUp) return
    this.#setUp(false)
    this.#events.down()
  }

  #setUp(isUp: boolean): void {
    this.isUp = isUp
    this.#counters[REDIS + REDIS_UP] = isUp ? 1 : 0
  }

  /**
   * Closes a connection over which comes what no honest server sends: a value of some hundred
   * megabytes must not be read to its end to be refused, and what ioredis's parser cannot take
   * (lists too long or too deep, messages without a channel) it throws out of the event.
   */
  #watch(node: Redis): void {
    node.on('connect', () => {
      this.#octetsSinceReply = 0
      const { stream } = node
      const parsers = stream.listeners('data')
      stream.removeAllListeners('data')
      stream.on('data', (chunk: Buffer) => {
        this.#octetsSinceReply += chunk.length
        let isSound = this.#octetsSinceReply <= FLOOD_OCTETS_MAX
        try {
          if (isSound) for (const parse of parsers) parse.call(stream, chunk)
        } catch {
          isSound = false
        }
        if (isSound) return
        count(this.#counters, REDIS + REDIS_FAILURES + ERROR_FLOOD)
        this.#octetsSinceReply = 0
        stream.destroy()
      })
    })
  }
}
