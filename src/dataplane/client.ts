/**
 * Who asks, as a transport found it out. A listener fills one record anew for every datagram; a
 * connection keeps its own.
 */

/** The site of clients that are in none of those that the configuration names. */
export const SITE_DEFAULT = 0
/** Their name in metrics and rules; no site may have it. */
export const SITE_DEFAULT_NAME = 'default'

/** One client, for the query that is being handled. */
export class Client {
  /** One of `PROTO_*`. */
  readonly proto: number
  /** One of `FAMILY_*`. */
  readonly family: number
  /** Holds the address in network order: `addressOctets` of them from `at` on. */
  octets: Uint8Array = NO_OCTETS
  at = 0
  /** 4 or 16. */
  addressOctets = 0
  /** Number of the client's site: `SITE_DEFAULT`, or 1 and up in the order of the settings. */
  site = SITE_DEFAULT
  /** Its name, which outlives a reload; empty for the default. */
  siteName = ''
  /** No query rate holds for the client. */
  unlimited = false
  /** Stands for the client where limits are kept: a keyed hash of its address or prefix. */
  key = 0

  constructor(proto: number, family: number) {
    this.proto = proto
    this.family = family
  }
}

const NO_OCTETS = new Uint8Array(0)
