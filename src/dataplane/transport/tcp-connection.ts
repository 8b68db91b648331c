/**
 * One client connection that carries DNS messages behind their length (RFC 1035 4.2.2), over TCP or
 * TLS: pipelined queries, answers in the order in which they are ready.
 */
import type { Socket } from 'node:net'
import type { Client } from '../client.ts'
import type { ReplySink, Waiter } from '../query.ts'
import { NODE_TURN_END } from '../../sys/socket-loop.ts'
import { StreamReader } from '../../wire/stream-reader.ts'
import type { ClientAccess } from './client-access.ts'
import type { StreamConnection, StreamContext } from './stream-connection.ts'

const LENGTH_OCTETS = 2

/** One client connection. */
export class TcpConnection implements ReplySink, StreamConnection {
  readonly socket: Socket
  readonly address: string
  readonly #client: Client
  readonly #listener: StreamContext
  readonly #reader = new StreamReader()
  /** Queries whose answers are still awaited. */
  inFlight = 0
  /** When octets last moved, either way. */
  activeMs: number
  /** Since when a message has been incomplete; also from connecting to the first one. */
  partialSinceMs: number
  #awaitsMessage = true
  #paused = false
  #ended = false
  /** Late answers wait for the end of the turn. */
  #corked = false
  /** Octets of its own in `unsentOctets` of the listener. */
  #unsentOctets = 0
  readonly #onWritten: () => void
  readonly #uncork: () => void
  readonly #onTick: () => void

