/** `niveau3 top`: the rates, the screen, and slow questions of a real server. */
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXIT } from '../../src/base/errors.ts'
import { createTerminal } from '../../src/controlplane/cli/terminal.ts'
import { fittingLines, topLines } from '../../src/controlplane/cli/top-screen.ts'
import { SlowZones, viewOf, type TopView } from '../../src/controlplane/cli/top-view.ts'
import { countsOf, type Counts } from '../../src/controlplane/observe/counts.ts'
import { DURATION_BOUNDS_MS, createCounters } from '../../src/dataplane/counters.ts'
import { auditLines } from '../overrule/keeper.ts'
import { askUdp, from } from '../support/dns-client.ts'
import { runNiveau3, startNiveau3, type Niveau3 } from '../support/niveau3.ts'
import { runToEnd, startProcess } from '../support/processes.ts'
import { reply, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { serverFacts } from '../support/server-facts.ts'

const PROGRAM = resolve(import.meta.dirname, '../../dist/bin.js')
const PLAIN = createTerminal({ write: () => true }, { write: () => true }, {})

function counts(given: Partial<Counts> = {}): Counts {
  return { ...countsOf(serverFacts({ slots: createCounters() }), []), atMs: 0, ...given }
}

function upstream(given: Partial<Counts['upstreams'][number]> = {}): Counts['upstreams'][number] {
  return { upstream: 'u', up: true, queries: 0, responses: 0, tookMs: 0, failures: {}, ...given }
}

describe('two looks', () => {
  test('make rates, shares, means and quantiles', () => {
    const durations = [...DURATION_BOUNDS_MS, 0].map(() => 0)
    const first = counts({
      outcomes: { blocked: 100, cached: 50 },
      blocked: { adult: 90, vpn: 10 },
      durations,
      upstreams: [upstream({ queries: 5, responses: 5, tookMs: 100, failures: { timeout: 2 } })],
    })
    const last = counts({
      atMs: 10_000,
      outcomes: { blocked: 110, cached: 80 },
      blocked: { adult: 91, vpn: 19 },
      durations: durations.map((_, bucket) => (bucket === 4 ? 40 : 0)),
      dropped: { acl: 5 },
      upstreams: [upstream({ queries: 25, responses: 15, tookMs: 300, failures: { timeout: 5 } })],
    })
    const view = viewOf(first, last, null)
    expect(view).toMatchObject({ seconds: 10, answersPerSecond: 4, droppedPerSecond: 0.5 })
    expect(view.outcomes).toEqual([
      { outcome: 'blocked', perSecond: 1, share: 0.25 },
      { outcome: 'cached', perSecond: 3, share: 0.75 },
    ])
    expect(view.blocked.map(({ category }) => category)).toEqual(['vpn', 'adult'])
    expect(view.blocked[0]).toEqual({ category: 'vpn', perSecond: 0.9, total: 19 })
    expect(view.upstreams).toEqual([
      { upstream: 'u', up: true, queriesPerSecond: 2, responseMs: 20, failures: { timeout: 3 } },
    ])
    expect(view.p50Ms).toBeGreaterThan(DURATION_BOUNDS_MS[3])
    expect(view.p50Ms).toBeLessThanOrEqual(DURATION_BOUNDS_MS[4])
  })

  test('of one moment make no rates, and counters that began anew no negative ones', () => {
    const same = counts({ outcomes: { cached: 5 } })
    expect(viewOf(same, same, null)).toMatchObject({ answersPerSecond: 0, p50Ms: null })
    const before = counts({ upstreams: [upstream({ queries: 100 })] })
    const after = counts({ atMs: 1000, upstreams: [upstream({ queries: 3 })] })
    expect(viewOf(before, after, null).upstreams[0]).toMatchObject({ queriesPerSecond: 3 })
  })
})

test('the screen has a part for each kind, in order, and leaves out what does not fit', () => {
  const zones = new SlowZones()
  zones.take({ event: 'started', until: '2026-11-25T14:12:00.000Z', seconds: 600, observers: 1 })
  for (const [index, tookMs] of [700, 1800, 900].entries()) {
    const name = index < 2 ? 'slow.example' : 'other.example'
    const about = { site: 'lyon', category: null, client: null, transport: 'udp', type: 1 }
    const how = { time: '', outcome: 'forwarded', rcode: 'NOERROR', tookMs }
    zones.take({ event: 'question', name, ...about, ...how })
  }
  const sites = Array.from({ length: 11 }, (_, index) => {
    return { site: `site-${index}`, queries: index * 100, blocked: 0, limited: 0 }
  })
  const last = counts({
    atMs: 10_000,
    inFlight: 3,
    outcomes: { cached: 12_345, error: 0 },
    blocked: { adult: 1204, vpn: 0 },
    sites,
    upstreams: [upstream({ up: false, queries: 20, failures: { timeout: 3, network: 1 } })],
    observers: [
      { what: 'slow', user: 'anna', until: '2026-11-25T14:12:00Z', site: null, category: null },
    ],
  })
  const none = { ...last, atMs: 0, outcomes: {}, blocked: {}, sites: [] }
  const lines = topLines(viewOf({ ...none, upstreams: [] }, last, zones.view), PLAIN)
  expect(lines.join('\n'))
    .toBe(`niveau3 top  over 10s: 1,235/s   p50 -   p99 -   dropped 0.0/s   in flight 3

Answers   per second  share
  cached  1,235       100.0 %

Blocked  per second  since the start
  adult  120         1,204

Upstreams  state  asked/s  answers after  failures
  u        DOWN   2.0      -              timeout 3, network 1

Sites      queries/s  blocked/s  over rate/s
  site-10  100        0.0        0.0
  site-9   90         0.0        0.0
  site-8   80         0.0        0.0
  site-7   70         0.0        0.0
  site-6   60         0.0        0.0
  site-5   50         0.0        0.0
  site-4   40         0.0        0.0
  site-3   30         0.0        0.0
  and 3 more

Slow  500 ms or more until 14:12:00 UTC
  slow.example   2  worst 1800 ms  last forwarded NOERROR
  other.example  1  worst 900 ms   last forwarded NOERROR

anna looks at slow questions until 2026-11-25 14:12 UTC`)
})

/** Twelve counts. */
function many(prefix: string): Record<string, number> {
  return Object.fromEntries(
    Array.from({ length: 12 }, (_, index) => [`${prefix}${index}`, index + 1]),
  )
}

test.each([60, 24, 12, 5])('on a terminal of %i lines all parts give up lines alike', (rows) => {
  const last = counts({ atMs: 1000, outcomes: many('o'), blocked: many('c') })
  const lines = fittingLines(viewOf(counts(), last, null), PLAIN, rows)
  expect(lines.length).toBeLessThanOrEqual(rows)
  const titles = ['Answers', 'Blocked', 'Upstreams', 'Sites', 'Slow']
  const shown = titles.filter((title) => lines.some((line) => line.startsWith(title)))
  // Where not even one line of each fits, the end is left out.
  expect(shown).toEqual(rows >= 24 ? titles : titles.slice(0, shown.length))
})

describe('a running server', () => {
  let server: Niveau3
  let state = ''
  beforeAll(async () => {
    const slow = await startScriptedUpstream(async (query) => {
      // The one wait that stands for a slow zone: what is tested is that it counts as one.
      if (query.name.includes('slow')) await new Promise((done) => setTimeout(done, 700))
      return reply(query, { answers: [{ name: query.name, type: 'A', data: '192.0.2.1' }] })
    })
    server = await startNiveau3({
      upstreams: [slow],
      blocklists: { vpn: ['vpn.example'] },
      config: 'sites: [{name: lyon, from: [127.0.0.2/32]}]\nforward: {tryTimeoutMs: 1500}\n',
    })
    state = join(server.folder, 'state')
  })
  afterAll(() => server.stop())

  test('is shown once, for people and for machines, and nobody is noted as looking', async () => {
    for (let i = 0; i < 3; i++) await askUdp(server, 'a.vpn.example')
    const text = await runNiveau3(['top', '--once', '--state-dir', state])
    expect({ code: text.code, stderr: text.stderr }).toEqual({ code: 0, stderr: '' })
    expect(text.stdout).toMatch(/^niveau3 top {2}over 1s: 0\.0\/s/)
    expect(text.stdout).toMatch(/\n {2}vpn +0\.0 +3\n/)
    expect(text.stdout).toContain('niveau3 top --slow --reason TEXT')
    expect(text.stdout).not.toContain('\u001B')
    const json = await runNiveau3([
      'top',
      '--once',
      '--json',
      '--site',
      'lyon',
      '--state-dir',
      state,
    ])
    const view = JSON.parse(json.stdout) as TopView
    expect(view).toMatchObject({ schema: 'niveau3.top/1', slow: null, observers: [] })
    expect(view.sites.map(({ site }) => site)).toEqual(['lyon'])
    expect(await auditLines(state).catch(() => [])).toEqual([])
  })

  test('in a pipe it is plain text, or a line of JSON, again and again', async () => {
    const args = [PROGRAM, 'top', '--state-dir', state]
    const lines = await startProcess(process.execPath, [...args, '--json'], {
      ready: { line: /niveau3\.top\/1/ },
    })
    await askUdp(server, 'b.vpn.example')
    const views = () =>
      lines
        .stdout()
        .split('\n')
        .filter((line) => line.endsWith('}'))
        .map((line) => JSON.parse(line) as TopView)
    await expect
      .poll(() => views().at(-1)?.answersPerSecond, { timeout: 10_000 })
      .toBeGreaterThan(0)
    lines.signal('SIGINT')
    expect(await lines.exited).toMatchObject({ code: EXIT.interrupted })
    const text = await startProcess(process.execPath, args, { ready: { line: /niveau3 top/ } })
    const screens = () => text.stdout().split('niveau3 top  over').length - 1
    await expect.poll(screens, { timeout: 10_000 }).toBeGreaterThan(1)
    expect(text.stdout()).not.toContain('\u001B')
    text.signal('SIGINT')
    expect(await text.exited).toMatchObject({ code: EXIT.interrupted })
  })

  test('slow questions are shown by their domain, without a client; it is written down', async () => {
    const args = ['--slow', '--for', '3s', '--reason', 'pages hang', '--state-dir', state, '--json']
    const running = runNiveau3(['top', '--once', ...args])
    const isLooking = async () => (await auditLines(state).catch(() => [])).length
    await expect.poll(isLooking, { timeout: 20_000 }).toBe(1)
    await askUdp(from(server, '127.0.0.2'), 'anna.host.slow.example')
    const { code, stdout } = await running
    expect(code).toBe(0)
    const view = JSON.parse(stdout) as TopView
    expect(view.slow).toMatchObject({ thresholdMs: 500, missed: 0 })
    expect(view.slow?.zones).toMatchObject([
      { zone: 'slow.example', questions: 1, outcome: 'forwarded', rcode: 'NOERROR' },
    ])
    expect(view.slow?.zones[0]?.worstMs).toBeGreaterThan(500)
    expect(stdout).not.toContain('anna')
    expect(stdout).not.toContain('127.0.0.0')
    await expect.poll(isLooking).toBe(2)
    const lines = await auditLines(state)
    expect(lines[0]).toMatchObject({ what: 'observe', kind: 'slow', reason: 'pages hang' })
    expect(JSON.stringify(lines)).not.toContain('slow.example')
  })

  test.each([
    [['--slow'], /say why with --reason/],
    [['--reason', 'x'], /are for --slow/],
    [['--once', '--site', 'nice'], /no site "nice"; there are: default, lyon/],
    [['--slow', '--reason', 'x', '--for', '2h'], /1h at most/],
  ])('%j is refused', async (args, message) => {
    const { code, stderr, stdout } = await runNiveau3(['top', '--state-dir', state, ...args])
    expect({ code, stdout }).toEqual({ code: EXIT.usage, stdout: '' })
    expect(stderr).toMatch(message)
  })

  /** Runs `top` on a terminal of its own, and types keys once the first screen is drawn. */
  async function onTerminal(keys: string): Promise<{ shown: string; code: number | null }> {
    const top = `${process.execPath} ${PROGRAM} top --state-dir ${state}`
    // What `stty` says behind it: the terminal that the shell gets back.
    const typing = `(while ! grep -q Answers ${state}/shown; do sleep 0.1; done; printf '${keys}')`
    const shell = `${top}; echo "ended with $?"; stty -a`
    const line = `${typing} | script -qfec '${shell}' ${state}/shown`
    const { code, stdout } = await runToEnd('sh', ['-c', `: > ${state}/shown; ${line}`], {
      env: { TERM: 'xterm', NO_COLOR: '1' },
      timeoutMs: 30_000,
    })
    return { code, shown: stdout }
  }

  test.each([
    ['q', EXIT.ok],
    ['\\003', EXIT.interrupted],
  ])('on a terminal %j ends it, and the terminal is what it was', async (key, code) => {
    const { shown } = await onTerminal(key)
    expect(shown).toContain('\u001B[?1049h')
    expect(shown).toContain('niveau3 top  over 1s')
    expect(shown).toContain('\u001B[?1049l')
    expect(shown).toContain(`ended with ${code}`)
    expect(shown.slice(shown.indexOf('ended with'))).toMatch(/ icanon[^]* echo /)
  })
})
