/** One upstream as a worker knows it: the ways to ask it, and how it has been doing. */
import type { Libc } from '../../sys/libc.ts'
import type { SocketLoop } from '../../sys/socket-loop.ts'
import type { Endpoint, ForwardSettings, UpstreamSettings } from '../settings.ts'
import { FLAG_AD, OFFSET_FLAGS, readU16, writeU16 } from '../../wire/header.ts'
import type { Attempt } from './attempt.ts'
import type { EncryptedWays } from './encrypted-ways.ts'
import type { Exchange, ExchangeEvents } from './exchange.ts'
import { Health } from './health.ts'
import { Pending } from './pending.ts'
import { TcpLink } from './stream-link.ts'
import { TcpExchange } from './tcp-exchange.ts'
import { UdpBatchExchange } from './udp-batch-exchange.ts'
import { UdpExchange } from './udp-exchange.ts'

/** Ports of one upstream: with 16 id bits an off-path guess is one in 2^28 (RFC 5452 7.2). */
const PORTS_MAX = 4096
/** OPT without options ends with its RDLENGTH. */
const RDLENGTH_OCTETS = 2

/** What the system lets a worker open. */
export interface SystemSockets {
  /** The system calls for batches of datagrams, where they are to be had. */
  readonly libc: Libc | undefined
  /** The worker's own loop, where there is one. */
  readonly loop: SocketLoop | undefined
  /** Sockets that one worker may keep open towards all its upstreams. */
  readonly upstreamPortsMax: number
  readonly encrypted: EncryptedWays
}

/** What an upstream tells of its tries. */
export interface UpstreamEvents {
  accepts(attempt: Attempt, message: Uint8Array, octets: number, nowMs: number): boolean
  replied(attempt: Attempt, message: Uint8Array, octets: number, nowMs: number): void
  failed(attempt: Attempt, reason: number): void
  mismatched(upstream: Upstream): void
}

/** The events of its exchanges come through it. */
export class Upstream implements ExchangeEvents {
  readonly index: number
  /** The way that is tried first. */
  readonly primary: Exchange
  /** Where a truncated reply is asked again; null when the first way truncates nothing. */
  readonly stream: Exchange | null
  /** It may be one that does not know OPT: those who speak TLS all do. */
  readonly mayLackEdns: boolean
  readonly health = new Health(performance.now())
  /** Asks in its own right whether the upstream answers again; nobody waits for it. */
  readonly probe = new Pending()
  /** Its questions have random letters, as long as it keeps them. */
  readonly #mixesCase: boolean
  /** Its AD bit is believed: nobody on the way can have set it (RFC 4035 4.9.3). */
  readonly trustsAd: boolean
  /** The option of `edns.clientSubnet`, or no octets. */
  readonly #subnet: Uint8Array
  readonly #events: UpstreamEvents

  constructor(
    settings: UpstreamSettings,
    index: number,
    events: UpstreamEvents,
    system: SystemSockets,
    authorities: string | undefined,
    { trustsAd, clientSubnet, mixesCase }: ForwardSettings,
  ) {
    this.index = index
    this.trustsAd = trustsAd[index] ?? false
    this.#subnet = clientSubnet
    this.#mixesCase = mixesCase[index] ?? false
    this.probe.fillProbe()
    this.#events = events
    this.mayLackEdns = settings.serverName === ''
    const stream = createStreamExchange(settings, this, system, authorities)
    const isUdp = settings.protocol === 'udp'
    this.primary = isUdp ? createUdpExchange(settings, this, system) : stream
    this.stream = isUdp ? stream : null
  }

  /**
   * Writes into a query what depends on who is asked: AD asks for AD where it is believed (RFC 6840
   * 5.7), and OPT, which ends the first `octets`, gets the configured subnet. Returns the query's
   * octets.
   */
  finishQuery(message: Uint8Array, octets: number): number {
    const flags = readU16(message, OFFSET_FLAGS)
    writeU16(message, OFFSET_FLAGS, this.trustsAd ? flags | FLAG_AD : flags & ~FLAG_AD)
    const subnet = this.#subnet
    const subnetOctets = subnet.length
    if (subnetOctets === 0) return octets
    writeU16(message, octets - RDLENGTH_OCTETS, subnetOctets)
    for (let i = 0; i < subnetOctets; i++) message[octets + i] = subnet[i]!
    return octets + subnetOctets
  }

  /** True when a try over this way gets random letters; over connections nobody can guess. */
  mixesCaseOver(exchange: Exchange, nowMs: number): boolean {
    return this.#mixesCase && this.isDatagrams(exchange) && !this.health.isCasePlain(nowMs)
  }

  /** True for the way over UDP. */
  isDatagrams(exchange: Exchange): boolean {
    return this.stream !== null && exchange === this.primary
  }

  accepts(attempt: Attempt, message: Uint8Array, octets: number, nowMs: number): boolean {
    return this.#events.accepts(attempt, message, octets, nowMs)
  }

  replied(attempt: Attempt, message: Uint8Array, octets: number, nowMs: number): void {
    this.#events.replied(attempt, message, octets, nowMs)
  }

  failed(attempt: Attempt, reason: number): void {
    this.#events.failed(attempt, reason)
  }

  mismatched(): void {
    this.#events.mismatched(this)
  }

  sweep(nowMs: number): void {
    this.primary.sweep(nowMs)
    this.stream?.sweep(nowMs)
  }

  close(): void {
    this.primary.close()
    this.stream?.close()
  }
}

/** The one way of an encrypted upstream, and of `tcp`; for `udp` the way of long answers. */
function createStreamExchange(
  settings: UpstreamSettings,
  events: ExchangeEvents,
  { encrypted }: SystemSockets,
  authorities: string | undefined,
): Exchange {
  const isClear = settings.protocol === 'udp' || settings.protocol === 'tcp'
  if (isClear) return new TcpExchange(new TcpLink(settings), events)
  return encrypted.createExchange(settings, events, authorities)
}

/** In batches where the system calls are to be had. */
function createUdpExchange(
  endpoint: Endpoint,
  events: ExchangeEvents,
  { libc, loop, upstreamPortsMax }: SystemSockets,
): Exchange {
  const portsMax = Math.min(PORTS_MAX, upstreamPortsMax)
  if (libc === undefined || loop === undefined) return new UdpExchange(endpoint, events, portsMax)
  return new UdpBatchExchange(endpoint, events, libc, loop, portsMax)
}
