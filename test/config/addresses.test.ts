import { isIPv6 as isIPv6OfNode } from 'node:net'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  addressOctets,
  formatEndpoint,
  isIPv6,
  isPrivate,
  ownAddresses,
  parseEndpoint,
  parseListen,
  parsePrefix,
  parseUpstream,
} from '../../src/controlplane/config/addresses.ts'

describe('endpoints', () => {
  test.each([
    ['127.0.0.1:5300', '127.0.0.1', 5300],
    ['0.0.0.0:53', '0.0.0.0', 53],
    ['[::1]:53', '::1', 53],
    ['[2001:DB8:0::1]:65535', '2001:db8::1', 65_535],
    ['[fe80::1%eth0]:53', 'fe80::1%eth0', 53],
    ['10.0.0.1:0', '10.0.0.1', 0],
  ])('%s is an address and a port', (text, address, port) => {
    expect(parseEndpoint(text)).toEqual({ address, port })
  })

  test.each([
    ['127.0.0.1', /no port/, 'write 127.0.0.1:53'],
    ['::1', /needs a port/, 'write [::1]:53'],
    ['[::1]', /no port/, 'write [::1]:53'],
    ['2001:db8::1:2:3:4:5:53', /needs a port|needs brackets/, /write \[/],
    ['fe80::1:2:3:4:5:6:5300', /needs brackets|needs a port/, /write \[/],
    ['127.0.0.1:70000', /port "70000"/, undefined],
    ['127.0.0.1:', /port ""/, undefined],
    ['127.0.0.1:http', /port "http"/, undefined],
    ['010.0.0.1:53', /leading zeros/, 'write 10.0.0.1'],
    ['1.2.3.256:53', /0 to 255/, undefined],
    ['1.2.3:53', /not an IP address/, undefined],
    ['localhost:53', /a name/, 'write 127.0.0.1 or ::1'],
    ['dns.example:53', /names are not looked up/, undefined],
    [':53', /names no address/, 'for every address write 0.0.0.0:53 and [::]:53'],
    ['*:53', /names no address/, 'for every address write 0.0.0.0:53 and [::]:53'],
    ['[127.0.0.1]:53', /brackets are for IPv6/, undefined],
    ['[::ffff:10.0.0.1]:53', /IPv4-mapped/, 'write 10.0.0.1'],
    ['', /names no address/, /write/],
  ])('%s is refused', (text, fault, suggestion) => {
    const parsed = parseEndpoint(text)
    expect(parsed).toHaveProperty('fault', expect.stringMatching(fault))
    if (suggestion instanceof RegExp) {
      expect(parsed).toHaveProperty('suggestion', expect.stringMatching(suggestion))
    } else if (suggestion === undefined) expect(parsed).not.toHaveProperty('suggestion')
    else expect(parsed).toHaveProperty('suggestion', suggestion)
  })

  test('what formatEndpoint writes, parseEndpoint reads back', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(65_535), (address, port) => {
        const parsed = parseEndpoint(formatEndpoint({ address, port }))
        fc.pre(!('fault' in parsed)) // IPv4-mapped
        expect(parsed.port).toBe(port)
        expect(addressOctets(parsed.address)).toEqual(addressOctets(address))
        expect(parseEndpoint(formatEndpoint(parsed))).toEqual(parsed)
      }),
    )
  })

  test('isIPv6 says of every text what Node.js says', () => {
    const zoned = fc.tuple(fc.ipV6(), fc.string()).map(([address, zone]) => `${address}%${zone}`)
    const like = fc.stringMatching(/^[\d.:%a-g]{0,45}$/)
    const groups = fc
      .array(fc.stringMatching(/^[\da-f]{0,5}$/), { minLength: 2, maxLength: 9 })
      .map((parts) => parts.join(':'))
    const binary = fc
      .tuple(fc.ipV6(), fc.string({ unit: 'binary' }))
      .map((parts) => parts.join('\0'))
    const mapped = fc.tuple(groups, fc.ipV4()).map((parts) => parts.join(':'))
    fc.assert(
      fc.property(fc.oneof(fc.ipV6(), zoned, like, groups, mapped, binary, fc.string()), (text) => {
        expect(isIPv6(text)).toBe(isIPv6OfNode(text))
      }),
      { numRuns: 5000 },
    )
  })

  test('no text makes the parsers throw', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.stringMatching(/^[\d.:[\]%/a-f]{0,30}$/),
    )
    fc.assert(
      fc.property(text, (input) => {
        for (const parse of [parseEndpoint, parseUpstream, parsePrefix]) {
          expect(['object', 'string']).toContain(typeof parse(input))
        }
      }),
    )
  })
})

describe('listeners', () => {
  test.each([
    ['10.0.0.53:53', 'dns', '10.0.0.53', 53],
    ['[::1]:0', 'dns', '::1', 0],
    ['tls://10.0.0.53', 'tls', '10.0.0.53', 853],
    ['TLS://[fd00::53]:8853/', 'tls', 'fd00::53', 8853],
    ['https://10.0.0.53', 'https', '10.0.0.53', 443],
    ['https://[::]:8443', 'https', '::', 8443],
  ])('%s is %s', (text, protocol, address, port) => {
    expect(parseListen(text)).toEqual({ protocol, address, port })
  })

  test.each([
    ['quic://10.0.0.53', /tls:\/\/ADDR\[:853\] and https:\/\/ADDR\[:443\]; "quic:\/\/" is not/],
    ['tls://dns.example', /names are not looked up/],
    ['https://10.0.0.53/dns-query', /is not/],
    ['10.0.0.53', /has no port/],
  ])('%s is refused', (text, fault) => {
    expect(parseListen(text)).toHaveProperty('fault', expect.stringMatching(fault))
  })
})

