import { describe, expect, test, vi } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import { startDataplane, type Dataplane, type DataplaneOptions } from '../support/dataplane.ts'
import { askTcp, askUdp, exchangeUdp } from '../support/dns-client.ts'
import { decodeMessage } from '../support/messages.ts'
import { answerAddresses, reply, startScriptedUpstream } from '../support/scripted-upstream.ts'

const KEEPALIVE = { code: 11, data: Buffer.alloc(0) }
const PADDING = { code: 12, data: Buffer.alloc(100) }

/** Asks for a blocked, a forwarded, a cached and a refused name. */
const ASKED = [
  { name: 'blocked.example', class: 'IN' },
  { name: 'www.example.com', class: 'IN' },
  { name: 'www.example.com', class: 'IN' },
  { name: 'version.bind', class: 'CH' },
] as const

async function start(more: DataplaneOptions = {}): Promise<Dataplane> {
  const upstream = await startScriptedUpstream(answerAddresses)
  const rules = { adult: ['blocked.example'] }
  return startDataplane({ upstreams: [upstream], rules, limits: { tcpIdleMs: 7300 }, ...more })
}

describe('the keepalive option', () => {
  test('is never sent over UDP', async () => {
    conforms('keepalive')
    const server = await start()
    for (const { name, class: questionClass } of ASKED) {
      const options = { class: questionClass, edns: { options: [KEEPALIVE] } }
      expect(
        (await askUdp(server, name, 'A', options)).edns?.options.map(({ code }) => code),
      ).not.toContain(11)
    }
  })

  test('tells over TCP how long an idle connection lives, to who asks', async () => {
    conforms('keepalive')
    const server = await start()
    for (const { name, class: questionClass } of ASKED) {
      const options = { class: questionClass, edns: { options: [KEEPALIVE] } }
      const told = (await askTcp(server, name, 'A', options)).edns?.options.find(
        ({ code }) => code === 11,
      )
      expect(Buffer.from(told!.data).readUInt16BE(0)).toBe(73)
      const unasked = await askTcp(server, name, 'A', { class: questionClass, edns: {} })
      expect(unasked.edns?.options.map(({ code }) => code)).not.toContain(11)
    }
  })
})

test.each([
  { transport: 'UDP', ask: askUdp },
  { transport: 'TCP', ask: askTcp },
])('a reply in clear text over $transport is not padded', async ({ ask }) => {
  conforms('padding')
  const server = await start()
  for (const { name, class: questionClass } of ASKED) {
    const options = { class: questionClass, edns: { options: [PADDING] } }
    const reply = await ask(server, name, 'A', options)
    expect(reply.edns?.options.map(({ code }) => code)).not.toContain(12)
  }
})

/** The cookie of a reply, or undefined. */
async function cookieOf(
  server: Dataplane,
  ask: typeof askUdp,
  cookie: Uint8Array,
  name = 'www.example.com',
): Promise<Buffer | undefined> {
  const reply = await ask(server, name, 'A', { edns: { options: [{ code: 10, data: cookie }] } })
  const option = reply.edns?.options.find(({ code }) => code === 10)
  return option && Buffer.from(option.data)
}

