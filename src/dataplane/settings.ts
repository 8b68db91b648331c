/**
 * What the data plane is told at its start and at every reload: a plain, already checked object
 * that can be posted to a worker thread. The control plane makes it; nothing here sees raw input.
 */

/** The category of what an operator denies, unless the rule names another. */
export const DENIED_CATEGORY = 'denied'
/** The category of what is blocked because it leads into a private network. */
export const PRIVATE_CATEGORY = 'private-address'

/** How a blocked name is answered. */
export type BlockResponseKind = 'nxdomain' | 'nodata' | 'null' | 'refused' | 'address'

export interface BlockResponseSettings {
  readonly kind: BlockResponseKind
  /** For `address`: 4 octets, or undefined when IPv4 questions get NODATA. */
  readonly ipv4: Uint8Array | undefined
  /** For `address`: 16 octets, or undefined when IPv6 questions get NODATA. */
  readonly ipv6: Uint8Array | undefined
}

export interface CategorySettings {
  readonly name: string
  /** False: the category's rules are loaded and counted but do not block. */
  readonly blocked: boolean
  readonly response: BlockResponseSettings
}

/** A listen address or an upstream: an IP literal and a port. */
export interface Endpoint {
  /** IPv4 or IPv6 literal without brackets; a zone id may follow `%`. */
  readonly address: string
  readonly port: number
}

/** Where clients are answered. */
export interface ListenSettings extends Endpoint {
  /** `dns` is UDP and TCP in clear; `tls` is RFC 7858, `https` RFC 8484. */
  readonly protocol: 'dns' | 'tls' | 'https'
}

/** What the encrypted listeners prove themselves with. */
export interface TlsIdentity {
  /** PEM: our certificate, then those that lead to its authority. */
  readonly certificate: string
  /** PEM. */
  readonly key: string
  /** 48 octets, the same in all workers: a client may resume its session at any of them. */
  readonly ticketKeys: Uint8Array
}

export interface UpstreamSettings extends Endpoint {
  /**
   * `udp` asks over UDP first and over TCP on truncation; `tcp`, `tls` (RFC 7858) and `https` (RFC
   * 8484) ask that way only: nothing falls back to clear text.
   */
  readonly protocol: 'udp' | 'tcp' | 'tls' | 'https'
  /** The name that the certificate must be for; empty for `udp` and `tcp`. */
  readonly serverName: string
  /** Path and query of a DNS-over-HTTPS resource; empty for the others. */
  readonly path: string
  /** As the operator wrote it, for metrics and messages. */
  readonly label: string
}

export interface LimitSettings {
  /** Concurrent TCP connections per worker; past it the longest idle one is closed. */
  readonly tcpConnectionsMax: number
  readonly tcpConnectionsPerClientMax: number
  /** A connection with no query in flight is closed after this long (RFC 7766 6.2.3). */
  readonly tcpIdleMs: number
  /** From the first octet of a message to its last; also from connecting to the first octet. */
  readonly tcpMessageMs: number
  /** Queries of one connection that may wait for an upstream; past it we stop reading. */
  readonly tcpInFlightMax: number
  /** Octets of answers that a client has not read yet; past it we stop reading its queries. */
  readonly tcpUnsentOctetsMax: number
  /** The same of all clients of a listener; past it only who has read everything is answered. */
  readonly tcpUnsentTotalOctetsMax: number
  /** Questions waiting for an upstream, per worker; past it a query is answered SERVFAIL. */
  readonly pendingMax: number
  /** Clients that may wait for one and the same pending question. */
  readonly waitersPerQuestionMax: number
  /** Queries of one client that may wait for an upstream; past it they are answered SERVFAIL. */
  readonly pendingPerClientMax: number
  /** Datagrams to one client in a tenth of a second, of those it has waited long for. */
  readonly lateRepliesPerClientMax: number
}

export interface ForwardSettings {
  /** One try at one upstream. */
  readonly tryTimeoutMs: number
  /** The whole budget of a question, over all tries. */
  readonly totalTimeoutMs: number
  readonly triesMax: number
  /** Which upstream a question goes to first. */
  readonly strategy: 'ordered' | 'fastest' | 'parallel'
  /** With `parallel`: how many are asked at once. */
  readonly parallelMax: number
  /** Tries that one upstream may have under way; past it the next one is asked. */
  readonly pendingPerUpstreamMax: number
  /** By upstream: the letters of its questions are random. */
  readonly mixesCase: readonly boolean[]
  /** By upstream: its AD bit is passed on to clients who understand it. */
  readonly trustsAd: readonly boolean[]
  /** A client-subnet option for all queries (RFC 7871 6): none of the client's; empty: none. */
  readonly clientSubnet: Uint8Array
}

export interface CacheSettings {
  /** Octets of answers and keys kept by each worker. */
  readonly octetsMax: number
  readonly ttlSecondsMin: number
  readonly ttlSecondsMax: number
  /** Cap for NXDOMAIN and NODATA (RFC 2308 5). */
  readonly negativeTtlSecondsMax: number
  /** How long an answer is kept past its TTL, for when no upstream answers (RFC 8767); 0: not. */
  readonly staleSecondsMax: number
  /** TTL of an answer that is stale. */
  readonly staleTtlSeconds: number
  /** How long a client waits before it gets the stale answer that there is. */
  readonly staleWaitMs: number
  /** After a question for a stale answer failed, clients get that answer at once for this long. */
  readonly staleRefreshSeconds: number
  /** Whether answers that are still asked for are fetched anew in the last tenth of their life. */
  readonly prefetch: boolean
  /** Longest time for which a question counts as failed (RFC 9520); it begins with one second. */
  readonly failureSecondsMax: number
}

