/** What an upstream can do wrong over HTTP/2 beside the message itself, which other tests cover. */
import { createSecureServer, type ServerHttp2Stream } from 'node:http2'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import type { AddressInfo, Server, Socket } from 'node:net'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { conforms } from '../conformance/conforms.ts'
import {
  FAILURE_HTTP,
  FAILURE_NETWORK,
  FAILURE_TLS,
  failureSlot,
} from '../../src/dataplane/counters.ts'
import { createAuthority, type Authority, type Identity } from '../support/certificates.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askUdp } from '../support/dns-client.ts'
import { encodeResponse } from '../support/messages.ts'

const NAME = 'dns.example'
const DNS = { ':status': 200, 'content-type': 'application/dns-message' }
const FORWARD = { tryTimeoutMs: 1000, totalTimeoutMs: 3500, triesMax: 3 }

let authority: Authority
let identity: Identity
const closing: (() => void)[] = []

beforeAll(async () => {
  authority = await createAuthority()
  identity = await authority.sign({ names: [`DNS:${NAME}`] })
})

afterEach(() => {
  for (const close of closing.splice(0)) close()
})

type Answer = (stream: ServerHttp2Stream, query: Buffer, count: number) => void

async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  closing.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

/** An HTTP/2 server whose every stream is answered by `answer`, with the number of the request. */
async function startHttp2(answer: Answer, settings = {}): Promise<number> {
  const { certificate: cert, key } = identity
  const server = createSecureServer({ cert, key, settings })
  let count = 0
  server.on('sessionError', () => {})
  server.on('stream', (stream) => {
    const chunks: Buffer[] = []
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => answer(stream, Buffer.concat(chunks), ++count))
  })
  return listen(server)
}

function resolverFor(port: number): Promise<Dataplane> {
  return startDataplane({
    upstreams: [
      { address: '127.0.0.1', port, protocol: 'https', serverName: NAME, path: '/dns-query' },
    ],
    upstreamAuthorities: authority.certificate,
    forward: FORWARD,
  })
}

function right(stream: ServerHttp2Stream, query: Buffer, headers = {}): void {
  stream.respond({ ...DNS, ...headers })
  stream.end(rightMessage(query))
}

function rightMessage(query: Buffer): Buffer {
  const answers = [{ name: 'a.example', type: 'A', ttl: 300, data: '192.0.2.1' }]
  return encodeResponse(query, { answers })
}

/** Each is done to the first request; the second one is answered. */
const FAULTS: Readonly<Record<string, readonly [reason: number, answer: Answer]>> = {
  'status 503': [FAILURE_HTTP, (stream) => stream.respond({ ':status': 503 }, { endStream: true })],
  'status 302': [
    FAILURE_HTTP,
    (stream) => stream.respond({ ':status': 302, location: 'https://x/' }, { endStream: true }),
  ],
  'a page': [
    FAILURE_HTTP,
    (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'text/html' })
      stream.end('<p>')
    },
  ],
  'no content type': [
    FAILURE_HTTP,
    (stream) => stream.respond({ ':status': 200 }, { endStream: true }),
  ],
  'an empty body': [FAILURE_HTTP, (stream) => stream.respond(DNS, { endStream: true })],
  noise: [
    FAILURE_HTTP,
    (stream) => {
      stream.respond(DNS)
      stream.end(Buffer.alloc(100, 0xff))
    },
  ],
  'a body without end': [
    FAILURE_HTTP,
    (stream) => {
      stream.respond(DNS)
      stream.write(Buffer.alloc(70_000))
    },
  ],
  'a reset of the stream': [FAILURE_NETWORK, (stream) => stream.close(2)],
  'a reset in the middle of the body': [
    FAILURE_HTTP,
    (stream, query) => {
      stream.respond(DNS)
      stream.write(rightMessage(query).subarray(0, 20), () => stream.close(2))
    },
  ],
  'the end of the session': [FAILURE_NETWORK, (stream) => stream.session?.destroy()],
  GOAWAY: [FAILURE_NETWORK, (stream) => stream.session?.goaway(0)],
}

describe.each(Object.entries(FAULTS))(
  'an upstream over HTTPS that answers with %s',
  (_what, fault) => {
    test('is asked again, and its right answer is taken', async () => {
      const [reason, answer] = fault
      const port = await startHttp2((stream, query, count) => {
        if (count === 1) answer(stream, query, count)
        else right(stream, query)
      })
      const server = await resolverFor(port)
      const { rcode, answers } = await askUdp(server, 'a.example')
      expect([rcode, answers.length]).toEqual(['NOERROR', 1])
      expect(server.count(failureSlot(0, reason))).toBeGreaterThanOrEqual(1)
      const { received, answered, dropped } = await server.idle()
      expect(received).toBe(answered + dropped)
    })
  },
)

describe('an upstream over HTTPS', () => {
  test('may have kept its answer for a while: the time is taken off', async () => {
    conforms('encryption')
    const port = await startHttp2((stream, query) => right(stream, query, { age: '100' }))
    const server = await resolverFor(port)
    expect((await askUdp(server, 'a.example')).answers[0]?.ttl).toBe(200)
  })

  test('that allows one stream at a time gets one at a time, and all are answered', async () => {
    const port = await startHttp2((stream, query) => right(stream, query), {
      maxConcurrentStreams: 1,
    })
    const server = await resolverFor(port)
    const names = Array.from({ length: 30 }, (_, index) => `q${index}.example`)
    const answers = await Promise.all(names.map((name) => askUdp(server, name)))
    expect(answers.map(({ rcode }) => rcode)).toEqual(names.map(() => 'NOERROR'))
  })

  test('that speaks HTTP/1.1 only gets no query', async () => {
    const seen: Buffer[] = []
    const { certificate: cert, key } = identity
    const server1 = createTlsServer({ cert, key }, (socket: TLSSocket) => {
      socket.on('error', () => {})
      socket.on('data', (chunk: Buffer) => seen.push(chunk))
    })
    const server = await resolverFor(await listen(server1))
    expect((await askUdp(server, 'a.example')).rcode).toBe('SERVFAIL')
    expect(server.count(failureSlot(0, FAILURE_TLS))).toBeGreaterThan(0)
    expect(seen).toEqual([])
  })

  test('that sends no HTTP/2 at all harms nobody', async () => {
    const { certificate: cert, key } = identity
    const noise = createTlsServer({ cert, key, ALPNProtocols: ['h2'] }, (socket: TLSSocket) => {
      socket.on('error', () => {})
      socket.write(Buffer.alloc(5000, 0x5a))
    })
    const server = await resolverFor(await listen(noise))
    expect((await askUdp(server, 'a.example')).rcode).toBe('SERVFAIL')
    expect((await askUdp(server, 'x.onion')).rcode).toBe('NXDOMAIN')
  })
})
