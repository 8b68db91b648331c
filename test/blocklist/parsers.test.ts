import { describe, expect, test } from 'vitest'

import type { ListFormat } from '../../src/controlplane/blocklist/detect-format.ts'
import { readText, reasons } from './reading.ts'
import { conforms } from '../conformance/conforms.ts'

/** Lines that make a file of the format, so that the line in question stands among its kind. */
const COMPANY: Record<ListFormat, string> = {
  plain: 'company1.example\ncompany2.example\ncompany3.example\n',
  hosts: '0.0.0.0 company1.example\n0.0.0.0 company2.example\n0.0.0.0 company3.example\n',
  adblock: '||company1.example^\n||company2.example^\n||company3.example^\n',
  dnsmasq: 'local=/company1.example/\nlocal=/company2.example/\nlocal=/company3.example/\n',
  unbound: 'local-zone: "company1.example" always_nxdomain\n'.repeat(3),
  rpz: 'company1.example CNAME .\ncompany2.example CNAME .\ncompany3.example CNAME .\n',
  v2fly: 'full:company1.example\nfull:company2.example\nfull:company3.example\n',
  tsv: 'a\tcompany.example\tx\n'.repeat(12),
}

/** A line, what becomes of it (rules, or reasons counted), and why. */
type Row = readonly [line: string, outcome: readonly string[], why: string]

async function outcomes(format: ListFormat, line: string): Promise<string[]> {
  const { rules, report } = await readText(`${COMPANY[format]}${line}\n`)
  expect(report.format).toBe(format)
  const counted = Object.entries(reasons(report)).flatMap(([reason, count]) =>
    Array.from({ length: count }, () => reason),
  )
  const refused = report.refused.map((rule) => `refused ${rule.rule}`)
  return [...rules.filter((rule) => !rule.includes('company')), ...counted, ...refused]
}

function table(format: ListFormat, rows: readonly Row[]): void {
  describe(`${format} lists`, () => {
    test.each(rows)('%s -> %j: %s', async (line, outcome) => {
      conforms('redos')
      expect(await outcomes(format, line)).toEqual(outcome)
    })
  })
}

const TOO_LONG_LABEL = 'x'.repeat(64)

/** What free-form lists share. */
const NAMES: readonly Row[] = [
  ['AUSpolice.com', ['block auspolice.com'], 'upper case folds'],
  ['abbp1.science.', ['block abbp1.science'], 'a trailing dot'],
  ['5star_babes.ucgalleries.com', ['block 5star_babes.ucgalleries.com'], 'underscores stay'],
  ['allosexe-.myblox.fr', ['block allosexe-.myblox.fr'], 'a label may end in a hyphen'],
  ['-container.supertms.com', ['block -container.supertms.com'], 'a label may start with one'],
  ['www.xvideos-español.com', ['block www.xn--xvideos-espaol-1nb.com'], 'U-labels by UTS-46'],
  ['xn--33-ymd.xyz', ['block xn--33-ymd.xyz'], 'punycode is not validated'],
  ['js870030.cc:8443', ['block js870030.cc'], 'a port still means the whole host'],
  ['http://x.example/', ['block x.example'], 'a scheme with the root path too'],
  ['https://x.example', ['block x.example'], 'or without'],
  ['http://x.example:8080/', ['block x.example'], 'and with a port'],
  ['olo.cool/', ['block olo.cool'], 'the root path alone'],
  ['*.x.example', ['block x.example'], 'a wildcard covers the name as well'],
  ['.x.example', ['block x.example'], 'so does a leading dot'],
  ['x.example#frag', ['path'], 'a fragment is a part of a page'],
  ['http://x.example/a?b=c', ['path'], 'a path'],
  ['studyrama.com/rubrique.php3?id_rubrique=2593', ['path'], 'a path without a scheme'],
  ['olo.example/a b,c;d', ['path'], 'a path with blanks counts once'],
  ['x.example?a=b', ['path'], 'a query'],
  ['ads*.x.example', ['pattern'], 'a wildcard inside a name'],
  ['1.2.3.4', ['address'], 'an IPv4 address'],
  ['1.2.3.0/24', ['address'], 'a network'],
  ['1.2.3.4:8080', ['address'], 'an address with a port'],
  ['http://1.2.3.4/', ['address'], 'an address in a URL'],
  ['1.2.3.4-1.2.3.9', ['address'], 'a range'],
  ['32.179.40.170.178', ['address'], 'digits and dots are some kind of address'],
  ['177.20.178.12'.repeat(479), ['address'], 'also glued together'],
  ['2001:db8::1', ['address'], 'an IPv6 address'],
  ['[2001:db8::1]:443', ['address'], 'with brackets and a port'],
  ['2001:db8::/32', ['address'], 'an IPv6 network'],
  ['asus', ['single-label'], 'one label that no registry knows'],
  ['com.cn', ['refused com.cn'], 'a country'],
  ['blogspot.com', ['refused blogspot.com'], 'a host of blogs'],
  ['xxx', ['refused xxx'], 'a top-level domain'],
  ['.', ['refused .'], 'the root'],
  ['*', ['refused .'], 'the root again'],
  ['a..example', ['empty-label'], 'two dots'],
  [`${TOO_LONG_LABEL}.example`, ['label-too-long'], 'a label of 64 octets'],
  [`${'a.'.repeat(127)}example`, ['name-too-long'], 'a name of more than 255 octets'],
  ['xn--é.com', ['idna'], 'UTS-46 refuses'],
  ['a@b.example', ['malformed'], 'an e-mail address'],
  ['(^|[-\\?+=/_])(big|cyber)+(adult|babe)', ['regex'], 'a squidGuard expression'],
  ['(google\\..*/search\\?q=cache.*)|(x)', ['regex'], 'another one'],
  ['# a comment', [], '#'],
  ['! a comment', [], '!'],
  ['; a comment', [], ';'],
  ['// a comment', [], '//'],
  ['[Adblock Plus 2.0]', [], 'the head of an adblock list'],
  ['0.0.0.0 h.example', ['block h.example'], 'a stray hosts line'],
  ['127.0.0.1 localhost', ['local-name'], 'the usual first line of a hosts file'],
  ['||a.example^', ['block a.example'], 'a stray adblock rule'],
  ['||1vpn.co', ['block 1vpn.co'], 'one without ^ that is a whole host'],
  ['@@||a.example^', ['except a.example'], 'a stray exception'],
]

