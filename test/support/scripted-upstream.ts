/**
 * An upstream resolver whose every move a test decides, over UDP and TCP on one loopback port; TLS
 * or HTTPS may take the place of TCP.
 *
 * A script is a function from the query that came to what is done about it. Nothing waits by the
 * clock: an answer that shall come late is a promise that the test settles.
 */
import { type Socket as UdpSocket, createSocket } from 'node:dgram'
import { createSecureServer, type Http2Stream, type ServerHttp2Stream } from 'node:http2'
import { type Server as TcpServer, type Socket as TcpSocket, createServer } from 'node:net'
import { TLSSocket, createServer as createTlsServer } from 'node:tls'
import { afterAll } from 'vitest'
import { SECOND_MS } from '../../src/base/units.ts'
import type { Identity } from './certificates.ts'
import { frame } from './dns-client.ts'
import { within } from './gate.ts'
import {
  type Message,
  type ResourceRecord,
  type ResponseOptions,
  decodeMessage,
  encodeResponse,
} from './messages.ts'
import { freePort } from './ports.ts'

/** A query that has not come by then is not coming. */
const QUERY_MS_MAX = 5 * SECOND_MS

export type Transport = 'udp' | 'tcp' | 'tls' | 'https'

/** A query as it came. */
export interface ReceivedQuery {
  readonly transport: Transport
  readonly octets: Buffer
  readonly id: number
  /** Of the first question, without the final dot, in the letter case in which it came. */
  readonly name: string
  readonly type: string
  readonly message: Message
  readonly source: { readonly address: string; readonly port: number }
}

/** Octets to send without a length before them (over TCP), or from another port (over UDP). */
export interface RawOctets {
  readonly octets: Uint8Array
  readonly as: 'unframed' | 'spoofed'
}

/**
 * One move: a message to send, octets to send otherwise, or the end of the TCP connection (`close`
 * with FIN, `reset` with RST; nothing over UDP).
 */
export type Move = Uint8Array | RawOctets | 'close' | 'reset'

/** What a script decides: nothing at all, one move, or several in this order. */
export type Moves = Move | readonly Move[] | undefined

export type Script = (query: ReceivedQuery) => Moves | Promise<Moves>

export interface ScriptedUpstreamOptions {
  /** Default 127.0.0.1. */
  readonly address?: '127.0.0.1' | '::1'
  /** Default a free port. */
  readonly port?: number
  /** False: connections are refused. */
  readonly tcp?: boolean
  /** False: datagrams go nowhere, as at a closed port. */
  readonly udp?: boolean
  /** The stream is TLS with this certificate, or HTTP/2 on it; in clear it takes nothing. */
  readonly tls?: Identity
  readonly https?: Identity
}

const open = new Set<ScriptedUpstream>()
afterAll(async () => {
  await Promise.all([...open].map((upstream) => upstream.stop()))
})

/** Answers every A and AAAA question with one documentation address, others with NODATA. */
export const answerAddresses: Script = (query) => {
  const data = { A: '192.0.2.53', AAAA: '2001:db8::53' }[query.type]
  if (data === undefined) return noData(query)
  return reply(query, { answers: [{ name: query.name, type: query.type, ttl: 300, data }] })
}

/** Never answers. */
export const silence: Script = () => undefined

/** Returns a response to the query: its id, its question, RA set. */
export function reply(query: ReceivedQuery, options: ResponseOptions = {}): Buffer {
  return encodeResponse(query.octets, options)
}

/** Returns NXDOMAIN with a SOA of the name's last label (RFC 2308 2.1). */
export function nameError(query: ReceivedQuery, negativeTtlSeconds = 60): Buffer {
  return reply(query, { rcode: 'NXDOMAIN', authorities: [soaFor(query, negativeTtlSeconds)] })
}

/** Returns NODATA with a SOA of the name's last label (RFC 2308 2.2). */
export function noData(query: ReceivedQuery, negativeTtlSeconds = 60): Buffer {
  return reply(query, { authorities: [soaFor(query, negativeTtlSeconds)] })
}

/** Returns an empty response with TC set, as a UDP server sends when the answer does not fit. */
export function truncated(query: ReceivedQuery): Buffer {
  return reply(query, { truncated: true })
}

/** Returns a copy of the message with another id: one that cannot be the question's. */
export function withWrongId(message: Uint8Array): Buffer {
  const copy = Buffer.from(message)
  copy.writeUInt16BE((copy.readUInt16BE(0) + 1) & 0xffff, 0)
  return copy
}

/** Returns a copy of the message whose QR bit says query. */
export function withoutResponseBit(message: Uint8Array): Buffer {
  const copy = Buffer.from(message)
  copy.writeUInt8(copy.readUInt8(2) & 0x7f, 2)
  return copy
}

/** Returns a response to another question than the one asked. */
export function wrongQuestion(query: ReceivedQuery, name = 'wrong.example.net'): Buffer {
  const answers = [{ name, type: 'A', ttl: 300, data: '192.0.2.66' }]
  return reply(query, { question: { name, type: query.type }, answers })
}

