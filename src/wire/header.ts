/**
 * The twelve octets at the start of every message (RFC 1035 4.1.1), read and written in place:
 *
 *      0  ID              2  QR Opcode AA TC RD | RA Z AD CD RCODE
 *      4  QDCOUNT         6  ANCOUNT            8  NSCOUNT          10  ARCOUNT
 */

export const HEADER_OCTETS = 12
/** The largest message: its length travels in 16 bits over TCP (RFC 1035 4.2.2). */
export const MESSAGE_OCTETS_MAX = 65_535

export const OFFSET_ID = 0
export const OFFSET_FLAGS = 2
export const OFFSET_QDCOUNT = 4
export const OFFSET_ANCOUNT = 6
export const OFFSET_NSCOUNT = 8
export const OFFSET_ARCOUNT = 10

export const FLAG_QR = 0x8000
export const FLAG_TC = 0x0200
export const FLAG_RD = 0x0100
export const FLAG_RA = 0x0080
/** The answer was validated (RFC 4035 3.2.3); in a query: tell me whether it was (RFC 6840 5.7). */
export const FLAG_AD = 0x0020
export const FLAG_CD = 0x0010
export const MASK_OPCODE = 0x7800
export const MASK_RCODE = 0x000f
export const SHIFT_OPCODE = 11

/**
 * Returns the 16-bit number at `at`, most significant octet first. The caller has checked the
 * bound.
 */
export function readU16(message: Uint8Array, at: number): number {
  return (message[at]! << 8) | message[at + 1]!
}

/**
 * Returns the 32-bit number at `at` as a non-negative integer. The caller has checked the bound.
 */
export function readU32(message: Uint8Array, at: number): number {
  return (
    message[at]! * 0x1000000 +
    ((message[at + 1]! << 16) | (message[at + 2]! << 8) | message[at + 3]!)
  )
}

/** Writes a 16-bit number. */
export function writeU16(message: Uint8Array, at: number, value: number): void {
  message[at] = value >>> 8
  message[at + 1] = value
}

/** Writes a 32-bit number. */
export function writeU32(message: Uint8Array, at: number, value: number): void {
  message[at] = value >>> 24
  message[at + 1] = value >>> 16
  message[at + 2] = value >>> 8
  message[at + 3] = value
}

/** Returns the rcode's lower four bits, as the header carries them. */
export function headerRcode(message: Uint8Array): number {
  return message[OFFSET_FLAGS + 1]! & MASK_RCODE
}
