/**
 * Questions on their way to an upstream: one for all clients that ask the same thing at the same
 * time (merging them is a defence against birthday attacks, RFC 5452 5).
 */
import { HEADER_OCTETS, FLAG_CD, FLAG_RD, OFFSET_FLAGS } from '../../wire/header.ts'
import {
  OFFSET_ANCOUNT,
  OFFSET_ARCOUNT,
  OFFSET_NSCOUNT,
  OFFSET_QDCOUNT,
  writeU16,
} from '../../wire/header.ts'
import { CLASS_IN, TYPE_NS, TYPE_OPT } from '../../wire/codes.ts'
import { QUESTION_END_MAX, type ParsedQuery } from '../../wire/query.ts'
import type { Waiter } from '../query.ts'
import { QuestionKey } from '../question-key.ts'
import type { Attempt } from './attempt.ts'
import { Timed } from './timer-wheel.ts'

const OPT_OCTETS = 11
/** Octets behind the question's own for the option of `edns.clientSubnet`, IPv6 whole. */
const SUBNET_OCTETS_MAX = 24
const FLAG_DO = 0x8000
/** Digits of a place in the shared cache. */
const SHARED_ID_OCTETS = 32
/** Any reply to a probe will do, a cut one too. */
const PROBE_UDP_OCTETS = 512
/** No upstream was asked yet. */
export const NO_UPSTREAM = -1
/** Clients of the question wait as long as it takes. */
export const NO_WAIT = -1

/**
 * One question that waits for an upstream. Reused. It waits in the wheel while clients have the
 * patience to wait for it.
 */
export class Pending extends Timed {
  /**
   * The query that goes out: rebuilt from the parsed question, never the client's octets (RFC 5625
   * 4).
   */
  readonly message = new Uint8Array(QUESTION_END_MAX + OPT_OCTETS + SUBNET_OCTETS_MAX)
  octets = 0
  questionEnd = 0
  /** Over the name in `message`. */
  readonly key = new QuestionKey(this.message, HEADER_OCTETS)
  /** The next open question with a hash that is much the same. */
  nextOpen: Pending | null = null
  /** The policy stamp under which its name was let through. */
  stamp = ''
  /** Its place in the shared cache, and the number of the look-up it waits for; 0: none. */
  readonly sharedId = new Uint8Array(SHARED_ID_OCTETS)
  hasSharedId = false
  sharedRead = 0
  /** It was given to the forwarder, which works on it. */
  isAsked = false

  /** Clients that wait, last come first. */
  waiters: Waiter | null = null
  waiterCount = 0

  startedMs = 0
  /** Its tries that are still valid, the last one first. */
  attempts: Attempt | null = null
  attemptCount = 0
  /** The upstream that was asked last, and how many tries there were. */
  upstream = NO_UPSTREAM
  tries = 0
  /** True from the first send until it is answered or has failed. */
  open = false
  /** It belongs to an upstream, and nobody waits for it. */
  isProbe = false
  /** Counts how often the record was used: whoever holds on to it sees that it is another one. */
  serial = 0
  /** How long its clients wait until `ForwardEvents.outwaited`, or `NO_WAIT`. */
  waitMs = NO_WAIT
  /** Its clients got a stale answer, and so do those who come now: it is a refresh. */
  servedStale = false

  /** Writes the outgoing query for a client's question. */
  fill(asked: QuestionKey, query: ParsedQuery, udpOctetsMax: number): void {
    const message = this.message
    const { octets, nameStart, nameOctets } = asked
    this.key.set(nameOctets, asked.type, asked.flags, asked.hash)
    writeU16(message, OFFSET_FLAGS, FLAG_RD | (query.rdAndCd & FLAG_CD))
    for (let i = 0; i < nameOctets; i++) message[HEADER_OCTETS + i] = octets[nameStart + i]!
    this.#finish(udpOctetsMax, query.dnssecOk ? FLAG_DO : 0)
    this.waiters = null
    this.waiterCount = 0
    this.hasSharedId = false
    this.sharedRead = 0
    this.isAsked = false
    this.upstream = NO_UPSTREAM
    this.tries = 0
    this.open = true
    this.serial++
    this.waitMs = NO_WAIT
    this.servedStale = false
  }

  /** Makes it a probe: `. NS`, which every resolver knows and no client has asked. */
  fillProbe(): void {
    this.isProbe = true
    this.key.set(1, TYPE_NS, 0, 0)
    writeU16(this.message, OFFSET_FLAGS, FLAG_RD)
    this.message[HEADER_OCTETS] = 0
    this.#finish(PROBE_UDP_OCTETS, 0)
  }

  /** Writes what stands around the name. */
  #finish(udpOctetsMax: number, ednsFlags: number): void {
    const message = this.message
    const { nameOctets, type } = this.key
    const nameEnd = HEADER_OCTETS + nameOctets
    writeU16(message, OFFSET_QDCOUNT, 1)
    writeU16(message, OFFSET_ANCOUNT, 0)
    writeU16(message, OFFSET_NSCOUNT, 0)
    writeU16(message, OFFSET_ARCOUNT, 1)
    writeU16(message, nameEnd, type)
    writeU16(message, nameEnd + 2, CLASS_IN)
    const at = nameEnd + 4
    this.questionEnd = at
    message[at] = 0
    writeU16(message, at + 1, TYPE_OPT)
    writeU16(message, at + 3, udpOctetsMax)
    writeU16(message, at + 5, 0)
    writeU16(message, at + 7, ednsFlags)
    writeU16(message, at + 9, 0)
    this.octets = at + OPT_OCTETS
  }

  /** True when a try is under way whose time is not over. */
  get hasTimelyTry(): boolean {
    for (let at = this.attempts; at !== null; at = at.next) if (!at.overdue) return true
    return false
  }

  /** True when a try at this upstream is under way. */
  hasTryAt(upstream: number): boolean {
    for (let at = this.attempts; at !== null; at = at.next) {
      if (at.upstream.index === upstream) return true
    }
    return false
  }

  addWaiter(waiter: Waiter): void {
    waiter.next = this.waiters
    this.waiters = waiter
    this.waiterCount++
  }
}
