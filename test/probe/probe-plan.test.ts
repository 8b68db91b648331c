import { describe, expect, test } from 'vitest'
import { NO_OVERLAY, type OverlayMessage } from '../../src/dataplane/policy/overlay.ts'
import { nameToWire } from '../../src/controlplane/blocklist/name-text.ts'
import { loadConfig, type LoadedConfig } from '../../src/controlplane/config/load.ts'
import { verdictOf, type Verdict } from '../../src/controlplane/probe/ask-one.ts'
import { planOf, wayTo, type Sentinels } from '../../src/controlplane/probe/probe-plan.ts'

function wire(text: string): Uint8Array {
  const name = nameToWire(text)
  if (typeof name === 'string') throw new Error(`${text} is no name`)
  return name
}

const FUTURE_MS = Date.now() + 3_600_000
const SENTINELS: Sentinels = {
  blocked: new Map([
    ['adult', ['a1.example', 'a2.example', 'a3.example', 'a4.example'].map(wire)],
    ['vpn', [wire('vpn.example')]],
  ]),
  essential: ['e1.example', 'e2.example'].map(wire),
}

function config(environment: Record<string, string> = {}): LoadedConfig {
  return loadConfig({ environment: { NIVEAU3_UPSTREAMS: '[192.0.2.1]', ...environment } })
}

function asked(overlay: Partial<OverlayMessage>, turn = 0): Record<string, number> {
  const plan = planOf(SENTINELS, config(), 0, { ...NO_OVERLAY, ...overlay }, turn)
  return Object.fromEntries([...plan.blocked].map(([category, names]) => [category, names.length]))
}

const allow = (name: string, exact = false, untilMs = FUTURE_MS) =>
  ({ name: wire(name), action: 'allow', exact, site: '', category: '', untilMs }) as const

describe('the names of one run', () => {
  test('are some of each category, others in the next run', () => {
    expect(asked({})).toEqual({ adult: 3, vpn: 1 })
    const names = [0, 1].flatMap((turn) => {
      const plan = planOf(SENTINELS, config(), 0, NO_OVERLAY, turn)
      return plan.blocked.get('adult')!.map((name) => Buffer.from(name).toString('latin1'))
    })
    expect(new Set(names).size).toBe(4)
  })

  test.each([
    [
      'a pause of the category',
      { pauses: [{ category: 'vpn', site: '', untilMs: FUTURE_MS }] },
      { adult: 3 },
    ],
    ['a pause of all', { pauses: [{ category: '', site: '', untilMs: FUTURE_MS }] }, {}],
    [
      'a pause at another site',
      { pauses: [{ category: '', site: 'lyon', untilMs: FUTURE_MS }] },
      { adult: 3, vpn: 1 },
    ],
    [
      'a pause that is over',
      { pauses: [{ category: '', site: '', untilMs: 1 }] },
      { adult: 3, vpn: 1 },
    ],
    ['a name that is allowed', { rules: [allow('vpn.example', true)] }, { adult: 3 }],
    ['a zone that is allowed', { rules: [allow('example')] }, {}],
    ['an exact rule above', { rules: [allow('example', true)] }, { adult: 3, vpn: 1 }],
    ['a rule that is over', { rules: [allow('example', false, 1)] }, { adult: 3, vpn: 1 }],
  ])('leave out what operators opened: %s', (_why, overlay, left) => {
    expect(asked(overlay)).toEqual(left)
  })
})

describe('the probe asks', () => {
  const listener = { address: '10.20.0.53', port: 53, protocol: 'dns' } as const

  test('from loopback, which has no query rate', () => {
    expect(wayTo(listener, config())).toEqual({
      server: { address: '10.20.0.53', port: 53 },
      from: '127.0.0.1',
      site: 0,
    })
  })

  test('from the address of the listener where loopback may not ask', () => {
    const way = wayTo(listener, config({ NIVEAU3_ALLOW_FROM: '[10.20.0.0/16]' }))
    expect(way?.from).toBe('10.20.0.53')
  })

  test('from nowhere where neither may', () => {
    expect(wayTo(listener, config({ NIVEAU3_ALLOW_FROM: '[192.0.2.0/24]' }))).toBeUndefined()
  })
})

const ANSWER = {
  id: 1,
  rcode: 'NOERROR',
  flags: [],
  edns: undefined,
  answers: [],
  authorities: [],
  additionals: [],
}
const record = (type: string, data: string) => ({ name: 'x.example', type, ttl: 60, data })
const error = (code: number) => ({
  edns: { udpOctets: 1232, errors: [{ code, name: '', text: '' }] },
})
const OURS = 'x.example. nobody.invalid. 1 3600 1200 604800 60'

test.each<[string, Partial<Parameters<typeof verdictOf>[0]>, Verdict]>([
  ['an address', { answers: [record('A', '192.0.2.1')] }, 'open'],
  ['no data', {}, 'open'],
  ['no such name', { rcode: 'NXDOMAIN', authorities: [record('SOA', 'a. b. 1 2 3 4 5')] }, 'open'],
  ['EDE 15 Blocked', { rcode: 'NXDOMAIN', ...error(15) }, 'blocked'],
  ['EDE 17 Filtered with REFUSED', { rcode: 'REFUSED', ...error(17) }, 'blocked'],
  ['our SOA without EDNS', { rcode: 'NXDOMAIN', authorities: [record('SOA', OURS)] }, 'blocked'],
  ['the null address', { answers: [record('A', '0.0.0.0')] }, 'blocked'],
  ['EDE 3 Stale Answer', { answers: [record('A', '192.0.2.1')], ...error(3) }, 'open'],
  ['SERVFAIL', { rcode: 'SERVFAIL', ...error(22) }, 'failed'],
  ['REFUSED', { rcode: 'REFUSED' }, 'failed'],
])('an answer with %s says %s', (_what, message, verdict) => {
  expect(verdictOf({ ...ANSWER, ...message })).toBe(verdict)
})
