/** A DNS client for tests: whole questions, or any octets in any rhythm, over UDP and TCP. */
import { type Socket as UdpSocket, createSocket } from 'node:dgram'
import { type Socket as TcpSocket, createConnection } from 'node:net'
import { SECOND_MS } from '../../src/base/units.ts'
import { Gate, within } from './gate.ts'
import { type Message, type QueryOptions, decodeMessage, encodeQuery } from './messages.ts'

/** An answer that takes longer is none. */
const ANSWER_MS_MAX = 5 * SECOND_MS

/** Where a DNS server listens. */
export interface Server {
  /** Default 127.0.0.1. */
  readonly address?: string
  readonly port: number
  /** The address to ask from; default: the loopback address of the server's family. */
  readonly from?: string
}

/** The same server, asked from another address of this machine. */
export function from({ address, port }: Server, client: string): Server {
  return { ...(address !== undefined && { address }), port, from: client }
}

export interface AskOptions extends QueryOptions {
  readonly timeoutMs?: number
}

/** Asks over UDP; rejects when nothing comes in time or when what comes is malformed. */
export async function askUdp(
  server: Server,
  name: string,
  type = 'A',
  options: AskOptions = {},
): Promise<Message> {
  const octets = encodeQuery(name, type, options)
  return decodeMessage(await exchangeUdp(server, octets, options.timeoutMs))
}

/** Sends octets in one datagram and resolves with the first datagram that comes back. */
export async function exchangeUdp(
  server: Server,
  octets: Uint8Array,
  timeoutMs = ANSWER_MS_MAX,
): Promise<Buffer> {
  const client = await openUdp(server)
  try {
    await client.send(octets)
    return await client.next(timeoutMs)
  } finally {
    await client.close()
  }
}

/** Asks over TCP on a connection of its own. */
export async function askTcp(
  server: Server,
  name: string,
  type = 'A',
  options: AskOptions = {},
): Promise<Message> {
  const client = await openTcp(server)
  try {
    await client.send(encodeQuery(name, type, options))
    return decodeMessage(await client.next(options.timeoutMs))
  } finally {
    await client.close()
  }
}

/** What came and was not yet taken, and who waits for more. */
class Inbox {
  readonly #messages: Buffer[] = []
  readonly #waiting: Gate<Buffer>[] = []
  #ended: Error | undefined

  put(message: Buffer): void {
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#messages.push(message)
    else waiting.open(message)
  }

  end(reason: Error): void {
    this.#ended ??= reason
    for (const waiting of this.#waiting.splice(0)) waiting.fail(reason)
  }

  async take(timeoutMs: number): Promise<Buffer> {
    const ready = this.#messages.shift()
    if (ready !== undefined) return ready
    if (this.#ended !== undefined) throw this.#ended
    const gate = new Gate<Buffer>()
    this.#waiting.push(gate)
    try {
      return await within(timeoutMs, 'no answer', gate.opened)
    } finally {
      const at = this.#waiting.indexOf(gate)
      if (at !== -1) this.#waiting.splice(at, 1)
    }
  }

  get length(): number {
    return this.#messages.length
  }
}

/** One UDP socket, its source port kept from one query to the next. */
export class UdpClient {
  readonly #socket: UdpSocket
  readonly #server: Server
  readonly #inbox = new Inbox()

  constructor(socket: UdpSocket, server: Server) {
    this.#socket = socket
    this.#server = server
    socket.on('message', (message) => this.#inbox.put(message))
    socket.on('error', (error) => this.#inbox.end(error))
  }

  get port(): number {
    return this.#socket.address().port
  }

  /** Answers that came and were not taken. */
  get unread(): number {
    return this.#inbox.length
  }

  send(octets: Uint8Array): Promise<void> {
    const { address = '127.0.0.1', port } = this.#server
    return new Promise((resolve, reject) => {
      this.#socket.send(octets, port, address, (error) =>
        error === null ? resolve() : reject(error),
      )
    })
  }

  /** Resolves with the octets of the next datagram, from whoever it comes. */
  next(timeoutMs = ANSWER_MS_MAX): Promise<Buffer> {
    return this.#inbox.take(timeoutMs)
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()))
  }
}

/** Opens a UDP socket on a free port of the server's address family. */
export async function openUdp(server: Server): Promise<UdpClient> {
  const six = (server.address ?? '127.0.0.1').includes(':')
  const socket = createSocket(six ? 'udp6' : 'udp4')
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(0, server.from ?? (six ? '::1' : '127.0.0.1'), resolve)
  })
  socket.removeAllListeners('error')
  return new UdpClient(socket, server)
}