table('plain', [
  ...NAMES,
  ['x.example      #AVG   Activate', ['block x.example'], 'an inline comment'],
  ['x.example ; why', ['block x.example'], 'an inline comment of zone files'],
  ['   x.example \t', ['block x.example'], 'blanks at both ends'],
  [
    'ae.windscribe.com,United Arab Emirates',
    ['block ae.windscribe.com', 'extra-word', 'extra-word', 'extra-word'],
    'a name and words behind it',
  ],
  [
    'a.example,b.example, c.example',
    ['block a.example', 'block b.example', 'block c.example'],
    ',',
  ],
  ['a.example b.example', ['block a.example', 'block b.example'], 'several names'],
  ['Change to Active Status', ['prose'], 'words'],
  ['see more at x.example', ['prose'], 'a name inside prose is not what the line is about'],
  ['## a heading', [], 'no cosmetic rule here'],
])

table('hosts', [
  ...NAMES.filter(([line]) => !/^\.?x\.example$/.test(line)),
  ['127.0.0.1 x.example', ['block x.example'], 'loopback'],
  ['127.0.0.53 x.example', ['block x.example'], 'all of 127.0.0.0/8'],
  [':: x.example', ['block x.example'], 'the IPv6 null address'],
  ['::1 x.example', ['block x.example'], 'IPv6 loopback'],
  ['0:0:0:0:0:0:0:1 x.example', ['block x.example'], 'written out'],
  ['0 x.example', ['block x.example'], 'the short null address'],
  ['0.0.0.0\tx.example\t', ['block x.example'], 'tabs'],
  ['0.0.0.0    defloTeen.com  ', ['block defloteen.com'], 'blanks and upper case'],
  ['0.0.0.0 x.example # why', ['block x.example'], 'an inline comment'],
  ['0.0.0.0 x.example#why', ['block x.example'], 'hosts(5): # starts a comment anywhere'],
  ['0.0.0.0 a.example b.example', ['block a.example', 'block b.example'], 'names on one line'],
  ['216.239.38.120 google.com', ['rewrite'], 'safe search is no block'],
  ['2606:4700::6812:8d57 pixabay.com', ['rewrite'], 'over IPv6 neither'],
  ['::10 x.example', ['rewrite'], 'not loopback'],
  ['0.0.0.0 localhost', ['local-name'], 'the machine itself'],
  ['127.0.0.1 localhost.localdomain', ['local-name'], 'with its domain'],
  ['0.0.0.0 local.example', ['block local.example'], 'which is not every name that starts so'],
  ['255.255.255.255 broadcasthost', ['local-name'], 'broadcast'],
  ['fe80::1%lo0 localhost', ['local-name'], 'an address with a zone'],
  ['ff02::1 ip6-allnodes', ['local-name'], 'a group of machines'],
  ['0.0.0.0 0.0.0.0', ['local-name'], 'the address as a name'],
  ['0.0.0.0 xxxhindi.to en', ['block xxxhindi.to', 'single-label'], 'a stray second word'],
  ['127.0.0.1 youngsexgalore.com de', ['block youngsexgalore.com', 'single-label'], 'a TLD even'],
  [
    '0.0.0.0    Hydra disabled :(',
    ['malformed', 'single-label', 'single-label'],
    'words are no names',
  ],
  ['0.0.0.0', ['address'], 'no name at all'],
  ['Hydra Option', ['prose'], 'words without an address'],
  ['x.example', ['block x.example'], 'a name without an address means itself'],
])