/** Returns octets that begin like a response to the query and are no message. */
export function garbage(query: ReceivedQuery, octets = 40): Buffer {
  const body = Buffer.alloc(Math.max(0, octets - 12), 0xff)
  return Buffer.concat([reply(query).subarray(0, 12), body])
}

function soaFor(query: ReceivedQuery, negativeTtlSeconds: number): ResourceRecord {
  const zone = query.name.split('.').at(-1) ?? '.'
  return {
    name: zone === '' ? '.' : zone,
    type: 'SOA',
    ttl: negativeTtlSeconds,
    data: {
      mname: 'ns.zone.example',
      rname: 'hostmaster.zone.example',
      serial: 1,
      refresh: 3600,
      retry: 600,
      expire: 86_400,
      minimum: negativeTtlSeconds,
    },
  }
}

/** A running scripted upstream; made by `startScriptedUpstream`. */
export class ScriptedUpstream {
  readonly address: string
  readonly port: number
  /** Every readable query, in the order in which it came. */
  readonly queries: ReceivedQuery[] = []
  /** Octets that came and were no query. */
  readonly unreadable: Buffer[] = []
  /** What a script threw: a test that expects none looks here. */
  readonly failures: unknown[] = []
  connections = 0
  /** TLS connections that resumed the session of an earlier one. */
  resumed = 0
  /** Connections that did not become TLS connections. */
  handshakesFailed = 0
  #script: Script
  readonly #udp: UdpSocket | undefined
  readonly #tcp: TcpServer | undefined
  readonly #sockets = new Set<TcpSocket>()
  readonly #watchers = new Set<() => void>()

  constructor(
    where: { readonly address: string; readonly port: number },
    script: Script,
    udp: UdpSocket | undefined,
    tcp: TcpServer | undefined,
    transport: Exclude<Transport, 'udp'>,
  ) {
    this.address = where.address
    this.port = where.port
    this.#script = script
    this.#udp = udp
    this.#tcp = tcp
    udp?.on('message', (octets, source) => {
      this.#take('udp', octets, source, (move) => this.#sendUdp(move, source))
    })
    udp?.on('error', (error) => this.failures.push(error))
    if (transport === 'tcp') tcp?.on('connection', (socket) => this.#serve(socket, 'tcp'))
    else this.#serveTls(tcp!, transport)
    open.add(this)
  }

  /** Connections that are open now. */
  get openSockets(): number {
    return this.#sockets.size
  }

  /** `ADDR:PORT`, as command lines take it. */
  get endpoint(): string {
    return this.address.includes(':')
      ? `[${this.address}]:${this.port}`
      : `${this.address}:${this.port}`
  }

  /** From the next query on, does what `script` says. */
  follow(script: Script): void {
    this.#script = script
  }

  /** Resolves with query number `count` (from 1), which may have come already. */
  async query(count: number, timeoutMs = QUERY_MS_MAX): Promise<ReceivedQuery> {
    let look: (() => void) | undefined
    const came = new Promise<ReceivedQuery>((resolve) => {
      look = (): void => {
        const query = this.queries[count - 1]
        if (query !== undefined) resolve(query)
      }
      look()
      this.#watchers.add(look)
    })
    const what = (): string => `query ${count} did not come; ${this.queries.length} did`
    try {
      return await within(timeoutMs, what, came)
    } finally {
      if (look !== undefined) this.#watchers.delete(look)
    }
  }

  /** How often a question for this name (in any letter case) came. */
  countOf(name: string, type?: string): number {
    const wanted = name.toLowerCase()
    return this.queries.filter(
      (query) => query.name.toLowerCase() === wanted && (type === undefined || query.type === type),
    ).length
  }

  /** Closes both sockets and every connection; datagrams then go to a closed port. */
  async stop(): Promise<void> {
    if (!open.delete(this)) return
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all([
      new Promise<void>((resolve) => {
        if (this.#udp === undefined) resolve()
        else this.#udp.close(() => resolve())
      }),
      new Promise<void>((resolve) => {
        if (this.#tcp === undefined) resolve()
        else this.#tcp.close(() => resolve())
      }),
    ])
  }

  #serveTls(server: TcpServer, transport: 'tls' | 'https'): void {
    server.on('connection', (socket: TcpSocket) => this.#keep(socket))
    server.on('tlsClientError', () => this.handshakesFailed++)
    server.on('secureConnection', (socket: TLSSocket) => {
      this.connections++
      if (socket.isSessionReused()) this.resumed++
      if (transport === 'tls') this.#serve(socket, 'tls')
    })
    server.on('stream', (stream: ServerHttp2Stream) => this.#serveStream(stream))
  }

  /** One POST: its body is the query, a move is the response. */
  #serveStream(stream: ServerHttp2Stream): void {
    const chunks: Buffer[] = []
    const source = { address: '127.0.0.1', port: stream.session?.socket.remotePort ?? 0 }
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      this.#take('https', Buffer.concat(chunks), source, (move) => sendHttps(stream, move))
    })
  }

  #keep(socket: TcpSocket): void {
    this.#sockets.add(socket)
    socket.setNoDelay(true)
    socket.once('close', () => this.#sockets.delete(socket))
    // The other side may reset: what it sent until then counts, the rest does not matter.
    socket.on('error', () => {})
  }

  #serve(socket: TcpSocket, transport: 'tcp' | 'tls'): void {
    if (transport === 'tcp') this.connections++
    this.#keep(socket)
    const source = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 }
    let rest: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
        const end = 2 + rest.readUInt16BE(0)
        this.#take(transport, rest.subarray(2, end), source, (move) => sendTcp(socket, move))
        rest = rest.subarray(end)
      }
    })
  }

  #take(
    transport: Transport,
    octets: Buffer,
    source: { readonly address: string; readonly port: number },
    act: (move: Move) => void,
  ): void {
    const query = readQuery(transport, octets, source)
    if (query === undefined) {
      this.unreadable.push(octets)
      return
    }
    this.queries.push(query)
    void this.#perform(query, act)
    for (const watcher of this.#watchers) watcher()
  }

  async #perform(query: ReceivedQuery, act: (move: Move) => void): Promise<void> {
    try {
      const moves = await this.#script(query)
      if (moves === undefined || !open.has(this)) return
      for (const move of isMoveList(moves) ? moves : [moves]) act(move)
    } catch (error) {
      this.failures.push(error)
    }
  }

  #sendUdp(move: Move, source: { readonly address: string; readonly port: number }): void {
    if (typeof move === 'string') return
    if (move instanceof Uint8Array) {
      this.#udp?.send(move, source.port, source.address)
    } else if (move.as === 'unframed') {
      this.#udp?.send(move.octets, source.port, source.address)
    } else {
      const stranger = createSocket(source.address.includes(':') ? 'udp6' : 'udp4')
      stranger.send(move.octets, source.port, source.address, () => stranger.close())
    }
  }
}

