import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  DROPPED,
  DROP_ACL,
  FAMILY_IPV4,
  PROTO_TLS,
  TCP_CONNECTIONS,
  TLS_HANDSHAKES_FAILED,
  querySlot,
} from '../../src/dataplane/counters.ts'
import { conforms } from '../conformance/conforms.ts'
import { createAuthority, type Authority, type Identity } from '../support/certificates.ts'
import { startDataplane, type Dataplane, type DataplaneOptions } from '../support/dataplane.ts'
import { TcpClient, openTcp } from '../support/dns-client.ts'
import { Gate, within } from '../support/gate.ts'
import { decodeMessage, encodeQuery, encodeResponse } from '../support/messages.ts'
import { runToEnd } from '../support/processes.ts'
import { program } from '../support/programs.ts'
import { answerAddresses, startScriptedUpstream } from '../support/scripted-upstream.ts'

const NAME = 'dns.example'
const PADDING = 12

let authority: Authority
let identity: Identity
const clients = new Set<TLSSocket>()

beforeAll(async () => {
  authority = await createAuthority()
  identity = await authority.sign({ names: [`DNS:${NAME}`, 'IP:127.0.0.1'] })
})

afterEach(() => {
  for (const client of clients) client.destroy()
  clients.clear()
})

function start(options: DataplaneOptions = {}): Promise<Dataplane> {
  return startDataplane({ tls: identity, serverName: NAME, ...options })
}

/** Every way in, as kdig is told of it. */
const WAYS = {
  udp: [],
  tcp: ['+tcp'],
  tls: ['+tls'],
  https: ['+https'],
  'https-get': ['+https-get'],
} as const
type Way = keyof typeof WAYS

async function kdig(server: Dataplane, way: Way, ...question: readonly string[]): Promise<string> {
  const isClear = way === 'udp' || way === 'tcp'
  const { port } = isClear ? server : server.over(way === 'tls' ? 'tls' : 'https')
  const proof = [`+tls-ca=${authority.certificateFile}`, `+tls-hostname=${NAME}`]
  const args = ['@127.0.0.1', '-p', String(port), ...WAYS[way], ...(isClear ? [] : proof)]
  const { stdout, stderr } = await runToEnd(await program('kdig'), [...args, ...question])
  return stdout + stderr
}

/** The answer without what differs by transport and by query. */
function essenceOf(output: string): string {
  const lines = output.split('\n').filter((line) => !/^;; (TLS|HTTP|Received|Time|From)/.test(line))
  return lines
    .join('\n')
    .replaceAll(/id: \d+/g, 'id')
    .replaceAll(/\n;; PADDING.*/g, '')
}

describe('kdig', () => {
  test.each(Object.keys(WAYS) as Way[])('gets its answer over %s', async (way) => {
    const upstream = await startScriptedUpstream()
    const server = await start({ upstreams: [upstream] })
    expect(await kdig(server, way, 'a.example')).toMatch(/a\.example\.\s+300\s+IN\s+A\s+192.0.2.53/)
  })

  test.each([
    ['a blocked name', ['x.vpn.example', '+edns']],
    ['a blocked name of another type', ['vpn.example', 'HTTPS', '+edns']],
    ['a name behind which a blocked one stands', ['alias.example', '+edns']],
    ['a special name', ['x.onion', '+edns']],
    ['ANY', ['a.example', 'ANY', '+edns']],
  ] as const)('gets the same for %s, whichever way it asks', async (_what, question) => {
    const upstream = await startScriptedUpstream((query) =>
      query.name === 'alias.example'
        ? answerAlias(query.octets, query.name)
        : answerAddresses(query),
    )
    const server = await start({ upstreams: [upstream], rules: { vpn: ['vpn.example'] } })
    const [overUdp, ...others] = await Promise.all(
      (Object.keys(WAYS) as Way[]).map((way) => kdig(server, way, ...question)),
    )
    expect(overUdp).toMatch(/status: (NXDOMAIN|NOERROR)/)
    for (const other of others) expect(essenceOf(other)).toBe(essenceOf(overUdp!))
  })
})

