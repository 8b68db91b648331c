/**
 * Every verdict of the whole product, on real lists of nearly a million names, against a judge that
 * shares no code with it (verdicts.mjs).
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Message } from '../../support/messages.ts'
import { runNiveau3, startNiveau3 } from '../../support/niveau3.ts'
import { answerAddresses, startScriptedUpstream } from '../../support/scripted-upstream.ts'
import { askAll } from './ask-all.ts'

const DATA = resolve(process.env['NIVEAU3_DATA'] ?? '../shared/data')
const ESSENTIAL = resolve(import.meta.dirname, '../../../blocklists/essential.txt')
const LISTS = [
  ['adult', join(DATA, 'adult/union-open.txt.gz')],
  ['vpn', join(DATA, 'vpn/ut1-vpn.txt.gz')],
  ['vpn', join(DATA, 'vpn/ut1-redirector.txt.gz')],
  ['vpn', join(DATA, 'vpn/ut1-doh.txt')],
] as const
const ASKED = [join(DATA, 'adult/union-open.txt.gz'), join(DATA, 'allow/misp-cisco_top10k.json.gz')]

/** Private suffixes that joined the Public Suffix List after the data's copy of it. */
const NEWER_SUFFIXES = ['*.eth.limo', '*.eth.link']

const MINUTE_MS = 60_000
/** What the judge prints for a million names. */
const VERDICT_OCTETS_MAX = 256 * 1024 * 1024
const EDE_BLOCKED = 15
/** What the upstream answers to every A question. */
const ALLOWED_ADDRESS = '192.0.2.53'

interface Verdict {
  readonly verdict: string
  readonly categories: readonly string[]
}

interface Judgement {
  readonly verdicts: ReadonlyMap<string, Verdict>
  /** `CATEGORY RULE SECTION` of each rule that is a public suffix. */
  readonly refused: readonly string[]
  /** `CATEGORY RULE` of each rule on an essential name. */
  readonly exempted: readonly string[]
}

interface CompileReport {
  readonly lists: readonly {
    readonly category: string
    readonly refused: readonly { readonly rule: string; readonly reason: string }[]
    readonly essentialHits: readonly { readonly rule: string; readonly kind: string }[]
  }[]
}

let folder: string
let judgement: Judgement
let report: CompileReport
const image = (): string => join(folder, 'image')

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-sweep-'))
  judgement = await judge()
  const args = LISTS.flatMap(([category, file]) => ['--blocklist', `${category}=${file}`])
  const compiled = await runNiveau3(['lists', 'compile', '--out', image(), ...args, '--json'], {
    timeoutMs: 2 * MINUTE_MS,
  })
  expect(compiled.code, compiled.stderr).toBe(0)
  report = JSON.parse(compiled.stdout) as CompileReport
}, 3 * MINUTE_MS)

afterAll(() => rm(folder, { recursive: true, force: true }))

async function judge(): Promise<Judgement> {
  const script = join(import.meta.dirname, 'verdicts.mjs')
  const suffixes = join(DATA, 'psl/public_suffix_list.dat.gz')
  const args = [script, '--essential', ESSENTIAL, '--suffixes', suffixes]
  for (const entry of NEWER_SUFFIXES) args.push('--private-suffix', entry)
  for (const [category, file] of LISTS) args.push('--list', `${category}=${file}`)
  for (const file of ASKED) args.push('--ask', file)
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    maxBuffer: VERDICT_OCTETS_MAX,
  })
  const verdicts = new Map<string, Verdict>()
  const refused: string[] = []
  const exempted: string[] = []
  for (const line of stdout.trimEnd().split('\n')) {
    const [kind, first = '', second = '', third = ''] = line.split('\t')
    if (kind === 'ask') verdicts.set(first, { verdict: second, categories: third.split(',') })
    else if (kind === 'refused') refused.push(`${first} ${second} ${third}`)
    else exempted.push(`${first} ${second}`)
  }
  return { verdicts, refused, exempted }
}

function print(title: string, lines: readonly string[]): void {
  process.stdout.write(
    `${title} (${lines.length}):\n${lines.map((line) => `  ${line}\n`).join('')}`,
  )
}

/** What the server's answer says, in the judge's words. */
function verdictOf(answer: Message, expected: Verdict): string {
  if (answer.answers.some((record) => record.data === ALLOWED_ADDRESS)) return 'allowed'
  if (answer.ede?.code !== EDE_BLOCKED) {
    return answer.answers.length === 0 && answer.authorities.length === 1 ? 'special' : 'other'
  }
  const { text } = answer.ede
  const names = expected.categories.some((category) => category !== '' && text.includes(category))
  const negative = answer.rcode === 'NXDOMAIN' || answer.rcode === 'NOERROR'
  const [soa] = answer.authorities
  return names && negative && answer.answers.length === 0 && soa?.type === 'SOA' && soa.ttl === 60
    ? 'blocked'
    : `blocked oddly: ${answer.rcode} "${text}"`
}

describe('the sweep over real lists', () => {
  test('the compiler refuses the rules on public suffixes, and no others', () => {
    const refused = report.lists.flatMap((list) =>
      list.refused.map(({ rule, reason }) => `${list.category} ${rule} ${reason.split('-')[0]}`),
    )
    print('Refused rules', refused)
    expect(refused.toSorted()).toEqual(judgement.refused.toSorted())
  })

  test('the compiler exempts the rules on essential names, and no others', () => {
    const hits = report.lists.flatMap((list) =>
      list.essentialHits.map(({ rule, kind }) => ({ kind, text: `${list.category} ${rule}` })),
    )
    const exempted = hits.filter(({ kind }) => kind === 'exempted').map(({ text }) => text)
    print('Exempted essential names', exempted)
    print(
      'Rules above essential names',
      hits.filter(({ kind }) => kind === 'above').map(({ text }) => text),
    )
    expect(exempted.toSorted()).toEqual(judgement.exempted.toSorted())
    expect(exempted).toContain('adult scarleteen.com')
  })

  test(
    'every name gets the verdict of the rules, over the UDP port',
    async () => {
      const upstream = await startScriptedUpstream(answerAddresses)
      const server = await startNiveau3({ image: image(), upstreams: [upstream] })
      const names = [...judgement.verdicts.keys()]
      const counts: Record<string, number> = {}
      const wrong: string[] = []
      const startMs = performance.now()
      const swept = await askAll(server.port, names, (name, answer) => {
        const expected = judgement.verdicts.get(name) ?? { verdict: 'unknown', categories: [] }
        const verdict = verdictOf(answer, expected)
        counts[verdict] = (counts[verdict] ?? 0) + 1
        if (verdict !== expected.verdict) wrong.push(`${name}: ${verdict}, not ${expected.verdict}`)
      })
      const seconds = (performance.now() - startMs) / 1000
      print('Verdicts', [
        ...Object.entries(counts).map(([verdict, count]) => `${verdict}: ${count}`),
        `${names.length} names in ${seconds.toFixed(1)} s, ${swept.resent} sent again`,
      ])
      expect(wrong.slice(0, 50)).toEqual([])
      expect(swept).toMatchObject({ answered: names.length, lost: [], misquoted: [] })
      expect(names.length).toBeGreaterThan(830_000)
      expect(upstream.countOf('scarleteen.com')).toBe(1)
      expect(await server.stop()).toEqual({ code: 0, signal: null })
    },
    5 * MINUTE_MS,
  )
})
