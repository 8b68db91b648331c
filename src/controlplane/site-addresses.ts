/**
 * Sites that are known by DNS names (dynamic DNS): their addresses are looked up through the
 * configured upstreams, by the data plane's own forwarder, at the start and at an interval. What is
 * known stays known when a look-up fails; it is never written down.
 */
import { decode } from 'dns-packet'
import type { Logger } from 'pino'
import { SECOND_MS } from '../base/units.ts'
import { createCounters } from '../dataplane/counters.ts'
import { AskedName } from '../dataplane/query.ts'
import type { DataplaneSettings } from '../dataplane/settings.ts'
import { EncryptedWays } from '../dataplane/upstream/encrypted-ways.ts'
import {
  createForwarder,
  type ForwardEvents,
  type Forwarder,
} from '../dataplane/upstream/forwarder.ts'
import { Pending } from '../dataplane/upstream/pending.ts'
import { AnswerFacts, inspectAnswer } from '../wire/answer.ts'
import { RCODE_NOERROR, TYPE_A, TYPE_AAAA } from '../wire/codes.ts'
import { HEADER_OCTETS } from '../wire/header.ts'
import { ParsedQuery, parseQuery } from '../wire/query.ts'
import { EssentialNames } from './blocklist/essential.ts'
import { encodeQuery } from './cli/dns-exchange.ts'
import { accepted, isLoopback, isWildcard, parsePrefix } from './config/addresses.ts'
import type { LoadedConfig } from './config/load.ts'
import { NETWORK_BITS_IPV6 } from './config/site-settings.ts'

const UPSTREAM_PORTS_MAX = 64
const UDP_OCTETS_MAX = 1232
/** Addresses of one name and type; a site is a handful of lines. */
const ADDRESSES_MAX = 16

/** Looks names up; one set of upstreams. */
class Lookup implements ForwardEvents {
  readonly #forwarder: Forwarder
  readonly #facts = new AnswerFacts()
  readonly #waiting = new Map<Pending, (addresses: readonly string[] | undefined) => void>()

  readonly #log: Logger

  constructor(settings: DataplaneSettings, encrypted: EncryptedWays, log: Logger) {
    this.#log = log
    const system = {
      libc: undefined,
      loop: undefined,
      upstreamPortsMax: UPSTREAM_PORTS_MAX,
      encrypted,
    }
    this.#forwarder = createForwarder(settings, createCounters(), this, system)
  }

  /** Returns the addresses of a name; undefined when no upstream gave an answer. */
  ask(name: Uint8Array, type: number): Promise<readonly string[] | undefined> {
    const message = encodeQuery(name, type)
    const query = new ParsedQuery(message)
    parseQuery(message, message.length, query)
    const asked = new AskedName()
    asked.take(message, HEADER_OCTETS)
    const pending = new Pending()
    pending.fill(asked.key(query), query, UDP_OCTETS_MAX)
    return new Promise((resolve) => {
      this.#waiting.set(pending, resolve)
      this.#forwarder.ask(pending, performance.now())
    })
  }

  close(): void {
    this.#forwarder.close()
  }

  readable(pending: Pending, message: Uint8Array, octets: number): boolean {
    const facts = this.#facts
    if (!inspectAnswer(message, octets, pending.questionEnd, pending.key.type, facts)) return false
    return !facts.truncated
  }

  answered(pending: Pending, message: Uint8Array): void {
    const { rcode, octets } = this.#facts
    if (rcode !== RCODE_NOERROR) {
      this.#settle(pending, undefined)
      return
    }
    const addresses = addressesIn(message.subarray(0, octets))
    if (addresses === undefined) {
      this.#log.warn({ event: 'site_reply_unreadable' }, 'a reply about a site cannot be read')
    }
    this.#settle(pending, addresses)
  }

  unanswered(pending: Pending): void {
    this.#settle(pending, undefined)
  }

  outwaited(): void {}

  #settle(pending: Pending, addresses: readonly string[] | undefined): void {
    const resolve = this.#waiting.get(pending)
    this.#waiting.delete(pending)
    resolve?.(addresses)
  }
}

/**
 * Undefined when the decoder cannot read the message: it throws at RDATA that `inspectAnswer`
 * leaves open, and this runs in a socket's event, where that would end the process.
 */
function addressesIn(message: Uint8Array): readonly string[] | undefined {
  try {
    const { answers = [] } = decode(Buffer.from(message))
    const addresses = answers.flatMap((record) => {
      const isAddress = record.type === 'A' || record.type === 'AAAA'
      return isAddress && record.class === 'IN' ? [record.data] : []
    })
    return addresses.slice(0, ADDRESSES_MAX)
  } catch {
    return undefined
  }
}