function isMoveList(moves: Exclude<Moves, undefined>): moves is readonly Move[] {
  return Array.isArray(moves)
}

function sendTcp(socket: TcpSocket, move: Move): void {
  if (move === 'close') socket.end()
  else if (move === 'reset') resetOrDestroy(socket)
  else if (move instanceof Uint8Array) socket.write(frame(move))
  else socket.write(move.octets)
}

/** TLS has no reset of its own. */
function resetOrDestroy(socket: TcpSocket): void {
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}

function sendHttps(stream: Http2Stream & Partial<ServerHttp2Stream>, move: Move): void {
  if (stream.destroyed) return
  const { session } = stream
  if (move === 'close') stream.once('close', () => session?.close())
  else if (move === 'reset') stream.session?.destroy()
  else {
    const octets = move instanceof Uint8Array ? move : move.octets
    stream.respond?.({ ':status': 200, 'content-type': 'application/dns-message' })
    stream.end(octets)
  }
}

function readQuery(
  transport: Transport,
  octets: Buffer,
  source: { readonly address: string; readonly port: number },
): ReceivedQuery | undefined {
  try {
    const message = decodeMessage(octets)
    const question = message.questions[0]
    if (question === undefined) return undefined
    const { name, type } = question
    return { transport, octets, id: message.id, name, type, message, source }
  } catch {
    return undefined
  }
}

/** Starts an upstream that follows `script`; stopped with the tests of the file at the latest. */
export async function startScriptedUpstream(
  script: Script = answerAddresses,
  options: ScriptedUpstreamOptions = {},
): Promise<ScriptedUpstream> {
  const address = options.address ?? '127.0.0.1'
  const port = options.port ?? (await freePort())
  const udp = options.udp === false ? undefined : await bindUdp(address, port)
  const tcp = options.tcp === false ? undefined : await listenTcp(address, port, options)
  const transport = options.tls ? 'tls' : options.https ? 'https' : 'tcp'
  return new ScriptedUpstream({ address, port }, script, udp, tcp, transport)
}

function bindUdp(address: string, port: number): Promise<UdpSocket> {
  const socket = createSocket({
    type: address.includes(':') ? 'udp6' : 'udp4',
    recvBufferSize: 4 * 1024 * 1024,
  })
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind({ port, address, exclusive: true }, () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

function makeServer({ tls, https }: ScriptedUpstreamOptions): TcpServer {
  if (tls) return createTlsServer({ cert: tls.certificate, key: tls.key, ALPNProtocols: ['dot'] })
  if (https) return createSecureServer({ cert: https.certificate, key: https.key })
  return createServer()
}

function listenTcp(
  address: string,
  port: number,
  options: ScriptedUpstreamOptions,
): Promise<TcpServer> {
  const server = makeServer(options)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port, host: address, exclusive: true }, () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}
