import { describe, expect, test } from 'vitest'
import {
  DECISION_ALLOW,
  DECISION_BLOCK,
  REDIS,
  decisionSlot,
} from '../../src/dataplane/counters.ts'
import { DENIED_BIT } from '../../src/dataplane/policy/policy.ts'
import {
  REDIS_HIT,
  REDIS_LOOKUPS,
  REDIS_UP,
  REDIS_WRITTEN,
  WRITE_STORED,
} from '../../src/dataplane/redis-counters.ts'
import { conforms } from '../conformance/conforms.ts'
import { advanceClock } from '../support/clock.ts'
import { startDataplane } from '../support/dataplane.ts'
import { askTcp, askUdp, from, type Server } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import type { Message } from '../support/messages.ts'
import { allow, deny, overlay, pause } from '../support/overlay.ts'
import { redisSettings, startRedis } from '../support/redis.ts'
import {
  answerAddresses,
  reply,
  startScriptedUpstream,
  type ReceivedQuery,
} from '../support/scripted-upstream.ts'

const RULES = { adult: ['porn.example', 'tracker.example'], vpn: ['vpn.example'] }

/** An alias to a listed name, for `cloaked.example` alone. */
function cloaked(query: ReceivedQuery): ReturnType<typeof answerAddresses> {
  if (query.name !== 'cloaked.example') return answerAddresses(query)
  return reply(query, {
    answers: [
      { name: query.name, type: 'CNAME', data: 'x.tracker.example' },
      { name: 'x.tracker.example', type: 'A', data: '192.0.2.1' },
    ],
  })
}

function word(answer: Message): string {
  if (answer.ede?.code === 15) return `blocked (${answer.ede.text.replace('category ', '')})`
  return answer.answers.length > 0 ? 'answer' : answer.rcode
}

/** What a question gets over both transports, which agree. */
async function outcome(server: Server, name: string): Promise<string> {
  const overUdp = word(await askUdp(server, name, 'A', { edns: {} }))
  expect(word(await askTcp(server, name, 'A', { edns: {} }))).toBe(overUdp)
  return overUdp
}

describe('what the operator overrules', () => {
  test('a blocked name is allowed at once: one question upstream, then from memory', async () => {
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({ rules: RULES, upstreams: [upstream] })
    for (let times = 0; times < 3; times++) {
      expect(await outcome(server, 'porn.example')).toBe('blocked (adult)')
    }
    expect(upstream.queries).toHaveLength(0)
    server.overrule(overlay(allow('porn.example')))
    for (let times = 0; times < 3; times++) {
      expect(await outcome(server, 'porn.example')).toBe('answer')
    }
    expect(await outcome(server, 'below.porn.example')).toBe('answer')
    expect(upstream.queries).toHaveLength(2)
    expect(server.count(decisionSlot(DECISION_ALLOW, 0))).toBe(8)
    server.overrule(overlay())
    expect(await outcome(server, 'porn.example')).toBe('blocked (adult)')
  })

  test('a kept answer is denied at once, and given again without asking upstream', async () => {
    conforms('filter-bypass')
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({ rules: RULES, upstreams: [upstream] })
    for (let times = 0; times < 3; times++) {
      expect(await outcome(server, 'www.free.example')).toBe('answer')
    }
    expect(upstream.queries).toHaveLength(1)
    server.overrule(overlay(deny('free.example')))
    for (let times = 0; times < 3; times++) {
      expect(await outcome(server, 'www.free.example')).toBe('blocked (denied)')
    }
    expect(server.count(decisionSlot(DECISION_BLOCK, DENIED_BIT))).toBe(6)
    server.overrule(overlay())
    expect(await outcome(server, 'www.free.example')).toBe('answer')
    expect(upstream.queries).toHaveLength(1)
  })

  test('an answer that leads to a listed name passes for an allowed one, and is kept as it was', async () => {
    const upstream = await startScriptedUpstream(cloaked)
    const server = await startDataplane({ rules: RULES, upstreams: [upstream] })
    expect(await outcome(server, 'cloaked.example')).toBe('blocked (adult)')
    server.overrule(overlay(allow('cloaked.example')))
    expect(await outcome(server, 'cloaked.example')).toBe('answer')
    server.overrule(overlay(allow('tracker.example')))
    expect(await outcome(server, 'cloaked.example')).toBe('answer')
    server.overrule(overlay())
    expect(await outcome(server, 'cloaked.example')).toBe('blocked (adult)')
    server.overrule(overlay(allow('tracker.example'), deny('x.tracker.example')))
    expect(await outcome(server, 'cloaked.example')).toBe('blocked (adult)')
    expect(upstream.queries).toHaveLength(1)
  })

  test('an answer that leads to a denied name is blocked', async () => {
    const upstream = await startScriptedUpstream(cloaked)
    const rules = { vpn: ['vpn.example'] }
    const server = await startDataplane({ rules, upstreams: [upstream] })
    expect(await outcome(server, 'cloaked.example')).toBe('answer')
    server.overrule(overlay(deny('tracker.example')))
    expect(await outcome(server, 'cloaked.example')).toBe('blocked (denied)')
    server.overrule(overlay(deny('tracker.example'), allow('x.tracker.example')))
    expect(await outcome(server, 'cloaked.example')).toBe('answer')
    expect(upstream.queries).toHaveLength(1)
  })

  test('special names stay here, whatever is allowed or paused', async () => {
    const upstream = await startScriptedUpstream((query) =>
      reply(query, {
        answers: [
          { name: query.name, type: 'CNAME', data: 'hidden.onion' },
          { name: 'hidden.onion', type: 'A', data: '192.0.2.1' },
        ],
      }),
    )
    const server = await startDataplane({ rules: RULES, upstreams: [upstream] })
    const endless = Date.now() + 3_600_000
    server.overrule(overlay(allow('onion'), allow('www.example'), pause(endless)))
    expect(await outcome(server, 'hidden.onion')).toBe('NXDOMAIN')
    expect(upstream.queries).toHaveLength(0)
    expect(await outcome(server, 'www.example')).toBe('NOERROR')
  })

  test('a rule of one site is that site’s alone, in answers that all share', async () => {
    const upstream = await startScriptedUpstream(cloaked)
    const server = await startDataplane({
      rules: RULES,
      upstreams: [upstream],
      sites: [{ name: 'lyon', from: ['127.0.0.2/32'] }],
    })
    const lyon = from(server, '127.0.0.2')
    server.overrule(
      overlay(
        allow('porn.example', { site: 'lyon' }),
        allow('tracker.example', { site: 'lyon' }),
        deny('free.example', { site: 'lyon' }),
      ),
    )
    for (let times = 0; times < 3; times++) {
      expect(await outcome(lyon, 'porn.example')).toBe('answer')
      expect(await outcome(server, 'porn.example')).toBe('blocked (adult)')
      expect(await outcome(server, 'free.example')).toBe('answer')
      expect(await outcome(lyon, 'free.example')).toBe('blocked (denied)')
      expect(await outcome(server, 'cloaked.example')).toBe('blocked (adult)')
      expect(await outcome(lyon, 'cloaked.example')).toBe('answer')
    }
    expect(upstream.queries).toHaveLength(3)
  })

  test('clients of two sites who wait for one question get each their own', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return cloaked(query)
    })
    const server = await startDataplane({
      rules: RULES,
      upstreams: [upstream],
      sites: [{ name: 'lyon', from: ['127.0.0.2/32'] }],
      overlay: overlay(allow('tracker.example', { site: 'lyon' })),
    })
    const asked = [server, from(server, '127.0.0.2')].map((client) =>
      askUdp(client, 'cloaked.example', 'A', { edns: {} }),
    )
    await server.until(() => server.balance().inFlight === 2)
    gate.open()
    expect((await Promise.all(asked)).map(word)).toEqual(['blocked (adult)', 'answer'])
    expect(upstream.queries).toHaveLength(1)
  })

  test('what is denied while its question is under way is not let through', async () => {
    const gate = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await gate.opened
      return answerAddresses(query)
    })
    const server = await startDataplane({ rules: RULES, upstreams: [upstream] })
    const asked = askUdp(server, 'free.example', 'A', { edns: {} })
    await server.until(() => server.balance().inFlight === 1)
    server.overrule(overlay(deny('free.example')))
    gate.open()
    expect(word(await asked)).toBe('blocked (denied)')
  })
})