table('adblock', [
  ...NAMES,
  ['||x.example^$important', ['block x.example'], 'priority leaves it as wide'],
  ['||x.example^$all', ['block x.example'], 'everything of the host'],
  ['||x.example^$document,important', ['block x.example'], 'both'],
  ['||x.example^$third-party', ['modifier'], 'only on other pages'],
  ['||x.example^$important,client=1.2.3.4', ['modifier'], 'only for one client'],
  ['||x.example^$dnstype=AAAA', ['modifier'], 'only one type'],
  ['||x.example^$dnsrewrite=1.2.3.4', ['modifier'], 'another answer'],
  ['||x.example^$domain=y.example', ['modifier'], 'only on one page'],
  ['||x.example^$badfilter', ['modifier'], 'switches another rule off'],
  ['@@||x.example^', ['except x.example'], 'an exception'],
  ['@@||x.example^$important', ['except x.example'], 'with priority'],
  ['@@|x.example^', ['except only x.example'], 'an exact exception'],
  ['|x.example^', ['block only x.example'], 'the name alone'],
  ['|https://x.example^', ['block only x.example'], 'with a scheme'],
  ['||*.x.example^', ['block below x.example'], 'what lies below'],
  ['||x.example|', ['block x.example'], 'closed by |'],
  ['||x.example:8443^', ['block x.example'], 'with a port'],
  ['||x.example/', ['block x.example'], 'the root path'],
  ['||x.example/ads/', ['path'], 'a path'],
  ['||x.example^*/ads', ['path'], 'a pattern behind the name'],
  ['||x.*^', ['pattern'], 'a wildcard in the name'],
  ['||ads.', ['pattern'], 'the start of names'],
  ['||adv', ['single-label'], 'one label'],
  ['||1.2.3.4^', ['address'], 'an address'],
  ['||com.cn^', ['refused com.cn'], 'a public suffix'],
  ['||*^', ['refused .'], 'everything'],
  ['||^', ['malformed'], 'nothing'],
  ['/ads[0-9]+/', ['regex'], 'a regular expression'],
  ['/banner\\d+/$script', ['regex'], 'with a modifier'],
  ['x.example##.ad', ['cosmetic'], 'a page rule'],
  ['##.ad-banner', ['cosmetic'], 'for all pages'],
  ['x.example#@#.ad', ['cosmetic'], 'an exception of one'],
  ['x.example#?#div:has(a)', ['cosmetic'], 'an extended one'],
  ['x.example$$script[data-x]', ['cosmetic'], 'an HTML rule'],
  ['x.example^', ['pattern'], 'without an anchor it may stand anywhere in a URL'],
  ['@@x.example', ['pattern'], 'so may an exception'],
  ['# a comment', [], 'AdGuard takes # for comments'],
  ['## a heading', [], 'a heading, no selector'],
])

table('dnsmasq', [
  ['address=/x.example/', ['block x.example'], 'NXDOMAIN'],
  ['address=/x.example/#', ['block x.example'], 'both null addresses'],
  ['address=/x.example/0.0.0.0', ['block x.example'], 'a sink'],
  ['address=/x.example/::', ['block x.example'], 'an IPv6 sink'],
  ['address=/x.example/127.0.0.1 # why', ['block x.example'], 'an inline comment'],
  ['address=/google.com/216.239.38.120', ['rewrite'], 'safe search'],
  ['address=/a.example/b.example/0.0.0.0', ['block a.example', 'block b.example'], 'several'],
  ['address=/.x.example/0.0.0.0', ['block x.example'], 'a leading dot'],
  ['address=/*.x.example/0.0.0.0', ['block x.example'], 'a wildcard'],
  ['address=/*ads.example/0.0.0.0', ['pattern'], 'part of a label'],
  ['local=/X.Example/', ['block x.example'], 'never forwarded'],
  ['server=/x.example/', ['block x.example'], 'the same'],
  ['server=/x.example/9.9.9.9', ['not-blocking'], 'a forwarder'],
  ['server=/x.example/#', ['except x.example'], 'the usual servers again'],
  ['local=/com.cn/', ['refused com.cn'], 'a public suffix'],
  ['address=/#/0.0.0.0', ['refused .'], 'every name'],
  ['server=8.8.8.8', ['directive'], 'a setting'],
  ['no-resolv', ['directive'], 'a switch'],
  ['local=//', ['directive'], 'names without a dot'],
  ['address=/x.example', ['malformed'], 'not closed'],
  ['x y z', ['malformed'], 'not of this format'],
  ['# a comment', [], '#'],
])

