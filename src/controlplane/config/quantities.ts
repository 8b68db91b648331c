/** Amounts of octets as operators write them: a whole number, or text with a binary unit. */

import { GiB, KiB, MiB } from '../../base/units.ts'
import type { Fault } from './addresses.ts'

const UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['kib', KiB],
  ['mib', MiB],
  ['gib', GiB],
])

/** Parses `1048576`, `1024KiB`, `64 MiB` or `1GiB`. */
export function parseOctets(value: string | number): number | Fault {
  const parts = /^\s*(\d{1,15})\s*([a-z]*)\s*$/i.exec(String(value))
  const unit = parts ? UNITS.get(parts[2]!.toLowerCase()) : undefined
  if (parts && unit !== undefined) return Number(parts[1]) * unit
  const fault = `"${value}" is not an amount of octets`
  const near = parts ? /^([kmg])b?$/i.exec(parts[2]!) : undefined
  if (parts && near) {
    return { fault, suggestion: `write ${parts[1]}${near[1]!.toUpperCase()}iB` }
  }
  return { fault, suggestion: 'write a whole number, alone or with KiB, MiB or GiB' }
}

/** The shortest exact text: `64MiB`, `1536KiB`, `1000`. */
export function formatOctets(octets: number): string {
  for (const [size, unit] of [
    [GiB, 'GiB'],
    [MiB, 'MiB'],
    [KiB, 'KiB'],
  ] as const) {
    if (octets >= size && octets % size === 0) return `${octets / size}${unit}`
  }
  return String(octets)
}
