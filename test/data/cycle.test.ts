/**
 * A full cycle of subscribed lists under load: the built server, the built commands through its
 * admin socket, real lists from an HTTP server, and clients that never stop asking.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { EXIT } from '../../src/base/errors.ts'
import { startListServer, type ListServer } from '../blocklist/download/list-server.ts'
import { askUdp } from '../support/dns-client.ts'
import { runNiveau3, sampleOf, startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { runToEnd } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { answerAddresses, startScriptedUpstream } from '../support/scripted-upstream.ts'

const DATA = resolve(process.env['NIVEAU3_DATA'] ?? '../shared/data')
const COMMAND_MS_MAX = 240_000
const CYCLE_MS_MAX = 1_200_000
/** Of one dnsperf, of which two run at a time; rounds follow each other until the cycle is over. */
const QUERIES_PER_SECOND = 1000
const ROUND_SECONDS = 5
/** Two rounds: a cycle takes longer on any machine. */
const SENT_MIN = 10 * QUERIES_PER_SECOND
/** Nothing may be lost: an answer may take its time on a busy machine. */
const ANSWER_SECONDS_MAX = 10
/** Between two questions of one checking client. */
const PAUSE_MS = 5
const ESSENTIAL = ['www.ofpra.gouv.fr', 'caf.fr', 'www.ameli.fr', 'samu-urgences-de-france.fr']
const REASON = ['--reason', 'the author has cleaned up']

type Verdict = 'blocked' | 'open'
/** What a verdict may be: two of them while a command changes it. */
type Allowed = readonly Verdict[]

let sources: ListServer
let server: Niveau3
let dnsperf = ''

/** Names by what becomes of them. */
interface Sentinels {
  /** Blocked by each generation. */
  readonly listed: readonly string[]
  /** Only in the newer HaGeZi. */
  readonly added: readonly string[]
  /** Only in the older ShadowWhisperer. */
  readonly removed: readonly string[]
  /** Of no list. */
  readonly free: readonly string[]
}

const data = (file: string): Promise<Buffer> => readFile(join(DATA, file))

/** The names of a list of names, or of rules of dnsmasq. */
async function namesOf(file: string): Promise<Set<string>> {
  const octets = await data(file)
  const text = (file.endsWith('.gz') ? gunzipSync(octets) : octets).toString('latin1')
  const found = text.matchAll(/^(?:local=\/)?([a-z0-9.-]+\.[a-z0-9-]+)\/?\r?$/gm)
  return new Set([...found].map(([, name]) => name!))
}

function covers(names: ReadonlySet<string>, name: string): boolean {
  for (let rest = name; rest !== ''; rest = rest.slice(rest.indexOf('.') + 1)) {
    if (names.has(rest)) return true
    if (!rest.includes('.')) return false
  }
  return false
}

/** So many of them, spread over all. */
function spread(names: readonly string[], count: number): string[] {
  expect(names.length).toBeGreaterThan(count)
  return Array.from(
    { length: count },
    (_, index) => names[Math.floor((index * names.length) / count)]!,
  )
}

function both(one: ReadonlySet<string>, other: ReadonlySet<string>): string[] {
  return [...one].filter((name) => other.has(name))
}

function onlyOf(names: ReadonlySet<string>, ...others: readonly ReadonlySet<string>[]): string[] {
  return [...names].filter((name) => !others.some((other) => covers(other, name)))
}

async function chooseSentinels(): Promise<Sentinels> {
  const [march, may, older, newer, ...archive] = await Promise.all(
    [
      'adult/hagezi-nsfw-2026-03.onlydomains.txt.gz',
      'adult/hagezi-nsfw-2026-05.dnsmasq.conf.gz',
      'adult/shadowwhisperer-adult-older.txt.gz',
      'adult/shadowwhisperer-adult-2026.txt.gz',
      'vpn/ut1-vpn.txt.gz',
      'vpn/ut1-redirector.txt.gz',
      'vpn/ut1-doh.txt',
    ].map(namesOf),
  )
  return {
    listed: [
      ...spread(both(march!, may!), 80),
      ...spread(both(older!, newer!), 80),
      ...spread([...archive[0]!], 40),
    ],
    added: spread(onlyOf(may!, march!, older!, newer!, ...archive), 40),
    removed: spread(onlyOf(older!, march!, may!, newer!, ...archive), 40),
    free: [...ESSENTIAL, ...Array.from({ length: 196 }, (_, index) => `n${index}.free.example`)],
  }
}

