import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { domainToASCII } from 'node:url'
import { gunzipSync } from 'node:zlib'

import { beforeAll, describe, expect, test } from 'vitest'

import { OperationalError } from '../../src/base/errors.ts'
import type { ListFormat } from '../../src/controlplane/blocklist/detect-format.ts'
import { EssentialNames } from '../../src/controlplane/blocklist/essential.ts'
import { findRules } from '../../src/controlplane/blocklist/explain.ts'
import { nameToWire } from '../../src/controlplane/blocklist/name-text.ts'
import { readList } from '../../src/controlplane/blocklist/read-list.ts'
import {
  SUFFIX_ICANN,
  SUFFIX_NONE,
  SUFFIX_PRIVATE,
  suffixKind,
} from '../../src/controlplane/blocklist/suffix-gate.ts'
import { readFile, reasons, type Reading } from '../blocklist/reading.ts'

const DATA = resolve(process.env['NIVEAU3_DATA'] ?? '../shared/data')

beforeAll(() => {
  if (!existsSync(join(DATA, 'MANIFEST.md'))) {
    throw new Error(`no lists in ${DATA}; set NIVEAU3_DATA to the folder that holds them`)
  }
})

function text(file: string): string {
  const octets = readFileSync(join(DATA, file))
  return (file.endsWith('.gz') ? gunzipSync(octets) : octets).toString('utf8')
}

async function read(file: string, category = 'adult', essential: string[] = []): Promise<Reading> {
  return readFile(join(DATA, file), { source: { category }, essential })
}

function wire(name: string): Uint8Array {
  const octets = nameToWire(name)
  if (typeof octets === 'string') throw new Error(`${name}: ${octets}`)
  return octets
}

/** True when a rule of the reading blocks the name: the plainest reading of what rules mean. */
function blocks(reading: Reading, name: string): boolean {
  const rules = new Set(reading.rules)
  if (rules.has(`block only ${name}`) || rules.has(`block ${name}`)) return true
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
    const above = name.slice(dot + 1)
    if (rules.has(`block ${above}`) || rules.has(`block below ${above}`)) return true
  }
  return false
}

/** What every list gives: format, rules, and what was counted or refused. */
type Row = readonly [
  file: string,
  format: ListFormat,
  rules: number,
  counted: Readonly<Record<string, number>>,
  refused: number,
]

const ADULT: readonly Row[] = [
  ['adult/4skin-2026.hosts.gz', 'hosts', 90_877, { address: 1 }, 4],
  ['adult/alsyundawy-porn-v2.txt.gz', 'plain', 268_799, { 'single-label': 1 }, 9],
  ['adult/columndeeply-hosts04.hosts.gz', 'hosts', 90_239, { rewrite: 206, 'single-label': 1 }, 4],
  ['adult/hagezi-nsfw-2026-03.onlydomains.txt.gz', 'plain', 73_591, {}, 0],
  ['adult/hagezi-nsfw-2026-03.rpz.gz', 'rpz', 147_182, { directive: 1, 'zone-record': 2 }, 0],
  ['adult/hagezi-nsfw-2026-05.dnsmasq.conf.gz', 'dnsmasq', 93_469, {}, 0],
  ['adult/pornhosts-safesearch.hosts.gz', 'hosts', 16_932, { 'local-name': 6, rewrite: 205 }, 0],
  ['adult/pornhosts.rpz.gz', 'rpz', 20_972, { directive: 2, 'zone-record': 7 }, 0],
  ['adult/shadowwhisperer-adult-2026.txt.gz', 'plain', 219_516, {}, 6],
  ['adult/shadowwhisperer-adult-older.txt.gz', 'plain', 261_321, { path: 1 }, 6],
  ['adult/sinfonietta-2026.hosts.gz', 'hosts', 61_181, { address: 5, 'single-label': 1 }, 0],
  ['adult/stevenblack-porn-only.hosts.gz', 'hosts', 83_871, { address: 3 }, 1],
  ['adult/tiuxo-porn.hosts', 'hosts', 421, {}, 0],
  ['adult/union-open.txt.gz', 'plain', 826_579, {}, 24],
  ['adult/ut1-adult-invalid.txt', 'plain', 690, {}, 0],
  ['adult/ut1-lingerie.txt', 'plain', 193, {}, 0],
  ['adult/ut1-mixed_adult.txt', 'plain', 149, {}, 0],
  ['adult/v2fly-category-porn.txt.gz', 'v2fly', 5_975, { include: 71, regex: 137 }, 3],
]

