/**
 * DNS messages for tests, written and read by `dns-packet`: a reader that shares no code with ours.
 *
 * Types that dns-packet has no name for are written `TYPE65`, as RFC 3597 has it; their data are
 * octets.
 */
import { decode, encode } from 'dns-packet'

const FLAG_QR = 1 << 15
const FLAG_AA = 1 << 10
const FLAG_TC = 1 << 9
const FLAG_RD = 1 << 8
const FLAG_RA = 1 << 7
const FLAG_AD = 1 << 5
const FLAG_CD = 1 << 4
const RCODE_MASK = 0xf

/** Option code of Extended DNS Errors (RFC 8914). */
const OPTION_EDE = 15

const HEADER_OCTETS = 12

/** Types that newer RFCs name and dns-packet does not. */
const NEWER_TYPES: Readonly<Record<string, number>> = { SVCB: 64, HTTPS: 65 }

export const RCODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'] as const

export type Rcode = (typeof RCODES)[number]

/** One resource record; `data` is what dns-packet makes of its type, octets for other types. */
export interface ResourceRecord {
  readonly name: string
  readonly type: string
  readonly ttl?: number
  readonly class?: string
  readonly data: unknown
}

export interface EdnsOption {
  readonly code: number
  readonly data: Uint8Array
}

/** The OPT record (RFC 6891). */
export interface Edns {
  readonly udpOctets: number
  readonly dnssecOk: boolean
  readonly version: number
  readonly options: readonly EdnsOption[]
}

export interface QueryOptions {
  /** Default random. */
  readonly id?: number
  /** Default true. */
  readonly recursionDesired?: boolean
  readonly checkingDisabled?: boolean
  readonly authenticData?: boolean
  /** Default `IN`. */
  readonly class?: string
  /** Absent: no OPT record. `{}` means 1232 octets, version 0, no option. */
  readonly edns?: Partial<Edns>
}

export interface Message {
  readonly id: number
  readonly response: boolean
  readonly opcode: string
  readonly authoritative: boolean
  readonly truncated: boolean
  readonly recursionDesired: boolean
  readonly recursionAvailable: boolean
  readonly authenticData: boolean
  readonly checkingDisabled: boolean
  /** The 4-bit rcode of the header by name, `RCODE16` and the like where it has none here. */
  readonly rcode: string
  /** With the upper bits of OPT: 16 is BADVERS. */
  readonly extendedRcode: number
  readonly questions: readonly { name: string; type: string; class: string }[]
  readonly answers: readonly ResourceRecord[]
  readonly authorities: readonly ResourceRecord[]
  /** Without the OPT record. */
  readonly additionals: readonly ResourceRecord[]
  readonly edns: Edns | undefined
  /** The first Extended DNS Error (RFC 8914). */
  readonly ede: { readonly code: number; readonly text: string } | undefined
  /** Octets of the message. */
  readonly octets: Buffer
}

/** Returns the octets of a query with one question. */
export function encodeQuery(name: string, type = 'A', options: QueryOptions = {}): Buffer {
  const { edns } = options
  return encodeLoosely({
    type: 'query',
    id: options.id ?? Math.floor(Math.random() * 65_536),
    flags:
      (options.recursionDesired === false ? 0 : FLAG_RD) |
      (options.checkingDisabled === true ? FLAG_CD : 0) |
      (options.authenticData === true ? FLAG_AD : 0),
    questions: [{ name, type: typeForEncoder(type), class: options.class ?? 'IN' }],
    additionals: edns === undefined ? [] : [optRecord(edns)],
  })
}

export interface ResponseOptions {
  /** Default the query's. */
  readonly id?: number
  readonly rcode?: Rcode
  readonly authoritative?: boolean
  readonly truncated?: boolean
  readonly authenticData?: boolean
  readonly answers?: readonly ResourceRecord[]
  readonly authorities?: readonly ResourceRecord[]
  readonly additionals?: readonly ResourceRecord[]
  readonly edns?: Partial<Edns>
  /** Default the query's question. */
  readonly question?: { readonly name: string; readonly type: string; readonly class?: string }
}

/**
 * Returns the octets of a response to `query`. The question is copied octet by octet, so that its
 * letter case stays, unless another one is asked for.
 */
export function encodeResponse(query: Uint8Array, options: ResponseOptions = {}): Buffer {
  const asked = Buffer.from(query)
  const edns = options.edns
  const response = encodeLoosely({
    type: 'response',
    id: options.id ?? asked.readUInt16BE(0),
    flags:
      (asked.readUInt16BE(2) & (FLAG_RD | FLAG_CD)) |
      FLAG_RA |
      (options.authoritative === true ? FLAG_AA : 0) |
      (options.truncated === true ? FLAG_TC : 0) |
      (options.authenticData === true ? FLAG_AD : 0) |
      RCODES.indexOf(options.rcode ?? 'NOERROR'),
    questions:
      options.question === undefined
        ? []
        : [{ ...options.question, type: typeForEncoder(options.question.type) }],
    answers: (options.answers ?? []).map(recordForEncoder),
    authorities: (options.authorities ?? []).map(recordForEncoder),
    additionals: [
      ...(options.additionals ?? []).map(recordForEncoder),
      ...(edns === undefined ? [] : [optRecord(edns)]),
    ],
  })
  if (options.question !== undefined) return response
  const question = asked.subarray(HEADER_OCTETS, questionEnd(asked))
  const header = Buffer.from(response.subarray(0, HEADER_OCTETS))
  header.writeUInt16BE(1, 4)
  return Buffer.concat([header, question, response.subarray(HEADER_OCTETS)])
}

