/**
 * Unpredictable 16-bit numbers for ids and ports, drawn from the system's CSPRNG in blocks (RFC
 * 5452 9.2).
 */
import { randomFillSync } from 'node:crypto'

const BLOCK = new Uint16Array(2048)
let used = BLOCK.length

/** Returns a number from 0 to 65535, each equally likely. */
export function randomU16(): number {
  if (used === BLOCK.length) {
    randomFillSync(BLOCK)
    used = 0
  }
  return BLOCK[used++]!
}
