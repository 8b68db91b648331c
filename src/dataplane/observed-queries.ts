/**
 * What an operator may look at for a while, noted by one worker: blocked questions with the network
 * of their client, and slow ones without any client and with the end of their name only. Off by
 * default: then there is none of this, and a query pays for one look at a field.
 */
import { HEADER_OCTETS } from '../wire/header.ts'
import { QUESTION_FIXED_OCTETS, type ParsedQuery } from '../wire/query.ts'
import { LABELS_MAX } from '../wire/name.ts'
import type { Client } from './client.ts'
import { ObservedRing, RECORD, RECORD_OCTETS, WORD_OCTETS_MAX } from './observed-ring.ts'
import type { Waiter } from './query.ts'

/** What can be observed. */
export type ObservedKind = 'blocked' | 'slow'

/** One kind of queries that a worker is to note, from now on. */
export interface ObservedStart {
  readonly kind: ObservedKind
  readonly ring: SharedArrayBuffer
  /** It ends by itself after that, whatever becomes of the control plane. */
  readonly remainingMs: number
}

/** From this wait on a question is slow. */
export const SLOW_MS = 500
/** Labels that are kept of a slow name: the zone is slow, not the host. */
const SLOW_LABELS_MAX = 4
/** Octets of an address that are kept: a network of many clients. */
const PREFIX_IPV4_OCTETS = 3
const PREFIX_IPV6_OCTETS = 6
const IPV4_OCTETS = 4
const NO_CATEGORY = new Uint8Array(0)

/** The recorder of one worker, made when an observation begins. */
export class ObservedQueries {
  readonly #record = new Uint8Array(RECORD_OCTETS)
  readonly #view = new DataView(this.#record.buffer)
  readonly #clockOffsetMs = Date.now() - performance.now()
  /** Tells waiters of this recorder from those of one before it. */
  readonly #id: number
  #blocked: ObservedRing | null = null
  #blockedEndsMs = 0
  #slow: ObservedRing | null = null
  #slowEndsMs = 0
  #proto = 0
  #receivedMs = 0

  /** @param id another one for every recorder of the worker, above 0. */
  constructor(id: number) {
    this.#id = id
  }

  /** Notes one more kind, or that kind into another ring. */
  begin({ kind, remainingMs, ring }: ObservedStart): void {
    const endsMs = performance.now() + remainingMs
    if (kind === 'blocked') {
      this.#blocked = createRing(ring)
      this.#blockedEndsMs = endsMs
    } else {
      this.#slow = createRing(ring)
      this.#slowEndsMs = endsMs
    }
  }

  /** Notes a kind no more; false when nothing is left to be noted. */
  end(kind: ObservedKind): boolean {
    if (kind === 'blocked') this.#blocked = null
    else this.#slow = null
    this.#record.fill(0)
    return this.#blocked !== null || this.#slow !== null
  }

  /** The queries that are answered from here on are this client's. */
  takeClient(client: Client, receivedMs: number): void {
    const record = this.#record
    const octets = prefixOctetsOf(client)
    record[RECORD.prefixOctets] = octets
    for (let i = 0; i < PREFIX_IPV6_OCTETS; i++) {
      record[RECORD.prefix + i] = i < octets ? client.octets[client.at + i]! : 0
    }
    this.#proto = client.proto
    this.#receivedMs = receivedMs
  }

  /** Keeps the network of the client that is being handled with the query that waits. */
  hold(waiter: Waiter): void {
    const record = this.#record
    waiter.observer = this.#id
    waiter.prefixOctets = record[RECORD.prefixOctets]!
    waiter.prefixHigh = this.#number24(RECORD.prefix)
    waiter.prefixLow = this.#number24(RECORD.prefix + PREFIX_IPV4_OCTETS)
  }

