/**
 * What boxes tell each other through Redis: that one of them decides by another policy now. A
 * message is sealed like a value, travels over pub/sub, and the latest one is kept as well, so that
 * a box which was away when it was sent reads it when it is back. Redis is trusted with nothing
 * here either: a message can make a box look, never decide.
 */
import { randomBytes } from 'node:crypto'
import { createCounters } from '../counters.ts'
import type { RedisSettings } from '../settings.ts'
import { RedisLink } from './redis-link.ts'
import { createWire, type RedisWire } from './redis-wire.ts'
import { OPENED, Seal } from './seal.ts'
import { SharedKeys } from './shared-keys.ts'

/** A policy that a box has begun to decide by. */
export interface PolicyAnnouncement {
  readonly kind: 'policy'
  /** Digest of the policy; equality of policies is equality of this. */
  readonly stamp: string
  /** Number of the policy on that box, for people. */
  readonly generation: number
  /** The box, by a number that it drew when it started. */
  readonly box: string
  /** Wall clock of that box. */
  readonly atMs: number
}

/** The latest announcement is kept for a month: longer than any box is away and then believed. */
const KEPT_MS = 31 * 24 * 3600 * 1000
const LATEST_QUESTION = '\u00ffpolicy'
const BOX_OCTETS = 8
const MESSAGE_OCTETS_MAX = 4096
/** Boxes whose last message is remembered; past it the table starts over. */
const BOXES_MAX = 1000

/** What a box hears. */
export interface FleetListener {
  /** Another box has announced a policy; each announcement comes once. */
  policy(announcement: PolicyAnnouncement): void
  /** Redis answers the control plane; the workers have connections of their own. */
  up(): void
  /** Redis is gone, after it was there. */
  down(): void
}

/** One box's part in the fleet; lives in the control plane. */
export class FleetEvents {
  readonly box = randomBytes(BOX_OCTETS).toString('hex')
  sent = 0
  received = 0
  readonly #hears: FleetListener
  readonly #seal: Seal
  readonly #channel: string
  readonly #latestId: string
  readonly #latestKey: string
  readonly #speaker: RedisLink
  readonly #wire: RedisWire
  readonly #listener: RedisLink
  /** When each box spoke last, by its own clock. */
  readonly #heard = new Map<string, number>()
  #own: PolicyAnnouncement | undefined
  #isOwnSent = false

  constructor(settings: RedisSettings, hears: FleetListener) {
    this.#hears = hears
    this.#seal = new Seal(settings.secret, 'niveau3 fleet')
    const keys = new SharedKeys(settings.keyOfKeys, settings.prefix)
    this.#channel = `${settings.prefix}fleet`
    this.#latestId = keys.id(LATEST_QUESTION)
    this.#latestKey = keys.keyOf(this.#latestId)
    const counters = createCounters()
    this.#speaker = new RedisLink(settings, counters, {
      up: () => {
        hears.up()
        this.#speak()
      },
      down: () => hears.down(),
    })
    this.#wire = createWire(this.#speaker, settings.deployment === 'cluster')
    this.#listener = new RedisLink(settings, counters, { up: () => this.#listen(), down: () => {} })
    this.#listener.client.on('messageBuffer', (_channel: Buffer, message: Buffer) => {
      this.#take(message)
    })
  }

  /** Tells all other boxes; again when Redis was away, until it is told. */
  announce(stamp: string, generation: number): void {
    this.#own = { kind: 'policy', stamp, generation, box: this.box, atMs: Date.now() }
    this.#isOwnSent = false
    this.#speak()
  }

  close(): void {
    this.#speaker.close()
    this.#listener.close()
  }

  #speak(): void {
    if (this.#own === undefined || this.#isOwnSent || !this.#speaker.isUp) return
    // Whoever spoke last is heard before its words are written over.
    this.#wire.read([this.#latestKey], (_error, values) => {
      const latest = values?.[0]
      if (latest) this.#take(latest)
      if (values !== undefined) void this.#tell()
    })
  }

  async #tell(): Promise<void> {
    const own = this.#own
    if (own === undefined || this.#isOwnSent) return
    const message = this.#seal.seal(Buffer.from(JSON.stringify(own)), this.#latestId)
    const { client } = this.#speaker
    try {
      // First kept, then told: whoever is told and whoever comes later see the same.
      await client.set(this.#latestKey, message, 'PX', KEPT_MS)
      await client.publish(this.#channel, message)
    } catch (error) {
      this.#speaker.noteError(error)
      return
    }
    this.#speaker.noteReply()
    this.sent++
    if (this.#own === own) this.#isOwnSent = true
  }

  /** Subscribes, then reads what was announced before. */
  #listen(): void {
    this.#listener.client.subscribe(this.#channel).then(
      () => this.#catchUp(),
      (error: unknown) => this.#listener.noteError(error),
    )
  }

  #catchUp(): void {
    if (!this.#speaker.isUp) {
      setTimeout(() => this.#catchUp(), CATCH_UP_MS).unref()
      return
    }
    this.#wire.read([this.#latestKey], (_error, values) => {
      const message = values?.[0]
      if (message) this.#take(message)
    })
  }

  #take(message: Buffer): void {
    this.#listener.noteReply()
    if (message.length > MESSAGE_OCTETS_MAX) return
    if (this.#seal.unseal(message, this.#latestId) !== OPENED) return
    const announcement = parse(this.#seal.opened)
    if (announcement === undefined || announcement.box === this.box) return
    const heardMs = this.#heard.get(announcement.box) ?? -Infinity
    if (announcement.atMs <= heardMs) return
    if (this.#heard.size >= BOXES_MAX) this.#heard.clear()
    this.#heard.set(announcement.box, announcement.atMs)
    this.received++
    this.#hears.policy(announcement)
  }
}

/** The two connections come about one after the other, in either order. */
const CATCH_UP_MS = 100

/** Another version of niveau3 may say things that this one does not know. */
function parse(octets: Buffer): PolicyAnnouncement | undefined {
  try {
    const said: unknown = JSON.parse(octets.toString('utf8'))
    return isPolicy(said) ? said : undefined
  } catch {
    return undefined
  }
}

function isPolicy(said: unknown): said is PolicyAnnouncement {
  if (typeof said !== 'object' || said === null) return false
  const fields = new Map<string, unknown>(Object.entries(said))
  const isText = (name: string): boolean => typeof fields.get(name) === 'string'
  const isNumber = (name: string): boolean => Number.isFinite(fields.get(name))
  return (
    fields.get('kind') === 'policy' &&
    isText('stamp') &&
    isText('box') &&
    isNumber('generation') &&
    isNumber('atMs')
  )
}