/** Returns the offset just past the first question; throws where there is none. */
export function questionEnd(message: Uint8Array): number {
  let at = HEADER_OCTETS
  while (at < message.length) {
    const octets = message[at] ?? 0
    at += 1 + octets
    if (octets === 0) break
  }
  if (at + 4 > message.length) throw new Error('the message has no whole question')
  return at + 4
}

/** Reads a message; throws where dns-packet finds it malformed. */
export function decodeMessage(octets: Uint8Array): Message {
  const buffer = Buffer.from(octets)
  const packet = decode(buffer)
  const flags = buffer.readUInt16BE(2)
  const additionals = (packet.additionals ?? []) as unknown as readonly LooseRecord[]
  const opt = additionals.find((record) => record.type === 'OPT')
  const edns = opt === undefined ? undefined : ednsOf(opt)
  const rcode = flags & RCODE_MASK
  return {
    id: buffer.readUInt16BE(0),
    response: (flags & FLAG_QR) !== 0,
    opcode: String((packet as { opcode?: unknown }).opcode),
    authoritative: (flags & FLAG_AA) !== 0,
    truncated: (flags & FLAG_TC) !== 0,
    recursionDesired: (flags & FLAG_RD) !== 0,
    recursionAvailable: (flags & FLAG_RA) !== 0,
    authenticData: (flags & FLAG_AD) !== 0,
    checkingDisabled: (flags & FLAG_CD) !== 0,
    rcode: RCODES[rcode] ?? `RCODE${rcode}`,
    extendedRcode: ((opt?.extendedRcode ?? 0) << 4) | rcode,
    questions: (packet.questions ?? []).map((question) => ({
      name: question.name,
      type: typeFromDecoder(question.type),
      class: String(question.class),
    })),
    answers: records(packet.answers),
    authorities: records(packet.authorities),
    additionals: records(packet.additionals),
    edns,
    ede: edns === undefined ? undefined : edeOf(edns),
    octets: buffer,
  }
}

/** A record as dns-packet gives it; the fields of OPT are absent elsewhere. */
interface LooseRecord {
  readonly name: string
  readonly type: string
  readonly ttl?: number
  readonly class?: string
  readonly data?: unknown
  readonly udpPayloadSize?: number
  readonly extendedRcode?: number
  readonly ednsVersion?: number
  readonly flag_do?: boolean
  readonly options?: readonly { readonly code: number; readonly data: Uint8Array }[]
}

/** dns-packet's types name fewer records than it writes. */
function encodeLoosely(packet: Readonly<Record<string, unknown>>): Buffer {
  return encode(packet)
}

function records(list: unknown): ResourceRecord[] {
  return ((list ?? []) as readonly LooseRecord[])
    .filter((record) => record.type !== 'OPT')
    .map((record) => ({
      name: record.name,
      type: typeFromDecoder(record.type),
      ttl: record.ttl ?? 0,
      class: String(record.class),
      data: record.data,
    }))
}

function recordForEncoder(record: ResourceRecord): object {
  return { ttl: 300, ...record, type: typeForEncoder(record.type) }
}

function optRecord(edns: Partial<Edns>): object {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: edns.udpOctets ?? 1232,
    ednsVersion: edns.version ?? 0,
    flags: edns.dnssecOk === true ? FLAG_QR : 0,
    options: (edns.options ?? []).map(({ code, data }) => ({ code, data: Buffer.from(data) })),
  }
}

function ednsOf(opt: LooseRecord): Edns {
  return {
    udpOctets: opt.udpPayloadSize ?? 0,
    dnssecOk: opt.flag_do === true,
    version: opt.ednsVersion ?? 0,
    options: (opt.options ?? []).map(({ code, data }) => ({ code, data })),
  }
}

function edeOf(edns: Edns): { code: number; text: string } | undefined {
  const option = edns.options.find(({ code }) => code === OPTION_EDE)
  if (option === undefined) return undefined
  const data = Buffer.from(option.data)
  return { code: data.readUInt16BE(0), text: data.toString('utf8', 2) }
}

function typeForEncoder(type: string): string {
  const number = NEWER_TYPES[type] ?? /^TYPE(\d+)$/.exec(type)?.[1]
  return number === undefined ? type : `UNKNOWN_${number}`
}

function typeFromDecoder(type: string): string {
  const number = /^UNKNOWN_(\d+)$/.exec(type)?.[1]
  if (number === undefined) return type
  const newer = Object.entries(NEWER_TYPES).find(([, value]) => String(value) === number)
  return newer?.[0] ?? `TYPE${number}`
}