describe('cookies', () => {
  const CLIENT = Buffer.from('2464c4abcf10c957', 'hex')
  const cookies = { secrets: [Buffer.alloc(16, 0x5a)], seed: Buffer.alloc(0) }

  test('of clients get no answer where server cookies are off', async () => {
    conforms('cookies')
    expect(await cookieOf(await start(), askUdp, CLIENT)).toBeUndefined()
  })

  test.each([
    { transport: 'UDP', ask: askUdp },
    { transport: 'TCP', ask: askTcp },
  ])('are answered over $transport, and given back as long as they are fresh', async ({ ask }) => {
    conforms('cookies')
    const server = await start({ cookies })
    for (const name of ['blocked.example', 'www.example.com', 'www.example.com', 'a.onion']) {
      const first = await cookieOf(server, ask, CLIENT, name)
      expect(first).toHaveLength(24)
      expect(first!.subarray(0, 9)).toEqual(Buffer.concat([CLIENT, Buffer.from([1])]))
      expect(Math.abs(first!.readUInt32BE(12) - Date.now() / 1000)).toBeLessThan(30)
      expect(await cookieOf(server, ask, first!, name)).toEqual(first)
    }
  })

  test('of clients who wait for one answer are their own', async () => {
    const server = await start({ cookies })
    const clients = Array.from({ length: 20 }, (_, index) => Buffer.alloc(8, index))
    const got = await Promise.all(
      clients.map((cookie) => cookieOf(server, askUdp, cookie, 'awaited.example')),
    )
    expect(got.map((cookie) => cookie?.subarray(0, 8))).toEqual(clients)
  })

  test('that are forged are answered like new ones (RFC 7873 5.2.4)', async () => {
    const server = await start({ cookies })
    const forged = Buffer.concat([CLIENT, Buffer.from('01000000', 'hex'), Buffer.alloc(12, 7)])
    const renewed = await cookieOf(server, askUdp, forged)
    expect(renewed).toHaveLength(24)
    expect(renewed).not.toEqual(forged)
  })

  test('may be asked for without a question, where they are on (RFC 7873 5.4)', async () => {
    conforms('cookies', 'qdcount')
    const probe = Buffer.from(
      `0007 0100 0000 0000 0000 0001 00 0029 04d0 00000000 000c 000a 0008 ${CLIENT.toString('hex')}`.replaceAll(
        ' ',
        '',
      ),
      'hex',
    )
    const answered = decodeMessage(await exchangeUdp(await start({ cookies }), probe))
    expect([answered.rcode, answered.questions.length]).toEqual(['NOERROR', 0])
    expect(answered.edns?.options.map(({ code }) => code)).toEqual([10])
    const refused = decodeMessage(await exchangeUdp(await start(), probe))
    expect([refused.rcode, refused.questions.length]).toEqual(['FORMERR', 0])
  })

  test('made of a seed change with the day, and those of the day before are believed', async () => {
    conforms('cookies')
    vi.useFakeTimers({ toFake: ['Date'], now: Date.UTC(2027, 0, 1, 23, 59, 50) })
    try {
      const server = await start({ cookies: { secrets: [], seed: Buffer.alloc(16, 'seed') } })
      const before = (await cookieOf(server, askUdp, CLIENT))!
      expect(await cookieOf(server, askUdp, before)).toEqual(before)
      vi.setSystemTime(Date.UTC(2027, 0, 2, 0, 0, 10))
      const after = (await cookieOf(server, askUdp, before))!
      // Believed, and therefore renewed at once under the secret of the new day.
      expect(after).not.toEqual(before)
      expect(await cookieOf(server, askUdp, after)).toEqual(after)
      const other = await start({ cookies: { secrets: [], seed: Buffer.alloc(16, 'seed') } })
      expect(await cookieOf(other, askUdp, after)).toEqual(after)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('client subnets', () => {
  const SUBNET = { code: 8, data: Buffer.from('0001180005060700', 'hex').subarray(0, 7) }

  test('of clients go nowhere and divide no cache', async () => {
    conforms('ecs')
    const upstream = await startScriptedUpstream(answerAddresses)
    const server = await startDataplane({ upstreams: [upstream] })
    const other = { code: 8, data: Buffer.from('00011800c00002', 'hex') }
    for (const options of [[SUBNET], [other], []]) {
      const reply = await askUdp(server, 'www.example.com', 'A', { edns: { options } })
      expect(reply.edns?.options).toEqual([])
    }
    expect(upstream.queries).toHaveLength(1)
    expect(upstream.queries[0]!.message.edns?.options).toEqual([])
  })

  test.each(['udp', 'tcp'] as const)(
    'that are configured go upstream over %s in place of theirs, the same for all',
    async (protocol) => {
      conforms('ecs')
      const upstream = await startScriptedUpstream(answerAddresses)
      const clientSubnet = Buffer.from('00080007000118 00c63364'.replaceAll(' ', ''), 'hex')
      const { address, port } = upstream
      const server = await startDataplane({
        upstreams: [{ address, port, protocol }],
        forward: { clientSubnet },
      })
      await askUdp(server, 'www.example.com', 'A', { edns: { options: [SUBNET] } })
      await askUdp(server, 'www.example.com')
      expect(upstream.queries).toHaveLength(1)
      const sent = upstream.queries[0]!.message.edns!
      expect(
        sent.options.map(({ code, data }) => [code, Buffer.from(data).toString('hex')]),
      ).toEqual([[8, '00011800c63364']])
      expect(sent.udpOctets).toBe(1232)
    },
  )
})

test('1232 octets are asked for, and are the most that is sent over UDP: more is TC', async () => {
  conforms('fragments', 'udp-truncation')
  const strings = Array.from({ length: 12 }, () => 'x'.repeat(200))
  const upstream = await startScriptedUpstream((query) =>
    query.transport === 'udp'
      ? reply(query, { truncated: true })
      : reply(query, { answers: [{ name: query.name, type: 'TXT', ttl: 60, data: strings }] }),
  )
  const server = await startDataplane({ upstreams: [upstream] })
  for (const udpOctets of [4096, 65_535]) {
    const cut = await askUdp(server, 'large.example', 'TXT', { edns: { udpOctets } })
    expect([cut.truncated, cut.answers, cut.edns?.udpOctets]).toEqual([true, [], 1232])
    expect(cut.octets.length).toBeLessThanOrEqual(1232)
  }
  expect(upstream.queries.map(({ message }) => message.edns?.udpOctets)).toEqual([1232, 1232])
  const whole = await askTcp(server, 'large.example', 'TXT', { edns: {} })
  expect([whole.truncated, whole.answers.length]).toEqual([false, 1])
})

test('names of object properties are names like any other', async () => {
  conforms('prototype-keys')
  const upstream = await startScriptedUpstream(answerAddresses)
  const rules = { adult: ['__proto__', 'valueof.example'] }
  const server = await startDataplane({ upstreams: [upstream], rules })
  for (let time = 0; time < 2; time++) {
    for (const name of ['constructor', 'tostring.example', '__proto__.example', 'hasownproperty']) {
      expect((await askUdp(server, name)).answers).toHaveLength(1)
    }
    for (const name of ['__proto__', 'www.__proto__', 'valueof.example']) {
      expect((await askUdp(server, name)).rcode).toBe('NXDOMAIN')
    }
  }
  expect(upstream.queries).toHaveLength(4)
})
