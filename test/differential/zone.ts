/** A zone of many kinds of records, and questions about it, both made from one seed. */
import type { SeededRandom } from '../support/random.ts'
import type { AskOptions } from '../support/dns-client.ts'

/** Names `n0` to below this many have records; so many of each special kind stand beside them. */
const NAMES = 400
const SPECIALS = 60
const ORIGIN = 'diff.example'

/** Records of each type that a name may have, as master files write them (RFC 1035 5, RFC 3597). */
const RECORDS: Readonly<Record<string, (index: number) => string[]>> = {
  A: (index) => many(index, (n) => `A 192.0.2.${n + 1}`),
  AAAA: (index) => many(index, (n) => `AAAA 2001:db8::${index.toString(16)}:${n}`),
  MX: (index) => many(index, (n) => `MX ${n * 10} mail${n}.n${index}.${ORIGIN}.`),
  TXT: (index) => many(index, (n) => `TXT "text ${n}" "of \\"n${index}\\""`),
  SRV: (index) => many(index, (n) => `SRV ${n} 5 443 n${index}.${ORIGIN}.`),
  PTR: (index) => [`PTR host${index}.${ORIGIN}.`],
  CAA: () => ['CAA 0 issue "ca.example"'],
  NAPTR: () => ['NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example!" .'],
  SSHFP: (index) => [`SSHFP 1 1 ${index.toString(16).padStart(40, '0')}`],
  TLSA: (index) => [`TLSA 3 1 1 ${index.toString(16).padStart(64, '0')}`],
  HTTPS: (index) => [`HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.${(index % 200) + 1}`],
  SVCB: (index) => [`SVCB 2 svc${index}.${ORIGIN}. port=8443`],
  DS: (index) => [`DS ${index} 8 2 ${index.toString(16).padStart(64, '0')}`],
  HINFO: () => ['HINFO "cpu" "os"'],
  RP: () => [`RP admin.${ORIGIN}. text.${ORIGIN}.`],
  LOC: () => ['LOC 48 51 29 N 2 17 40 E 35m'],
  TYPE256: () => ['URI 10 1 "https://example/"'],
  TYPE65280: (index) => [`TYPE65280 \\# 6 ${index.toString(16).padStart(12, '0')}`],
}
const TYPES = Object.keys(RECORDS)
/** As questions: with types that nobody has, and those of the apex. */
const ASKED_TYPES = [...TYPES, 'NS', 'SOA', 'CNAME', 'DNAME', 'TYPE12345', 'DNSKEY', 'NSEC']

function many(index: number, record: (n: number) => string): string[] {
  return Array.from({ length: 1 + (index % 5) }, (_, n) => record(n))
}

/** The zone in master file format. */
export function zoneRecords(random: SeededRandom): string {
  const lines: string[] = []
  const add = (owner: string, record: string): void => {
    lines.push(`${owner}.${ORIGIN}. ${300 + random.below(3600)} IN ${record}`)
  }
  for (let index = 0; index < NAMES; index++) {
    for (const type of TYPES) {
      if (!random.percent(35)) continue
      const ttl = 300 + random.below(3600)
      for (const record of RECORDS[type]!(index)) {
        lines.push(`n${index}.${ORIGIN}. ${ttl} IN ${record}`)
      }
    }
    lines.push(`n${index}.${ORIGIN}. 600 IN RP . .`)
  }
  for (let index = 0; index < SPECIALS; index++) {
    // Chains of one to five aliases; every sixth leads to nothing.
    const end = index % 6 === 0 ? `nothing${index}` : `n${random.below(NAMES)}`
    const target = index % 5 === 4 || index === 0 ? end : `c${index - 1}`
    add(`c${index}`, `CNAME ${target}.${ORIGIN}.`)
    add(`*.w${index}`, `A 192.0.2.${index + 1}`)
    add(`d${index}`, `DNAME n${index}.${ORIGIN}.`)
    add(`below.n${index}`, `A 192.0.2.${index + 1}`)
    add(`dot\\.in${index}`, `A 192.0.2.${index + 1}`)
    add(`\\000\\255\\032\\;${index}`, `TXT "octets"`)
    add(`UpperCase${index}`, `A 192.0.2.${index + 1}`)
    add(`large${index}`, `TXT ${`"${'x'.repeat(250)}" `.repeat(8 + (index % 4))}`)
  }
  return lines.join('\n')
}

/** One question, and how it is asked. */
export interface Question {
  readonly name: string
  readonly type: string
  readonly options: AskOptions
  readonly transport: 'udp' | 'tcp'
}

/** Returns a question about the zone; most have an answer. */
export function makeQuestion(random: SeededRandom): Question {
  const special = random.below(SPECIALS)
  const owner = random.pick([
    ...Array.from({ length: 12 }, () => `n${random.below(NAMES)}`),
    `c${special}`,
    `c${special}`,
    `host.w${special}`,
    `below.d${special}`,
    `below.n${special}`,
    `uppercase${special}`,
    `absent${random.below(NAMES)}`,
    `deep.absent.n${special}`,
  ])
  const isRedirected = owner.startsWith('below.d')
  const name = random.percent(2) ? '.' : random.percent(2) ? ORIGIN : `${owner}.${ORIGIN}`
  return {
    name: random.percent(isRedirected ? 2 : 20) ? mixCase(name, random) : name,
    type: random.percent(30) ? 'A' : random.pick(ASKED_TYPES),
    options: optionsOf(random),
    transport: random.percent(25) ? 'tcp' : 'udp',
  }
}

/** ANY, of which there are few, because its answers have to differ. */
export function makeAnyQuestion(random: SeededRandom): Question {
  return { name: `n${random.below(NAMES)}.${ORIGIN}`, type: 'ANY', options: {}, transport: 'udp' }
}

/** Answers that do not fit a datagram, and come whole over TCP. */
export function makeLargeQuestion(index: number): Question {
  const name = `large${index % SPECIALS}.${ORIGIN}`
  const transport = index % 2 === 0 ? 'udp' : 'tcp'
  return { name, type: 'TXT', options: { edns: {} }, transport }
}

function optionsOf(random: SeededRandom): AskOptions {
  const options = {
    checkingDisabled: random.percent(10),
    authenticData: random.percent(20),
  }
  if (random.percent(40)) return options
  const udpOctets = random.pick([1232, 1232, 1410, 4096])
  return { ...options, edns: { udpOctets, dnssecOk: random.percent(30) } }
}

function mixCase(name: string, random: SeededRandom): string {
  return Array.from(name, (letter) => (random.percent(50) ? letter.toUpperCase() : letter)).join('')
}