beforeAll(async () => {
  dnsperf = await program('dnsperf')
  sources = await startListServer()
  sources.serve('/ut1', await data('ut1/blacklists.tar.gz'))
  sources.serve('/hagezi', await data('adult/hagezi-nsfw-2026-03.onlydomains.txt.gz'))
  sources.serve('/sw', await data('adult/shadowwhisperer-adult-older.txt.gz'))
  server = await startNiveau3({
    upstreams: [await startScriptedUpstream(answerAddresses)],
    args: ['--workers', '2'],
    config: 'updates: {automatic: false}\n',
  })
})
afterAll(async () => {
  await server.stop()
  await sources[Symbol.asyncDispose]()
})

const state = (): string => join(server.folder, 'state')

/** Runs `niveau3 lists ...`, which finds the server by its admin socket. */
async function lists(...args: readonly string[]) {
  const all = ['lists', ...args, '--json', '--state-dir', state()]
  const { code, stderr, stdout } = await runNiveau3(all, { timeoutMs: COMMAND_MS_MAX })
  const told: unknown = stdout === '' ? { stderr } : JSON.parse(stdout)
  return { code, told }
}

interface AuditLine {
  readonly by: string
  readonly what: string
  readonly result: string
  readonly generation?: number
}

async function audit(): Promise<readonly AuditLine[]> {
  const text = await readFile(join(state(), 'audit.ndjson'), 'utf8')
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as AuditLine)
}

/** Asks for all sentinels, over and over, and holds each answer against what it may be. */
class Checking {
  readonly wrong: string[] = []
  readonly answers = { blocked: 0, open: 0 }
  readonly #sentinels: Sentinels
  readonly #loops: readonly Promise<void>[]
  #allowed: Readonly<Record<keyof Sentinels, Allowed>>
  #isOver = false

  constructor(sentinels: Sentinels) {
    this.#sentinels = sentinels
    // Before there is any list, the server has names of its own.
    const listed: Allowed = ['open', 'blocked']
    this.#allowed = { listed, added: ['open'], removed: ['open'], free: ['open'] }
    const groups = Object.keys(sentinels) as (keyof Sentinels)[]
    this.#loops = groups.map((group) => this.#loop(group))
  }

  /** Does what leads to these verdicts; each of them may be the old one until it is done. */
  async during<Result>(
    after: Partial<Record<keyof Sentinels, Verdict>>,
    work: () => Promise<Result>,
  ): Promise<Result> {
    const before = this.#allowed
    const next = Object.entries(after) as [keyof Sentinels, Verdict][]
    const both = next.map(([group, verdict]) => [group, [...before[group], verdict]])
    this.#allowed = { ...before, ...(Object.fromEntries(both) as typeof before) }
    const result = await work()
    const one = next.map(([group, verdict]) => [group, [verdict]])
    this.#allowed = { ...before, ...(Object.fromEntries(one) as typeof before) }
    await this.#askAll()
    return result
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#loops)
  }

  async #loop(group: keyof Sentinels): Promise<void> {
    for (let turn = 0; !this.#isOver; turn++) {
      const names = this.#sentinels[group]
      await this.#ask(group, names[turn % names.length]!)
      await pause(PAUSE_MS)
    }
  }

  /** Every name once, so that each verdict is looked at after each command. */
  async #askAll(): Promise<void> {
    for (const [group, names] of Object.entries(this.#sentinels)) {
      for (const name of names) await this.#ask(group as keyof Sentinels, name as string)
    }
  }

  async #ask(group: keyof Sentinels, name: string): Promise<void> {
    const atFirst = this.#allowed[group]
    const timeoutMs = ANSWER_SECONDS_MAX * 1000
    const rcode = await askUdp(server, name, 'A', { timeoutMs }).then(
      (answer) => answer.rcode,
      (error: unknown) => String(error),
    )
    const verdict = { NXDOMAIN: 'blocked', NOERROR: 'open' }[rcode] as Verdict | undefined
    if (verdict !== undefined) this.answers[verdict]++
    const allowed = [...atFirst, ...this.#allowed[group]]
    if (verdict !== undefined && allowed.includes(verdict)) return
    this.wrong.push(`${group} ${name}: ${rcode}, and not ${allowed.join(' or ')}`)
  }
}

