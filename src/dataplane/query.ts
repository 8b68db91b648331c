/**
 * The records of a query on its way: the asked name in the form that every step uses, and the query
 * that waits for an upstream. All are made once and reused.
 */
import { FOLD, LABELS_MAX, NAME_OCTETS_MAX } from '../wire/name.ts'
import { ParsedQuery, QUESTION_END_MAX } from '../wire/query.ts'
import { SITE_DEFAULT, type Client } from './client.ts'
import { HASH_START, HASH_STEP, QuestionKey, questionHashOf } from './question-key.ts'

const KEY_DO = 1
const KEY_CD = 2
const FLAG_CD = 0x0010

/** The asked name, folded to lower case, with the offsets of its labels. One per worker. */
export class AskedName {
  /** The wire name, lower case, from octet 0. */
  readonly octets = new Uint8Array(NAME_OCTETS_MAX)
  readonly #text = Buffer.from(this.octets.buffer)
  readonly #key = new QuestionKey(this.octets, 0)
  /** Octets of the name, the root octet included. */
  length = 0
  /** Where each label's length octet stands in `octets`, first label first; the root is not one. */
  readonly labelStarts = new Uint8Array(LABELS_MAX)
  labels = 0
  /** Hash of the name, for tables that compare the octets afterwards (FNV-1a). */
  hash = 0

  /** Takes the name at `start`, which `parseQuery` (or `expandName`) has found well formed. */
  take(message: Uint8Array, start: number): void {
    const octets = this.octets
    let labels = 0
    let at = 0
    let hash = HASH_START
    while (at < NAME_OCTETS_MAX) {
      const labelOctets = message[start + at]!
      octets[at] = labelOctets
      if (labelOctets === 0) break
      hash = Math.imul(hash ^ labelOctets, HASH_STEP)
      this.labelStarts[labels++] = at
      const end = at + labelOctets
      while (at < end) {
        at++
        const octet = FOLD[message[start + at]!]!
        octets[at] = octet
        hash = Math.imul(hash ^ octet, HASH_STEP)
      }
      at++
    }
    this.length = at + 1
    this.labels = labels
    // The low bits of FNV are its weak ones, and they pick the slot.
    this.hash = hash ^ (hash >>> 15)
  }

  /**
   * Returns the name from its label `first` on as a string of octets, for exact look-ups in a Set
   * or Map.
   */
  suffix(first: number): string {
    const start = first < this.labels ? this.labelStarts[first]! : this.length - 1
    return this.#text.toString('latin1', start, this.length)
  }

  /** Returns the part of the key that the flags make: DO and CD. */
  keyFlags(query: ParsedQuery): number {
    return (query.dnssecOk ? KEY_DO : 0) | ((query.rdAndCd & FLAG_CD) === 0 ? 0 : KEY_CD)
  }

  /** Returns a hash of all that `key` holds. */
  questionHash(query: ParsedQuery): number {
    return questionHashOf(this.hash, query.type, this.keyFlags(query))
  }

  /** Returns the key of the question, which holds until the next name is taken. */
  key(query: ParsedQuery): QuestionKey {
    const flags = this.keyFlags(query)
    this.#key.set(this.length, query.type, flags, questionHashOf(this.hash, query.type, flags))
    return this.#key
  }
}

/**
 * Where an answer goes: a UDP listener, which has to know the client's address, or a TCP
 * connection.
 */
export interface ReplySink {
  /** Keeps in `waiter` where the query that is being handled came from, its client included. */
  hold(waiter: Waiter): void
  /**
   * Sends the first `octets` of `reply`, a buffer that is reused after the call; false when the
   * client is gone or the socket refuses.
   */
  send(reply: Uint8Array, octets: number, waiter: Waiter): boolean
}

/** Octets of the larger socket address, `sockaddr_in6`. */
export const SOCKET_ADDRESS_OCTETS_MAX = 28

/** A client's query that waits for an upstream. */
export class Waiter {
  readonly query = new ParsedQuery(new Uint8Array(QUESTION_END_MAX))
  sink: ReplySink | null = null
  /** The client of a `dgram` listener. */
  address = ''
  port = 0
  /** The client of a batched listener: its socket address as the system writes it. */
  readonly peer = new Uint8Array(SOCKET_ADDRESS_OCTETS_MAX)
  peerOctets = 0
  /** Site, its name and key of the client, as its `Client` had them. */
  site = SITE_DEFAULT
  siteName = ''
  clientKey = 0
  /** One of `PROTO_*`. */
  proto = 0
  /** The network of the client's address, 24 bits each, for the observer of that number. */
  prefixHigh = 0
  prefixLow = 0
  prefixOctets = 0
  observer = 0
  receivedMs = 0
  /** The next waiter for the same question. */
  next: Waiter | null = null

  /** Keeps of the client what is needed when its answer comes. */
  takeClient(client: Client): void {
    this.site = client.site
    this.siteName = client.siteName
    this.clientKey = client.key
    this.proto = client.proto
  }
}