  constructor(socket: Socket, address: string, client: Client, listener: StreamContext) {
    this.socket = socket
    this.address = address
    this.#client = client
    this.#listener = listener
    this.activeMs = performance.now()
    this.partialSinceMs = this.activeMs
    this.#uncork = () => {
      this.#corked = false
      socket.uncork()
    }
    this.#onTick = () => this.#readOn()
    this.#onWritten = () => this.#written()
    socket.on('data', (chunk) => this.#received(chunk))
    socket.on('drain', () => this.#moved())
    socket.on('end', () => this.#halfClosed())
    // 'error' (a reset) is always followed by 'close'.
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#closed())
  }

  isAdmitted(access: ClientAccess): boolean {
    return access.findText(this.address, this.#client.octets, this.#client)
  }

  isOverdue(nowMs: number, messageMsMax: number): boolean {
    // While it is we who do not read, its message may have come long ago.
    return !this.#paused && this.#awaitsMessage && nowMs - this.partialSinceMs > messageMsMax
  }

  /** A client that reads nothing, or does not answer our FIN. */
  get isStuck(): boolean {
    return this.socket.writableLength > 0 || this.socket.writableEnded
  }

  /** A connection is its own address. */
  hold(waiter: Waiter): void {
    waiter.takeClient(this.#client)
  }

  /** An answer that had to be waited for; those of one turn leave together. */
  send(reply: Uint8Array, octets: number): boolean {
    this.inFlight--
    const socket = this.socket
    const sent = socket.writable
    if (sent) {
      if (!this.#corked) {
        this.#corked = true
        socket.cork()
        const { loop } = this.#listener
        const turnEnd = loop ?? NODE_TURN_END
        turnEnd.atTurnEnd(this.#uncork)
        // What TLS makes of it leaves when Node gets its turn.
        loop?.yieldSoon()
      }
      socket.write(framed(reply, octets), this.#onWritten)
      this.#noteUnsent(socket.writableLength)
    }
    this.#moved()
    return sent
  }

  /** Closes for good after the answers that are already written: FIN, not RST (RFC 7766 6.2.3). */
  finish(): void {
    this.#ended = true
    this.socket.end()
  }

  #received(chunk: Uint8Array): void {
    this.#listener.loop?.catchUp()
    this.activeMs = performance.now()
    this.#reader.push(chunk)
    this.#answerAll()
  }

  /** Something was sent: read on where reading had stopped. */
  #moved(): void {
    this.activeMs = performance.now()
    this.#readOn()
    this.#endIfDone()
  }

  /** The kernel took something, or the connection is gone with it. */
  #written(): void {
    if (this.socket.destroyed) return
    this.#noteUnsent(this.socket.writableLength)
    if (!this.#paused) return
    this.activeMs = performance.now()
    this.partialSinceMs = this.activeMs
    this.#readOn()
  }

  #closed(): void {
    this.#noteUnsent(0)
    this.#listener.forget(this)
  }

  #noteUnsent(octets: number): void {
    this.#listener.unsentOctets += octets - this.#unsentOctets
    this.#unsentOctets = octets
  }

  #halfClosed(): void {
    this.#ended = true
    this.#endIfDone()
  }

  /** The client sends no more: close when its last answer is out. */
  #endIfDone(): void {
    if (this.#ended && this.inFlight === 0 && !this.socket.writableEnded) this.socket.end()
  }

  #readOn(): void {
    if (!this.#paused || this.socket.destroyed) return
    const { turn } = this.#listener
    if (turn.isSpent) turn.wait(this.#onTick)
    if (!this.#mayRead()) return
    // In the middle of an answer, perhaps to another connection: its replies are being gathered.
    if (this.#listener.isGathering) process.nextTick(this.#onTick)
    else this.#answerAll()
  }

  /** False when the client reads too slowly or waits for too much, or when it is others' turn. */
  #mayRead(): boolean {
    const listener = this.#listener
    const limits = listener.limits
    if (listener.turn.isSpent || this.inFlight >= limits.tcpInFlightMax) return false
    const unsentOctets = this.socket.writableLength + listener.gather.length
    if (unsentOctets >= limits.tcpUnsentOctetsMax) return false
    // Who has read everything gets an answer, however much others leave unread.
    return unsentOctets === 0 || listener.unsentOctets < limits.tcpUnsentTotalOctetsMax
  }

  /** Handles every complete message; their answers leave in one write. */
  #answerAll(): void {
    const socket = this.socket
    this.#listener.isGathering = true
    let mayRead = this.#mayRead()
    let message = mayRead ? this.#reader.next() : null
    while (message !== null) {
      this.#handle(message)
      mayRead = this.#mayRead()
      message = mayRead ? this.#reader.next() : null
    }
    this.#writeGathered()
    this.#listener.isGathering = false
    if (mayRead && this.#reader.partialOctets > 0 && !this.#awaitsMessage) {
      this.#awaitsMessage = true
      this.partialSinceMs = this.activeMs
    }
    if (mayRead === this.#paused) {
      this.#paused = !mayRead
      if (mayRead) socket.resume()
      else socket.pause()
    }
    const { turn } = this.#listener
    if (turn.isSpent) turn.wait(this.#onTick)
  }

  #handle(message: Uint8Array): void {
    const { handler, reply, gather } = this.#listener
    this.#awaitsMessage = false
    this.inFlight++
    const octets = handler.handle(message, message.length, reply, this.#client, this, this.activeMs)
    this.#listener.turn.spend(Math.max(0, octets))
    if (octets < 0) return
    this.inFlight--
    if (octets === 0) return
    if (gather.isFullFor(octets)) this.#writeGathered()
    gather.add(reply, octets, handler.replyCode)
  }

  /** Writes what is gathered, and counts it. */
  #writeGathered(): void {
    const { handler, gather } = this.#listener
    const replies = gather.replies
    if (replies === 0) return
    const sent = this.socket.writable
    if (sent) {
      gather.writeTo(this.socket, this.#onWritten)
      this.#noteUnsent(this.socket.writableLength)
    }
    const milliseconds = performance.now() - this.activeMs
    for (let index = 0; index < replies; index++) {
      if (sent) handler.countSent(gather.codeOf(index), milliseconds)
      else handler.countUnsent()
    }
    gather.clear()
  }
}

function framed(reply: Uint8Array, octets: number): Buffer {
  const message = Buffer.allocUnsafe(LENGTH_OCTETS + octets)
  message[0] = octets >>> 8
  message[1] = octets
  message.set(reply.subarray(0, octets), LENGTH_OCTETS)
  return message
}
