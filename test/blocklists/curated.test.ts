import { parse } from 'tldts'
import { describe, expect, test } from 'vitest'
import {
  ALL_LISTS,
  ancestors,
  BLOCK_LISTS,
  coveredBy,
  curatedNames,
  curatedText,
  readCurated,
  words,
} from './curated-lists.ts'
import type { CuratedList } from './curated-lists.ts'

const NAMES_MIN: Record<CuratedList, number> = {
  darkweb: 220,
  vpn: 620,
  adult: 800,
  essential: 1000,
}

/** Names that stand in two block lists, because they belong in both. */
const SHARED_NAMES = ['4everproxy.com']

/**
 * Names from the private section of the Public Suffix List: whoever runs them hands out the names
 * below, and every one of those leads around the filter.
 */
const PRIVATE_SUFFIXES = {
  darkweb: words('eth.limo eth.link torproject.net'),
  vpn: words(`
    localto.net ngrok-free.app ngrok-free.dev ngrok.app ngrok.dev ngrok.io ngrok.pizza telebit.io
    trycloudflare.com ts.net tunnelmole.net
  `),
}

function suffixKind(name: string): 'icann' | 'private' | 'none' {
  const parsed = parse(name, { allowPrivateDomains: true })
  if (parsed.publicSuffix !== name) return 'none'
  return parsed.isPrivate ? 'private' : 'icann'
}

function privateSuffixes(list: CuratedList): string[] {
  return [...curatedNames(list)].filter((name) => suffixKind(name) === 'private').toSorted()
}

