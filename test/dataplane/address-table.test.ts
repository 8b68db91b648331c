import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AddressTable } from '../../src/dataplane/address-table.ts'
import { buildAddressTable, type PrefixRule } from '../../src/dataplane/build-address-table.ts'
import { addressOctets } from '../../src/controlplane/config/addresses.ts'

const OUTSIDE = -1

/** Of several prefixes the longest decides. */
function tableOf(rules: readonly PrefixRule[]): AddressTable {
  return new AddressTable(buildAddressTable(rules, OUTSIDE, (_around, own) => own))
}

function find(table: AddressTable, octets: Uint8Array): number {
  return octets.length === 4 ? table.findIpv4(octets, 0) : table.findIpv6(octets, 0)
}

interface ModelRule {
  readonly octets: Uint8Array
  readonly bits: number
  readonly value: number
}

function covers({ octets, bits }: ModelRule, address: Uint8Array): boolean {
  if (octets.length !== address.length) return false
  for (let bit = 0; bit < bits; bit++) {
    const mask = 0x80 >> (bit & 7)
    if (((octets[bit >> 3]! ^ address[bit >> 3]!) & mask) !== 0) return false
  }
  return true
}

/** Every rule is looked at; the later of two rules for one prefix wins. */
function naive(rules: readonly ModelRule[], address: Uint8Array): number {
  let best: ModelRule | undefined
  for (const rule of rules) {
    if (covers(rule, address) && rule.bits >= (best?.bits ?? 0)) best = rule
  }
  return best?.value ?? OUTSIDE
}

function textOf(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join('.')
  const groups = []
  for (let at = 0; at < 16; at += 2) {
    groups.push(((octets[at]! << 8) | octets[at + 1]!).toString(16))
  }
  return groups.join(':')
}

/** Few different octets, so that prefixes lie in one another. */
function addresses(length: 4 | 16): fc.Arbitrary<Uint8Array> {
  const octet = fc.constantFrom(0, 1, 127, 128, 254, 255)
  return fc
    .array(octet, { minLength: length, maxLength: length })
    .map((all) => Uint8Array.from(all))
}

function modelRules(length: 4 | 16): fc.Arbitrary<ModelRule> {
  const parts = fc.tuple(addresses(length), fc.integer({ min: 0, max: length * 8 }), fc.nat(50))
  return parts.map(([address, bits, value]) => {
    const octets = address.map((octet, index) => {
      const kept = Math.min(8, Math.max(0, bits - index * 8))
      return octet & (0xff00 >> kept)
    })
    return { octets, bits, value }
  })
}

function ruleOf({ octets, bits, value }: ModelRule): PrefixRule {
  return { prefix: `${textOf(octets)}/${bits}`, value }
}

describe.each([4, 16] as const)('a table of addresses of %i octets', (length) => {
  test('finds what a walk over all prefixes finds', () => {
    fc.assert(
      fc.property(
        fc.array(modelRules(length), { maxLength: 30 }),
        fc.array(addresses(length), { minLength: 1, maxLength: 30 }),
        (rules, asked) => {
          const table = tableOf(rules.map(ruleOf))
          for (const address of [...asked, ...rules.map(({ octets }) => octets)]) {
            expect(find(table, address)).toBe(naive(rules, address))
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})

test('thousands of prefixes are told apart, at both ends of each', () => {
  const rules = Array.from({ length: 5000 }, (_, index) => ({
    prefix: `10.${index >> 8}.${index & 0xff}.64/26`,
    value: index,
  }))
  const table = tableOf(rules)
  for (const [index, { prefix }] of rules.entries()) {
    const octets = addressOctets(prefix.slice(0, prefix.indexOf('/')))
    expect(table.findIpv4(octets, 0)).toBe(index)
    octets[3] = 127
    expect(table.findIpv4(octets, 0)).toBe(index)
    octets[3] = 128
    expect(table.findIpv4(octets, 0)).toBe(OUTSIDE)
    octets[3] = 63
    expect(table.findIpv4(octets, 0)).toBe(OUTSIDE)
  }
})

test('prefixes in one another can be combined instead of replaced', () => {
  const rules = [
    { prefix: '10.0.0.0/8', value: 1 },
    { prefix: '10.1.0.0/16', value: 2 },
    { prefix: '10.1.0.0/16', value: 4 },
    { prefix: 'fd00::/8', value: 8 },
  ]
  const table = new AddressTable(buildAddressTable(rules, 0, (around, own) => around | own))
  const numbers = ['9.255.255.255', '10.0.0.0', '10.1.2.3', '10.2.0.0', '11.0.0.0', 'fd01::']
  expect(numbers.map((address) => find(table, addressOctets(address)))).toEqual([0, 1, 7, 1, 0, 8])
})

test('an empty table holds no address', () => {
  const table = tableOf([])
  expect(find(table, addressOctets('192.0.2.1'))).toBe(OUTSIDE)
  expect(find(table, addressOctets('2001:db8::1'))).toBe(OUTSIDE)
})