  /** The reply that is written from here on is this waiter's. */
  takeWaiter(waiter: Waiter): void {
    const record = this.#record
    // One that has waited since before the observation has kept no network.
    const isOurs = waiter.observer === this.#id
    record[RECORD.prefixOctets] = isOurs ? waiter.prefixOctets : 0
    this.#putNumber24(RECORD.prefix, isOurs ? waiter.prefixHigh : 0)
    this.#putNumber24(RECORD.prefix + PREFIX_IPV4_OCTETS, isOurs ? waiter.prefixLow : 0)
    this.#proto = waiter.proto
    this.#receivedMs = waiter.receivedMs
  }

  /** Notes a block; `code` is that of its reply. */
  noteBlocked(query: ParsedQuery, category: Uint8Array, site: string, code: number): void {
    const ring = this.#blocked
    if (ring === null) return
    const nowMs = performance.now()
    if (nowMs >= this.#blockedEndsMs) return
    this.#putName(query.message, HEADER_OCTETS, query.questionEnd - QUESTION_FIXED_OCTETS)
    this.#write(ring, query, category, site, code, nowMs)
  }

  /** Notes a question whose client has waited long; of the client nothing. */
  noteSlow(query: ParsedQuery, site: string, code: number, nowMs: number): void {
    const ring = this.#slow
    if (ring === null || nowMs - this.#receivedMs < SLOW_MS || nowMs >= this.#slowEndsMs) return
    this.#record[RECORD.prefixOctets] = 0
    this.#record.fill(0, RECORD.prefix, RECORD.categoryOctets)
    const start = zoneStart(query.message)
    this.#putName(query.message, start, query.questionEnd - QUESTION_FIXED_OCTETS)
    this.#write(ring, query, NO_CATEGORY, site, code, nowMs)
  }

  #write(
    ring: ObservedRing,
    query: ParsedQuery,
    category: Uint8Array,
    site: string,
    code: number,
    nowMs: number,
  ): void {
    const record = this.#record
    const view = this.#view
    view.setFloat32(RECORD.tookMs, nowMs - this.#receivedMs, true)
    view.setFloat64(RECORD.at, nowMs + this.#clockOffsetMs, true)
    view.setUint16(RECORD.type, query.type, true)
    view.setUint16(RECORD.code, code, true)
    record[RECORD.proto] = this.#proto
    const categoryOctets = Math.min(category.length, WORD_OCTETS_MAX)
    record[RECORD.categoryOctets] = categoryOctets
    for (let i = 0; i < categoryOctets; i++) record[RECORD.category + i] = category[i]!
    const siteOctets = Math.min(site.length, WORD_OCTETS_MAX)
    record[RECORD.siteOctets] = siteOctets
    for (let i = 0; i < siteOctets; i++) record[RECORD.site + i] = site.charCodeAt(i)
    ring.write(record)
  }

  #putName(message: Uint8Array, start: number, end: number): void {
    const record = this.#record
    record[RECORD.nameOctets] = end - start
    for (let i = start; i < end; i++) record[RECORD.name + i - start] = message[i]!
    // Nothing of a longer name before this one.
    record.fill(0, RECORD.name + end - start)
  }

  #number24(at: number): number {
    const record = this.#record
    return (record[at]! << 16) | (record[at + 1]! << 8) | record[at + 2]!
  }

  #putNumber24(at: number, number: number): void {
    const record = this.#record
    record[at] = number >>> 16
    record[at + 1] = number >>> 8
    record[at + 2] = number
  }
}

function createRing(memory: SharedArrayBuffer): ObservedRing {
  return new ObservedRing(memory)
}

function prefixOctetsOf(client: Client): number {
  if (client.addressOctets === IPV4_OCTETS) return PREFIX_IPV4_OCTETS
  return client.addressOctets === 0 ? 0 : PREFIX_IPV6_OCTETS
}

/** Where the last labels of the question's name begin. */
function zoneStart(message: Uint8Array): number {
  let labels = 0
  for (let at = HEADER_OCTETS; message[at] !== 0 && labels < LABELS_MAX; at += message[at]! + 1) {
    labels++
  }
  let at = HEADER_OCTETS
  for (; labels > SLOW_LABELS_MAX; labels--) at += message[at]! + 1
  return at
}