const VPN: readonly Row[] = [
  ['vpn/dibdot-doh-domains-overall.txt', 'plain', 1_914, {}, 0],
  ['vpn/gluetun-hostnames-2022.tsv.gz', 'tsv', 10_350, { 'single-label': 827 }, 0],
  ['vpn/hagezi-bypass-2026-03.onlydomains.txt.gz', 'plain', 16_772, {}, 0],
  ['vpn/hagezi-doh-2026-05-compressed.hosts.gz', 'hosts', 3_929, {}, 0],
  ['vpn/hagezi-doh-2026-05.rpz.gz', 'rpz', 6_938, { directive: 1, 'zone-record': 2 }, 0],
  ['vpn/shadowwhisperer-tunnels.txt', 'plain', 1_023, {}, 0],
  ['vpn/ut1-doh.txt', 'plain', 2_996, { address: 19 }, 0],
  ['vpn/ut1-redirector.txt.gz', 'plain', 109_793, { address: 22_530 }, 0],
  ['vpn/ut1-remote-control.txt', 'plain', 170, {}, 0],
  ['vpn/ut1-residential-proxies.txt', 'plain', 120, { address: 18 }, 0],
  ['vpn/ut1-vpn.txt.gz', 'plain', 6_039, {}, 0],
  ['vpn/v2fly-category-anticensorship.txt', 'v2fly', 70, { include: 13 }, 0],
  ['vpn/v2fly-category-doh.txt', 'v2fly', 127, {}, 0],
  ['vpn/v2fly-category-vpnservices.txt', 'v2fly', 23, { include: 16 }, 0],
  ['vpn/az0/hostname_ip-browsec_manifest.txt', 'adblock', 746, {}, 0],
  ['vpn/az0/hostname_ip-windscribe.txt.gz', 'plain', 7_365, { 'extra-word': 87 }, 0],
  ['vpn/az0/hostname_only-misc.txt', 'plain', 637, {}, 0],
]

const DARKWEB: readonly Row[] = [
  ['darkweb/darkweb-names.compiled.tsv', 'tsv', 157, {}, 0],
  ['darkweb/v2fly-tor.txt', 'plain', 0, { 'single-label': 2 }, 1],
  ['darkweb/v2fly-torproject.txt', 'plain', 1, {}, 0],
]

describe.each([
  ['adult', ADULT],
  ['vpn', VPN],
  ['darkweb', DARKWEB],
])('the %s lists', (category, rows) => {
  test.each(rows)('%s is %s and has %i rules', async (file, format, rules, counted, refused) => {
    const { report } = await read(file, category)
    expect(report.format).toBe(format)
    expect(reasons(report)).toEqual(counted)
    expect({ rules: report.rules, refused: report.refusedCount }).toEqual({ rules, refused })
    const octets = readFileSync(join(DATA, file))
    expect(report.sha256).toBe(createHash('sha256').update(octets).digest('hex'))
    // An independent count: the lines that are neither blank nor a comment.
    const ends = text(file).match(/\n/g)?.length ?? 0
    expect(report.lines - ends).toBeGreaterThanOrEqual(0)
    expect(report.lines - ends).toBeLessThanOrEqual(1)
  })
})