function answerAlias(query: Uint8Array, name: string): Buffer {
  return encodeResponse(query, {
    answers: [{ name, type: 'CNAME', ttl: 300, data: 'vpn.example' }],
  })
}

async function openTls(server: Dataplane, more: ConnectionOptions = {}): Promise<TLSSocket> {
  const { address: host, port } = server.over('tls')
  const options = { host, port, ca: authority.certificate, servername: NAME, ...more }
  const socket = connectTls({ ALPNProtocols: ['dot'], ...options })
  clients.add(socket)
  const gate = new Gate()
  socket.once('secureConnect', () => gate.open())
  socket.once('error', (error) => gate.fail(error))
  await within(5000, 'no TLS connection', gate.opened)
  return socket
}

describe('DNS over TLS', () => {
  test('is spoken to those who offer it, and to those who offer nothing', async () => {
    const server = await start()
    const chosen = []
    for (const ALPNProtocols of [['dot'], ['h2', 'dot'], undefined]) {
      const options = ALPNProtocols === undefined ? { ALPNProtocols: [] } : { ALPNProtocols }
      chosen.push((await openTls(server, options)).alpnProtocol)
    }
    expect(chosen).toEqual(['dot', 'dot', false])
    await expect(openTls(server, { ALPNProtocols: ['h2'] })).rejects.toThrow(/alert/)
    await server.until(() => server.count(TLS_HANDSHAKES_FAILED) === 1, 'it is counted')
  })

  test('answers pipelined queries as they are ready, and counts them as TLS', async () => {
    const slow = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      if (query.name === 'slow.example') await slow.opened
      return answerAddresses(query)
    })
    const server = await start({ upstreams: [upstream] })
    const client = new TcpClient(await openTls(server))
    await client.send(encodeQuery('slow.example'), encodeQuery('quick.example'))
    const first = decodeMessage(await client.next())
    slow.open()
    const second = decodeMessage(await client.next())
    const names = [first, second].map(({ questions }) => questions[0]?.name)
    expect(names).toEqual(['quick.example', 'slow.example'])
    expect(server.count(querySlot(PROTO_TLS, FAMILY_IPV4, 1))).toBe(2)
    expect(await server.idle()).toMatchObject({ received: 2, answered: 2 })
  })

  test('pads what was padded, in blocks of 468 octets, and nothing else', async () => {
    conforms('padding')
    const server = await start({ rules: { vpn: ['vpn.example'] } })
    const client = new TcpClient(await openTls(server))
    const sizes = []
    for (const options of [[], [{ code: PADDING, data: Buffer.alloc(20) }]]) {
      await client.send(encodeQuery('vpn.example', 'A', { edns: { options } }))
      const octets = await client.next()
      const codes = decodeMessage(octets).edns?.options.map(({ code }) => code)
      sizes.push([octets.length === 468, codes?.includes(PADDING)])
    }
    expect(sizes).toEqual([
      [false, false],
      [true, true],
    ])
  })

  test('resumes sessions', async () => {
    const server = await start()
    const first = await openTls(server)
    const ticket = new Gate<Buffer>()
    first.once('session', (session) => ticket.open(session))
    const client = new TcpClient(first)
    await client.send(encodeQuery('x.onion'))
    await client.next()
    const again = await openTls(server, { session: await ticket.opened })
    expect(again.isSessionReused()).toBe(true)
  })

  test('refuses versions below 1.2', async () => {
    const server = await start()
    const old = {
      minVersion: 'TLSv1.1',
      maxVersion: 'TLSv1.1',
      ciphers: 'ALL:@SECLEVEL=0',
    } as const
    await expect(openTls(server, old)).rejects.toThrow()
  })

  test('cuts off who connects and says nothing, in clear too', async () => {
    const server = await start({ limits: { tcpMessageMs: 200 } })
    const silent = await openTcp(server.over('tls'))
    const talker = await openTcp(server.over('tls'))
    await talker.send(encodeQuery('secret.example'))
    const secured = new TcpClient(await openTls(server))
    await Promise.all([silent.closed, talker.closed, secured.closed])
    await server.until(() => server.count(TCP_CONNECTIONS) === 0, 'all are gone')
    expect(await server.idle()).toMatchObject({ received: 0 })
  })

  test('and DNS over HTTPS are for those who may ask', async () => {
    const server = await start({ allowFrom: ['192.0.2.0/24'] })
    for (const protocol of ['tls', 'https'] as const) {
      const client = await openTcp(server.over(protocol))
      await client.closed
    }
    expect(server.count(DROPPED + DROP_ACL)).toBe(2)
    expect(await server.idle()).toMatchObject({ received: 2, answered: 0, dropped: 2 })
  })
})