/** The addresses of sites with names, kept up to date. */
export class SiteAddresses {
  readonly #log: Logger
  readonly #apply: (settings: DataplaneSettings) => Promise<void>
  /** Prefixes by name, as they were known last. */
  readonly #known = new Map<string, readonly string[]>()
  #timer: NodeJS.Timeout | undefined
  #round = 0

  /** @param apply takes settings in which a site's addresses have changed. */
  constructor(log: Logger, apply: (settings: DataplaneSettings) => Promise<void>) {
    this.#log = log
    this.#apply = apply
  }

  /** Returns the settings with today's addresses, and goes on to look for other ones. */
  async follow(config: LoadedConfig): Promise<DataplaneSettings> {
    this.stop()
    const round = this.#round
    if (config.control.siteNames.length === 0) return config.dataplane
    await this.#lookUp(config)
    if (round === this.#round) this.#arm(config)
    return this.#settingsOf(config)
  }

  /** Looks nothing up any more. */
  stop(): void {
    this.#round++
    clearTimeout(this.#timer)
  }

  #arm(config: LoadedConfig): void {
    const round = this.#round
    const again = async (): Promise<void> => {
      const isChanged = await this.#lookUp(config)
      if (round !== this.#round) return
      if (isChanged) {
        this.#log.info({ event: 'site_addresses_changed' }, 'a site has new addresses')
        await this.#apply(this.#settingsOf(config))
      }
      if (round === this.#round) this.#arm(config)
    }
    const intervalMs = config.control.siteRefreshSeconds * SECOND_MS
    this.#timer = setTimeout(() => void again(), intervalMs).unref()
  }

  #settingsOf({ dataplane, control }: LoadedConfig): DataplaneSettings {
    const sites = dataplane.sites.map((site) => {
      const named = control.siteNames.find(({ site: name }) => name === site.name)
      const found = (named?.names ?? []).flatMap((name) => this.#known.get(name) ?? [])
      return { ...site, from: [...new Set([...site.from, ...found])] }
    })
    return { ...dataplane, sites }
  }

  /** Looks every name up; true when one leads elsewhere now. */
  async #lookUp({ dataplane, control }: LoadedConfig): Promise<boolean> {
    const encrypted = new EncryptedWays()
    await encrypted.open(dataplane.upstreams)
    const lookup = new Lookup(dataplane, encrypted, this.#log)
    const all = control.siteNames.flatMap(({ site, names }) =>
      names.map((name) => ({ site, name })),
    )
    const changes = await Promise.all(
      all.map(async ({ site, name }) => {
        const [wire] = EssentialNames.of([name]).names
        const answers = await Promise.all(
          [TYPE_A, TYPE_AAAA].map((type) => lookup.ask(wire!, type)),
        )
        return this.#learn(site, name, answers)
      }),
    )
    lookup.close()
    return changes.includes(true)
  }

  /** Keeps what was known of a name when neither family has an address now. */
  #learn(site: string, name: string, answers: readonly (readonly string[] | undefined)[]): boolean {
    const before = this.#known.get(name) ?? []
    const usable = answers.map((addresses) => addresses?.filter(isUsable).map(prefixOf))
    if (usable.every((prefixes) => prefixes === undefined || prefixes.length === 0)) {
      const facts = { event: 'site_lookup_failed', site, kept: before.length }
      this.#log.warn(facts, `site ${site}: no address behind its name; the last ones stay`)
      return false
    }
    const next = [
      ...(usable[0] ?? before.filter((prefix) => !isIpv6(prefix))),
      ...(usable[1] ?? before.filter(isIpv6)),
    ].toSorted()
    this.#known.set(name, next)
    return next.join(' ') !== before.join(' ')
  }
}

function isIpv6(prefix: string): boolean {
  return prefix.includes(':')
}

/** Nobody becomes this machine, or everybody, by a record; `::/64` holds no subscriber. */
function isUsable(address: string): boolean {
  if (isLoopback(address) || isWildcard(address)) return false
  return !address.includes(':') || networkOf(address).some((group) => !/^0*$/.test(group))
}

/** The prefix of an address: itself, or the network that a subscriber has of an IPv6 address. */
function prefixOf(address: string): string {
  if (!address.includes(':')) return `${address}/32`
  return accepted(parsePrefix(`${networkOf(address).join(':')}::/${NETWORK_BITS_IPV6}`))
}

function networkOf(address: string): readonly string[] {
  const [left = '', right] = address.split('::')
  const head = left === '' ? [] : left.split(':')
  const tail = right === undefined || right === '' ? [] : right.split(':')
  const gap = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => '0')
  return [...head, ...gap, ...tail].slice(0, NETWORK_BITS_IPV6 / 16)
}