describe('files that are no lists', () => {
  test.each([
    ['adult/ut1-adult-ips.txt.gz', 'ERR_LIST_EMPTY', '7227 x an IP address'],
    ['adult/ut1-adult.expressions.txt', 'ERR_LIST_EMPTY', '2 x a regular expression'],
    ['adult/ut1-adult.urls.txt', 'ERR_LIST_EMPTY', '1090 x a URL with a path'],
    ['vpn/ut1-redirector.urls.txt', 'ERR_LIST_EMPTY', '293 x a URL with a path'],
    ['vpn/ut1-strong_redirector.expressions.txt', 'ERR_LIST_EMPTY', '1 x a regular expression'],
    ['vpn/dibdot-doh-ipv4.txt.gz', 'ERR_LIST_EMPTY', '1975 x an IP address'],
    ['vpn/az0/allowlist_ip.txt', 'ERR_LIST_EMPTY', '23 x an IP address'],
    ['vpn/az0/hostname_ip-network_dd_vpn_api.txt', 'ERR_LIST_EMPTY', 'comments and blank lines'],
    ['vpn/misp-vpn-ipv4.json.gz', 'ERR_LIST', 'a JSON document'],
    ['allow/misp-cisco_top10k.json.gz', 'ERR_LIST', 'a JSON document'],
    ['ut1/blacklists.tar.gz', 'ERR_LIST', 'a tar archive'],
  ])('%s is refused with %s: %s', async (file, code, message) => {
    await expect(read(file)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    })
  })
})

function filesBelow(folder: string): string[] {
  return readdirSync(join(DATA, folder)).flatMap((name) => {
    const path = `${folder}/${name}`
    return statSync(join(DATA, path)).isDirectory() ? filesBelow(path) : [path]
  })
}

test('every file of every folder is read or refused, and every line accounted for', async () => {
  const files = ['adult', 'vpn', 'darkweb', 'allow', 'ut1', 'psl'].flatMap((one) => filesBelow(one))
  expect(files.length).toBeGreaterThan(70)
  for (const file of files) {
    const reading = await read(file).catch((error: unknown) => {
      expect(error, file).toBeInstanceOf(OperationalError)
      return undefined
    })
    if (reading === undefined) continue
    const { report } = reading
    let entries = report.rules + report.exceptions + report.refusedCount + report.exemptedCount
    for (const count of Object.values(report.notRules)) entries += count
    const lines = report.lines - report.blankLines - report.commentLines
    expect(entries, file).toBeGreaterThanOrEqual(lines)
    expect(report.notRules.malformed, file).toBe(0)
  }
})

