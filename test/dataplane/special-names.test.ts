import { describe, expect, test } from 'vitest'
import {
  SPECIAL_LOCALHOST,
  SPECIAL_NODATA,
  SPECIAL_NONE,
  SPECIAL_NXDOMAIN,
  SpecialNames,
} from '../../src/dataplane/policy/special-names.ts'
import { AskedName } from '../../src/dataplane/query.ts'
import { name, nameOfOctets } from '../support/octets.ts'
import { conforms } from '../conformance/conforms.ts'

const special = new SpecialNames()

/** The verdict, and how many labels the zone has. */
function find(text: string): { kind: number; rcode: number; zone: string } | 'none' {
  const asked = new AskedName()
  asked.take(name(text), 0)
  const kind = special.find(asked)
  if (kind === SPECIAL_NONE) return 'none'
  return { kind, rcode: special.rcode, zone: text.split('.').slice(special.zoneLabel).join('.') }
}

const DENIED = [
  'onion',
  'invalid',
  'test',
  'local',
  'alt',
  'i2p',
  'use-application-dns.net',
  'mask.icloud.com',
  'mask-h2.icloud.com',
]

const EMPTY = [
  'home.arpa',
  '0.in-addr.arpa',
  '10.in-addr.arpa',
  '127.in-addr.arpa',
  '254.169.in-addr.arpa',
  '168.192.in-addr.arpa',
  '2.0.192.in-addr.arpa',
  '100.51.198.in-addr.arpa',
  '113.0.203.in-addr.arpa',
  '255.255.255.255.in-addr.arpa',
  ...Array.from({ length: 16 }, (_, index) => `${16 + index}.172.in-addr.arpa`),
  ...Array.from({ length: 64 }, (_, index) => `${64 + index}.100.in-addr.arpa`),
  `${'0.'.repeat(32)}ip6.arpa`,
  `1.${'0.'.repeat(31)}ip6.arpa`,
  'c.f.ip6.arpa',
  'd.f.ip6.arpa',
  '8.e.f.ip6.arpa',
  '9.e.f.ip6.arpa',
  'a.e.f.ip6.arpa',
  'b.e.f.ip6.arpa',
  '8.b.d.0.1.0.0.2.ip6.arpa',
]

describe('names that must not leave this machine', () => {
  test.each(DENIED)('%s and all below it does not exist', (zone) => {
    conforms('special-names', 'onion')
    for (const asked of [zone, `www.${zone}`, `a.b.c.${zone}`, `WWW.${zone.toUpperCase()}`]) {
      const found = find(asked)
      expect(found).toMatchObject({ kind: SPECIAL_NXDOMAIN, rcode: 3 })
      expect(found === 'none' ? '' : found.zone.toLowerCase()).toBe(zone)
    }
  })

  test.each(EMPTY)('%s exists and is empty', (zone) => {
    conforms('special-names')
    expect(find(zone)).toEqual({ kind: SPECIAL_NXDOMAIN, rcode: 0, zone })
    expect(find(zone.toUpperCase())).toMatchObject({ rcode: 0 })
    for (const below of ['1', 'a.b']) {
      expect(find(`${below}.${zone}`)).toEqual({ kind: SPECIAL_NXDOMAIN, rcode: 3, zone })
    }
  })

  test.each(['resolver.arpa', '_dns.resolver.arpa', 'a.b.Resolver.ARPA'])(
    '%s has no data (RFC 9462 6.4)',
    (asked) => {
      expect(find(asked)).toMatchObject({ kind: SPECIAL_NODATA, rcode: 0 })
    },
  )

  test.each(['localhost', 'LocalHost', 'app.localhost', 'a.b.localhost'])(
    '%s is this machine (RFC 6761 6.3)',
    (asked) => {
      expect(find(asked)).toMatchObject({ kind: SPECIAL_LOCALHOST })
    },
  )
})

test.each([
  { asked: '.', why: 'the root' },
  { asked: 'com', why: 'a top-level domain' },
  { asked: 'onion.example.com', why: 'the zone is at the left' },
  { asked: 'notonion', why: 'another label' },
  { asked: 'notlocal', why: 'another label' },
  { asked: 'locals', why: 'another label' },
  { asked: 'test.example', why: 'the zone is at the left' },
  { asked: 'tost', why: 'same length and first letter as test' },
  { asked: 'example', why: 'resolves as usual (RFC 6761 6.5)' },
  { asked: 'example.com', why: 'resolves as usual (RFC 6761 6.5)' },
  { asked: 'example.net', why: 'resolves as usual (RFC 6761 6.5)' },
  { asked: 'icloud.com', why: 'only its relay names are refused' },
  { asked: 'www.icloud.com', why: 'only its relay names are refused' },
  { asked: 'mask.icloud.net', why: 'another zone' },
  { asked: 'mask.icloud.com.example.com', why: 'the zone is in the middle' },
  { asked: 'xmask.icloud.com', why: 'another label' },
  { asked: 'mask-h3.icloud.com', why: 'another label' },
  { asked: 'mask.iclouds.com', why: 'another zone' },
  { asked: 'application-dns.net', why: 'another label' },
  { asked: 'use-application-dns.com', why: 'another zone' },
  { asked: 'xse-application-dns.net', why: 'same length as the canary' },
  { asked: 'arpa', why: 'its own zone' },
  { asked: 'in-addr.arpa', why: 'only private ranges are empty' },
  { asked: 'ip6.arpa', why: 'only private ranges are empty' },
  { asked: '8.8.8.8.in-addr.arpa', why: 'a public address' },
  { asked: '1.15.172.in-addr.arpa', why: 'below 172.16/12' },
  { asked: '1.32.172.in-addr.arpa', why: 'above 172.16/12' },
  { asked: '1.63.100.in-addr.arpa', why: 'below 100.64/10' },
  { asked: '1.128.100.in-addr.arpa', why: 'above 100.64/10' },
  { asked: '255.in-addr.arpa', why: 'only the broadcast address is empty' },
  { asked: '1.169.192.in-addr.arpa', why: 'beside 192.168/16' },
  { asked: 'e.f.ip6.arpa', why: 'only link-local and old site-local are empty' },
  { asked: `2.${'0.'.repeat(31)}ip6.arpa`, why: 'beside ::1' },
  { asked: 'home.arpa.example', why: 'the zone is at the left' },
  { asked: 'xhome.arpa', why: 'another label' },
  { asked: 'localhost.example', why: 'the zone is at the left' },
  { asked: 'localhosts', why: 'another label' },
])('$asked is a name like any other: $why', ({ asked }) => {
  expect(find(asked)).toBe('none')
})

test('the longest name is looked up like any other', () => {
  const asked = new AskedName()
  asked.take(nameOfOctets(255), 0)
  expect(special.find(asked)).toBe(SPECIAL_NONE)
  asked.take(name(`${'a.'.repeat(124)}onion`), 0)
  expect(special.find(asked)).toBe(SPECIAL_NXDOMAIN)
})