/** dnsperf, round after round, and the sum of its reports. */
class Load {
  readonly totals = { sent: 0, completed: 0, lost: 0 }
  readonly rcodes: Record<string, number> = {}
  readonly #over: Promise<void>
  #isOver = false

  constructor(file: string) {
    this.#over = this.#run(file)
    // Told by `stop`, which the test comes to later.
    this.#over.catch(() => undefined)
  }

  static async start(title: string, names: readonly string[]): Promise<Load> {
    const file = join(server.folder, `${title}.queries`)
    await writeFile(file, names.map((name) => `${name} A\n`).join(''))
    return new Load(file)
  }

  /** Resolves when the round that runs has ended. */
  async stop(): Promise<void> {
    this.#isOver = true
    await this.#over
  }

  async #run(file: string): Promise<void> {
    const where = ['-d', file, '-s', server.address, '-p', String(server.port)]
    const rate = ['-Q', String(QUERIES_PER_SECOND), '-l', String(ROUND_SECONDS)]
    const args = [...where, ...rate, '-c', '16', '-q', '256', '-t', String(ANSWER_SECONDS_MAX)]
    while (!this.#isOver) {
      const { code, stderr, stdout } = await runToEnd(dnsperf, args)
      expect({ code, stderr }).toMatchObject({ code: 0 })
      this.#add(stdout)
    }
  }

  #add(report: string): void {
    for (const what of ['sent', 'completed', 'lost'] as const) {
      const [, count] = new RegExp(`Queries ${what}:\\s+(\\d+)`).exec(report)!
      this.totals[what] += Number(count)
    }
    const [, codes = ''] = /Response codes:\s+(.*)/.exec(report) ?? []
    for (const [, code, count] of codes.matchAll(/([A-Z]+) (\d+)/g)) {
      this.rcodes[code!] = (this.rcodes[code!] ?? 0) + Number(count)
    }
  }
}

/** Subscribes to the three lists and makes the first generation. */
async function startLists(checking: Checking): Promise<void> {
  const ut1 = ['--format', 'ut1', '--section', 'vpn,redirector,doh,liste_bu']
  for (const [name, category, ...more] of [
    ['ut1', 'vpn', ...ut1],
    ['hagezi', 'adult'],
    ['sw', 'adult'],
  ] as const) {
    const what = ['--url', `${sources.origin}/${name}`, '--category', category, ...more]
    const { code, told } = await lists('add', name, ...what, '--only', '--allow-private')
    expect({ code, told }).toMatchObject({ code: EXIT.ok })
  }
  const blocked = { listed: 'blocked', removed: 'blocked' } as const
  const first = await checking.during(blocked, () => lists('update'))
  expect(first).toMatchObject({
    code: EXIT.ok,
    told: { result: 'built', lists: [1, 2, 3].map(() => ({ outcome: 'updated' })) },
  })
}

/** Newer lists: one of them is good, one has lost more than half of its names. */
async function takeNewerLists(checking: Checking): Promise<void> {
  sources.serve('/hagezi', await data('adult/hagezi-nsfw-2026-05.dnsmasq.conf.gz'))
  sources.serve('/sw', await data('adult/shadowwhisperer-adult-2026.txt.gz'))
  const second = await checking.during({ added: 'blocked' }, () => lists('update'))
  expect(second).toMatchObject({
    code: EXIT.refused,
    told: {
      result: 'built',
      lists: [
        { outcome: 'unchanged' },
        {
          outcome: 'updated',
          comparison: { added: { names: 37_246 }, removed: { names: 17_353 } },
        },
        { outcome: 'refused', why: expect.stringMatching(/^141327 of 261249 names/) as string },
      ],
    },
  })
  const diff = await lists('diff', '1', '2')
  expect(diff).toMatchObject({ code: EXIT.ok, told: { before: 1, after: 2, ...WHOLE_1_TO_2 } })
  const { comparison } = second.told as { readonly comparison: unknown }
  expect(comparison).toMatchObject(WHOLE_1_TO_2)
}

/**
 * All lists together: what ShadowWhisperer or our own lists (`blocklists/`) block besides is
 * neither added nor removed.
 */
