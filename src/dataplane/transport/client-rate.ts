/**
 * How fast clients may ask: a bucket of tokens for each client and for each prefix, in tables of
 * fixed size. A bucket is one number, the time at which it will be full again (the generic cell
 * rate algorithm, ITU-T I.371), so idle clients cost nothing and the fullest bucket is the one to
 * forget.
 */
import type { Client } from '../client.ts'
import type { RateLimit, RateSettings } from '../settings.ts'
import { hashPrefix } from './client-key.ts'

/** Places in which one key may stand. */
const WAYS = 4
const SECOND_MS = 1000
/**
 * Clients whose address is proven, by a connection or by a server cookie, have buckets of their
 * own: whoever is sent there must find room, and nobody can use them up in another's name.
 */
const PROVEN_KEY = 0x5bd1e995

/** Buckets by key; no allocation after the start. */
export class RateTable {
  readonly #keys: Int32Array
  /** When each bucket is full again, by the monotonic clock. */
  readonly #fullMs: Float64Array
  readonly #setMask: number

  /** @param buckets rounded up to a power of two. */
  constructor(buckets: number) {
    const sets = 1 << Math.max(0, Math.ceil(Math.log2(buckets / WAYS)))
    this.#keys = new Int32Array(sets * WAYS)
    this.#fullMs = new Float64Array(sets * WAYS)
    this.#setMask = sets - 1
  }

  /** Takes a token; false when there is none. A bucket holds `burst` of them, one an interval. */
  take(key: number, intervalMs: number, burst: number, nowMs: number): boolean {
    const fullMs = this.#fullMs
    const bucket = this.#find(key)
    const from = Math.max(fullMs[bucket]!, nowMs)
    // Half a token of slack for the rounding of floating point.
    if (from - nowMs > (burst - 0.5) * intervalMs) return false
    fullMs[bucket] = from + intervalMs
    return true
  }

  /** The key's bucket; a new key takes the bucket that is fullest. */
  #find(key: number): number {
    const keys = this.#keys
    const fullMs = this.#fullMs
    const first = (key & this.#setMask) * WAYS
    let fullest = first
    for (let bucket = first; bucket < first + WAYS; bucket++) {
      if (keys[bucket] === key) return bucket
      if (fullMs[bucket]! < fullMs[fullest]!) fullest = bucket
    }
    keys[fullest] = key
    fullMs[fullest] = 0
    return fullest
  }
}

/** Settings by which clients are limited. */
export interface ClientRateSettings {
  readonly rate: RateSettings
  readonly sites: readonly { readonly rate: RateLimit }[]
}

/** The rates of one worker. */
export class ClientRate {
  readonly #clients: RateTable
  readonly #prefixes: RateTable
  /** By site. */
  #limits: readonly RateLimit[] = []
  #ipv4PrefixBits = 0
  #ipv6PrefixBits = 0
  #slip = 0
  #excess = 0

  constructor(settings: ClientRateSettings) {
    this.#clients = new RateTable(settings.rate.clientsMax)
    this.#prefixes = new RateTable(settings.rate.clientsMax)
    this.reload(settings)
  }

  /** Takes new limits; what the clients have used is kept. */
  reload({ rate, sites }: ClientRateSettings): void {
    this.#limits = createLimits(rate, sites)
    this.#ipv4PrefixBits = rate.ipv4PrefixBits
    this.#ipv6PrefixBits = rate.ipv6PrefixBits
    this.#slip = rate.slip
  }

  /**
   * Charges one query to its client; true when it is over the client's rate or its prefix's.
   *
   * @param isProven the client reads what is sent to its address.
   */
  isOver(client: Client, isProven: boolean, nowMs: number): boolean {
    if (client.unlimited) return false
    const limit = this.#limits[client.site]!
    const salt = isProven ? PROVEN_KEY : 0
    const clientRate = limit.clientQueriesPerSecond
    if (clientRate !== 0) {
      const interval = SECOND_MS / clientRate
      if (!this.#clients.take(client.key ^ salt, interval, limit.clientBurst, nowMs)) return true
    }
    const prefixRate = limit.prefixQueriesPerSecond
    if (prefixRate === 0) return false
    const bits = client.addressOctets === 4 ? this.#ipv4PrefixBits : this.#ipv6PrefixBits
    const key = hashPrefix(client.octets, client.at, bits) ^ salt
    return !this.#prefixes.take(key, SECOND_MS / prefixRate, limit.prefixBurst, nowMs)
  }

  /** True when this query over the rate is one that gets TC instead of silence. */
  isSlipDue(): boolean {
    if (this.#slip === 0) return false
    this.#excess = (this.#excess + 1) % this.#slip
    return this.#excess === 0
  }
}

function createLimits(
  rate: RateLimit,
  sites: readonly { readonly rate: RateLimit }[],
): readonly RateLimit[] {
  return [rate, ...sites.map((site) => site.rate)]
}
