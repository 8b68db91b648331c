/**
 * What boxes tell each other through Redis: that one of them decides by another policy now. A
 * message is sealed like a value, travels over pub/sub, and the latest one is kept as well, so that
 * a box which was away when it was sent reads it when it is back. Redis is trusted with nothing
 * here either: a message can make a box look, never decide.
 */
import { randomBytes } from 'node:crypto'
import { createCounters } from '../counters.ts'
import type { RedisSettings } from '../settings.ts'
import { NodeGcm } from './node-gcm.ts'
import { RedisLink } from './redis-link.ts'
import { KeyRow } from './redis-rows.ts'
import { createWire, type RedisWire } from './redis-wire.ts'
import { OPENED, Seal, createSealed } from './seal.ts'
import { SharedKeys, createId, createKey } from './shared-keys.ts'

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
/** What could not be told is told again after so long, then twice as long, with jitter. */
const AGAIN_MS_MIN = 250
const AGAIN_DOUBLINGS_MAX = 7
/** The latest announcement is looked at this often, whatever pub/sub has brought. */
const LOOK_MS = 5000
/** Nodes of a cluster come and go in groups. */
const NODES_SETTLE_MS = 200

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
  readonly #keys: SharedKeys
  readonly #latestId: Uint8Array
  readonly #latestKey: string
  readonly #speaker: RedisLink
  readonly #wire: RedisWire
  readonly #listener: RedisLink
  /** When each box spoke last, by its own clock. */
  readonly #heard = new Map<string, number>()
  #own: PolicyAnnouncement | undefined
  /** What has become of our own: it stands under the key; it was published. */
  #isKept = false
  #isTold = false
  #isSpeaking = false
  #isSpeechDue = false
  #tries = 0
  #againTimer: NodeJS.Timeout | undefined
  #lookTimer: NodeJS.Timeout | undefined

  constructor(settings: RedisSettings, hears: FleetListener) {
    this.#hears = hears
    this.#seal = new Seal(settings.secret, 'niveau3 fleet', new NodeGcm(MESSAGE_OCTETS_MAX))
    this.#keys = new SharedKeys(settings.keyOfKeys, settings.prefix)
    this.#channel = `${settings.prefix}fleet`
    this.#latestId = createId(this.#keys, LATEST_QUESTION)
    this.#latestKey = createKey(this.#keys, this.#latestId)
    const counters = createCounters()
    this.#speaker = new RedisLink(settings, counters, {
      up: () => {
        hears.up()
        this.#tries = 0
        this.#speakSoon()
      },
      down: () => hears.down(),
    })
    this.#wire = createWire(this.#speaker, settings.deployment === 'cluster')
    this.#listener = new RedisLink(settings, counters, { up: () => this.#look(), down: () => {} })
    this.#listener.client.on('messageBuffer', (_channel: unknown, message: unknown) => {
      this.#take(message)
    })
    // Of a cluster ioredis listens to one node, and moves to another one without a word.
    this.#listener.client.on('-node', () => this.#lookLater(NODES_SETTLE_MS))
    this.#listener.client.on('+node', () => this.#lookLater(NODES_SETTLE_MS))
    this.#lookLater(LOOK_MS)
  }

  /** Tells all other boxes; again when Redis was away or refused, until it is told. */
  announce(stamp: string, generation: number): void {
    this.#own = { kind: 'policy', stamp, generation, box: this.box, atMs: Date.now() }
    this.#isKept = false
    this.#isTold = false
    this.#tries = 0
    this.#speakSoon()
  }

  close(): void {
    clearTimeout(this.#againTimer)
    clearTimeout(this.#lookTimer)
    this.#speaker.close()
    this.#listener.close()
  }

  /** Subscribes, which does no harm twice, and reads what was announced before. */
  #look(): void {
    this.#lookLater(LOOK_MS)
    // A subscription may hang with its node: what there is is read before it as well as after.
    this.#speakSoon()
    if (!this.#listener.isUp) return
    this.#listener.client.subscribe(this.#channel).then(
      () => this.#speakSoon(),
      (error: unknown) => this.#listener.noteError(error),
    )
  }

  #lookLater(waitMs: number): void {
    clearTimeout(this.#lookTimer)
    this.#lookTimer = setTimeout(() => this.#look(), waitMs * (1 + Math.random() / 2))
    this.#lookTimer.unref()
  }

  /** Hears what was announced last, then says what is not said yet; again if asked meanwhile. */
  #speakSoon(): void {
    this.#isSpeechDue = true
    if (!this.#isSpeaking) void this.#speak()
  }

  async #speak(): Promise<void> {
    this.#isSpeaking = true
    // When Redis comes up, everything is done again.
    while (this.#isSpeechDue && this.#speaker.isUp) {
      this.#isSpeechDue = false
      clearTimeout(this.#againTimer)
      // Whoever spoke last is heard before its words are written over.
      const { error, latest } = await this.#readLatest()
      if (latest !== undefined && latest !== null) this.#take(latest)
      // A Redis that has lost everything gets it back.
      if (latest === null && error === null) this.#isKept = false
      await this.#tell(latest !== undefined && error === null)
    }
    this.#isSpeaking = false
  }

  /** Reads what was announced last: null where there is nothing, undefined where Redis fails. */
  #readLatest(): Promise<{ error: unknown; latest: Buffer | null | undefined }> {
    const row = new KeyRow(this.#keys)
    row.add(this.#latestId)
    return new Promise((resolve) => {
      this.#wire.read(row, (error, values) => {
        if (error !== null && error !== undefined) this.#speaker.noteError(error)
        resolve({ error: error ?? null, latest: values?.[0] })
      })
    })
  }

  /** @param isReadable what was announced last has been read, and may be written over. */
  async #tell(isReadable: boolean): Promise<void> {
    const own = this.#own
    if (own === undefined || (this.#isKept && this.#isTold)) return
    const octets = Buffer.from(JSON.stringify(own))
    const message = createSealed(this.#seal, octets, this.#latestId)
    if (message === null) return
    const { client } = this.#speaker
    // First kept, then told: whoever is told and whoever comes later see the same. A Redis that
    // keeps nothing, for lack of memory or as a replica, still tells.
    const isKept =
      this.#isKept ||
      (isReadable && (await this.#hasDone(client.set(this.#latestKey, message, 'PX', KEPT_MS))))
    const isTold = this.#isTold || (await this.#hasDone(client.publish(this.#channel, message)))
    // Another policy may have come into force meanwhile: its turn is due.
    if (this.#own !== own) return
    if (isTold && !this.#isTold) this.sent++
    this.#isKept = isKept
    this.#isTold = isTold
    if (isKept && isTold) this.#tries = 0
    else this.#speakAgain()
  }

  #speakAgain(): void {
    const doublings = Math.min(this.#tries++, AGAIN_DOUBLINGS_MAX)
    const waitMs = AGAIN_MS_MIN * 2 ** doublings * (0.5 + Math.random() / 2)
    clearTimeout(this.#againTimer)
    this.#againTimer = setTimeout(() => this.#speakSoon(), waitMs)
    this.#againTimer.unref()
  }

  async #hasDone(command: Promise<unknown>): Promise<boolean> {
    try {
      await command
      this.#speaker.noteReply()
      return true
    } catch (error) {
      this.#speaker.noteError(error)
      return false
    }
  }

  /** @param message what a server has sent in a message's place: anything. */
  #take(message: unknown): void {
    this.#listener.noteReply()
    if (!Buffer.isBuffer(message) || message.length > MESSAGE_OCTETS_MAX) return
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
