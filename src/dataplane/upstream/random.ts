/**
 * Unpredictable 16-bit numbers for ids and ports, drawn from the system's CSPRNG in blocks (RFC
 * 5452 9.2).
 */
import { randomFillSync } from 'node:crypto'

const BLOCK = new Uint16Array(2048)
let used = BLOCK.length

/**
 * The upper half: servers have their ports below, and a port that we hold is one they cannot have.
 */
const PORT_BITS = 0x7fff
const PORT_MIN = 0x8000

/** Returns a port from 32768 to 65535, each equally likely. */
export function randomPort(): number {
  return PORT_MIN | (randomU16() & PORT_BITS)
}

/** No id is free. */
export const NO_ID = -1
/** Draws for an id that is not in flight before the try counts as failed. */
const DRAWS_MAX = 16

/** Returns an unpredictable id that is not in flight, or `NO_ID` when nearly all of them are. */
export function drawId(inFlight: { has(id: number): boolean }): number {
  for (let draws = 0; draws < DRAWS_MAX; draws++) {
    const id = randomU16()
    if (!inFlight.has(id)) return id
  }
  return NO_ID
}

/** Returns a number from 0 to 65535, each equally likely. */
export function randomU16(): number {
  if (used === BLOCK.length) {
    randomFillSync(BLOCK)
    used = 0
  }
  return BLOCK[used++]!
}
