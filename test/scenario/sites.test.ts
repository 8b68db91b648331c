import { describe, expect, test } from 'vitest'
import {
  DECISION_EXEMPT,
  SITE_BLOCKED,
  SITE_QUERIES,
  decisionSlot,
} from '../../src/dataplane/counters.ts'
import { conforms } from '../conformance/conforms.ts'
import { startDataplane, type Dataplane, type DataplaneOptions } from '../support/dataplane.ts'
import { askTcp, askUdp, from, openTcp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import { encodeQuery, type Message } from '../support/messages.ts'
import {
  answerAddresses,
  reply,
  startScriptedUpstream,
  type ReceivedQuery,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'

const LYON = '127.0.0.2'
const NANTES = '127.0.0.3'
const NOWHERE = '127.0.0.1'

/** Lyon opens `adult` and refuses `vpn`; Nantes alone blocks `games`. */
const SITES: DataplaneOptions = {
  rules: {
    adult: ['adult.example', 'porn.example'],
    games: ['games.example'],
    vpn: ['vpn.example'],
  },
  essential: ['help.porn.example'],
  categories: { games: false },
  sites: [
    {
      name: 'lyon',
      from: [`${LYON}/32`],
      categories: { adult: false, vpn: { kind: 'refused' } },
    },
    { name: 'nantes', from: [`${NANTES}/32`], categories: { games: true } },
  ],
}

/** What a client of each address gets: `site` or the rcode where that says more. */
async function outcomes(server: Dataplane, name: string, type = 'A'): Promise<string[]> {
  const answers: string[] = []
  for (const client of [NOWHERE, LYON, NANTES]) {
    for (const ask of [askUdp, askTcp]) {
      const {
        rcode,
        answers: records,
        ede,
      } = await ask(from(server, client), name, type, {
        edns: {},
      })
      const word = records.length > 0 ? 'answer' : rcode === 'NOERROR' ? 'NODATA' : rcode
      answers.push(ede?.code === 15 ? `${word} blocked` : word)
    }
  }
  const [nowhere, overTcp, lyon, lyonTcp, nantes, nantesTcp] = answers
  expect([overTcp, lyonTcp, nantesTcp], 'TCP as UDP').toEqual([nowhere, lyon, nantes])
  return [nowhere!, lyon!, nantes!]
}

const BLOCKED = 'NXDOMAIN blocked'

/** Several times: from upstream, from the cache and from the hot table. */
async function expectAlways(
  server: Dataplane,
  name: string,
  expected: readonly string[],
): Promise<void> {
  for (let round = 0; round < 4; round++) {
    expect(await outcomes(server, name), `${name}, round ${round}`).toEqual(expected)
  }
}

function aliasTo(target: string): (query: ReceivedQuery) => Buffer {
  return (query) =>
    reply(query, {
      answers: [
        { name: query.name, type: 'CNAME', data: target },
        { name: target, type: 'A', data: '192.0.2.1' },
      ],
    })
}

async function start(
  upstream: ScriptedUpstream,
  options: DataplaneOptions = SITES,
): Promise<Dataplane> {
  return startDataplane({ ...options, upstreams: [upstream] })
}

describe('a site has its own policy, over UDP and TCP', () => {
  conforms('filter-bypass')

  test.each([
    ['adult.example', [BLOCKED, 'answer', BLOCKED]],
    ['www.adult.example', [BLOCKED, 'answer', BLOCKED]],
    ['vpn.example', [BLOCKED, 'REFUSED blocked', BLOCKED]],
    ['games.example', ['answer', 'answer', BLOCKED]],
    ['free.example', ['answer', 'answer', 'answer']],
    ['help.porn.example', ['answer', 'answer', 'answer']],
  ] as const)('%s: %j, fresh, cached and hot', async (name, expected) => {
    const upstream = await startScriptedUpstream()
    const server = await start(upstream)
    await expectAlways(server, name, expected)
    const { received, answered } = await server.idle()
    expect(received).toBe(answered)
  })

  test('who is asked first makes no difference to the others', async () => {
    const upstream = await startScriptedUpstream()
    const server = await start(upstream)
    for (let round = 0; round < 4; round++) {
      expect((await askUdp(from(server, LYON), 'adult.example')).rcode).toBe('NOERROR')
    }
    await expectAlways(server, 'adult.example', [BLOCKED, 'answer', BLOCKED])
    expect(upstream.queries).toHaveLength(1)
  })

  test('an alias is judged for each site', async () => {
    const upstream = await startScriptedUpstream(aliasTo('cdn.games.example'))
    const server = await start(upstream)
    await expectAlways(server, 'shop.example', ['answer', 'answer', 'NODATA blocked'])
    expect(upstream.queries).toHaveLength(1)
  })

  test('clients of several sites may wait for one question', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return aliasTo('cdn.games.example')(query)
    })
    const server = await start(upstream)
    const waiting = [NOWHERE, LYON, NANTES].map((client) =>
      askUdp(from(server, client), 'shop.example'),
    )
    await server.until(() => server.balance().inFlight === 3)
    gate.open()
    const answers = await Promise.all(waiting)
    expect(answers.map(({ answers: records }) => records.length)).toEqual([2, 2, 0])
    expect(upstream.queries).toHaveLength(1)
  })
})

