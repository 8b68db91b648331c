import { describe, expect, test } from 'vitest'
import { UPSTREAMS_MAX } from '../../src/dataplane/counters.ts'
import { errorOf, load, problemsOf } from './loading.ts'

/** Ten to the sixth elements, by aliases of aliases. */
function bomb(): string {
  const rows = ['a: &a [1,1,1,1,1,1,1,1,1,1]']
  for (const [above, name] of ['ab', 'bc', 'cd', 'de', 'ef']) {
    rows.push(`${name}: &${name} [${Array.from({ length: 10 }, () => `*${above}`).join(',')}]`)
  }
  return rows.join('\n')
}

/** As many lists, each with a category of its own. */
function manyLists(count: number): string {
  const rows = Array.from(
    { length: count },
    (_, n) => `  - {category: c${n}, file: lists/adult.txt, name: l${n}}`,
  )
  return `lists:\n${rows.join('\n')}`
}

describe('open resolvers', () => {
  test.each(['0.0.0.0:53', '[::]:53', '8.8.4.4:53', '[2001:db8::1]:53'])(
    'listening on %s needs an explicit allowFrom',
    (address) => {
      const text = `workers: 1\nlisten: ["${address}"]\n`
      const error = errorOf(text)
      expect(error.code).toBe('ERR_OPEN_RESOLVER')
      expect(error.exitCode).toBe(4)
      expect(error).toMatchObject({ line: 2, column: 10 })
      expect(error.message).toMatch(/allowFrom: \[192\.168\.0\.0\/16\]/)
      expect(load(`${text}allowFrom: [192.168.0.0/16]`).dataplane.allowFrom).toEqual([
        '192.168.0.0/16',
      ])
    },
  )

  test.each(['10.0.0.1:53', '[fd00::1]:53', '[fe80::1%eth0]:53', '100.64.1.1:53'])(
    'listening on %s needs none',
    (address) => {
      expect(load(`listen: ["${address}"]`).dataplane.listen).toHaveLength(1)
    },
  )

  test('an empty allowFrom is refused, not taken for everybody', () => {
    expect(problemsOf('listen: ["0.0.0.0:53"]\nallowFrom: []')).toEqual([
      expect.stringMatching(/^n.yaml:2:12: allowFrom: the list is empty/),
    ])
  })

  test('with other problems beside it the code is ERR_CONFIG', () => {
    const error = errorOf('listen: ["0.0.0.0:53"]\nworker: 1')
    expect(error.code).toBe('ERR_CONFIG')
    expect(error.problems).toHaveLength(2)
  })
})

