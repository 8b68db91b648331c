/** Zones of link-local addresses: the interface's name or number to its scope id (RFC 4007 11). */
import { networkInterfaces } from 'node:os'

/** Interfaces come and go; a name that is not known is looked for again after this time. */
const REFRESH_MS = 5000

let scopes = new Map<string, number>()
let readMs = Number.NEGATIVE_INFINITY

/** Returns the scope id of a zone as Node writes it (`eth0` or `3`), or -1. */
export function scopeOf(zone: string): number {
  const number = Number(zone)
  if (Number.isInteger(number)) return number
  const known = scopes.get(zone)
  if (known !== undefined) return known
  if (performance.now() - readMs < REFRESH_MS) return -1
  readMs = performance.now()
  scopes = createScopes()
  return scopes.get(zone) ?? -1
}

function createScopes(): Map<string, number> {
  const made = new Map<string, number>()
  for (const [name, entries] of Object.entries(networkInterfaces())) {
    for (const entry of entries ?? []) {
      if (entry.family === 'IPv6' && entry.scopeid !== 0) made.set(name, entry.scopeid)
    }
  }
  return made
}