describe('upstreams', () => {
  test.each([
    ['9.9.9.9', 'udp', '9.9.9.9', 53],
    ['9.9.9.9:5353', 'udp', '9.9.9.9', 5353],
    ['udp://9.9.9.9', 'udp', '9.9.9.9', 53],
    ['tcp://9.9.9.9:54', 'tcp', '9.9.9.9', 54],
    ['TCP://9.9.9.9/', 'tcp', '9.9.9.9', 53],
    ['2620:fe::fe', 'udp', '2620:fe::fe', 53],
    ['udp://2620:fe::fe', 'udp', '2620:fe::fe', 53],
    ['tcp://[2620:fe::fe]:5353', 'tcp', '2620:fe::fe', 5353],
    ['[2620:fe::fe]', 'udp', '2620:fe::fe', 53],
  ])('%s is asked over %s', (text, protocol, address, port) => {
    const clear = { serverName: '', path: '' }
    expect(parseUpstream(text)).toEqual({ protocol, address, port, ...clear, label: text })
  })

  test.each([
    ['tls://dns.example@9.9.9.9', 'tls', '9.9.9.9', 853, 'dns.example', ''],
    ['tls://DNS.example.@[2620:fe::fe]:8853', 'tls', '2620:fe::fe', 8853, 'dns.example', ''],
    ['https://dns.example/dns-query#9.9.9.9', 'https', '9.9.9.9', 443, 'dns.example', '/dns-query'],
    ['https://dns.example:444/a/b?c#[::1]', 'https', '::1', 444, 'dns.example', '/a/b?c'],
    ['HTTPS://dns.example/q#2620:fe::fe', 'https', '2620:fe::fe', 443, 'dns.example', '/q'],
  ])('%s is asked over %s, at its address', (text, protocol, address, port, serverName, path) => {
    const expected = { protocol, address, port, serverName, path, label: text }
    expect(parseUpstream(text)).toEqual(expected)
  })

  test.each([
    ['quic://dns.example@9.9.9.9', /udp:\/\/ADDR.*tls:\/\/NAME@ADDR.*"quic:\/\/" is not offered/],
    ['tls://9.9.9.9', /for which name its certificate must be/],
    ['tls://9.9.9.9@9.9.9.9', /not a host name; certificates of resolvers are for names/],
    ['tls://dns example@9.9.9.9', /not a host name/],
    ['tls://dns.example@dns.example', /names are not looked up/],
    ['https://dns.example/dns-query', /needs the server's address: names are not looked up/],
    ['https://dns.example#9.9.9.9', /has no path/],
    ['https://dns.example/dns query#9.9.9.9', /not that of a URL/],
    ['https://user@dns.example/dns-query#9.9.9.9', /is not https:\/\/NAME/],
    ['https://dns.example:99999/dns-query#9.9.9.9', /no port/],
    ['https://dns.example/dns-query#0.0.0.0', /no server's address/],
    ['dns.quad9.net', /names are not looked up/],
    ['0.0.0.0', /no server's address/],
    ['9.9.9.9:0', /port 0/],
  ])('%s is refused', (text, fault) => {
    expect(parseUpstream(text)).toHaveProperty('fault', expect.stringMatching(fault))
  })
})

describe('prefixes', () => {
  test.each([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['192.168.1.1', '192.168.1.1/32'],
    ['FD00::/8', 'fd00::/8'],
    ['::1', '::1/128'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['::/0', '::/0'],
    ['2001:db8:ffff:8000::/49', '2001:db8:ffff:8000::/49'],
  ])('%s is %s', (text, canonical) => {
    expect(parsePrefix(text)).toBe(canonical)
  })

  test.each([
    ['10.1.2.3/8', /bits set after the first 8/, 'write 10.0.0.0/8'],
    ['fd00::1/64', /bits set after the first 64/, 'write fd00::/64'],
    ['10.0.0.0/33', /0 to 32/, undefined],
    ['::/129', /0 to 128/, undefined],
    ['10.0.0.0/', /0 to 32/, undefined],
    ['10.0.0.0/-1', /0 to 32/, undefined],
    ['10.0/16', /not an IP address/, undefined],
    ['fe80::%eth0/10', /no zone|not an IP address/, undefined],
  ])('%s is refused', (text, fault, suggestion) => {
    const parsed = parsePrefix(text)
    expect(parsed).toHaveProperty('fault', expect.stringMatching(fault))
    if (suggestion !== undefined) expect(parsed).toHaveProperty('suggestion', suggestion)
  })
})

test.each([
  ['127.0.0.53', true],
  ['10.255.0.1', true],
  ['172.15.255.255', false],
  ['172.16.0.0', true],
  ['172.32.0.0', false],
  ['100.64.0.1', true],
  ['100.128.0.1', false],
  ['169.254.1.1', true],
  ['8.8.8.8', false],
  ['0.0.0.0', false],
  ['::', false],
  ['::1', true],
  ['fe80::1%eth0', true],
  ['fd12::1', true],
  ['2001:db8::1', false],
])('%s is private: %s', (address, expected) => {
  expect(isPrivate(address)).toBe(expected)
})

test('a wildcard listen stands for the addresses of its own family', () => {
  const isOurs = ownAddresses([{ address: '0.0.0.0', port: 53 }], ['127.0.0.1', '10.0.0.1', '::1'])
  expect(isOurs('10.0.0.1', 53)).toBe(true)
  expect(isOurs('10.0.0.1', 54)).toBe(false)
  expect(isOurs('127.0.0.53', 53)).toBe(false)
  expect(isOurs('::1', 53)).toBe(false)
})