describe('the oddities of notes.md', () => {
  test('safe search rewrites block neither google.com nor bing.com', async () => {
    for (const file of ['pornhosts-safesearch', 'columndeeply-hosts04']) {
      const reading = await read(`adult/${file}.hosts.gz`)
      for (const name of ['google.com', 'www.google.com', 'bing.com', 'duckduckgo.com']) {
        expect(blocks(reading, name), `${file} ${name}`).toBe(false)
      }
      expect(reading.report.notRules.rewrite).toBeGreaterThan(200)
    }
  })

  test('public suffixes of alsyundawy and shadowwhisperer are refused and reported', async () => {
    const alsyundawy = await read('adult/alsyundawy-porn-v2.txt.gz')
    const refused = new Map(alsyundawy.report.refused.map((rule) => [rule.rule, rule.reason]))
    expect(refused.get('com.cn')).toBe('icann-suffix')
    expect(refused.get('gob.mx')).toBe('icann-suffix')
    expect(refused.get('idv.tw')).toBe('icann-suffix')
    expect(refused.get('blogspot.com')).toBe('private-suffix')
    expect(refused.get('in.net')).toBe('private-suffix')
    expect(blocks(alsyundawy, 'example.com.cn')).toBe(false)
    expect(blocks(alsyundawy, 'recipes.blogspot.com')).toBe(false)
    const shadow = await read('adult/shadowwhisperer-adult-2026.txt.gz')
    const names = shadow.report.refused.map((rule) => rule.rule)
    expect(names).toEqual(expect.arrayContaining(['bologna.it', 'tochigi.jp']))
  })

  test('private suffixes are kept for vpn and refused for adult', async () => {
    const file = 'vpn/hagezi-bypass-2026-03.onlydomains.txt.gz'
    expect(blocks(await read(file, 'vpn'), 'x.ngrok.io')).toBe(true)
    expect(blocks(await read(file, 'vpn'), 'x.eth.link')).toBe(true)
    expect(blocks(await read(file, 'adult'), 'x.ngrok.io')).toBe(false)
    expect((await read('adult/alsyundawy-porn-v2.txt.gz', 'vpn')).report.refused).toContainEqual(
      expect.objectContaining({ rule: 'com.cn' }),
    )
  })

  test('the RPZ and the plain form of one hagezi list cover the same names', async () => {
    for (const [rpz, plain, category] of [
      ['adult/hagezi-nsfw-2026-03.rpz.gz', 'adult/hagezi-nsfw-2026-03.onlydomains.txt.gz', 'adult'],
      ['vpn/hagezi-doh-2026-05.rpz.gz', undefined, 'vpn'],
    ] as const) {
      const zone = (await read(rpz, category)).rules
      const only = new Set(zone.filter((rule) => rule.startsWith('block only ')))
      const below = zone.filter((rule) => rule.startsWith('block below '))
      expect(only.size + below.length).toBe(zone.length)
      const pairs = new Set(below.map((rule) => rule.replace(' below ', ' ')))
      expect(new Set([...only].map((rule) => rule.replace(' only ', ' ')))).toEqual(pairs)
      if (plain !== undefined) expect(pairs).toEqual(new Set((await read(plain)).rules))
    }
  })

  test('an SOA that never opens its parenthesis hides no rule of pornhosts.rpz', async () => {
    const { rules } = await read('adult/pornhosts.rpz.gz')
    expect(rules[0]).toBe('block only angelsofuniverse.forumfree.net')
    expect(rules[1]).toBe('block below angelsofuniverse.forumfree.net')
    expect(rules.some((rule) => rule.includes('localhost'))).toBe(false)
  })

  test('nine names on a line are nine rules', async () => {
    const { lines, rules } = await read('vpn/hagezi-doh-2026-05-compressed.hosts.gz', 'vpn')
    expect(new Set(lines).size).toBe(437)
    expect(rules).toContain('block dns.b72.com')
  })

  test('U-labels are rules for their A-labels', async () => {
    const { rules } = await read('adult/columndeeply-hosts04.hosts.gz')
    expect(rules).toContain('block xn--m1abbbg.me')
    expect(rules).toContain('block xn--mgbkt9eckk.net')
  })

  test('upper case folds: defloTeen.com', async () => {
    const { rules } = await read('adult/4skin-2026.hosts.gz')
    expect(rules).toContain('block defloteen.com')
  })

  test('the 687 invalid names of UT1, with hyphens at the ends of labels, are kept', async () => {
    const { rules } = await read('adult/ut1-adult-invalid.txt')
    expect(rules).toContain('block allosexe-.myblox.fr')
  })

  test('a country behind a name is no name: ae.windscribe.com,United Arab Emirates', async () => {
    const { rules } = await read('vpn/az0/hostname_ip-windscribe.txt.gz', 'vpn')
    expect(rules).toContain('block ae.windscribe.com')
    expect(rules.filter((rule) => /emirates|arab/i.test(rule))).toEqual([])
  })

  test('||1vpn.co without ^ in a plain list is a rule', async () => {
    const { rules } = await read('vpn/az0/hostname_only-misc.txt', 'vpn')
    expect(rules).toContain('block 1vpn.co')
    expect(rules).toContain('block hide-my-ip.net')
  })

  test('full: names of v2fly cover themselves alone', async () => {
    const doh = await read('vpn/v2fly-category-doh.txt', 'vpn')
    expect(blocks(doh, 'dns.adguard.com')).toBe(true)
    expect(blocks(doh, 'x.dns.adguard.com')).toBe(false)
    expect(blocks(doh, 'x.cloudflare-dns.com')).toBe(true)
  })

  test('essential names are exempted: scarleteen.com of shadowwhisperer', async () => {
    const file = 'adult/shadowwhisperer-adult-2026.txt.gz'
    const reading = await read(file, 'adult', ['scarleteen.com'])
    expect(blocks(reading, 'www.scarleteen.com')).toBe(false)
    expect(reading.report.essentialHits).toMatchObject([
      { rule: 'scarleteen.com', essential: 'scarleteen.com', kind: 'exempted' },
    ])
    const found = await findRules(
      { name: 'x', category: 'adult', curated: false, file: join(DATA, file) },
      wire('www.scarleteen.com'),
      { essential: EssentialNames.of(['scarleteen.com']) },
    )
    expect(found).toMatchObject([{ text: 'scarleteen.com', fate: 'exempted' }])
    expect(found[0]?.line).toBe(reading.report.essentialHits[0]?.line)
  })

  test('every name of union-open is a rule or refused, by a reader of its own', async () => {
    const { rules, report } = await read('adult/union-open.txt.gz')
    const names = text('adult/union-open.txt.gz')
      .split('\n')
      .filter((line) => line !== '')
    const refused = new Set(report.refused.map((rule) => rule.rule))
    expect(names.length).toBe(826_603)
    expect(rules).toEqual(names.filter((name) => !refused.has(name)).map((name) => `block ${name}`))
  })
})

