import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { BLOCK_LISTS, coveredBy, curatedNames, words } from '../blocklists/curated-lists.ts'

const DATA = process.env['NIVEAU3_DATA'] ?? '../shared/data'

function dataText(path: string): string {
  const octets = readFileSync(join(DATA, path))
  return (path.endsWith('.gz') ? gunzipSync(octets) : octets).toString('utf8')
}

/** The entries of a plain file or of the `list` of a MISP warning list, lower case, no comments. */
function dataNames(path: string): string[] {
  const text = dataText(path).toLowerCase()
  const lines = path.includes('.json') ? mispList(text) : text.split('\n')
  return lines
    .map((line) => line.split('#', 1)[0]?.trim().replace(/\.$/, '') ?? '')
    .filter((line) => line !== '')
}

function mispList(text: string): string[] {
  const parsed: unknown = JSON.parse(text)
  if (typeof parsed !== 'object' || parsed === null || !('list' in parsed)) return []
  return Array.isArray(parsed.list) ? parsed.list.map(String) : []
}

/** The names in a line of any list format: hosts, adblock, RPZ, dnsmasq, TSV. */
const NAME_IN_LINE = /[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.[a-z][a-z0-9-]*[a-z0-9]/g

const allBlocked = new Set<string>()
for (const list of BLOCK_LISTS) for (const name of curatedNames(list)) allBlocked.add(name)

describe('the dark-web names compiled from public sources', () => {
  const rows = dataText('darkweb/darkweb-names.compiled.tsv')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split('\t'))

  test.each([
    'tor-gateway',
    'i2p-gateway',
    'i2p-reseed',
    'tor-dirauth',
    'i2p-project',
    'tor-project',
  ])('every one of kind %s is covered by darkweb.txt', (kind) => {
    const rules = curatedNames('darkweb')
    const names = rows.filter((row) => row[1] === kind).map((row) => row[0] ?? '')
    expect(names.length).toBeGreaterThan(0)
    expect(names.filter((name) => coveredBy(rules, name) === undefined)).toEqual([])
  })

  test('the unsorted ones are covered too, but for .onion, which needs no list', () => {
    const rules = curatedNames('darkweb')
    const names = rows.filter((row) => row[1] === 'unsorted').map((row) => row[0] ?? '')
    expect(names.length).toBeGreaterThan(0)
    const open = names.filter((name) => coveredBy(rules, name) === undefined)
    expect(open.filter((name) => !name.endsWith('.onion'))).toEqual([])
  })
})

/**
 * The rules that hit the 10,000 most asked names of Cisco Umbrella, each meant to. That list holds
 * what devices ask, not what people visit: resolvers, VPN control planes, content networks.
 */
const POPULAR_HITS: Record<string, string> = {
  'cloudflare-dns.com': 'DoH of Cloudflare, built into Firefox and Chrome',
  'dns.apple.com': "DoH of Apple, asked for Private Relay's lookups",
  'dns.google': 'DoH and DoT of Google, built into Android and Chrome',
  'dns.google.com': 'DoH of Google, former name',
  'dns.opendns.com': 'DoT of OpenDNS',
  'doh-dns-apple-com.v.aaplimg.com': 'DoH of Apple, canonical name',
  'doh.opendns.com': 'DoH of OpenDNS',
  'expressapisv2.net': 'control plane of ExpressVPN',
  'familyshield.opendns.com': 'DoT of OpenDNS, with doh.familyshield below it',
  'fastly-masque.net': "proxies of Firefox's IP protection",
  'googlezip.net': "Google's tunnels and the check that precedes them",
  'hola.org': 'Hola VPN',
  'magsrv.com': 'advertising network of pornography sites (ExoClick)',
  'one.one.one.one': 'DoH and DoT of Cloudflare',
  'phncdn.com': 'content network of Pornhub',
  'polargrizzly.com': 'control plane of TunnelBear',
  'pornhub.com': 'pornography',
  'quad9.net': 'DoH and DoT of Quad9',
  'stripchat.com': 'live cameras',
  'strpst.com': 'content network of Stripchat',
  'trafficjunky.net': 'advertising network of Pornhub',
  'trafficstars.com': 'advertising network of xHamster',
  'tsyndicate.com': 'content network of TrafficStars',
  'xhamster.com': 'pornography',
  'xhcdn.com': 'content network of xHamster',
  'xhpingcdn.com': 'content network of xHamster',
  'xnxx-cdn.com': 'content network of XNXX',
  'xnxx.com': 'pornography',
  'xvideos-cdn.com': 'content network of XVideos',
  'xvideos.com': 'pornography',
}