describe('time', () => {
  test('a pause lets blocked names pass and ends by itself, to the moment', async () => {
    const upstream = await startScriptedUpstream()
    const server = await startDataplane({ rules: RULES, upstreams: [upstream] })
    expect(await outcome(server, 'porn.example')).toBe('blocked (adult)')
    server.overrule(overlay(pause(Date.now() + 600_000, { category: 'adult' })))
    for (let times = 0; times < 3; times++) {
      expect(await outcome(server, 'porn.example')).toBe('answer')
    }
    expect(await outcome(server, 'vpn.example')).toBe('blocked (vpn)')
    advanceClock(590_000)
    expect(await outcome(server, 'porn.example')).toBe('answer')
    advanceClock(10_000)
    expect(await outcome(server, 'porn.example')).toBe('blocked (adult)')
  })

  test('a rule that ends takes the verdicts with it that were kept under it', async () => {
    const upstream = await startScriptedUpstream(cloaked)
    const server = await startDataplane({ rules: RULES, upstreams: [upstream] })
    const untilMs = Date.now() + 60_000
    server.overrule(
      overlay(allow('tracker.example', { untilMs }), deny('free.example', { untilMs })),
    )
    for (let times = 0; times < 3; times++) {
      expect(await outcome(server, 'cloaked.example')).toBe('answer')
      expect(await outcome(server, 'free.example')).toBe('blocked (denied)')
    }
    advanceClock(60_000)
    expect(await outcome(server, 'cloaked.example')).toBe('blocked (adult)')
    expect(await outcome(server, 'free.example')).toBe('answer')
  })
})

test('a verdict that Redis has is derived anew under other rules, without asking upstream', async () => {
  const redis = await startRedis()
  const upstream = await startScriptedUpstream(cloaked)
  const options = { rules: RULES, upstreams: [upstream], redis: redisSettings(redis) }
  const first = await startDataplane(options)
  await first.until(() => first.count(REDIS + REDIS_UP) === 1)
  expect(await outcome(first, 'cloaked.example')).toBe('blocked (adult)')
  expect(await outcome(first, 'free.example')).toBe('answer')
  await first.until(() => first.count(REDIS + REDIS_WRITTEN + WRITE_STORED) === 2)
  const second = await startDataplane({
    ...options,
    overlay: overlay(allow('tracker.example'), deny('free.example')),
  })
  await second.until(() => second.count(REDIS + REDIS_UP) === 1)
  expect(await outcome(second, 'cloaked.example')).toBe('answer')
  expect(await outcome(second, 'free.example')).toBe('blocked (denied)')
  second.overrule(overlay())
  expect(await outcome(second, 'cloaked.example')).toBe('blocked (adult)')
  expect(await outcome(second, 'free.example')).toBe('answer')
  expect(second.count(REDIS + REDIS_LOOKUPS + REDIS_HIT)).toBe(2)
  expect(upstream.queries).toHaveLength(2)
})