const WHOLE_1_TO_2 = {
  added: { names: 34_565 },
  removed: { names: 16_305 },
  moved: { names: 1 },
}

/** The list that was refused is taken when all gates are named that stand against it. */
async function forceRefusedList(checking: Checking): Promise<void> {
  const one = ['--force', 'sw:removed-share', ...REASON]
  expect(await lists('update', ...one)).toMatchObject({
    code: EXIT.refused,
    told: { result: 'refused', faults: [{ gate: 'removed-share' }] },
  })
  const all = [...one, '--force', 'all:removed-share']
  const third = await checking.during({ removed: 'open' }, () => lists('update', ...all))
  expect(third).toMatchObject({
    code: EXIT.ok,
    told: { result: 'built', lists: [{}, {}, { outcome: 'updated', forced: true }] },
  })
}

/** Back to the first generation, which holds updates until the operator lets them go on. */
async function rollBackAndResume(checking: Checking): Promise<void> {
  const first = { added: 'open', removed: 'blocked' } as const
  const back = await checking.during(first, () => lists('rollback', '1', '--reason', 'a test'))
  expect(back).toMatchObject({ code: EXIT.ok, told: { from: 3, to: 1, held: true } })
  expect((await lists('update')).code).toBe(EXIT.refused)
  expect(await lists('resume')).toMatchObject({ code: EXIT.ok, told: { held: false } })
  // Seen from the first generation, the lists together lose as much as before.
  expect(await lists('update')).toMatchObject({
    code: EXIT.refused,
    told: { result: 'refused', faults: [{ gate: 'removed-share' }] },
  })
  const force = ['--force', 'all:removed-share', ...REASON]
  const again = { added: 'blocked', removed: 'open' } as const
  const fourth = await checking.during(again, () => lists('update', ...force))
  expect(fourth).toMatchObject({ code: EXIT.ok, told: { result: 'built' } })
  const same = await lists('diff', '3', '4')
  const none = { names: 0 }
  expect(same.told).toMatchObject({ added: none, removed: none, moved: none })
}

/** Lines of the audit log; what was refused names the generation that stays in force. */
const CHANGES = [
  'lists-add done',
  'lists-add done',
  'lists-add done',
  'lists-update built 1',
  'lists-update built 2',
  'lists-update refused 2',
  'lists-update built 3',
  'lists-rollback done',
  'lists-resume done',
  'lists-update refused 1',
  'lists-update built 4',
]

test(
  'update, refusal, diff, force, rollback and resume lose no query and let no listed name through',
  { timeout: CYCLE_MS_MAX },
  async () => {
    const sentinels = await chooseSentinels()
    const checking = new Checking(sentinels)
    const free = await Load.start('free', sentinels.free)
    await startLists(checking)
    const listed = await Load.start('listed', sentinels.listed)
    await takeNewerLists(checking)
    await forceRefusedList(checking)
    await rollBackAndResume(checking)
    await Promise.all([free.stop(), listed.stop(), checking.stop()])

    expect(checking.wrong).toEqual([])
    expect(checking.answers.blocked).toBeGreaterThan(1000)
    expect(checking.answers.open).toBeGreaterThan(1000)
    for (const [load, rcode] of [
      [free, 'NOERROR'],
      [listed, 'NXDOMAIN'],
    ] as const) {
      const { sent } = load.totals
      expect(sent).toBeGreaterThan(SENT_MIN)
      expect(load.totals).toEqual({ sent, completed: sent, lost: 0 })
      expect(load.rcodes).toEqual({ [rcode]: sent })
    }
    const metrics = await server.metrics()
    expect(sampleOf(metrics, 'niveau3_udp_receive_buffer_drops_total', {})).toBe(0)

    const lines = await audit()
    const told = lines.map(({ what, result, generation }) =>
      generation === undefined ? `${what} ${result}` : `${what} ${result} ${generation}`,
    )
    expect(told).toEqual(CHANGES)
    expect(lines.every(({ by }) => by === 'socket')).toBe(true)
    expect(lines[6]).toMatchObject({
      reason: REASON[1],
      overruled: [{ gate: 'removed-share' }],
      lists: [{ list: 'sw', forced: true, overruled: [{ gate: 'removed-share' }] }],
    })
    expect(lines[7]).toMatchObject({ from: 3, to: 1, reason: 'a test' })
  },
)