describe('control lists', () => {
  test('the block lists hit exactly the popular names that they mean to', () => {
    const hits = new Map<string, string[]>()
    for (const name of dataNames('allow/misp-cisco_top10k.json.gz')) {
      const rule = coveredBy(allBlocked, name)
      if (rule !== undefined) hits.set(rule, [...(hits.get(rule) ?? []), name])
    }
    const report = [...hits].map(
      ([rule, names]) => `${rule} (${POPULAR_HITS[rule] ?? 'NOT EXPLAINED'}): ${names.join(' ')}`,
    )
    process.stdout.write(`popular names hit:\n  ${report.toSorted().join('\n  ')}\n`)
    expect([...hits.keys()].toSorted()).toEqual(Object.keys(POPULAR_HITS).toSorted())
  })

  test.each(
    words(`
      ut1-bank.txt.gz ut1-child.txt ut1-cleaning.txt ut1-liste_blanche.txt ut1-liste_bu.txt
      ut1-press.txt.gz ut1-sexual_education.txt ut1-translation.txt misp-bank-website.json
      misp-captive-portals.json misp-microsoft-win10-connection-endpoints.json
      misp-university_domains.json.gz
    `),
  )('the block lists hit no name of allow/%s', (file) => {
    const names = dataNames(join('allow', file))
    expect(names.length).toBeGreaterThan(10)
    expect(names.filter((name) => coveredBy(allBlocked, name) !== undefined)).toEqual([])
  })
})

const BLOCKING_FILES = words(`
  adult/union-open.txt.gz adult/shadowwhisperer-adult-2026.txt.gz adult/sinfonietta-2026.hosts.gz
  adult/stevenblack-porn-only.hosts.gz adult/4skin-2026.hosts.gz
  adult/hagezi-nsfw-2026-05.dnsmasq.conf.gz adult/pornhosts-safesearch.hosts.gz
  adult/alsyundawy-porn-v2.txt.gz adult/columndeeply-hosts04.hosts.gz adult/tiuxo-porn.hosts
  adult/ut1-mixed_adult.txt adult/ut1-lingerie.txt vpn/ut1-vpn.txt.gz vpn/ut1-doh.txt
  vpn/ut1-redirector.txt.gz vpn/hagezi-bypass-2026-03.onlydomains.txt.gz
  vpn/hagezi-doh-2026-05.rpz.gz vpn/dibdot-doh-domains-overall.txt vpn/shadowwhisperer-tunnels.txt
`)

describe('essential names against the public lists', () => {
  const essential = curatedNames('essential')

  test('lists hit essential names, so the exemption is needed', () => {
    const report: string[] = []
    const hit = new Set<string>()
    for (const file of BLOCKING_FILES) {
      const listed = new Set(dataText(file).toLowerCase().match(NAME_IN_LINE) ?? [])
      const above = [...essential].filter((name) => coveredBy(listed, name) !== undefined)
      const below = [...listed].filter((name) => coveredBy(essential, name) !== undefined)
      for (const name of below) hit.add(coveredBy(essential, name) ?? name)
      for (const name of above) hit.add(name)
      report.push(
        `${file}: ${above.length} covered (${above.join(' ')}); rules exempted: ${below.join(' ')}`,
      )
    }
    process.stdout.write(`essential names hit:\n  ${report.join('\n  ')}\n`)
    expect([...hit]).toEqual(expect.arrayContaining(['scarleteen.com', 'sexandu.ca']))
  })

  test('the open adult union hits only these essential names', () => {
    const union = new Set(dataNames('adult/union-open.txt.gz'))
    const hit = [...essential].filter((name) => coveredBy(union, name) !== undefined)
    expect(hit.toSorted()).toEqual(
      words('lovelife.ch mouvementdunid.org scarleteen.com sexandu.ca translate.yandex.com'),
    )
  })

  test('names of the sexual-education control list that are still in use are essential', () => {
    const named = words(`
      doctissimo.fr kinseyconfidential.org masexualite.ca onsexprime.fr questionsexualite.fr
      sexinfoonline.com
    `)
    const listed = new Set(dataNames('allow/ut1-sexual_education.txt'))
    expect(named.filter((name) => !listed.has(name))).toEqual([])
    expect(named.filter((name) => !essential.has(name))).toEqual([])
  })
})