table('unbound', [
  ['local-zone: "x.example" refuse', ['block x.example'], 'refuse'],
  ['local-zone: "x.example." always_null', ['block x.example'], 'a trailing dot'],
  ["local-zone: 'x.example' deny", ['block x.example'], 'single quotes'],
  ['local-zone: x.example static', ['block x.example'], 'no quotes'],
  ['}local-zone: "x.example" always_nxdomain', ['block x.example'], 'a slip in front'],
  ['  local-zone: "x.example" redirect # why', ['block x.example'], 'redirect without data'],
  ['local-zone: "x.example" transparent', ['not-blocking'], 'transparent'],
  ['local-zone: "x.example" typetransparent', ['not-blocking'], 'typetransparent'],
  ['local-zone: "x.example" inform', ['not-blocking'], 'only logged'],
  ['local-zone: "x.example" nodefault', ['not-blocking'], 'nodefault'],
  ['local-data: "x.example A 0.0.0.0"', ['block only x.example'], 'a sink, one name'],
  ['local-data: "x.example. 3600 IN AAAA ::"', ['block only x.example'], 'with TTL and class'],
  ['local-data: "x.example A 1.2.3.4"', ['rewrite'], 'a real address'],
  ['local-data: "x.example CNAME y.example."', ['rewrite'], 'another name'],
  ['local-data: "x.example TXT y"', ['zone-record'], 'other data'],
  ['local-zone: "com.cn" static', ['refused com.cn'], 'a public suffix'],
  ['{server:', ['directive'], 'a clause'],
  ['do-ip6: no', ['directive'], 'a setting'],
  ['local-zone: "x.example"', ['malformed'], 'no type'],
  ['what', ['malformed'], 'not of this format'],
  ['# a comment', [], '#'],
])

table('rpz', [
  ['x.example CNAME .', ['block only x.example'], 'NXDOMAIN, the name alone'],
  ['*.x.example CNAME .', ['block below x.example'], 'what lies below'],
  ['X.Example\t3600\tIN\tCNAME\t*.', ['block only x.example'], 'NODATA, tabs, TTL, class'],
  ['x.example IN 300 CNAME .', ['block only x.example'], 'class before TTL'],
  ['x.example CNAME rpz-drop.', ['block only x.example'], 'drop'],
  ['x.example CNAME rpz-passthru.', ['except only x.example'], 'passthru'],
  ['*.x.example CNAME rpz-passthru.', ['except below x.example'], 'passthru below'],
  ['x.example CNAME x.example.', ['except only x.example'], 'the old passthru'],
  ['x.example CNAME rpz-tcp-only.', ['not-blocking'], 'asks for TCP'],
  ['google.com CNAME forcesafesearch.google.com.', ['rewrite'], 'safe search'],
  ['x.example A 0.0.0.0', ['block only x.example'], 'a sink'],
  ['x.example AAAA ::', ['block only x.example'], 'an IPv6 sink'],
  ['x.example A 1.2.3.4', ['rewrite'], 'a real address'],
  ['x.example TXT "why; not"', ['zone-record'], 'other data, ; in quotes'],
  ['x.example CNAME . ; why', ['block only x.example'], 'an inline comment'],
  ['a\\.b.example CNAME .', ['block only a\\.b.example'], 'an escaped dot'],
  ['32.1.2.0.192.rpz-ip CNAME .', ['rpz-trigger'], 'by address'],
  ['ns.x.example.rpz-nsdname CNAME .', ['rpz-trigger'], 'by name server'],
  ['24.0.0.0.127.rpz-client-ip CNAME .', ['rpz-trigger'], 'by client'],
  ['x.example.', ['malformed'], 'an owner and nothing else'],
  ['com.cn CNAME .', ['refused com.cn'], 'a public suffix'],
  ['*.com.cn CNAME .', ['refused com.cn'], 'and what lies below it'],
  ['*.ck CNAME .', ['refused ck'], 'a suffix that stands as a wildcard'],
  ['* CNAME .', ['refused .'], 'everything'],
  ['a.*.x.example CNAME .', ['pattern'], 'a wildcard inside'],
  ['; a comment', [], ';'],
])

