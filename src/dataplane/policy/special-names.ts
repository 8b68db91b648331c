/**
 * Names that never go to an upstream: special-use names (RFC 6761, 6303, 7686, 8375, 9476, 9462),
 * and the canaries by which browsers and iCloud Private Relay ask whether they may go round the
 * resolver.
 */
import type { AskedName } from '../query.ts'
import {
  SIGNAL_BROWSER,
  SIGNAL_DISCOVERY,
  SIGNAL_I2P,
  SIGNAL_NONE,
  SIGNAL_ONION,
  SIGNAL_PRIVATE_RELAY,
} from '../counters.ts'
import { RCODE_NOERROR, RCODE_NXDOMAIN } from '../../wire/codes.ts'

export const SPECIAL_NONE = 0
/** The zone and all below it does not exist; the apex itself answers NODATA where it must exist. */
export const SPECIAL_NXDOMAIN = 1
/** NODATA for the name and all below it. */
export const SPECIAL_NODATA = 2
/** 127.0.0.1 and ::1 (RFC 6761 6.3). */
export const SPECIAL_LOCALHOST = 3

/**
 * Zones whose every name is denied (RFC 6761 6.2, 6.4; 6762; 7686; 9476; bypass canaries), and what
 * asking for them is counted as.
 */
const DENIED: readonly (readonly [string, number])[] = [
  ['onion', SIGNAL_ONION],
  ['invalid', SIGNAL_NONE],
  ['test', SIGNAL_NONE],
  ['local', SIGNAL_NONE],
  ['alt', SIGNAL_NONE],
  ['i2p', SIGNAL_I2P],
  ['use-application-dns.net', SIGNAL_BROWSER],
  ['mask.icloud.com', SIGNAL_PRIVATE_RELAY],
  ['mask-h2.icloud.com', SIGNAL_PRIVATE_RELAY],
]

/**
 * Zones that exist but are empty: their apex answers NODATA, names below it NXDOMAIN (RFC 6303 3).
 */
const EMPTY_ZONES = [
  'home.arpa',
  '0.in-addr.arpa',
  '127.in-addr.arpa',
  '254.169.in-addr.arpa',
  '2.0.192.in-addr.arpa',
  '100.51.198.in-addr.arpa',
  '113.0.203.in-addr.arpa',
  '255.255.255.255.in-addr.arpa',
  '10.in-addr.arpa',
  '168.192.in-addr.arpa',
  '0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa',
  '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa',
  'c.f.ip6.arpa',
  'd.f.ip6.arpa',
  '8.e.f.ip6.arpa',
  '9.e.f.ip6.arpa',
  'a.e.f.ip6.arpa',
  'b.e.f.ip6.arpa',
  '8.b.d.0.1.0.0.2.ip6.arpa',
]

interface SpecialZone {
  readonly kind: number
  readonly emptyZone: boolean
  readonly signal: number
}

/** Finds the special-use zone of an asked name; one per worker. */
export class SpecialNames {
  readonly #zones = createZones()
  /**
   * By length of the last label: 1 when some special zone ends in a label of that length and first
   * octet.
   */
  readonly #lastLabels = createLastLabels(this.#zones)
  /** After `find`: which label of the asked name the zone begins with. */
  zoneLabel = 0
  /** After `find`: the rcode of a negative answer. */
  rcode = RCODE_NOERROR
  /** After `find`: one of `SIGNAL_*`. */
  signal = SIGNAL_NONE

  /** Returns one of `SPECIAL_*`. The usual name costs two octet reads here. */
  find(asked: AskedName): number {
    const labels = asked.labels
    if (labels === 0) return SPECIAL_NONE
    const last = asked.labelStarts[labels - 1]!
    const lastKey = (asked.octets[last]! << 8) | asked.octets[last + 1]!
    const depth = this.#lastLabels[lastKey]!
    if (depth === 0) return SPECIAL_NONE
    if (depth === DEPTH_SECOND_LABEL && !isCanaryParent(asked)) return SPECIAL_NONE
    for (let label = 0; label < labels; label++) {
      const zone = this.#zones.get(asked.suffix(label))
      if (zone === undefined) continue
      this.zoneLabel = label
      this.signal = zone.signal
      const apex = zone.kind === SPECIAL_NODATA || (zone.emptyZone && label === 0)
      this.rcode = apex ? RCODE_NOERROR : RCODE_NXDOMAIN
      return zone.kind
    }
    return SPECIAL_NONE
  }
}

const DEPTH_LAST_LABEL = 1
const DEPTH_SECOND_LABEL = 2
/**
 * Lengths of `icloud` and `use-application-dns`: all that makes a .com or .net name worth a look-
 * up.
 */
const ICLOUD_OCTETS = 6
const CANARY_OCTETS = 19

function isCanaryParent(asked: AskedName): boolean {
  if (asked.labels < 2) return false
  const octets = asked.octets[asked.labelStarts[asked.labels - 2]!]!
  return octets === ICLOUD_OCTETS || octets === CANARY_OCTETS
}

function createZones(): Map<string, SpecialZone> {
  const zones = new Map<string, SpecialZone>()
  const set = (name: string, kind: number, emptyZone: boolean, signal: number): void => {
    zones.set(createKey(name), { kind, emptyZone, signal })
  }
  for (const [name, signal] of DENIED) set(name, SPECIAL_NXDOMAIN, false, signal)
  for (const name of createEmptyZones()) set(name, SPECIAL_NXDOMAIN, true, SIGNAL_NONE)
  set('resolver.arpa', SPECIAL_NODATA, false, SIGNAL_DISCOVERY)
  set('localhost', SPECIAL_LOCALHOST, false, SIGNAL_NONE)
  return zones
}

/** The fixed zones, and the ranges 172.16/12 (RFC 6303 4.1) and 100.64/10 (RFC 7793). */
function createEmptyZones(): string[] {
  const zones = [...EMPTY_ZONES]
  for (let octet = 16; octet < 32; octet++) zones.push(`${octet}.172.in-addr.arpa`)
  for (let octet = 64; octet < 128; octet++) zones.push(`${octet}.100.in-addr.arpa`)
  return zones
}

/** The wire name of a dotted name of ordinary letters, as a string of octets. */
function createKey(name: string): string {
  let key = ''
  for (const label of name.split('.')) key += String.fromCharCode(label.length) + label
  return `${key}\0`
}

function createLastLabels(zones: ReadonlyMap<string, SpecialZone>): Uint8Array {
  const table = new Uint8Array(0x10000)
  for (const key of zones.keys()) {
    let at = 0
    let last = 0
    while (key.charCodeAt(at) !== 0) {
      last = at
      at += 1 + key.charCodeAt(at)
    }
    const lastKey = (key.charCodeAt(last) << 8) | key.charCodeAt(last + 1)
    const canary = key.endsWith('\x03com\0') || key.endsWith('\x03net\0')
    table[lastKey] = canary ? DEPTH_SECOND_LABEL : DEPTH_LAST_LABEL
  }
  return table
}