describe('the Public Suffix List', () => {
  /** Entries that the data's list has and tldts 7.5.4 has not or no longer: both move on. */
  const DIFFERENT_MAX = 40

  test('is told by tldts as the list itself says, section by section', () => {
    let section = SUFFIX_NONE as number
    const different: string[] = []
    let entries = 0
    for (const line of text('psl/public_suffix_list.dat.gz').split('\n')) {
      if (line.includes('===BEGIN ICANN')) section = SUFFIX_ICANN
      if (line.includes('===BEGIN PRIVATE')) section = SUFFIX_PRIVATE
      const entry = line.trim()
      if (entry === '' || entry.startsWith('//')) continue
      entries += 1
      const exception = entry.startsWith('!')
      const name = domainToASCII(entry.replace(/^(?:!|\*\.)/, ''))
      // The gate does not look at names of more labels than this.
      expect(name.split('.').length).toBeLessThan(7)
      const octets = wire(name)
      const kind = suffixKind(octets, octets.length)
      if (kind !== (exception ? SUFFIX_NONE : section)) different.push(entry)
    }
    expect(entries).toBeGreaterThan(9_000)
    expect(different.length, different.join(' ')).toBeLessThan(DIFFERENT_MAX)
  })
})

test('940 thousand names are read in four times what a Set of their lines takes', async () => {
  const essential = EssentialNames.of(
    Array.from({ length: 500 }, (_, i) => `essential-${i}.example${i % 50}.fr`),
  )
  const files = ['adult/union-open', 'vpn/ut1-redirector', 'vpn/ut1-vpn']
  const paths = files.map((file) => join(DATA, `${file}.txt.gz`))
  let names = 0
  const sink = {
    add(): void {
      names += 1
    },
  }
  // The least that a reader can do, on this machine and in this minute.
  const baseline = process.cpuUsage()
  const lines = new Set<string>()
  for (const path of paths) {
    const text = gunzipSync(readFileSync(path)).toString('utf8').toLowerCase()
    for (const line of text.split('\n')) lines.add(line.trim())
  }
  const least = process.cpuUsage(baseline)
  const started = process.cpuUsage()
  for (const [index, file] of paths.entries()) {
    const source = { name: files[index]!, category: 'vpn', curated: false, file }
    await readList(source, sink, { essential })
  }
  const { user, system } = process.cpuUsage(started)
  expect(names).toBeGreaterThan(940_000)
  expect(lines.size).toBeGreaterThan(900_000)
  const times = (user + system) / (least.user + least.system)
  expect(times, `${times.toFixed(2)} times`).toBeLessThan(4)
})
