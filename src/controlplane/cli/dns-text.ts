/** A DNS message as text and as plain values, in the words of the RFCs and of dig. */

import { decode, type Answer } from 'dns-packet'
import { OperationalError } from '../../base/errors.ts'
import { typeName } from './names-and-types.ts'
import { printable } from './terminal.ts'

const RCODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED']
const BADVERS = 16
/** Extended DNS Errors (RFC 8914 5.2). */
const EXTENDED_ERRORS = [
  'Other Error',
  'Unsupported DNSKEY Algorithm',
  'Unsupported DS Digest Type',
  'Stale Answer',
  'Forged Answer',
  'DNSSEC Indeterminate',
  'DNSSEC Bogus',
  'Signature Expired',
  'Signature Not Yet Valid',
  'DNSKEY Missing',
  'RRSIGs Missing',
  'No Zone Key Bit Set',
  'NSEC Missing',
  'Cached Error',
  'Not Ready',
  'Blocked',
  'Censored',
  'Filtered',
  'Prohibited',
  'Stale NXDOMAIN Answer',
  'Not Authoritative',
  'Not Supported',
  'No Reachable Authority',
  'Network Error',
  'Invalid Data',
]
const OPTION_EXTENDED_ERROR = 15

export interface RecordText {
  readonly name: string
  readonly type: string
  readonly ttl: number
  /** In presentation format. */
  readonly data: string
}

interface ExtendedErrorText {
  readonly code: number
  readonly name: string
  readonly text: string
}

export interface MessageText {
  readonly id: number
  readonly rcode: string
  /** Those that are set, in the order of the header: qr aa tc rd ra ad cd. */
  readonly flags: readonly string[]
  /** Undefined when the answer has no OPT record. */
  readonly edns:
    | { readonly udpOctets: number; readonly errors: readonly ExtendedErrorText[] }
    | undefined
  readonly answers: readonly RecordText[]
  readonly authorities: readonly RecordText[]
  readonly additionals: readonly RecordText[]
}

/**
 * Reads an answer.
 *
 * @throws OperationalError ERR_SERVER_UNREACHABLE when it is no DNS message.
 */
export function readMessage(octets: Buffer): MessageText {
  let packet: ReturnType<typeof decode>
  try {
    packet = decode(octets)
  } catch (cause) {
    const message = `the server answered ${octets.length} octets that are no DNS message`
    throw new OperationalError('ERR_SERVER_UNREACHABLE', message, { cause })
  }
  const additionals = packet.additionals ?? []
  const opt = additionals.find((record) => record.type === 'OPT')
  const rcode = (octets[3]! & 0x0f) | ((opt?.extendedRcode ?? 0) << 4)
  return {
    id: packet.id ?? 0,
    rcode: RCODES[rcode] ?? (rcode === BADVERS ? 'BADVERS' : `RCODE${rcode}`),
    flags: FLAGS.filter((flag) => packet[`flag_${flag}`]),
    edns: opt && { udpOctets: opt.udpPayloadSize, errors: opt.options.flatMap(extendedError) },
    answers: recordTexts(packet.answers),
    authorities: recordTexts(packet.authorities),
    additionals: recordTexts(additionals),
  }
}

const FLAGS = ['qr', 'aa', 'tc', 'rd', 'ra', 'ad', 'cd'] as const

function extendedError(option: { code: number; data?: Buffer | undefined }): ExtendedErrorText[] {
  const { code, data } = option
  if (code !== OPTION_EXTENDED_ERROR || data === undefined || data.length < 2) return []
  const info = data.readUInt16BE(0)
  const text = printable(data.toString('latin1', 2).replace(/\0+$/, ''))
  return [{ code: info, name: EXTENDED_ERRORS[info] ?? 'unknown', text }]
}

function recordTexts(records: readonly Answer[] | undefined): readonly RecordText[] {
  return (records ?? []).flatMap((record) => {
    if (record.type === 'OPT') return []
    const { name, ttl, data } = record
    const type = typeText(record.type)
    const text = printable(dataText(type, data))
    return [{ name: absolute(printable(name)), type, ttl: ttl ?? 0, data: text }]
  })
}

/** dns-packet calls types that it does not know UNKNOWN_65. */
function typeText(type: string): string {
  const number = /^UNKNOWN_(\d+)$/.exec(type)?.[1]
  return number === undefined ? type : typeName(Number(number))
}

/** Types whose whole data is one name. */
const NAME_TYPES: ReadonlySet<string> = new Set(['CNAME', 'DNAME', 'NS', 'PTR'])
/** Fields of dns-packet's records that are names. */
const NAME_FIELDS: ReadonlySet<string> = new Set([
  'exchange',
  'mbox',
  'mname',
  'nextDomain',
  'replacement',
  'rname',
  'signersName',
  'target',
  'txt',
])

/** Values in the order of the RFC's presentation format; octets nobody knows as RFC 3597 5 says. */
function dataText(type: string, data: unknown): string {
  if (typeof data === 'string') return NAME_TYPES.has(type) ? absolute(data) : data
  if (type === 'TXT') return (Array.isArray(data) ? data : [data]).map(quoted).join(' ')
  if (Buffer.isBuffer(data)) return `\\# ${data.length} ${data.toString('hex')}`
  return Object.entries(data ?? {})
    .map(([field, value]) => {
      const isName = typeof value === 'string' && NAME_FIELDS.has(field)
      return isName ? absolute(value) : partText(value)
    })
    .join(' ')
}

/** A name with its final dot. */
export function absolute(name: string): string {
  return `${name.replace(/\.$/, '')}.`
}

function quoted(part: unknown): string {
  const text = Buffer.isBuffer(part) ? part.toString('latin1') : partText(part)
  return `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`
}

function partText(part: unknown): string {
  if (Buffer.isBuffer(part)) return part.toString('base64')
  if (Array.isArray(part)) return part.map(partText).join(' ')
  return typeof part === 'string' ? part : JSON.stringify(part ?? '')
}
