/** A record of an observed query as people and programs are shown it. */
import { getDomain } from 'tldts'
import {
  OUTCOMES,
  PROTOS,
  RCODE_SLOTS,
  outcomeOfCode,
  rcodeOfCode,
} from '../../dataplane/counters.ts'
import type { ObservedKind } from '../../dataplane/observed-queries.ts'
import { RECORD } from '../../dataplane/observed-ring.ts'
import { RCODE_NAMES } from '../admin/rcode-names.ts'
import { nameToText } from '../blocklist/name-text.ts'
import type { ObservedQuestion } from './requests.ts'

const IPV4_PREFIX_OCTETS = 3
const IPV6_PREFIX_OCTETS = 6

/** Reads a record of a ring. */
export function readRecord(kind: ObservedKind, record: Buffer): ObservedQuestion {
  const code = record.readUInt16LE(RECORD.code)
  const wire = record.subarray(RECORD.name, RECORD.name + record.readUInt8(RECORD.nameOctets))
  const name = nameToText(wire).toLowerCase()
  const isSlow = kind === 'slow'
  return {
    event: 'question',
    time: new Date(record.readDoubleLE(RECORD.at)).toISOString(),
    site: word(record, RECORD.siteOctets, RECORD.site),
    category: isSlow ? null : word(record, RECORD.categoryOctets, RECORD.category),
    name: isSlow ? zoneOf(name) : name,
    type: record.readUInt16LE(RECORD.type),
    outcome: OUTCOMES[outcomeOfCode(code)] ?? '',
    rcode: RCODE_NAMES[Math.min(rcodeOfCode(code), RCODE_SLOTS - 1)] ?? '',
    transport: PROTOS[record.readUInt8(RECORD.proto)] ?? '',
    client: networkOf(record),
    tookMs: Math.round(record.readFloatLE(RECORD.tookMs) * 1000) / 1000,
  }
}

function word(record: Buffer, octetsAt: number, start: number): string {
  return record.toString('latin1', start, start + record.readUInt8(octetsAt))
}

/** The registrable domain: the name servers of a zone are slow, and no host says who asks. */
function zoneOf(name: string): string {
  return getDomain(name, { validateHostname: false, extractHostname: false }) ?? name
}

/** The network of a client; null where it is not known. */
function networkOf(record: Buffer): string | null {
  const octets = record.readUInt8(RECORD.prefixOctets)
  const at = RECORD.prefix
  if (octets === IPV4_PREFIX_OCTETS) {
    return `${record.subarray(at, at + IPV4_PREFIX_OCTETS).join('.')}.0/24`
  }
  if (octets !== IPV6_PREFIX_OCTETS) return null
  const groups = [0, 2, 4].map((offset) => record.readUInt16BE(at + offset).toString(16))
  return `${groups.join(':')}::/48`
}