describe.each(ALL_LISTS)('%s.txt', (list) => {
  const entries = readCurated(list)
  const names = curatedNames(list)

  test(`holds at least ${NAMES_MIN[list]} names`, () => {
    expect(entries.length).toBeGreaterThanOrEqual(NAMES_MIN[list])
  })

  test('ends its last line, uses no tabs, no carriage returns and no line over 100 columns', () => {
    const text = curatedText(list)
    expect(text.endsWith('\n')).toBe(true)
    expect(text).not.toMatch(/[\t\r]/)
    expect(text.split('\n').filter((line) => line.length > 100)).toEqual([])
  })

  test('says in its header what belongs and what does not, and names category and licence', () => {
    const header = curatedText(list).split('\n## ', 1)[0] ?? ''
    expect(header).toContain('# Category: ')
    expect(header).toContain('# Licence: Apache-2.0')
    expect(header).toContain('# What belongs here: ')
    expect(header).toContain('# What does not belong here: ')
    expect(header).toContain('# To propose a change: see README.md')
  })

  test('names every name once, and none below another name of the file', () => {
    const seen = new Set<string>()
    const offenders: string[] = []
    for (const { name, line } of entries) {
      if (seen.has(name)) offenders.push(`line ${line}: ${name} stands twice`)
      seen.add(name)
      const above = ancestors(name).find((parent) => names.has(parent))
      if (above !== undefined) offenders.push(`line ${line}: ${name} lies below ${above}`)
    }
    expect(offenders).toEqual([])
  })

  test('puts every name in a section, in ASCII order', () => {
    const offenders: string[] = []
    let previous = { name: '', section: '' }
    for (const { name, line, section } of entries) {
      if (section === '') offenders.push(`line ${line}: ${name} stands outside a section`)
      if (section === previous.section && name <= previous.name) {
        offenders.push(`line ${line}: ${name} after ${previous.name}`)
      }
      previous = { name, section }
    }
    expect(offenders).toEqual([])
  })

  test('uses each section title once, and no section is empty', () => {
    const titles = [...curatedText(list).matchAll(/^## (.*)$/gm)].map((match) => match[1])
    expect(new Set(titles).size).toBe(titles.length)
    expect([...new Set(entries.map((entry) => entry.section))]).toEqual(titles)
  })

  test('names no suffix under which the public registers names at a registry', () => {
    expect([...names].filter((name) => suffixKind(name) === 'icann')).toEqual([])
  })
})

describe('essential names against block names', () => {
  const essential = curatedNames('essential')

  test.each(BLOCK_LISTS)('no name of %s.txt equals, lies below or above one', (list) => {
    const blocked = curatedNames(list)
    const offenders: string[] = []
    for (const name of blocked) {
      const cover = coveredBy(essential, name)
      if (cover !== undefined) offenders.push(`${name} is opened by essential ${cover}`)
    }
    for (const name of essential) {
      const cover = coveredBy(blocked, name)
      if (cover !== undefined) offenders.push(`essential ${name} is covered by ${cover}`)
    }
    expect(offenders).toEqual([])
  })

  test('no essential name is a public suffix', () => {
    expect([...essential].filter((name) => suffixKind(name) !== 'none')).toEqual([])
  })
})

describe('block lists among themselves', () => {
  test('a name stands in two lists only where the README says so', () => {
    const counts = new Map<string, number>()
    for (const list of BLOCK_LISTS) {
      for (const name of curatedNames(list)) counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    const shared = [...counts].filter(([, count]) => count > 1).map(([name]) => name)
    expect(shared).toEqual(SHARED_NAMES)
  })

  test('no name of one list covers a name of another', () => {
    const offenders: string[] = []
    for (const list of BLOCK_LISTS) {
      const rules = curatedNames(list)
      for (const other of BLOCK_LISTS.filter((candidate) => candidate !== list)) {
        for (const name of curatedNames(other)) {
          const above = ancestors(name).find((parent) => rules.has(parent))
          if (above !== undefined) offenders.push(`${other} ${name} below ${list} ${above}`)
        }
      }
    }
    expect(offenders).toEqual([])
  })

  test('adult names no suffix at all; vpn and darkweb name private suffixes on purpose', () => {
    expect(privateSuffixes('adult')).toEqual([])
    expect(privateSuffixes('darkweb')).toEqual(PRIVATE_SUFFIXES.darkweb)
    expect(privateSuffixes('vpn')).toEqual(PRIVATE_SUFFIXES.vpn)
  })
})

const COVERED: Record<(typeof BLOCK_LISTS)[number], string[]> = {
  darkweb: words(`
    jntlesnev5o7zysa.onion.ly x.onion.ws x.tor2web.io ahmia.fi geti2p.net www.torproject.org
    bridges.torproject.org snowflake-broker.torproject.net i2p.to reseed.i2pgit.org
    freenetproject.org zeronet.io lokinet.org name.eth.limo
  `),
  vpn: words(`
    nordvpn.com api.nordvpn.com www.expressvpn.com api.protonvpn.ch mullvad.net vpn-api.proton.me
    surfshark.com windscribe.com hola.org engage.cloudflareclient.com api.sec-tunnel.com
    vpn.mozilla.org psiphon.ca getlantern.org www.croxyproxy.com hide.me kproxy.com dns.google
    dns64.dns.google 8888.google mozilla.cloudflare-dns.com firefox.dns.nextdns.io dns.quad9.net
    dns.adguard-dns.com freedns.controld.com protective.joindns4.eu one.one.one.one doh.opendns.com
    abc.ngrok.io abc.trycloudflare.com
  `),
  adult: words(`
    pornhub.com fr.pornhub.com ei.phncdn.com xvideos.com xnxx.com xhamster.com youporn.com
    redtube.com chaturbate.com stripchat.com onlyfans.com nhentai.net tukif.com redgifs.com
    brazzers.com missav.com
  `),
}

/** Ordinary sites and shared platforms: neither a block list nor the essential list holds them. */
const NOT_COVERED = words(`
  proton.me mail.proton.me cloudflare.com mozilla.org google.com www.google.com apple.com icloud.com
  mask.icloud.com use-application-dns.net microsoft.com norton.com avast.com opera.com opendns.com
  adguard.com eff.org github.io translate.goog reddit.com tumblr.com blogspot.com grindr.com
  vpnmentor.com ipfs.io duckduckgo.com signal.org whatsapp.com azureedge.net cloudfront.net
  appspot.com cdn77.org ngrok.com teamviewer.com openvpn.net theonion.com free.fr gouv.fr
`)

const ESSENTIAL = words(`
  ofpra.gouv.fr cnda.fr administration-etrangers-en-france.interieur.gouv.fr caf.fr www.ameli.fr
  service-public.fr www.filsantejeunes.com urgence114.fr 3114.fr www.labanquepostale.fr nickel.eu
  onsexprime.fr questionsexualite.fr tetu.com scarleteen.com sexandu.ca switchboard.lgbt
  lgbthotline.org arcigay.it hrc.org ilga.org siecus.org kinseyinstitute.org www.breastcancer.org
  www.thebody.com gaycenter.org queer.de www.unhcr.org doctissimo.fr www.thetrevorproject.org
  translate.google.com deepl.com download.windowsupdate.com mesu.apple.com aphp.fr captive.apple.com
  connectivitycheck.gstatic.com ocsp.digicert.com r3.o.lencr.org
`)

describe('well-known names', () => {
  test.each(BLOCK_LISTS)('%s.txt covers the best-known names of its kind', (list) => {
    const rules = curatedNames(list)
    expect(COVERED[list].filter((name) => coveredBy(rules, name) === undefined)).toEqual([])
  })

  test('no list covers the ordinary site of a company or a shared platform', () => {
    const offenders: string[] = []
    for (const list of ALL_LISTS) {
      const rules = curatedNames(list)
      for (const name of NOT_COVERED) {
        const cover = coveredBy(rules, name)
        if (cover !== undefined) offenders.push(`${name} is covered by ${list} ${cover}`)
      }
    }
    expect(offenders).toEqual([])
  })

  test('essential.txt covers the services that residents depend on', () => {
    const rules = curatedNames('essential')
    expect(ESSENTIAL.filter((name) => coveredBy(rules, name) === undefined)).toEqual([])
  })
})
