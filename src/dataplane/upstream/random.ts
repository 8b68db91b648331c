/**
 * Unpredictable 16-bit numbers for ids and ports, drawn from the system's CSPRNG in blocks (RFC
 * 5452 9.2).
 */
import { randomFillSync } from 'node:crypto'

const BLOCK = new Uint16Array(2048)
let used = BLOCK.length

/** Ports below are left to servers. */
const PORT_MIN = 1024
/** Draws until a port is high enough; one in 64 is not. */
const DRAWS_MAX = 16

/** Returns a port from 1024 to 65535, each equally likely. */
export function randomPort(): number {
  for (let draws = 0; draws < DRAWS_MAX; draws++) {
    const port = randomU16()
    if (port >= PORT_MIN) return port
  }
  return PORT_MIN
}

/** Returns a number from 0 to 65535, each equally likely. */
export function randomU16(): number {
  if (used === BLOCK.length) {
    randomFillSync(BLOCK)
    used = 0
  }
  return BLOCK[used++]!
}