table('v2fly', [
  ['x.example', ['block x.example'], 'a bare name'],
  ['domain:x.example', ['block x.example'], 'the same'],
  ['full:x.example', ['block only x.example'], 'the name alone'],
  ['x.example @cn', ['block x.example'], 'an attribute'],
  ['full:x.example @!cn @ads', ['block only x.example'], 'several'],
  ['domain:x.example:@cn', ['block x.example'], 'the exported form'],
  ['x.example &other', ['block x.example'], 'an affiliation'],
  ['full:x.example # why', ['block only x.example'], 'an inline comment'],
  ['regexp:(^|\\.)[1-5]gaoap\\.com$', ['regex'], 'a regular expression'],
  ['keyword:porn', ['keyword'], 'a part of names'],
  ['include:boslife', ['include'], 'another list'],
  ['include:boslife @cn', ['include'], 'a part of another list'],
  ['domain:adult', ['refused adult'], 'a top-level domain'],
  ['domain:tor', ['single-label'], 'no top-level domain'],
  ['# a comment', [], '#'],
])

table('tsv', [
  ['b\tx.example\ty.example', ['block x.example'], 'the column of the names only'],
  ['b\tae-dxb-001\ty', ['single-label'], 'no name there'],
  ['b\t1.2.3.4\ty', ['address'], 'an address'],
  ['b', ['malformed'], 'no such column'],
  ['# a\tcomment', [], '#'],
])

describe('rpz zones', () => {
  test.each([
    [
      'relative owners stand under $ORIGIN',
      '$ORIGIN rpz.example.\n@ SOA a. b. 1 2 3 4 5\n NS a.\nx.test1.example CNAME .\n' +
        'y.test1.example.rpz.example. CNAME .\n*.z.test1.example.rpz.example. CNAME .\n',
      ['block only x.test1.example', 'block only y.test1.example', 'block below z.test1.example'],
    ],
    [
      'a later $ORIGIN adds to the owners',
      '$ORIGIN rpz.example.\n@ SOA a. b. 1 2 3 4 5\n$ORIGIN bad.example.rpz.example.\n' +
        'x CNAME .\n* CNAME .\n@ CNAME .\n',
      ['block only x.bad.example', 'block below bad.example', 'block only bad.example'],
    ],
    [
      'absolute owners outside the zone mean themselves',
      'localhost. 3600 IN SOA a. b. 1 2 3 4 5\nx.test1.example. CNAME .\n',
      ['block only x.test1.example'],
    ],
    [
      'a line without an owner has the last one',
      'x.a.example CNAME rpz-passthru.\n\tA 0.0.0.0\n',
      ['except only x.a.example', 'block only x.a.example'],
    ],
    [
      'an SOA over several lines is one record',
      '@ IN SOA localhost. root.localhost. (\n 1 ; serial\n 2h\n 3\n 4w\n 5 )\n' +
        'x.a.example CNAME .\n',
      ['block only x.a.example'],
    ],
    [
      'an SOA that never closes swallows no rules',
      '@ IN SOA localhost. root.localhost. ( 1 2\n 3 4 5 \\)\n' +
        'x.a.example CNAME .\ny.a.example CNAME .\n',
      ['block only x.a.example', 'block only y.a.example'],
    ],
    [
      'an SOA that never opened leaves lines behind',
      '$ORIGIN\tlocalhost.\n$TTL 1800;\n@\tIN\tSOA\tlocalhost. h.m.org. 15\t; Serial\n' +
        '\t\t\t3600\t; refresh\n' +
        '\t\t\t60;\t\t; TTL\n\t\t\t\\)\n\t\t\tIN\tNS\tlocalhost\t;x\nx.a.example\tCNAME\t.\n',
      ['block only x.a.example'],
    ],
  ])('%s', async (_why, zone, expected) => {
    expect((await readText(zone)).rules).toEqual(expected)
  })
})

describe('unbound zones with data', () => {
  test('a redirect zone with a real address rewrites, wherever the data stands', async () => {
    const { rules, report } = await readText(
      [
        'local-zone: "google.com" redirect',
        'local-zone: "bad.example" redirect',
        'local-data: "bad.example A 0.0.0.0"',
        'local-data: "google.com. CNAME forcesafesearch.google.com."',
      ].join('\n'),
    )
    expect(rules).toEqual(['block bad.example', 'block only bad.example'])
    expect(reasons(report)).toEqual({ rewrite: 2 })
  })
})
