/**
 * DNS messages put together octet by octet, for what no well-behaved encoder writes. Shares no code
 * with `src/wire`.
 */

export interface HeaderFields {
  readonly id?: number
  /** Default 0x0100: a query with RD. */
  readonly flags?: number
  readonly qd?: number
  readonly an?: number
  readonly ns?: number
  readonly ar?: number
}

/** The twelve octets at the start; one question unless told otherwise. */
export function header(fields: HeaderFields = {}): Buffer {
  const octets = Buffer.alloc(12)
  octets.writeUInt16BE(fields.id ?? 0x1234, 0)
  octets.writeUInt16BE(fields.flags ?? 0x0100, 2)
  octets.writeUInt16BE(fields.qd ?? 1, 4)
  octets.writeUInt16BE(fields.an ?? 0, 6)
  octets.writeUInt16BE(fields.ns ?? 0, 8)
  octets.writeUInt16BE(fields.ar ?? 0, 10)
  return octets
}

/** A wire name of dotted latin1 labels; '' and '.' are the root. */
export function name(text: string): Buffer {
  const labels = text.split('.').filter((label) => label !== '')
  const parts = labels.flatMap((label) => [
    Buffer.from([label.length]),
    Buffer.from(label, 'latin1'),
  ])
  return Buffer.concat([...parts, Buffer.from([0])])
}

/** A wire name of exactly that many octets (3 or more), the root octet included. */
export function nameOfOctets(octets: number): Buffer {
  const labels: Buffer[] = []
  let rest = octets - 1
  while (rest > 0) {
    // One octet left over would be a label without content.
    const taken = rest === 65 ? 63 : Math.min(64, rest)
    labels.push(Buffer.from([taken - 1]), Buffer.alloc(taken - 1, 0x61))
    rest -= taken
  }
  return Buffer.concat([...labels, Buffer.from([0])])
}

/** A compression pointer (RFC 1035 4.1.4). */
export function pointer(offset: number): Buffer {
  return u16(0xc000 | offset)
}

export function u16(value: number): Buffer {
  const octets = Buffer.alloc(2)
  octets.writeUInt16BE(value)
  return octets
}

export function u32(value: number): Buffer {
  const octets = Buffer.alloc(4)
  octets.writeUInt32BE(value)
  return octets
}

/** A question: owner as text or as octets, type and class as numbers. */
export function question(owner: string | Uint8Array, type = 1, questionClass = 1): Buffer {
  const octets = typeof owner === 'string' ? name(owner) : owner
  return Buffer.concat([octets, u16(type), u16(questionClass)])
}

export interface RecordFields {
  /** Default a pointer to the question. */
  readonly owner?: Uint8Array
  readonly type: number
  readonly class?: number
  readonly ttl?: number
  readonly rdata?: Uint8Array
  /** Default the octets of `rdata`. */
  readonly rdataOctets?: number
}

export function record(fields: RecordFields): Buffer {
  const rdata = fields.rdata ?? Buffer.alloc(0)
  return Buffer.concat([
    fields.owner ?? pointer(12),
    u16(fields.type),
    u16(fields.class ?? 1),
    u32(fields.ttl ?? 300),
    u16(fields.rdataOctets ?? rdata.length),
    rdata,
  ])
}

export interface OptFields {
  readonly owner?: Uint8Array
  readonly udpOctets?: number
  readonly extendedRcode?: number
  readonly version?: number
  readonly dnssecOk?: boolean
  readonly rdata?: Uint8Array
  readonly rdataOctets?: number
}

/** The OPT record (RFC 6891 6.1.2). */
export function opt(fields: OptFields = {}): Buffer {
  const version = fields.version ?? 0
  const flags = fields.dnssecOk === true ? 0x8000 : 0
  return record({
    owner: fields.owner ?? Buffer.from([0]),
    type: 41,
    class: fields.udpOctets ?? 1232,
    ttl: (fields.extendedRcode ?? 0) * 0x1000000 + version * 0x10000 + flags,
    ...(fields.rdata === undefined ? {} : { rdata: fields.rdata }),
    ...(fields.rdataOctets === undefined ? {} : { rdataOctets: fields.rdataOctets }),
  })
}

/** One EDNS option (RFC 6891 6.1.2). */
export function option(code: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u16(code), u16(data.length), data])
}

/** A SOA's RDATA with short names. */
export function soaData(minimum: number): Buffer {
  const numbers = [1, 3600, 600, 86_400, minimum].map(u32)
  return Buffer.concat([name('ns.example'), name('host.example'), ...numbers])
}

/** The parts, one after another. */
export function join(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts)
}
