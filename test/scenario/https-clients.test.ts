import { constants } from 'node:http2'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  HTTP_REJECTED,
  HTTP_STATUSES,
  PROTO_HTTPS,
  FAMILY_IPV4,
  TCP_CONNECTIONS,
  querySlot,
} from '../../src/dataplane/counters.ts'
import { conforms } from '../conformance/conforms.ts'
import { createAuthority, type Authority, type Identity } from '../support/certificates.ts'
import { startDataplane, type Dataplane, type DataplaneOptions } from '../support/dataplane.ts'
import { Gate } from '../support/gate.ts'
import { DNS_MESSAGE, askHttp1, askHttp2, openHttp2 } from '../support/https-client.ts'
import type { HttpResponse, HttpsServer } from '../support/https-client.ts'
import { decodeMessage, encodeQuery } from '../support/messages.ts'
import {
  answerAddresses,
  nameError,
  reply,
  startScriptedUpstream,
} from '../support/scripted-upstream.ts'

const NAME = 'dns.example'
const PATH = '/dns-query'
const QUERY = encodeQuery('a.example', 'A', { id: 0 })

let authority: Authority
let identity: Identity

beforeAll(async () => {
  authority = await createAuthority()
  identity = await authority.sign({ names: [`DNS:${NAME}`] })
})

function start(options: DataplaneOptions = {}): Promise<Dataplane> {
  return startDataplane({ tls: identity, ...options })
}

function at(server: Dataplane): HttpsServer {
  return { ...server.over('https'), authority: authority.certificate, serverName: NAME }
}

type Ask = (
  method: string,
  path: string,
  headers?: Record<string, string>,
  body?: Uint8Array,
) => Promise<HttpResponse>

/** Both versions of HTTP as one function. */
async function open(server: Dataplane, version: string): Promise<{ ask: Ask; close: () => void }> {
  if (version === 'HTTP/1.1') {
    return { ask: (...request) => askHttp1(at(server), ...request), close: () => {} }
  }
  const session = await openHttp2(at(server))
  const ask: Ask = (method, path, headers, body) =>
    askHttp2(session, { ':method': method, ':path': path, ...headers }, body)
  return { ask, close: () => session.close() }
}

describe.each(['HTTP/2', 'HTTP/1.1'])('%s', (version) => {
  test('POST and GET carry the same message both ways', async () => {
    conforms('encryption')
    const upstream = await startScriptedUpstream()
    const server = await start({ upstreams: [upstream] })
    const { ask, close } = await open(server, version)
    const posted = await ask('POST', PATH, { 'content-type': DNS_MESSAGE }, QUERY)
    const got = await ask('GET', `${PATH}?dns=${QUERY.toString('base64url')}`)
    for (const { status, headers, body } of [posted, got]) {
      expect([status, headers['content-type']]).toEqual([200, DNS_MESSAGE])
      expect(headers['content-length']).toBe(String(body.length))
      expect(decodeMessage(body)).toMatchObject({ id: 0, rcode: 'NOERROR' })
    }
    expect(server.count(querySlot(PROTO_HTTPS, FAMILY_IPV4, 1))).toBe(2)
    close()
  })

  test.each([
    ['another path', 404, 'GET', '/', {}],
    ['a path that only begins alike', 404, 'GET', '/dns-query2?dns=AAAA', {}],
    ['another method', 405, 'PUT', PATH, {}],
    ['no message', 400, 'GET', PATH, {}],
    ['an empty message', 400, 'GET', `${PATH}?dns=`, {}],
    ['octets that are no base64url', 400, 'GET', `${PATH}?dns=AA+A`, {}],
    ['a message shorter than a header', 400, 'GET', `${PATH}?dns=AAAA`, {}],
    ['a response', 400, 'GET', `${PATH}?dns=${queryWithQr().toString('base64url')}`, {}],
    ['another content type', 415, 'POST', PATH, { 'content-type': 'application/json' }],
    ['no content type', 415, 'POST', PATH, {}],
  ] as const)('%s is %i', async (_what, status, method, path, headers) => {
    const server = await start()
    const { ask, close } = await open(server, version)
    const body = method === 'GET' ? undefined : QUERY
    const response = await ask(method, path, headers, body)
    expect(response.status).toBe(status)
    expect(response.body).toHaveLength(0)
    if (status === 405) expect(response.headers['allow']).toBe('GET, POST')
    const slot = HTTP_REJECTED + (HTTP_STATUSES as readonly number[]).indexOf(status)
    expect(server.count(slot)).toBe(1)
    const { received, answered, dropped } = await server.idle()
    expect(received).toBe(answered + dropped)
    close()
  })

  test('a body longer than a message may be is 413, announced or not', async () => {
    conforms('encryption')
    const server = await start()
    const { ask, close } = await open(server, version)
    const long = Buffer.alloc(65_536, 1)
    const headers = { 'content-type': DNS_MESSAGE }
    const announced = { ...headers, 'content-length': String(long.length) }
    expect((await ask('POST', PATH, announced, long)).status).toBe(413)
    expect((await ask('POST', PATH, headers, long)).status).toBe(413)
    close()
  })

  test('a message that is malformed behind its header is answered FORMERR, with 200', async () => {
    const server = await start()
    const { ask, close } = await open(server, version)
    const { status, body } = await ask(
      'POST',
      PATH,
      { 'content-type': `${DNS_MESSAGE}; charset=x` },
      QUERY.subarray(0, 20),
    )
    expect([status, body[3]! & 15]).toEqual([200, 1])
    close()
  })

  test('an upstream that fails is SERVFAIL with 200, and no cache keeps it', async () => {
    conforms('encryption')
    const server = await start()
    const { ask, close } = await open(server, version)
    const { status, headers, body } = await ask(
      'POST',
      PATH,
      { 'content-type': DNS_MESSAGE },
      QUERY,
    )
    expect([status, headers['cache-control']]).toEqual([200, 'private, max-age=0'])
    expect(decodeMessage(body).rcode).toBe('SERVFAIL')
    close()
  })
})

