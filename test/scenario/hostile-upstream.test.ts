/**
 * An upstream that answers everything wrong that can be wrong, over each way that we ask it:
 * nothing of it is relayed or kept, and a right answer that comes behind it wins.
 */
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  FAILURE_FORMAT,
  FAILURE_MISMATCH,
  UPSTREAM_UP,
  failureSlot,
} from '../../src/dataplane/counters.ts'
import { conforms } from '../conformance/conforms.ts'
import { createAuthority, type Authority, type Identity } from '../support/certificates.ts'
import { advanceClock } from '../support/clock.ts'
import {
  startDataplane,
  type Dataplane,
  type DataplaneOptions,
  type UpstreamOption,
} from '../support/dataplane.ts'
import { askTcp, askUdp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import type { ResourceRecord } from '../support/messages.ts'
import { join, name, record, u16 } from '../support/octets.ts'
import {
  garbage,
  reply,
  silence,
  startScriptedUpstream,
  withWrongId,
  withoutResponseBit,
  wrongQuestion,
  type ReceivedQuery,
  type Script,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'

const WAYS = ['udp', 'tcp', 'tls'] as const
type Way = (typeof WAYS)[number]

const SERVER_NAME = 'dns.example'
/** One try, whose time no busy machine uses up while a right answer is on its way. */
const PATIENT = { tryTimeoutMs: 10_000, totalTimeoutMs: 10_000, triesMax: 1 }
const QUICK = { tryTimeoutMs: 150, totalTimeoutMs: 500, triesMax: 2 }
const EVIL = '192.0.2.66'
const RIGHT = '192.0.2.1'

let authority: Authority
let identity: Identity
beforeAll(async () => {
  authority = await createAuthority()
  identity = await authority.sign({ names: [`DNS:${SERVER_NAME}`] })
})

const running: Dataplane[] = []
afterEach(async () => {
  // Received = answered + dropped, after whatever the upstream did.
  for (const server of running.splice(0)) {
    const { received, answered, dropped } = await server.idle()
    expect(received).toBe(answered + dropped)
  }
})

/** Starts a resolver that asks a scripted upstream over the way. */
async function start(
  way: Way,
  script: Script,
  options: DataplaneOptions = {},
  others: readonly UpstreamOption[] = [],
): Promise<{ server: Dataplane; upstream: ScriptedUpstream }> {
  const upstream = await startScriptedUpstream(script, way === 'tls' ? { tls: identity } : {})
  const { address, port } = upstream
  const endpoint = { address, port, protocol: way, serverName: way === 'tls' ? SERVER_NAME : '' }
  const server = await startDataplane({
    upstreams: [{ ...endpoint, path: '' }, ...others],
    upstreamAuthorities: authority.certificate,
    forward: PATIENT,
    ...options,
  })
  running.push(server)
  return { server, upstream }
}

function withAddress(query: ReceivedQuery, data: string, ttl = 300): Buffer {
  return reply(query, { answers: [{ name: query.name, type: 'A', ttl, data }] })
}

/** A record that nobody asked for. */
function stranger(owner: string, type: string, data: unknown): ResourceRecord {
  return { name: owner, type, ttl: 86_400, data }
}

/** A header and question that match, with whatever octets behind them. */
function withBody(query: ReceivedQuery, counts: readonly number[], ...body: Buffer[]): Buffer {
  const head = Buffer.from(reply(query))
  for (const [index, amount] of counts.entries()) head.writeUInt16BE(amount, 6 + 2 * index)
  return join(head, ...body)
}

/** Replies that answer nothing that was asked: ignored, and the wait goes on. */
const STRANGE: Readonly<Record<string, (query: ReceivedQuery) => Buffer>> = {
  'another id': (query) => withWrongId(withAddress(query, EVIL)),
  'another name': (query) => wrongQuestion(query),
  'another type': (query) => reply(query, { question: { name: query.name, type: 'AAAA' } }),
  'another class': (query) =>
    reply(query, { question: { name: query.name, type: 'A', class: 'CH' } }),
  'a name below': (query) => wrongQuestion(query, `x.${query.name}`),
  'QR clear': (query) => withoutResponseBit(withAddress(query, EVIL)),
  'opcode UPDATE': (query) => {
    const message = withAddress(query, EVIL)
    message.writeUInt8(message.readUInt8(2) | 0x28, 2)
    return message
  },
  'two questions': (query) => withBody(query, [], Buffer.alloc(0)).fill(2, 5, 6),
  'no question': (query) => {
    const message = withAddress(query, EVIL)
    message.writeUInt16BE(0, 4)
    return message
  },
  'a header alone': (query) => reply(query).subarray(0, 12),
  'eleven octets': (query) => reply(query).subarray(0, 11),
  'noise behind a header': (query) => garbage(query, 512),
}

/**
 * Replies to the very question that are broken behind it: nothing is kept. Over a stream the try
 * has failed; over UDP the wait for the right one goes on.
 */
const BROKEN: Readonly<Record<string, (query: ReceivedQuery) => Buffer>> = {
  'a count without a record': (query) => withBody(query, [1]),
  'counts of 65,535': (query) => withBody(query, [0xffff, 0xffff, 0xffff]),
  'a record cut in the middle': (query) => withAddress(query, EVIL).subarray(0, -3),
  'a pointer to itself': (query) => {
    const at = reply(query).length
    return withBody(query, [1], u16(0xc000 | at), Buffer.alloc(14))
  },
  'a pointer forward': (query) => {
    const at = reply(query).length
    return withBody(query, [1], u16(0xc000 | (at + 40)), Buffer.alloc(40))
  },
  'two pointers in a loop': (query) => {
    const at = reply(query).length
    return withBody(query, [1], u16(0xc000 | (at + 2)), u16(0xc000 | at), Buffer.alloc(12))
  },
  'a label of 64 octets': (query) => withBody(query, [1], Buffer.alloc(80, 0x40)),
  'RDLENGTH past the end': (query) => {
    const message = withAddress(query, EVIL)
    message.writeUInt16BE(400, message.length - 6)
    return message
  },
  'an A record of five octets': (query) =>
    withBody(query, [1], record({ owner: name(query.name), type: 1, rdata: Buffer.alloc(5) })),
  'an alias whose target leaves its record': (query) =>
    withBody(
      query,
      [1],
      record({ owner: name(query.name), type: 5, rdata: Buffer.from([9, 0x61]) }),
    ),
  'an alias to itself by a pointer in its own data': (query) => {
    const owner = name(query.name)
    const at = reply(query).length + owner.length + 10
    return withBody(query, [1], record({ owner, type: 5, rdata: u16(0xc000 | at) }))
  },
  'a chain of 60 aliases': (query) => {
    const chain = Array.from({ length: 60 }, (_, index) =>
      record({
        owner: name(index === 0 ? query.name : `c${index}.example`),
        type: 5,
        rdata: name(`c${index + 1}.example`),
      }),
    )
    return withBody(query, [60], ...chain)
  },
  'OPT in the answer section': (query) =>
    withBody(query, [1], Buffer.from([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0])),
  'an extended rcode': (query) =>
    withBody(query, [0, 0, 1], Buffer.from([0, 0, 41, 4, 0xd0, 1, 0, 0, 0, 0, 0])),
}

describe.each(WAYS)('a hostile upstream over %s', (way) => {
  test.each(Object.keys(STRANGE))('answers with %s: the right one behind it wins', async (what) => {
    conforms('reply-match', 'blind-spoofing', 'first-malformed')
    const strange = STRANGE[what]!
    const { server, upstream } = await start(way, (query) => [
      strange(query),
      strange(query),
      withAddress(query, RIGHT),
    ])
    for (const ask of [askUdp, askTcp]) {
      const { answers } = await ask(server, 'www.example')
      expect(answers.map(({ data }) => data)).toEqual([RIGHT])
    }
    expect(upstream.queries).toHaveLength(1)
    expect(server.count(failureSlot(0, FAILURE_MISMATCH))).toBe(2)
  })

  test.each(Object.keys(STRANGE))('answers with %s only: nothing of it is kept', async (what) => {
    conforms('reply-match', 'upstream-lies')
    const { server, upstream } = await start(way, STRANGE[what]!, { forward: QUICK })
    expect(await askUdp(server, 'www.example')).toMatchObject({ rcode: 'SERVFAIL', answers: [] })
    upstream.follow((query) => withAddress(query, RIGHT))
    advanceClock(1000)
    for (const asked of ['www.example', 'wrong.example.net', 'x.www.example']) {
      const { answers } = await askUdp(server, asked)
      expect(answers.map(({ data }) => data)).toEqual([RIGHT])
    }
  })

  test.each(Object.keys(BROKEN))('answers with %s: SERVFAIL, and nothing is kept', async (what) => {
    conforms('compression', 'pointer-loops', 'upstream-lies', 'expensive-answers')
    // Long enough for the reply to come within its try on a busy machine.
    const once = { tryTimeoutMs: 500, totalTimeoutMs: 500, triesMax: 1 }
    const forward = way === 'udp' ? once : PATIENT
    const { server, upstream } = await start(way, BROKEN[what]!, { forward })
    const startMs = performance.now()
    expect(await askUdp(server, 'www.example')).toMatchObject({ rcode: 'SERVFAIL', answers: [] })
    expect(performance.now() - startMs).toBeLessThan(5000)
    expect(server.count(failureSlot(0, FAILURE_FORMAT))).toBe(1)
    upstream.follow((query) => withAddress(query, RIGHT))
    advanceClock(1000)
    expect((await askUdp(server, 'www.example')).answers.map(({ data }) => data)).toEqual([RIGHT])
  })

  test.each(Object.keys(BROKEN))('answers with %s: the next upstream is asked', async (what) => {
    const next = await startScriptedUpstream((query) => withAddress(query, RIGHT))
    const patience = { ...PATIENT, triesMax: 2, totalTimeoutMs: 20_000 }
    const forward = way === 'udp' ? { ...patience, tryTimeoutMs: 150 } : patience
    const { server } = await start(way, BROKEN[what]!, { forward }, [next])
    expect((await askUdp(server, 'www.example')).answers.map(({ data }) => data)).toEqual([RIGHT])
  })

  test('answers with TTLs of all sorts: none is kept longer than allowed', async () => {
    conforms('ttl', 'timers', 'upstream-lies')
    const ttls = [0, 1, 0x7fffffff, 0x80000000, 0xffffffff]
    const { server, upstream } = await start(way, (query) =>
      withAddress(query, RIGHT, ttls[Number(query.name[1])]),
    )
    for (const index of ttls.keys()) await askUdp(server, `t${index}.example`)
    const asked = upstream.queries.length
    expect(asked).toBe(ttls.length)
    // TTL 0, and what counts as 0, is asked anew; a day is the ceiling.
    for (const [index, expected] of [1, 0, 0, 1, 1].entries()) {
      const before = upstream.queries.length
      const { answers } = await askUdp(server, `t${index}.example`)
      expect(upstream.queries.length - before).toBe(expected)
      expect(answers[0]?.ttl).toBeLessThanOrEqual(86_400)
    }
    advanceClock(86_400_000)
    const before = upstream.queries.length
    await askUdp(server, 't2.example')
    expect(upstream.queries).toHaveLength(before + 1)
  })

  test('brings records for other names: none of them answers another question', async () => {
    conforms('bailiwick', 'ghost-domains')
    const { server, upstream } = await start(way, (query) =>
      query.name === 'www.example'
        ? reply(query, {
            authoritative: true,
            answers: [
              stranger('www.example', 'CNAME', 'bank.example'),
              stranger('bank.example', 'A', EVIL),
              stranger('other.example', 'A', EVIL),
            ],
            authorities: [
              stranger('example', 'NS', 'ns.evil.example'),
              stranger('com', 'NS', 'ns.evil.example'),
            ],
            additionals: [
              stranger('ns.evil.example', 'A', EVIL),
              stranger('bank.example', 'AAAA', '2001:db8::66'),
            ],
          })
        : withAddress(query, RIGHT),
    )
    await askUdp(server, 'www.example')
    for (const asked of ['bank.example', 'other.example', 'ns.evil.example', 'example']) {
      const answer = await askUdp(server, asked)
      expect(answer.answers.map(({ data }) => data)).toEqual([RIGHT])
    }
    for (const [asked, type] of [
      ['bank.example', 'AAAA'],
      ['com', 'NS'],
      ['example', 'NS'],
      ['www.example', 'AAAA'],
    ] as const) {
      const before = upstream.queries.length
      await askUdp(server, asked, type)
      expect(upstream.queries).toHaveLength(before + 1)
    }
  })

  test('answers with 65,535 octets: whole over TCP, cut over UDP', async () => {
    conforms('oversize-send', 'upstream-lies')
    // One TXT record that ends where a message has to: 255 strings of 255 octets, one of 213.
    const lengths = [...Array.from({ length: 255 }, () => 255), 213]
    const rdata = join(
      ...lengths.map((length) => Buffer.alloc(1 + length, 0x61).fill(length, 0, 1)),
    )
    const body = record({ owner: u16(0xc00c), type: 16, rdata })
    const { server } = await start(way, (query) =>
      query.transport === 'udp' ? reply(query, { truncated: true }) : withBody(query, [1], body),
    )
    const whole = await askTcp(server, 'www.example', 'TXT')
    expect(whole.octets).toHaveLength(0xffff)
    expect(whole).toMatchObject({ truncated: false, answers: [{ type: 'TXT' }] })
    // OPT has no room beside it: what is left says so.
    const beside = await askTcp(server, 'www.example', 'TXT', { edns: {} })
    expect(beside).toMatchObject({ truncated: true, answers: [], edns: {} })
    const cut = await askUdp(server, 'www.example', 'TXT', { edns: { udpOctets: 1232 } })
    expect(cut).toMatchObject({ truncated: true, answers: [] })
    expect(cut.octets.length).toBeLessThanOrEqual(1232)
  })

  test('answers twice, late and in another order: each question has one reply', async () => {
    conforms('reply-match')
    const gate = new Gate()
    const { server, upstream } = await start(way, async (query) => {
      if (query.name.startsWith('first')) await gate.opened
      return [withAddress(query, RIGHT), withAddress(query, EVIL), withAddress(query, EVIL)]
    })
    const first = askUdp(server, 'first.example')
    await upstream.query(1)
    const names = Array.from({ length: 20 }, (_, index) => `n${index}.example`)
    const answers = await Promise.all(names.map((asked) => askUdp(server, asked)))
    for (const { answers: records } of answers) expect(records[0]?.data).toBe(RIGHT)
    gate.open()
    expect((await first).answers[0]?.data).toBe(RIGHT)
    await server.until(() => server.count(failureSlot(0, FAILURE_MISMATCH)) === 42, 'all came')
  })

  test('answers nothing: the budget ends it, and no wait is left over', async () => {
    conforms('backlog')
    const { server } = await start(way, silence, { forward: QUICK })
    const asked = Array.from({ length: 30 }, (_, index) => askUdp(server, `n${index}.example`))
    for (const { rcode } of await Promise.all(asked)) expect(rcode).toBe('SERVFAIL')
    expect(server.balance().inFlight).toBe(0)
  })
})

describe('a malformed datagram', () => {
  test.each(Object.keys(BROKEN))('with %s: the right one behind it wins', async (what) => {
    conforms('first-malformed', 'blind-spoofing')
    const broken = BROKEN[what]!
    const { server, upstream } = await start('udp', (query) => [
      broken(query),
      broken(query),
      withAddress(query, RIGHT),
    ])
    for (const ask of [askUdp, askTcp]) {
      const { answers } = await ask(server, 'www.example')
      expect(answers.map(({ data }) => data)).toEqual([RIGHT])
    }
    expect(upstream.queries).toHaveLength(1)
    expect(server.count(failureSlot(0, FAILURE_FORMAT))).toBe(2)
    expect(server.count(failureSlot(0, FAILURE_MISMATCH))).toBe(0)
  })

  test('again and again is no reason to pass an upstream over', async () => {
    const { server } = await start('udp', (query) => withBody(query, [1]), {
      forward: { ...QUICK, triesMax: 1 },
    })
    for (let index = 0; index < 5; index++) {
      expect((await askUdp(server, `n${index}.example`)).rcode).toBe('SERVFAIL')
    }
    expect(server.count(UPSTREAM_UP)).toBe(1)
  })
})

describe.each(['tcp', 'tls'] as const)('a hostile stream of an upstream over %s', (way) => {
  test.each(['close', 'reset'] as const)('ends by %s before it answers', async (end) => {
    conforms('dead-upstream')
    let asked = 0
    const { server } = await start(
      way,
      (query) => (asked++ === 0 ? end : withAddress(query, RIGHT)),
      { forward: { ...PATIENT, triesMax: 3 } },
    )
    expect((await askUdp(server, 'www.example')).answers[0]?.data).toBe(RIGHT)
  })

  test('ends in the middle of a message', async () => {
    let asked = 0
    const { server } = await start(
      way,
      (query) =>
        asked++ === 0
          ? [{ octets: join(u16(500), withAddress(query, EVIL)), as: 'unframed' }, 'close']
          : withAddress(query, RIGHT),
      { forward: { ...PATIENT, triesMax: 3 } },
    )
    expect((await askUdp(server, 'www.example')).answers[0]?.data).toBe(RIGHT)
  })

  test('sends empty messages before the right one', async () => {
    const { server } = await start(way, (query) => [
      { octets: Buffer.alloc(64), as: 'unframed' },
      withAddress(query, RIGHT),
    ])
    expect((await askUdp(server, 'www.example')).answers[0]?.data).toBe(RIGHT)
  })

  test('says TC, where nothing is too long: never a part for the whole', async () => {
    conforms('upstream-lies')
    const { server } = await start(way, (query) =>
      reply(query, {
        truncated: true,
        answers: [{ name: query.name, type: 'A', ttl: 300, data: EVIL }],
      }),
    )
    expect(await askTcp(server, 'www.example')).toMatchObject({ rcode: 'SERVFAIL', answers: [] })
  })
})
