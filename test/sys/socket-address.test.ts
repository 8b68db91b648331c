import { networkInterfaces } from 'node:os'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  IPV4_AT,
  IPV6_AT,
  SOCKADDR_IN6_OCTETS,
  SOCKADDR_IN_OCTETS,
  portOf,
  writeSocketAddress,
} from '../../src/sys/socket-address.ts'

function addressOf(text: string, port = 53): { octets: number; address: Uint8Array } {
  const address = new Uint8Array(SOCKADDR_IN6_OCTETS)
  const octets = writeSocketAddress(address, text, port)
  return { octets, address }
}

function ipv6Octets(text: string): string {
  return Buffer.from(addressOf(text).address.subarray(IPV6_AT, IPV6_AT + 16)).toString('hex')
}

describe('a socket address', () => {
  test.each([
    ['127.0.0.1', [127, 0, 0, 1]],
    ['0.0.0.0', [0, 0, 0, 0]],
    ['255.255.255.255', [255, 255, 255, 255]],
    ['10.1.22.203', [10, 1, 22, 203]],
  ])('of %s holds its four octets behind family and port', (text, octets) => {
    const made = addressOf(text, 5353)
    expect(made.octets).toBe(SOCKADDR_IN_OCTETS)
    expect([...made.address.subarray(0, 4)]).toEqual([2, 0, 5353 >> 8, 5353 & 255])
    expect([...made.address.subarray(IPV4_AT, IPV4_AT + 4)]).toEqual(octets)
    expect(portOf(made.address, 0)).toBe(5353)
  })

  test.each([
    ['::', '00000000000000000000000000000000', 'nothing but a gap'],
    ['::1', '00000000000000000000000000000001', 'a gap at the start'],
    ['2001:db8::', '20010db8000000000000000000000000', 'a gap at the end'],
    ['2001:db8::1:2', '20010db8000000000000000000010002', 'a gap inside'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008', 'no gap'],
    ['::ffff:192.0.2.33', '00000000000000000000ffffc0000221', 'IPv4 at the end'],
    ['FE80::AbCd', 'fe80000000000000000000000000abcd', 'upper case'],
  ])('of %s is %s: %s', (text, hex) => {
    expect(addressOf(text).octets).toBe(SOCKADDR_IN6_OCTETS)
    expect(ipv6Octets(text)).toBe(hex)
  })

  test('carries its zone as the scope: by number, or by the name of an interface', () => {
    const { octets, address } = addressOf('fe80::1%3')
    expect(octets).toBe(SOCKADDR_IN6_OCTETS)
    expect(address[24]).toBe(3)
    expect(addressOf('fe80::1%no-such-interface').octets).toBe(0)
    for (const [name, entries] of Object.entries(networkInterfaces())) {
      const local = entries?.find((entry) => entry.family === 'IPv6' && entry.scopeid !== 0)
      if (local === undefined || local.family !== 'IPv6') continue
      expect(addressOf(`fe80::1%${name}`).address[24]).toBe(local.scopeid & 255)
    }
  })

  test('of any IPv6 address reads back as its groups', () => {
    const group = fc.integer({ min: 0, max: 0xffff })
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const text = groups.map((value) => value.toString(16)).join(':')
        const hex = groups.map((value) => value.toString(16).padStart(4, '0')).join('')
        expect(ipv6Octets(text)).toBe(hex)
        // The same address with its longest way of leaving zeros out.
        const short = text.replace(/(?:^|:)0(?::0)+(?:$|:)/, '::')
        expect(ipv6Octets(short)).toBe(hex)
      }),
    )
  })
})
