/** Makes the ranges of an `AddressTable` from prefixes, once per start or reload. */
import type { AddressRanges } from './address-table.ts'

/** A CIDR prefix with what it stands for. */
export interface PrefixRule {
  /** Canonical text, such as `10.0.0.0/8` or `fd00::/8`, already checked. */
  readonly prefix: string
  readonly value: number
}

/** A prefix as the numbers that its addresses are. */
interface Span {
  readonly start: bigint
  /** Just behind the last address. */
  readonly end: bigint
  readonly value: number
}

interface Range {
  readonly start: bigint
  readonly value: number
}

/**
 * Returns the ranges of all addresses. Prefixes that lie in one another are combined from the
 * widest to the narrowest.
 *
 * @param outside the number of addresses in no prefix.
 * @param combine takes the number that holds around a prefix, and the prefix's own; of two rules
 *   for one prefix the first counts as the wider one.
 */
export function buildAddressTable(
  rules: readonly PrefixRule[],
  outside: number,
  combine: (around: number, own: number) => number,
): AddressRanges {
  const ipv4 = rangesOf(spansOf(rules, false), 32n, outside, combine)
  const ipv6 = rangesOf(spansOf(rules, true), 128n, outside, combine)
  const ipv4Starts = new Uint32Array(sharedWords(ipv4.length))
  const ipv6Starts = new Uint32Array(sharedWords(ipv6.length * 4))
  const ipv4Values = new Int32Array(sharedWords(ipv4.length))
  const ipv6Values = new Int32Array(sharedWords(ipv6.length))
  for (const [index, { start, value }] of ipv4.entries()) {
    ipv4Starts[index] = Number(start)
    ipv4Values[index] = value
  }
  for (const [index, { start, value }] of ipv6.entries()) {
    ipv6Values[index] = value
    for (let word = 0; word < 4; word++) {
      ipv6Starts[index * 4 + word] = Number((start >> BigInt(32 * (3 - word))) & 0xffff_ffffn)
    }
  }
  return { ipv4Starts, ipv4Values, ipv6Starts, ipv6Values }
}

/** One copy for all workers that the ranges are posted to. */
function sharedWords(words: number): SharedArrayBuffer {
  return new SharedArrayBuffer(words * Uint32Array.BYTES_PER_ELEMENT)
}

/** Prefixes of one family: by their start, the wider before the narrower. */
function spansOf(rules: readonly PrefixRule[], ipv6: boolean): readonly Span[] {
  const spans = []
  for (const { prefix, value } of rules) {
    if (prefix.includes(':') !== ipv6) continue
    const slash = prefix.indexOf('/')
    const address = prefix.slice(0, slash)
    const bits = Number(prefix.slice(slash + 1))
    const start = ipv6 ? ipv6Number(address) : ipv4Number(address)
    spans.push({ start, end: start + (1n << BigInt((ipv6 ? 128 : 32) - bits)), value })
  }
  return spans.toSorted((a, b) => compare(a.start, b.start) || compare(b.end, a.end))
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Sweeps over the starts and ends: spans are nested or apart, never overlapping. */
function rangesOf(
  spans: readonly Span[],
  bits: bigint,
  outside: number,
  combine: (around: number, own: number) => number,
): readonly Range[] {
  const last = 1n << bits
  const ranges: Range[] = []
  const around: Span[] = [{ start: 0n, end: last, value: outside }]
  const begin = (start: bigint, value: number): void => {
    if (start === last) return
    if (ranges.at(-1)?.start === start) ranges.pop()
    if (ranges.at(-1)?.value !== value) ranges.push({ start, value })
  }
  const leave = (before: bigint): void => {
    while (around.length > 1 && around.at(-1)!.end <= before) {
      const { end } = around.pop()!
      begin(end, around.at(-1)!.value)
    }
  }
  begin(0n, outside)
  for (const { start, end, value } of spans) {
    leave(start)
    const own = combine(around.at(-1)!.value, value)
    begin(start, own)
    around.push({ start, end, value: own })
  }
  leave(last)
  return ranges
}

function ipv4Number(address: string): bigint {
  return address.split('.').reduce((sum, octet) => (sum << 8n) | BigInt(octet), 0n)
}

function ipv6Number(address: string): bigint {
  const [left = '', right] = address.split('::')
  const head = groupsOf(left)
  const tail = groupsOf(right ?? '')
  const gap = Array.from({ length: 8 - head.length - tail.length }, () => 0n)
  return [...head, ...gap, ...tail].reduce((sum, group) => (sum << 16n) | group, 0n)
}

function groupsOf(text: string): readonly bigint[] {
  return text === '' ? [] : text.split(':').map((group) => BigInt(`0x${group}`))
}