/** One TCP connection: messages go out whole, several per write, or split at will. */
export class TcpClient {
  /** Resolves when the server has closed its side or the connection is gone. */
  readonly closed: Promise<void>
  readonly #socket: TcpSocket
  readonly #inbox = new Inbox()
  #rest: Buffer = Buffer.alloc(0)

  constructor(socket: TcpSocket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#read(chunk))
    socket.on('error', (error) => this.#inbox.end(error))
    this.closed = new Promise((resolve) => {
      const closed = (): void => {
        this.#inbox.end(new Error('the server closed the connection'))
        resolve()
      }
      socket.once('end', closed)
      socket.once('close', closed)
    })
  }

  /** Sends the messages, each after its length (RFC 1035 4.2.2), in one write. */
  send(...messages: readonly Uint8Array[]): Promise<void> {
    return this.write(frame(...messages))
  }

  /** Writes octets as they are. */
  write(octets: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(octets, (error) =>
        error === null || error === undefined ? resolve() : reject(error),
      )
    })
  }

  /**
   * Writes octets in pieces that end at the given offsets; each piece is handed to the kernel, and
   * the event loop turned, before the next.
   */
  async writeSplit(octets: Uint8Array, offsets: readonly number[]): Promise<void> {
    let start = 0
    for (const end of [...offsets, octets.length]) {
      await this.write(octets.subarray(start, end))
      await new Promise((resolve) => setImmediate(resolve))
      start = end
    }
  }

  /** Resolves with the octets of the next message, its length taken off. */
  next(timeoutMs = ANSWER_MS_MAX): Promise<Buffer> {
    return this.#inbox.take(timeoutMs)
  }

  /** Resolves with the next message, decoded. */
  async nextMessage(timeoutMs = ANSWER_MS_MAX): Promise<Message> {
    return decodeMessage(await this.next(timeoutMs))
  }

  /** Stops reading: what the server writes then fills the kernel's buffers. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Ends our side and keeps reading. */
  endWriting(): void {
    this.#socket.end()
  }

  /** Ends the connection at once with RST. */
  reset(): void {
    this.#socket.resetAndDestroy()
  }

  close(): Promise<void> {
    const gone = new Promise<void>((resolve) => {
      if (this.#socket.closed) resolve()
      else this.#socket.once('close', () => resolve())
    })
    this.#socket.destroy()
    return gone
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    while (this.#rest.length >= 2) {
      const end = 2 + this.#rest.readUInt16BE(0)
      if (this.#rest.length < end) return
      this.#inbox.put(this.#rest.subarray(2, end))
      this.#rest = this.#rest.subarray(end)
    }
  }
}

/** Opens a TCP connection; rejects when the server does not accept it. */
export async function openTcp(server: Server): Promise<TcpClient> {
  const socket = createConnection({
    host: server.address ?? '127.0.0.1',
    port: server.port,
    ...(server.from !== undefined && { localAddress: server.from }),
  })
  const connected = new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  await within(ANSWER_MS_MAX, 'not connected', connected)
  return new TcpClient(socket)
}

/** Returns the messages one after the other, each behind its length (RFC 1035 4.2.2). */
export function frame(...messages: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    messages.flatMap((message) => {
      const length = Buffer.alloc(2)
      length.writeUInt16BE(message.length)
      return [length, message]
    }),
  )
}