test('a site is counted by its own number, whoever else asks', async () => {
  const upstream = await startScriptedUpstream()
  const server = await start(upstream)
  await outcomes(server, 'adult.example')
  await outcomes(server, 'free.example')
  await outcomes(server, 'help.porn.example')
  const counts = (slot: number): number[] => [0, 1, 2].map((site) => server.count(slot + site))
  expect(counts(SITE_QUERIES)).toEqual([6, 6, 6])
  expect(counts(SITE_BLOCKED)).toEqual([2, 0, 2])
  // Where the category is open, nothing had to be exempted.
  expect(server.count(decisionSlot(DECISION_EXEMPT, 0))).toBe(4)
})

describe('a reload', () => {
  test('of the sites alone takes hold of answers that are cached and hot', async () => {
    const upstream = await startScriptedUpstream()
    const server = await start(upstream, { ...SITES, sites: [] })
    await expectAlways(server, 'games.example', ['answer', 'answer', 'answer'])
    server.reload(SITES)
    await expectAlways(server, 'games.example', ['answer', 'answer', BLOCKED])
    server.reload({ sites: [] })
    await expectAlways(server, 'games.example', ['answer', 'answer', 'answer'])
    expect(upstream.queries).toHaveLength(1)
  })

  test('answers who waits by the site of that name, wherever it stands now', async () => {
    const gates: Gate[] = []
    const upstream = await startScriptedUpstream(async (query) => {
      const gate = new Gate()
      gates.push(gate)
      await gate.opened
      return answerAddresses(query)
    })
    const server = await start(upstream)
    const waiting: Promise<Message>[] = []
    for (const client of [LYON, NANTES]) {
      waiting.push(askUdp(from(server, client), 'late.example'))
      await server.until(() => server.balance().inFlight === waiting.length)
    }
    const [lyon, nantes] = SITES.sites!
    server.reload({ rules: { games: ['late.example'] }, sites: [nantes!, lyon!] })
    gates[0]!.open()
    const answers = await Promise.all(waiting)
    expect(answers.map(({ rcode }) => rcode)).toEqual(['NOERROR', 'NXDOMAIN'])
  })

  test('moves an open connection to its new site, and ends one that may not ask any more', async () => {
    const server = await start(await startScriptedUpstream())
    const ask = encodeQuery('adult.example')
    const lyon = await openTcp(from(server, LYON))
    const nantes = await openTcp(from(server, NANTES))
    await lyon.send(ask)
    expect((await lyon.nextMessage()).rcode).toBe('NOERROR')
    server.reload({ allowFrom: ['127.0.0.2/32'], sites: [] })
    await lyon.send(ask)
    expect((await lyon.nextMessage()).rcode).toBe('NXDOMAIN')
    await nantes.closed
    await Promise.all([lyon.close(), nantes.close()])
  })
})

test('a site may ask without being on the access list', async () => {
  const server = await start(await startScriptedUpstream(), { ...SITES, allowFrom: ['10.0.0.0/8'] })
  expect((await askUdp(from(server, LYON), 'free.example')).rcode).toBe('NOERROR')
  expect((await askTcp(from(server, NANTES), 'free.example')).rcode).toBe('NOERROR')
  await expect(
    askUdp(from(server, NOWHERE), 'free.example', 'A', { timeoutMs: 100 }),
  ).rejects.toThrow(/no answer/)
})
