import { describe, expect, test } from 'vitest'
import { Client } from '../../src/dataplane/client.ts'
import {
  DROP_ACL,
  DROP_LOOP,
  DROP_SOURCE_PORT,
  FAMILY_IPV4,
  PROTO_UDP,
} from '../../src/dataplane/counters.ts'
import {
  ADMITTED,
  ClientAccess,
  type AccessSettings,
} from '../../src/dataplane/transport/client-access.ts'
import { SOCKADDR_IN6_OCTETS, writeSocketAddress } from '../../src/sys/socket-address.ts'
import { conforms } from '../conformance/conforms.ts'

const client = new Client(PROTO_UDP, FAMILY_IPV4)

function accessOf(settings: Partial<AccessSettings>): ClientAccess {
  const rate = { ipv4ClientBits: 32, ipv6ClientBits: 64, exemptFrom: [] }
  return new ClientAccess({ allowFrom: [], sites: [], rate, ...settings })
}

/** The site of the address, or undefined where it may not ask. */
function siteOf(access: ClientAccess, address: string): number | undefined {
  const octets = new Uint8Array(SOCKADDR_IN6_OCTETS)
  return access.findText(address, octets, client) ? client.site : undefined
}

function keyOf(access: ClientAccess, address: string): number {
  access.admitText(address, 4000, client)
  return client.key
}

/** All that the access list says of the address. */
function factsOf(access: ClientAccess, address: string): unknown[] {
  const site = siteOf(access, address)
  return [site, client.siteName, client.key, client.unlimited, client.addressOctets]
}

const access = accessOf({
  allowFrom: ['127.0.0.0/8', '10.0.0.0/8', '192.0.2.7/32', '::1/128', 'fd00::/8', 'fe80::/10'],
})

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
    { address: '', allowed: false, why: 'the client is gone' },
  ])('$address: $allowed, $why', ({ address, allowed }) => {
    expect(siteOf(access, address)).toBe(allowed ? 0 : undefined)
    expect(access.admitText(address, 4000, client)).toBe(allowed ? ADMITTED : DROP_ACL)
  })

  test('with a prefix of zero bits lets that family in, and no other', () => {
    const ipv4 = accessOf({ allowFrom: ['0.0.0.0/0'] })
    expect([siteOf(ipv4, '203.0.113.9'), siteOf(ipv4, '2001:db8::1')]).toEqual([0, undefined])
    const ipv6 = accessOf({ allowFrom: ['::/0'] })
    expect([siteOf(ipv6, '203.0.113.9'), siteOf(ipv6, '2001:db8::1')]).toEqual([undefined, 0])
  })

  test('reads the socket address of a datagram wherever it stands', () => {
    const addresses = new Uint8Array(96)
    const address = new Uint8Array(SOCKADDR_IN6_OCTETS)
    writeSocketAddress(address, '10.1.2.3', 4000)
    addresses.set(address, 32)
    writeSocketAddress(address, '11.1.2.3', 4000)
    addresses.set(address, 64)
    expect(access.admit(addresses, 32, client)).toBe(ADMITTED)
    expect([...client.octets.subarray(client.at, client.at + client.addressOctets)]).toEqual([
      10, 1, 2, 3,
    ])
    expect(access.admit(addresses, 64, client)).toBe(DROP_ACL)
  })
})

describe('a client that comes again', () => {
  const settings: Partial<AccessSettings> = {
    allowFrom: ['10.0.0.0/8', 'fd00::/8'],
    sites: [
      { name: 'first', from: ['10.1.0.0/16'] },
      { name: 'second', from: ['0.0.0.0/32', '255.255.255.255/32'] },
    ],
  }
  const addresses = ['0.0.0.0', '255.255.255.255', '10.1.0.1', '10.2.0.1', '11.0.0.1', 'fd00::1']

  test('is the client that it was, whoever came between', () => {
    const inRows = accessOf(settings)
    for (const first of addresses) {
      for (const second of addresses) {
        for (const address of [first, first, second, first, second, second]) {
          expect(factsOf(inRows, address), address).toEqual(factsOf(accessOf(settings), address))
        }
      }
    }
  })
})

describe('sites', () => {
  const sites = accessOf({
    allowFrom: ['10.0.0.0/8', '10.2.0.0/16', 'fd00::/8'],
    sites: [
      { name: 'first', from: ['10.1.0.0/16', '203.0.113.0/24', 'fd00:1::/32'] },
      { name: 'second', from: ['10.1.2.0/24', '10.0.0.0/9', 'fd00:1:2::/48'] },
    ],
  })

  test.each([
    { address: '10.200.0.1', site: 0, why: 'allowed, in no site' },
    { address: '10.1.1.1', site: 1, why: 'inside the first site' },
    { address: '10.1.2.3', site: 2, why: 'the longer prefix wins' },
    { address: '10.1.3.0', site: 1, why: 'behind the longer prefix' },
    { address: '10.2.0.1', site: 2, why: 'a narrower access list takes nobody out of a site' },
    { address: '203.0.113.9', site: 1, why: 'a site may ask without being on the access list' },
    { address: '203.0.114.1', site: undefined, why: 'neither site nor access list' },
    { address: 'fd00:1::9', site: 1, why: 'IPv6' },
    { address: 'fd00:1:2::9', site: 2, why: 'IPv6, the longer prefix' },
    { address: 'fd00:2::9', site: 0, why: 'IPv6, allowed, in no site' },
  ])('$address: $site, $why', ({ address, site }) => {
    expect(siteOf(sites, address)).toBe(site)
  })
})

describe('sources that never get an answer', () => {
  conforms('loop-dos', 'source-port-0')
  test('are the ports of reflectors, and port 0', () => {
    const refused = Array.from({ length: 65_536 }, (_, port) => port).filter(
      (port) => access.admitText('127.0.0.1', port, client) === DROP_SOURCE_PORT,
    )
    expect(refused).toEqual([0, 7, 13, 17, 19, 37])
  })

  test('are our own addresses with the ports that we listen on', () => {
    const own = accessOf({ allowFrom: ['127.0.0.0/8', '::1/128'] })
    own.addOwn({ address: '127.0.0.1', port: 5300 })
    own.addOwn({ address: '::1', port: 5301 })
    expect(own.admitText('127.0.0.1', 5300, client)).toBe(DROP_LOOP)
    expect(own.admitText('::1', 5301, client)).toBe(DROP_LOOP)
    expect(own.admitText('127.0.0.1', 5301, client)).toBe(ADMITTED)
    expect(own.admitText('127.0.0.2', 5300, client)).toBe(ADMITTED)
    expect(own.admitText('::1', 5300, client)).toBe(ADMITTED)
  })
})

describe('the key of a client', () => {
  const all = accessOf({ allowFrom: ['0.0.0.0/0', '::/0'] })

  test('is the same for one IPv4 address and for one IPv6 network of 64 bits', () => {
    expect(keyOf(all, '192.0.2.1')).toBe(keyOf(all, '192.0.2.1'))
    expect(keyOf(all, '2001:db8::1')).toBe(keyOf(all, '2001:db8::ffff:1'))
  })

  test('differs between clients', () => {
    const keys = new Set<number>()
    for (let host = 0; host < 256; host++) {
      keys.add(keyOf(all, `192.0.2.${host}`))
      keys.add(keyOf(all, `2001:db8:0:${host.toString(16)}::1`))
    }
    expect(keys.size).toBe(512)
  })
})
