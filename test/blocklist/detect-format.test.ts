import { describe, expect, test } from 'vitest'

import {
  detectFormat,
  refuseOtherKinds,
  type ListFormat,
} from '../../src/controlplane/blocklist/detect-format.ts'

function format(text: string): ListFormat {
  return detectFormat(Buffer.from(text)).format
}

describe('the format of a list', () => {
  test.each<[ListFormat, string, string]>([
    ['plain', 'a.example\nb.example\n', 'names'],
    ['plain', '*.a.example\n.b.example\n', 'wildcards and leading dots'],
    ['plain', '1.2.3.4\n1.2.3.5\n', 'addresses'],
    ['plain', 'a.example/x\nb.example/y\n', 'URLs'],
    ['plain', '# nothing but a comment\n', 'comments'],
    ['plain', '', 'nothing'],
    ['plain', 'a.example,b.example,c.example', 'one line'],
    ['plain', 'onion\nexit\n', 'single labels'],
    ['hosts', '# x\n127.0.0.1 localhost\n0.0.0.0 a.example\n0.0.0.0 b.example\n', 'hosts'],
    ['hosts', '216.239.38.120 google.com\n0.0.0.0 a.example\n', 'with rewrites'],
    ['hosts', '0.0.0.0\ta.example\n0.0.0.0\tb.example\n', 'with tabs, not a table'],
    ['hosts', 'prose here\n0.0.0.0 a.example\n0.0.0.0 b.example\n', 'with junk'],
    ['adblock', '[Adblock Plus]\n! x\n||a.example^\n@@||b.example^\n', 'adblock'],
    ['adblock', '||a.example^\n||b.example^\nc.example\n', 'with names'],
    ['plain', '||a.example^\nb.example\nc.example\n', 'more names than filters'],
    ['dnsmasq', '# x\nlocal=/a.example/\naddress=/b.example/0.0.0.0\n', 'dnsmasq'],
    ['dnsmasq', 'no-resolv\nserver=8.8.8.8\nlocal=/a.example/\n', 'with settings'],
    ['unbound', '{server:\n}local-zone: "a.example" refuse\n', 'unbound with slips'],
    ['unbound', 'server:\n  local-data: "a.example A 0.0.0.0"\n', 'local-data alone'],
    ['rpz', '$TTL 60\n@ SOA a. b. 1 2 3 4 5\n NS a.\na.example CNAME .\n', 'rpz'],
    ['rpz', '; x\na.example\tIN\tCNAME\trpz-passthru.\n', 'without a head'],
    ['v2fly', 'include:x\nfull:a.example\nb.example @cn\n', 'v2fly'],
    ['v2fly', `${'a.example\n'.repeat(400)}regexp:x$\n`, 'bare names but for one'],
    ['tsv', '# a\tb\nx\ta.example\nx\tb.example\n', 'a table'],
  ])('is %s for %j: %s', (expected, text) => {
    expect(format(text)).toBe(expected)
  })

  test('the column of a table is the one that holds names', () => {
    const table = 'a.x\tx\tgetter of b.example\n'.repeat(3)
    expect(detectFormat(Buffer.from(table)).column).toBe(0)
    expect(detectFormat(Buffer.from('nord\ta.example\n'.repeat(3))).column).toBe(1)
  })

  test.each([
    ['<!DOCTYPE html><html>', 'an HTML page'],
    ['\n <html lang="en">', 'an HTML page'],
    ['<?xml version="1.0"?>', 'an XML document'],
    ['{\n "list": []', 'a JSON document'],
    ['["a.example"]', 'a JSON document'],
    ['%PDF-1.7', 'a PDF document'],
    ['PK\u0003\u0004', 'a zip archive'],
    ['BZh91AY', 'a bzip2 file'],
    [`${'x'.repeat(257)}ustar`, 'a tar archive'],
    ['a.example\u0000b', 'a binary file'],
  ])('%j is refused as %s', (head, kind) => {
    expect(() => refuseOtherKinds(Buffer.from(head, 'latin1'), 'some.txt')).toThrow(
      expect.objectContaining({
        code: 'ERR_LIST',
        file: 'some.txt',
        message: expect.stringContaining(kind),
      }),
    )
  })

  test.each([['[Adblock Plus 2.0]\n'], ['{server:\n'], ['[2001:db8::1]\n'], ['']])(
    '%j is not refused',
    (head) => {
      expect(() => refuseOtherKinds(Buffer.from(head), 'some.txt')).not.toThrow()
    },
  )
})
