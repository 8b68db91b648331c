import { createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  FAILURE_NETWORK,
  FAILURE_TIMEOUT,
  FAILURE_TLS,
  failureSlot,
} from '../../src/dataplane/counters.ts'
import { createAuthority, type Authority, type Identity } from '../support/certificates.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askTcp, askUdp } from '../support/dns-client.ts'
import { Gate } from '../support/gate.ts'
import {
  answerAddresses,
  silence,
  startScriptedUpstream,
  withWrongId,
  wrongQuestion,
  reply,
  type Script,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'
import { conforms } from '../conformance/conforms.ts'

const QUICK = { tryTimeoutMs: 200, totalTimeoutMs: 700, triesMax: 3 }
const NAME = 'dns.example'

let authority: Authority
let good: Identity

beforeAll(async () => {
  authority = await createAuthority()
  good = await authority.sign({ names: [`DNS:${NAME}`] })
})

describe.each(['tls', 'https'] as const)('an upstream that is asked over %s', (protocol) => {
  async function start(script: Script, identity = good): Promise<ScriptedUpstream> {
    return startScriptedUpstream(script, { [protocol]: identity })
  }

  function resolverFor(
    upstream: { readonly address: string; readonly port: number },
    more: { readonly forward?: typeof QUICK; readonly serverName?: string } = {},
  ): Promise<Dataplane> {
    const { address, port } = upstream
    const serverName = more.serverName ?? NAME
    return startDataplane({
      upstreams: [{ address, port, protocol, serverName, path: '/dns-query' }],
      upstreamAuthorities: authority.certificate,
      ...(more.forward && { forward: more.forward }),
    })
  }

  test('answers, and every query goes that way', async () => {
    const upstream = await start(answerAddresses)
    const server = await resolverFor(upstream)
    for (const name of ['a.example', 'b.example']) {
      const answer = await askUdp(server, name)
      expect(answer.answers.map(({ data }) => data)).toEqual(['192.0.2.53'])
    }
    expect(upstream.queries.map(({ transport }) => transport)).toEqual([protocol, protocol])
    expect(upstream.connections).toBe(1)
  })

  test('gets queries that are padded to whole blocks of 128 octets', async () => {
    conforms('padding')
    const upstream = await start(answerAddresses)
    const server = await resolverFor(upstream)
    const long = `${'x'.repeat(60)}.${'y'.repeat(60)}.example`
    for (const name of ['a.example', 'somewhat-longer.example', long]) await askUdp(server, name)
    const sizes = upstream.queries.map(({ octets }) => octets.length)
    expect(sizes).toEqual([128, 128, 256])
    const options = upstream.queries[0]!.message.edns?.options ?? []
    expect(options.map(({ code }) => code)).toEqual([12])
  })

  test('gets many questions on one connection, and may answer in any order', async () => {
    const first = new Gate()
    const upstream = await start(async (query) => {
      if (query.name === 'q0.example') await first.opened
      return answerAddresses(query)
    })
    const server = await resolverFor(upstream)
    const slow = askUdp(server, 'q0.example')
    await upstream.query(1)
    const others = Array.from({ length: 40 }, (_, index) => askUdp(server, `q${index + 1}.example`))
    for (const answer of await Promise.all(others)) expect(answer.rcode).toBe('NOERROR')
    first.open()
    expect((await slow).answers).toHaveLength(1)
    expect(upstream.connections).toBe(1)
  })

  test('resumes its session on the next connection', async () => {
    const upstream = await start((query) => [answerAddresses(query) as Buffer, 'close'])
    const server = await resolverFor(upstream)
    await askUdp(server, 'a.example')
    await server.until(() => upstream.openSockets === 0, 'the connection is closed')
    await askUdp(server, 'b.example')
    expect([upstream.connections, upstream.resumed]).toEqual([2, 1])
  })

  test.each([
    ['has expired', { names: [`DNS:${NAME}`], days: [-20, -10] }],
    ['is not valid yet', { names: [`DNS:${NAME}`], days: [10, 20] }],
    ['is for another name', { names: ['DNS:other.example'] }],
    ['is for the address only', { names: ['IP:127.0.0.1'] }],
  ] as const)('gets no query when its certificate %s', async (_why, options) => {
    const upstream = await start(answerAddresses, await authority.sign(options))
    const server = await resolverFor(upstream, { forward: QUICK })
    expect((await askUdp(server, 'a.example')).rcode).toBe('SERVFAIL')
    expect(server.count(failureSlot(0, FAILURE_TLS))).toBeGreaterThan(0)
    expect([upstream.queries, upstream.unreadable]).toEqual([[], []])
  })

  test('gets no query when nobody known has signed its certificate', async () => {
    const stranger = await createAuthority()
    const identity = await stranger.sign({ names: [`DNS:${NAME}`] })
    const upstream = await start(answerAddresses, identity)
    const server = await resolverFor(upstream, { forward: QUICK })
    expect((await askUdp(server, 'a.example')).rcode).toBe('SERVFAIL')
    expect(server.count(failureSlot(0, FAILURE_TLS))).toBeGreaterThan(0)
    expect([upstream.queries, upstream.unreadable]).toEqual([[], []])
  })

  test('that stalls in the handshake is given up in time, and in clear nothing is sent', async () => {
    const received: Buffer[] = []
    const sockets: Socket[] = []
    const listener = createServer((socket) => {
      sockets.push(socket)
      socket.on('error', () => {})
      socket.on('data', (chunk) => received.push(chunk))
    })
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
    afterAll(() => {
      for (const socket of sockets) socket.destroy()
      listener.close()
    })
    const { port } = listener.address() as { port: number }
    const server = await resolverFor({ address: '127.0.0.1', port }, { forward: QUICK })
    expect((await askUdp(server, 'secret.example')).rcode).toBe('SERVFAIL')
    expect(server.count(failureSlot(0, FAILURE_TIMEOUT))).toBeGreaterThan(0)
    expect(Buffer.concat(received).includes('secret')).toBe(false)
  })

  test('that stops gets SERVFAIL for an answer, and not one query in clear', async () => {
    conforms('encryption', 'fallback-leaks')
    const upstream = await start(answerAddresses)
    const server = await resolverFor(upstream, { forward: QUICK })
    await askUdp(server, 'a.example')
    await upstream.stop()
    const clear = await startScriptedUpstream(answerAddresses, { port: upstream.port })
    for (const name of ['b.example', 'c.example', 'd.example']) {
      expect((await askUdp(server, name)).rcode).toBe('SERVFAIL')
      expect((await askTcp(server, name)).rcode).toBe('SERVFAIL')
    }
    expect(clear.queries).toEqual([])
  })

  test('is asked again when it is back', async () => {
    const upstream = await start(answerAddresses)
    const server = await resolverFor(upstream, { forward: QUICK })
    await askUdp(server, 'a.example')
    await upstream.stop()
    expect((await askUdp(server, 'b.example')).rcode).toBe('SERVFAIL')
    expect(server.count(failureSlot(0, FAILURE_NETWORK))).toBeGreaterThan(0)
    const again = await startScriptedUpstream(answerAddresses, {
      port: upstream.port,
      [protocol]: good,
    })
    let names = 0
    const answered = async (): Promise<boolean> =>
      (await askUdp(server, `again${names++}.example`)).rcode === 'NOERROR'
    while (!(await answered())) expect(again.queries).toEqual([])
    expect(again.connections).toBe(1)
  })

  test('that ends the connection in mid-message is asked again', async () => {
    let broken = false
    const upstream = await start((query) => {
      if (broken) return answerAddresses(query)
      broken = true
      const half = (answerAddresses(query) as Buffer).subarray(0, 20)
      return protocol === 'tls'
        ? [{ octets: Buffer.concat([Buffer.from([0, 200]), half]), as: 'unframed' }, 'reset']
        : 'reset'
    })
    const server = await resolverFor(upstream)
    expect((await askUdp(server, 'a.example')).answers).toHaveLength(1)
    expect(upstream.queries).toHaveLength(2)
  })

  test('that answers something else is not believed', async () => {
    const upstream = await start((query) => {
      if (query.name === 'id.example') return withWrongId(answerAddresses(query) as Buffer)
      return query.name === 'question.example' ? wrongQuestion(query) : answerAddresses(query)
    })
    const server = await resolverFor(upstream, { forward: QUICK })
    for (const name of ['id.example', 'question.example']) {
      expect((await askUdp(server, name)).rcode).toBe('SERVFAIL')
    }
    expect((await askUdp(server, 'right.example')).answers).toHaveLength(1)
    const { received, answered, dropped } = await server.idle()
    expect(received).toBe(answered + dropped)
  })

  test('may send the largest message', async () => {
    const strings = Array.from({ length: 250 }, () => 'x'.repeat(250))
    const upstream = await start((query) =>
      reply(query, { answers: [{ name: query.name, type: 'TXT', ttl: 60, data: strings }] }),
    )
    const server = await resolverFor(upstream)
    const answer = await askTcp(server, 'large.example', 'TXT')
    expect(answer.octets.length).toBeGreaterThan(62_000)
  })

  test('that never answers fails in time, and the next question gets a new connection', async () => {
    const upstream = await start(silence)
    const server = await resolverFor(upstream, { forward: QUICK })
    expect((await askUdp(server, 'a.example')).rcode).toBe('SERVFAIL')
    expect(upstream.connections).toBeGreaterThan(1)
    upstream.follow(answerAddresses)
    const names = ['b.example', 'c.example']
    for (const name of names) await askUdp(server, name)
    expect((await askUdp(server, 'd.example')).answers).toHaveLength(1)
  })
})