/** How server cookies are made (RFC 7873, RFC 9018). */
export interface CookieSettings {
  /** Secrets of 16 octets: the first makes cookies, all are believed. Empty: made of `seed`. */
  readonly secrets: readonly Uint8Array[]
  /** 16 octets, of which a secret is made for each day. */
  readonly seed: Uint8Array
}

/** Clients who have a policy of their own. */
export interface SiteSettings {
  readonly name: string
  /** CIDR prefixes in canonical text; of several the longest decides. */
  readonly from: readonly string[]
  /** All categories, whether the site treats them differently or not. */
  readonly categories: readonly CategorySettings[]
  readonly rate: RateLimit
}

/** Queries that one client, and all of one prefix, may ask; a rate of 0 is no limit. */
export interface RateLimit {
  readonly clientQueriesPerSecond: number
  readonly clientBurst: number
  readonly prefixQueriesPerSecond: number
  readonly prefixBurst: number
}

export interface RateSettings extends RateLimit {
  /** Leading bits of an address that make one client, and one prefix; at most 32 and 64. */
  readonly ipv4ClientBits: number
  readonly ipv6ClientBits: number
  readonly ipv4PrefixBits: number
  readonly ipv6PrefixBits: number
  /** Over the rate, every so many UDP queries get TC, the others nothing; 0: none does. */
  readonly slip: number
  /** Clients, and prefixes, that are known at once. */
  readonly clientsMax: number
  /** CIDR prefixes in canonical text: clients without a rate. */
  readonly exemptFrom: readonly string[]
}

/** What of the settings decides verdicts. */
export interface PolicySettings {
  readonly categories: readonly CategorySettings[]
  readonly sites: readonly Pick<SiteSettings, 'name' | 'categories'>[]
}

export interface DataplaneSettings extends PolicySettings {
  readonly listen: readonly ListenSettings[]
  /** CIDR prefixes in canonical text; clients outside and in no site get no answer. */
  readonly allowFrom: readonly string[]
  readonly sites: readonly SiteSettings[]
  readonly upstreams: readonly UpstreamSettings[]
  /** Certificates (PEM) that upstreams' certificates must lead to; undefined: the public ones. */
  readonly upstreamAuthorities: string | undefined
  /** Our name in the certificate, for designation (RFC 9462); undefined: none is given. */
  readonly serverName: string | undefined
  readonly categories: readonly CategorySettings[]
  readonly blockTtlSeconds: number
  /** Largest UDP answer that we send, and the size that we advertise (DNS Flag Day 2020: 1232). */
  readonly udpOctetsMax: number
  /** Undefined: a client's cookie is read, and gets no answer. */
  readonly cookies: CookieSettings | undefined
  readonly limits: LimitSettings
  readonly rate: RateSettings
  readonly forward: ForwardSettings
  readonly cache: CacheSettings
}

/** A node of Redis, or a Sentinel: a name or an IP literal, and a port. */
export interface RedisNode {
  readonly host: string
  readonly port: number
}

/** The shared cache. It holds secrets: it goes to workers and nowhere else. */
export interface RedisSettings {
  readonly deployment: 'single' | 'sentinel' | 'cluster'
  /** Of `single` one; of `sentinel` the Sentinels; of `cluster` those asked first. */
  readonly nodes: readonly RedisNode[]
  readonly tls: boolean
  /** PEM text of the authority that signs the servers' certificates; undefined: the system's. */
  readonly ca: string | undefined
  readonly username: string | undefined
  readonly password: string | undefined
  readonly database: number
  /** Name of the group of servers that the Sentinels watch; empty elsewhere. */
  readonly sentinelName: string
  readonly sentinelPassword: string | undefined
  /** Every key and channel begins with it. */
  readonly prefix: string
  /** The upstream is asked too when Redis takes longer; from `timeoutMs` on: after a miss only. */
  readonly hedgeMs: number
  readonly timeoutMs: number
  /** Answers brought back into memory at the start; 0: none. */
  readonly hotNames: number
  /** What values are sealed under, and what their names are made with: 32 octets each. */
  readonly secret: Uint8Array
  readonly keyOfKeys: Uint8Array
}

/** True when both have the same sites in the same order. */
export function sitesAlike(a: DataplaneSettings, b: DataplaneSettings): boolean {
  if (a.sites.length !== b.sites.length) return false
  for (const [index, site] of a.sites.entries()) {
    if (site.name !== b.sites[index]!.name) return false
  }
  return true
}

/** True when both settings ask the same upstreams in the same way. */
export function forwardsAlike(left: DataplaneSettings, right: DataplaneSettings): boolean {
  return forwardingOf(left) === forwardingOf(right)
}

/**
 * All that tells apart what the upstreams may answer, as text: boxes share answers where it is the
 * same. In which order and how patiently they are asked does not matter.
 */
export function answersOf({
  upstreams,
  forward,
  upstreamAuthorities,
}: Pick<DataplaneSettings, 'upstreams' | 'upstreamAuthorities'> & {
  readonly forward: Pick<ForwardSettings, 'trustsAd' | 'clientSubnet'>
}): string {
  const ways = upstreams.map(({ protocol, address, port, serverName, path }, index) =>
    JSON.stringify([protocol, address, port, serverName, path, forward.trustsAd[index] ?? false]),
  )
  const subnet = Buffer.from(forward.clientSubnet).toString('hex')
  return JSON.stringify([ways.toSorted(), subnet, upstreamAuthorities ?? ''])
}

function forwardingOf(settings: DataplaneSettings): string {
  const { upstreams, forward, upstreamAuthorities, cache } = settings
  return JSON.stringify([upstreams, forward, upstreamAuthorities, cache.failureSecondsMax])
}
