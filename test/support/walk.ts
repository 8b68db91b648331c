/**
 * A strict reader of the frame of a message: every octet has its place, every name that a client
 * would follow leads backwards to its end. Unlike dns-packet it does not judge what keys and
 * signatures hold. Shares no code with `src/wire`.
 */

/** Names in the RDATA of a type (RFC 3597 4): octets before them, how many, octets behind. */
const NAMES_IN_RDATA: Readonly<Record<number, readonly [number, number, number]>> = {
  2: [0, 1, 0],
  5: [0, 1, 0],
  6: [0, 2, 20],
  12: [0, 1, 0],
  15: [2, 1, 0],
  33: [6, 1, 0],
  39: [0, 1, 0],
}
const ADDRESS_OCTETS: Readonly<Record<number, number>> = { 1: 4, 28: 16 }

/** One record where it stands. */
export interface WalkedRecord {
  readonly section: 'answer' | 'authority' | 'additional'
  readonly type: number
  readonly ttl: number
}

/** Reads a message to its last octet; throws where any octet is out of place. */
export function walkMessage(octets: Buffer): WalkedRecord[] {
  const [questions, ...counts] = [4, 6, 8, 10].map((at) => octets.readUInt16BE(at))
  let at = 12
  for (let index = 0; index < questions!; index++) at = endOfName(octets, at, octets.length) + 4
  const records: WalkedRecord[] = []
  for (const [index, section] of (['answer', 'authority', 'additional'] as const).entries()) {
    for (let rest = counts[index]!; rest > 0; rest--) {
      const fixed = endOfName(octets, at, octets.length)
      const type = octets.readUInt16BE(fixed)
      const end = fixed + 10 + octets.readUInt16BE(fixed + 8)
      if (end > octets.length) throw new Error(`RDATA at ${fixed + 10} runs past the end`)
      const isIn = octets.readUInt16BE(fixed + 2) === 1
      if (isIn) checkRdata(octets, type, fixed + 10, end)
      records.push({ section, type, ttl: octets.readUInt32BE(fixed + 4) })
      at = end
    }
  }
  if (at !== octets.length) throw new Error(`${octets.length - at} octets behind the last record`)
  return records
}

function checkRdata(octets: Buffer, type: number, start: number, end: number): void {
  const addressOctets = ADDRESS_OCTETS[type]
  if (addressOctets !== undefined && end - start !== addressOctets) {
    throw new Error(`an address of ${end - start} octets at ${start}`)
  }
  const layout = NAMES_IN_RDATA[type]
  if (layout === undefined) return
  const [before, names, behind] = layout
  let at = start + before
  for (let index = 0; index < names; index++) at = endOfName(octets, at, end)
  if (at + behind !== end) throw new Error(`RDATA of type ${type} at ${start} has a wrong length`)
}

/** Returns where the name ends in place, having followed it to its root. */
function endOfName(octets: Buffer, start: number, limit: number): number {
  let at = start
  let lowest = start
  let nameOctets = 0
  let end: number | undefined
  for (;;) {
    if (at >= limit) throw new Error(`the name at ${start} runs past its end`)
    const first = octets[at]!
    if (first >= 0xc0) {
      const target = octets.readUInt16BE(at) & 0x3fff
      if (target >= lowest) throw new Error(`the name at ${start} points forward or at itself`)
      end ??= at + 2
      lowest = target
      at = target
      continue
    }
    if (first > 63) throw new Error(`a label of an unknown type at ${at}`)
    nameOctets += 1 + first
    if (nameOctets > 255) throw new Error(`the name at ${start} is too long`)
    at += 1 + first
    if (first === 0) return end ?? at
  }
}
