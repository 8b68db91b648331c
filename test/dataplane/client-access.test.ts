import { describe, expect, test } from 'vitest'
import { ClientAccess, isReflectorPort } from '../../src/dataplane/transport/client-access.ts'
import { conforms } from '../conformance/conforms.ts'

const access = new ClientAccess([
  '127.0.0.0/8',
  '10.0.0.0/8',
  '192.0.2.7/32',
  '::1/128',
  'fd00::/8',
  'fe80::/10',
])

describe('the access list', () => {
  test.each([
    { address: '127.0.0.1', allowed: true, why: 'inside 127.0.0.0/8' },
    { address: '127.255.255.255', allowed: true, why: 'the end of 127.0.0.0/8' },
    { address: '128.0.0.0', allowed: false, why: 'behind 127.0.0.0/8' },
    { address: '10.1.2.3', allowed: true, why: 'inside 10.0.0.0/8' },
    { address: '11.0.0.0', allowed: false, why: 'behind 10.0.0.0/8' },
    { address: '192.0.2.7', allowed: true, why: 'one address' },
    { address: '192.0.2.8', allowed: false, why: 'beside it' },
    { address: '0.0.0.0', allowed: false, why: 'no prefix' },
    { address: '::1', allowed: true, why: 'one address' },
    { address: '::2', allowed: false, why: 'beside it' },
    { address: 'fd12::1', allowed: true, why: 'inside fd00::/8' },
    { address: 'fc00::1', allowed: false, why: 'outside fd00::/8' },
    { address: 'fe80::1%eth0', allowed: true, why: 'the zone is no part of the address' },
    { address: '2001:db8::1', allowed: false, why: 'no prefix' },
    { address: '::ffff:10.0.0.1', allowed: true, why: 'an IPv4 client on an IPv6 socket' },
    { address: '::ffff:11.0.0.1', allowed: false, why: 'an IPv4 client on an IPv6 socket' },
  ])('$address: $allowed, $why', ({ address, allowed }) => {
    expect(access.allows(address)).toBe(allowed)
    expect(access.allows(address), 'the second time too').toBe(allowed)
  })

  test('stays right when more addresses come than it remembers', () => {
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < 5000; index++) {
        const tail = `${index >> 8}.${index & 0xff}`
        expect(access.allows(`10.9.${tail}`)).toBe(true)
        expect(access.allows(`11.9.${tail}`)).toBe(false)
      }
    }
  })

  test('with a prefix of zero bits lets that family in, and no other', () => {
    const ipv4 = new ClientAccess(['0.0.0.0/0'])
    expect([ipv4.allows('203.0.113.9'), ipv4.allows('2001:db8::1')]).toEqual([true, false])
    const ipv6 = new ClientAccess(['::/0'])
    expect([ipv6.allows('203.0.113.9'), ipv6.allows('2001:db8::1')]).toEqual([false, true])
  })
})

test('the ports of reflectors, and port 0, get no answer', () => {
  conforms('loop-dos', 'source-port-0')
  const refused = Array.from({ length: 65_536 }, (_, port) => port).filter(isReflectorPort)
  expect(refused).toEqual([0, 7, 13, 17, 19, 37])
})