describe('problems', () => {
  test('all of them are told at once, in reading order', () => {
    const text = [
      'listn: ["127.0.0.1:5300"]',
      'cache:',
      '  octetsMax: 64MB',
      '  octetMax: 3',
      'lists:',
      '  - {category: adult, file: lists/adlt.txt}',
      '  - {category: all, colour: red}',
      'workers: 0',
    ].join('\n')
    const environment = { NIVEAU3_CAHCE__OCTETS_MAX: '1' }
    expect(problemsOf(text, { environment, flags: { upstream: ['quic://1.1.1.1'] } })).toEqual([
      'n.yaml:1:1: unknown key "listn" (did you mean "listen"?)',
      'n.yaml:3:14: cache.octetsMax: "64MB" is not an amount of octets (write 64MiB)',
      'n.yaml:4:3: unknown key "octetMax" in cache (did you mean "octetsMax"?)',
      'n.yaml:6:29: lists[0].file: file lists/adlt.txt does not exist (did you mean adult.txt?)',
      'n.yaml:7:5: lists[1]: key "file" is missing',
      'n.yaml:7:16: lists[1].category: category "all" is a reserved word',
      'n.yaml:7:21: unknown key "colour" in lists[1]',
      'n.yaml:8:10: workers: 0 is out of range: it must be at least 1',
      'NIVEAU3_CAHCE__OCTETS_MAX: this variable sets no configuration key ' +
        '(did you mean NIVEAU3_CACHE__OCTETS_MAX?)',
      expect.stringMatching(/^--upstream: upstreams\[0\]: "quic:.*not offered$/),
    ])
  })

  test.each([
    ['duplicate keys', 'workers: 1\nworkers: 2', /^n.yaml:2:1: key "workers" is given twice/],
    ['tabs', 'cache:\n\toctetsMax: 1', /^n.yaml:2:1: not YAML: Tabs/],
    [
      'IPv6 without quotes',
      'listen:\n  - [::1]:53',
      /:2:\d+: not YAML.*quotes around it: "\[::1\]:53"/,
    ],
    ['no map', '- a', /must hold keys and values/],
    ['two documents', 'workers: 1\n---\nworkers: 2', /multiple documents/],
    ['a bomb of aliases', bomb(), /alias/i],
    ['an unknown alias', 'workers: *x', /^n.yaml:1:10: the alias \*x is not taken/],
    [
      'an alias that holds itself',
      'cache:\n  octetsMax: &x [*x]',
      /^n.yaml:2:18: the alias \*x is not taken \(write the value out\)$/,
    ],
    ['an alias to merge', 'log: &l {level: warn}\ncache: {<<: *l}', /^n.yaml:2:13: the alias \*l/],
    ['a group as a key', '? {a: 1}\n: b', /keys must be/],
    ['a tag', 'log: {level: !secret x}', /tag/i],
    ['a text for a list', 'upstreams: 9.9.9.9', /"9.9.9.9" is not a list \(write \["9.9.9.9"\]\)/],
    ['a text for a group', 'cache: big', /cache: "big" is not a group of keys/],
    ['a number for a text', 'image: 5', /image: 5 is not text \(put quotes around it: "5"\)/],
    ['a fraction', 'workers: 1.5', /workers: 1.5 is not a whole number/],
    ['a unit', 'forward: {tryTimeoutMs: 900ms}', /\(write 900, the key names the unit\)/],
    ['yes', 'categories: {vpn: {blocked: yes}}', /is not true or false \(write true\)/],
    ['a choice', 'log: {level: wran}', /none of .* \(did you mean "warn"\?\)/],
    ['a wrong group', 'octetsMax: 1MiB', /did you mean "cache.octetsMax"\?/],
    ['an amount too small', 'cache: {octetsMax: 1}', /1 is out of range: 1MiB to 16GiB/],
    ['a category name', 'categories: {Vpn: {}}', /^n.yaml:1:14: category "Vpn".*\(write vpn\)/],
    [
      'an unknown category',
      'categories: {adutl: {}}',
      /no list has the category "adutl" \(did you mean "adult"/,
    ],
    [
      'two equal listens',
      'listen: ["[::1]:53", "[0::1]:53"]',
      /listen\[1\]: \[::1\]:53 is given twice/,
    ],
    ['two equal upstreams', 'upstreams: [9.9.9.9, "udp://9.9.9.9:53"]', /upstreams\[1\]: .* twice/],
    [
      'more upstreams than are counted',
      `upstreams: [${Array.from({ length: UPSTREAMS_MAX + 1 }, (_, i) => `192.0.2.${i}`).join()}]`,
      /^n.yaml:1:12: upstreams: .*16/,
    ],
    ['a loop', 'upstreams: ["127.0.0.1:5300"]', /is this server itself/],
    [
      'a loop by wildcard',
      'listen: ["0.0.0.0:53"]\nallowFrom: [10.0.0.0/8]\nupstreams: [10.9.9.9]',
      /itself/,
    ],
    ['metrics on the DNS port', 'metrics: {listen: "127.0.0.1:5300"}', /taken by DNS over TCP/],
    [
      'TTLs crossed',
      'cache: {ttlSecondsMin: 9, ttlSecondsMax: 8}',
      /more than cache.ttlSecondsMax, 8/,
    ],
    ['a subnet of one', 'edns: {clientSubnet: 192.0.2.1/32}', /too much: at most 24 bits/],
    ['no subnet', 'edns: {clientSubnet: on}', /"?on"? is not/],
    [
      'random letters for nobody',
      'upstreams: [192.0.2.1]\nforward: {caseRandomisation: [192.0.2.2]}',
      /^n.yaml:2:31: forward.caseRandomisation\[0\]: "192.0.2.2" is none of upstreams/,
    ],
    [
      'random letters over TCP',
      'upstreams: ["tcp://192.0.2.1"]\nforward: {caseRandomisation: ["tcp://192.0.2.1"]}',
      /"tcp:\/\/192.0.2.1" is asked over tcp \(name upstreams asked over UDP\)/,
    ],
    ['timeouts crossed', 'forward: {tryTimeoutMs: 5000}', /more than forward.totalTimeoutMs, 4500/],
    ['limits crossed', 'limits: {tcpConnectionsMax: 9}', /more than limits.tcpConnectionsMax, 9/],
    [
      'a page without address',
      'categories: {vpn: {response: address}}',
      /needs ipv4, ipv6 or both/,
    ],
    [
      'an address without page',
      'categories: {vpn: {ipv4: 10.0.0.1}}',
      /has no effect with response "nxdomain"/,
    ],
    ['IPv6 as ipv4', 'categories: {vpn: {response: address, ipv4: "::1"}}', /not an IPv4 address/],
    ['a missing image', 'image: img.n3', /image: file img.n3 does not exist/],
    [
      'an encrypted listener without a certificate',
      'listen: ["tls://127.0.0.1"]',
      /needs tls.certificateFile/,
    ],
    [
      'a certificate without its key',
      'listen: ["https://127.0.0.1"]\ntls: {certificateFile: image.n3}',
      /needs tls.keyFile/,
    ],
    [
      'a certificate that is none',
      'tls: {certificateFile: image.n3, keyFile: image.n3}',
      /image.n3 holds no PEM certificate/,
    ],
    [
      'a public encrypted listener for all',
      'listen: ["tls://9.9.9.9"]\ntls: {certificateFile: image.n3}',
      /allowFrom is not set/,
    ],
    ['missing authorities', 'tls: {caFile: ca.pem}', /tls.caFile: file ca.pem does not exist/],
    ['authorities that are none', 'tls: {caFile: image.n3}', /image.n3 holds no PEM certificate/],
    ['a folder as a list', 'lists: [{category: vpn, file: lists}]', /is a directory/],
    [
      'one name twice',
      'lists: [{category: vpn, file: n, name: a}, {category: vpn, file: n, name: a}]',
      /lists\[1\].name: "a" is given twice/,
    ],
    ['an empty list of lists', 'lists: []', /lists: the list is empty/],
    ['a file as state folder', 'stateDirectory: image.n3', /is not a directory/],
    ['a stop that takes too long', 'stopGraceSeconds: 6', /at most 5/],
  ])('%s', (_what, text, expected) => {
    expect(problemsOf(text).join('\n')).toMatch(expected)
  })

  test('thirty-two categories are one more than an image holds', () => {
    expect(load(manyLists(28)).dataplane.categories).toHaveLength(32)
    expect(problemsOf(manyLists(29)).join()).toMatch(
      /32 categories are more than an image holds, 31/,
    )
  })

  test('a key called __proto__ is an unknown key like any other', () => {
    expect(problemsOf('__proto__: {workers: 3}').join()).toMatch(/unknown key|__proto__/)
  })

  test('unknown variables are told even when the file is no YAML', () => {
    const problems = problemsOf('a: [', { environment: { NIVEAU3_WROKERS: '1' } })
    expect(problems.at(-1)).toMatch(/did you mean NIVEAU3_WORKERS/)
  })
})