describe('a new certificate', () => {
  test('greets new connections, while open ones go on', async () => {
    const upstream = await startScriptedUpstream()
    const server = await start({ upstreams: [upstream] })
    const before = await openTls(server)
    const serial = before.getPeerCertificate().serialNumber
    const client = new TcpClient(before)
    const renewed = await authority.sign({ names: [`DNS:${NAME}`] })
    server.certify(renewed)
    await client.send(encodeQuery('a.example'))
    expect(decodeMessage(await client.next()).answers).toHaveLength(1)
    const { port } = server.over('https')
    const after = [await openTls(server), await openTls(server, { port, ALPNProtocols: ['h2'] })]
    const serials = after.map((socket) => socket.getPeerCertificate().serialNumber)
    expect(new Set(serials).size).toBe(1)
    expect(serials).not.toContain(serial)
  })
})

describe('designation of our encrypted listeners', () => {
  const QUESTION = ['_dns.resolver.arpa', 'SVCB'] as const

  test('leads clients to both, with the name of the certificate, over every way', async () => {
    conforms('ddr')
    const server = await start()
    for (const way of Object.keys(WAYS) as Way[]) {
      const answer = await kdig(server, way, ...QUESTION, '+generic')
      expect(answer).toContain('status: NOERROR')
      expect(answer).toMatch(/ANSWER: 2;/)
    }
    const answer = await dig(server, ...QUESTION)
    const [overTls, overHttps] = answer.match(/^_dns\.resolver\.arpa\..*$/gm) ?? []
    const tls = `1 ${NAME}. alpn="dot" port=${server.over('tls').port} ipv4hint=127.0.0.1`
    const https = `2 ${NAME}. alpn="h2" port=${server.over('https').port} ipv4hint=127.0.0.1`
    expect(overTls).toContain(`SVCB\t${tls}`)
    expect(overHttps).toContain(`SVCB\t${https} key7="/dns-query{?dns}"`)
  })

  test('is for that name and type alone', async () => {
    const server = await start()
    const questions = [
      ['_dns.resolver.arpa', 'A'],
      ['resolver.arpa', 'SVCB'],
      ['x._dns.resolver.arpa', 'SVCB'],
      ['_dnt.resolver.arpa', 'SVCB'],
    ]
    for (const question of questions) {
      const answer = await kdig(server, 'udp', ...question)
      expect(answer).toContain('status: NOERROR')
      expect(answer).toMatch(/resolver\.arpa\.\s+10800\s+IN\s+SOA/)
      expect(answer).toMatch(/ANSWER: 0;/)
    }
    const mixed = await kdig(server, 'udp', '_DnS.ReSoLvEr.ArPa', 'SVCB')
    expect(mixed).toMatch(/ANSWER: 2;/)
  })

  test('is NODATA without such listeners, and without a name', async () => {
    conforms('ddr')
    const upstream = await startScriptedUpstream()
    const inClear = await startDataplane({ upstreams: [upstream], serverName: NAME })
    const unnamed = await startDataplane({ upstreams: [upstream], tls: identity })
    for (const server of [inClear, unnamed]) {
      expect(await kdig(server, 'udp', ...QUESTION)).toMatch(/NOERROR[^]*ANSWER: 0;/)
    }
    unnamed.reload({ serverName: NAME })
    expect(await kdig(unnamed, 'udp', ...QUESTION)).toMatch(/ANSWER: 2;/)
    expect(upstream.queries).toEqual([])
  })
})

async function dig(server: Dataplane, ...question: readonly string[]): Promise<string> {
  const args = ['@127.0.0.1', '-p', String(server.port), ...question]
  return (await runToEnd(await program('dig'), args)).stdout
}