/** A query whose QR bit says response. */
function queryWithQr(): Buffer {
  const copy = Buffer.from(QUERY)
  copy[2] = copy[2]! | 0x80
  return copy
}

async function get(server: Dataplane, name: string): Promise<HttpResponse> {
  const query = encodeQuery(name, 'A', { id: 0 }).toString('base64url')
  return askHttp1(at(server), 'GET', `${PATH}?dns=${query}`)
}

describe('a response', () => {
  test('is fresh for as long as its lowest TTL, blocks and denials too', async () => {
    conforms('encryption')
    const upstream = await startScriptedUpstream((query) => {
      if (query.name === 'nothing.example') return nameError(query, 77)
      const answers = [300, 20].map((ttl) => ({
        name: query.name,
        type: 'A',
        ttl,
        data: '192.0.2.1',
      }))
      return reply(query, { answers })
    })
    const server = await start({ upstreams: [upstream], rules: { vpn: ['vpn.example'] } })
    const ages = []
    for (const name of ['a.example', 'nothing.example', 'vpn.example']) {
      ages.push((await get(server, name)).headers['cache-control'])
    }
    expect(ages).toEqual([20, 77, 60].map((seconds) => `private, max-age=${seconds}`))
  })

  test('may be the largest message', async () => {
    const strings = Array.from({ length: 250 }, () => 'x'.repeat(250))
    const upstream = await startScriptedUpstream((query) =>
      query.transport === 'udp'
        ? reply(query, { truncated: true })
        : reply(query, { answers: [{ name: query.name, type: 'TXT', ttl: 60, data: strings }] }),
    )
    const server = await start({ upstreams: [upstream] })
    const query = encodeQuery('large.example', 'TXT', { id: 0 }).toString('base64url')
    const { status, body } = await askHttp1(at(server), 'GET', `${PATH}?dns=${query}`)
    expect([status, body.length > 62_000]).toEqual([200, true])
  })
})

describe('an HTTP/2 session', () => {
  const POST = { ':method': 'POST', ':path': PATH, 'content-type': DNS_MESSAGE }

  test('is answered as answers are ready: a slow name holds back no other', async () => {
    const slow = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      if (query.name === 'slow.example') await slow.opened
      return answerAddresses(query)
    })
    const server = await start({ upstreams: [upstream] })
    const session = await openHttp2(at(server))
    const first = askHttp2(session, POST, encodeQuery('slow.example'))
    await upstream.query(1)
    const others = Array.from({ length: 50 }, (_, index) =>
      askHttp2(session, POST, encodeQuery(`q${index}.example`)),
    )
    for (const { status } of await Promise.all(others)) expect(status).toBe(200)
    slow.open()
    expect((await first).status).toBe(200)
    session.close()
  })

  test('may have so many queries under way, those of streams that it reset counted', async () => {
    conforms('tcp-exhaustion')
    const slow = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await slow.opened
      return answerAddresses(query)
    })
    const server = await start({ upstreams: [upstream], limits: { tcpInFlightMax: 2 } })
    const session = await openHttp2(at(server))
    for (const index of [1, 2]) {
      const stream = session.request(POST)
      stream.on('error', () => {})
      stream.end(encodeQuery(`reset${index}.example`))
      await upstream.query(index)
      const closed = new Promise((resolve) => stream.once('close', resolve))
      stream.close(constants.NGHTTP2_CANCEL)
      await closed
    }
    const refused = await askHttp2(session, POST, encodeQuery('third.example'))
    expect(refused.status).toBe(503)
    expect(server.count(HTTP_REJECTED + HTTP_STATUSES.indexOf(503))).toBe(1)
    expect(server.balance()).toMatchObject({ received: 2, inFlight: 2 })
    slow.open()
    expect(await server.idle()).toMatchObject({ answered: 0, dropped: 2 })
    expect((await askHttp2(session, POST, encodeQuery('third.example'))).status).toBe(200)
    session.close()
  })

  test('that goes away leaves its queries counted as dropped', async () => {
    const never = new Gate()
    const upstream = await startScriptedUpstream(async (query) => {
      await never.opened
      return answerAddresses(query)
    })
    const server = await start({ upstreams: [upstream] })
    const session = await openHttp2(at(server))
    const stream = session.request(POST)
    stream.on('error', () => {})
    stream.end(QUERY)
    await upstream.query(1)
    session.destroy()
    await server.until(() => server.count(TCP_CONNECTIONS) === 0, 'the connection is gone')
    never.open()
    expect(await server.idle()).toMatchObject({ received: 1, answered: 0, dropped: 1 })
  })

  test('with no request is closed, and so is one that sends half a request', async () => {
    const limits = { tcpMessageMs: 200, tcpIdleMs: 400 }
    const server = await start({ limits })
    for (const isHalf of [false, true]) {
      const session = await openHttp2(at(server))
      const closed = new Promise<void>((resolve) => session.once('close', resolve))
      if (isHalf) {
        const stream = session.request(POST)
        stream.on('error', () => {})
        stream.write(QUERY.subarray(0, 10))
      }
      await closed
    }
    await server.until(() => server.count(TCP_CONNECTIONS) === 0, 'both are gone')
  })

  test('that was idle is closed', async () => {
    const server = await start({ limits: { tcpIdleMs: 200 } })
    const session = await openHttp2(at(server))
    const closed = new Promise<void>((resolve) => session.once('close', resolve))
    expect((await askHttp2(session, POST, QUERY)).status).toBe(200)
    await closed
  })
})
