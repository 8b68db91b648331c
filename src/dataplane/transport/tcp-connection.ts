/**
 * One client connection that carries DNS messages behind their length (RFC 1035 4.2.2), over TCP or
 * TLS: pipelined queries, answers in the order in which they are ready.
 */
import type { Socket } from 'node:net'
import type { Client } from '../client.ts'
import type { ReplySink, Waiter } from '../query.ts'
import { NODE_TURN_END, type AdoptedSocket } from '../../sys/socket-loop.ts'
import { BROKEN, NOT_NOW, NO_DESCRIPTOR } from '../../sys/stream-calls.ts'
import { INCOMPLETE, StreamReader } from '../../wire/stream-reader.ts'
import type { ClientAccess } from './client-access.ts'
import type { StreamConnection, StreamContext } from './stream-connection.ts'

const LENGTH_OCTETS = 2
/** Reads that follow each other within this time: the worker's own loop takes over. */
const BUSY_MS = 2

/**
 * One client connection. While queries follow each other closely, the worker's own loop reads it by
 * system calls, and answers are written likewise; Node has it otherwise.
 */
export class TcpConnection implements ReplySink, StreamConnection, AdoptedSocket {
  readonly socket: Socket
  readonly address: string
  readonly #client: Client
  readonly #listener: StreamContext
  /** Not to be used once the socket is destroyed: it may be another's then. */
  readonly #fd: number
  /** The worker's own loop reads, not Node. */
  #isAdopted = false
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
  /** Answers that had to be waited for, until the end of the turn. */
  readonly #late: Buffer[] = []
  #lateOctets = 0
  #flushScheduled = false
  /** When something was read last. */
  #readMs = -Infinity
  /** Octets of its own in `unsentOctets` of the listener. */
  #unsentOctets = 0
  readonly #onWritten: () => void
  readonly #flushLate: () => void
  readonly #onTick: () => void

  /** @param fd of the socket where nothing stands between it and the messages, or none. */
  constructor(
    socket: Socket,
    address: string,
    client: Client,
    listener: StreamContext,
    fd: number,
  ) {
    this.socket = socket
    this.#fd = listener.calls === null ? NO_DESCRIPTOR : fd
    this.address = address
    this.#client = client
    this.#listener = listener
    this.activeMs = performance.now()
    this.partialSinceMs = this.activeMs
    this.#flushLate = () => {
      this.#flushScheduled = false
      this.#writeLate()
      this.#written()
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
    return this.#unsent > 0 || this.socket.writableEnded
  }

  /** A connection is its own address. */
  hold(waiter: Waiter): void {
    waiter.takeClient(this.#client)
  }

  /** An answer that had to be waited for; those of one turn leave together. */
  send(reply: Uint8Array, octets: number): boolean {
    this.inFlight--
    const sent = this.socket.writable
    if (sent) {
      this.#late.push(framed(reply, octets))
      this.#lateOctets += LENGTH_OCTETS + octets
      if (!this.#flushScheduled) {
        this.#flushScheduled = true
        const turnEnd = this.#listener.loop ?? NODE_TURN_END
        turnEnd.atTurnEnd(this.#flushLate)
      }
      this.#noteUnsent()
    }
    this.#moved()
    return sent
  }

  /** Closes for good after the answers that are already written: FIN, not RST (RFC 7766 6.2.3). */
  finish(): void {
    this.#ended = true
    this.#end()
  }

  /** Node reads it from now on. */
  leaveLoop(): void {
    if (!this.#isAdopted) return
    this.#isAdopted = false
    if (this.socket.destroyed) this.#listener.loop?.forget(this.#fd, this)
    else this.#listener.loop?.handBack(this.#fd)
  }

  /** Node has read something. */
  #received(chunk: Uint8Array): void {
    const { loop } = this.#listener
    // Before others are let in, who would read what comes behind it.
    this.leaveLoop()
    // We have said that this is the end: whoever writes on gets nothing for it.
    if (this.socket.writableEnded) return
    loop?.catchUp()
    const nowMs = performance.now()
    const isBusy = nowMs - this.#readMs < BUSY_MS
    this.#readMs = nowMs
    this.activeMs = nowMs
    this.#reader.push(chunk)
    this.#answerAll()
    if (isBusy) this.#enterLoop()
  }

  /** Lets the worker's own loop read, if nothing of the connection is in Node's hands. */
  #enterLoop(): void {
    const { socket } = this
    const { loop } = this.#listener
    if (this.#fd === NO_DESCRIPTOR || loop === null || this.#paused || this.#ended) return
    if (socket.destroyed || socket.readableLength > 0 || socket.writableLength > 0) return
    this.#isAdopted = loop.adopt(this.#fd, this)
  }

  /** The worker's own loop has seen that there is something to read. */
  readable(nowMs: number): boolean {
    const listener = this.#listener
    if (this.socket.destroyed) return false
    if (listener.turn.isSpent) {
      this.#paused = true
      listener.turn.wait(this.#onTick)
    }
    if (this.#paused) {
      listener.loop?.yieldSoon()
      return false
    }
    const { received } = listener.calls!
    const octets = listener.calls!.receive(this.#fd)
    if (octets > 0) {
      this.#readMs = nowMs
      this.activeMs = nowMs
      this.#reader.pushStart(received, octets)
      this.#answerAll()
      this.#reader.keepRest()
    } else if (octets === BROKEN) {
      this.socket.destroy()
    } else if (octets !== NOT_NOW) {
      // The end: it is Node's to say so.
      this.leaveLoop()
    }
    return false
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
    this.#noteUnsent()
    if (!this.#paused) return
    this.activeMs = performance.now()
    this.#readOn()
  }

  #closed(): void {
    this.leaveLoop()
    this.#late.length = 0
    this.#lateOctets = 0
    this.#noteUnsent()
    this.#listener.forget(this)
  }

  /** Octets that the client has not taken yet. */
  get #unsent(): number {
    return this.socket.writableLength + this.#lateOctets
  }

  #noteUnsent(): void {
    const octets = this.socket.destroyed ? 0 : this.#unsent
    this.#listener.unsentOctets += octets - this.#unsentOctets
    this.#unsentOctets = octets
  }

  #halfClosed(): void {
    this.#ended = true
    this.#endIfDone()
  }

  /** The client sends no more: close when its last question is read and its last answer is out. */
  #endIfDone(): void {
    if (!this.#ended || this.#paused || this.inFlight > 0) return
    if (!this.socket.writableEnded) this.#end()
  }

  #end(): void {
    this.#writeLate()
    this.leaveLoop()
    this.socket.end()
  }

  #readOn(): void {
    if (!this.#paused || this.socket.destroyed) return
    const { turn } = this.#listener
    if (turn.isSpent) turn.wait(this.#onTick)
    if (!this.#mayRead()) {
      this.#stopReading()
      return
    }
    // In the middle of an answer, perhaps to another connection: its replies are being gathered.
    if (this.#listener.isGathering) {
      process.nextTick(this.#onTick)
      this.#listener.loop?.yieldSoon()
    } else {
      this.#answerAll()
    }
  }

  /** Nothing is read until something changes; in the loop that is the next turn only. */
  #stopReading(): void {
    this.#paused = true
    if (this.#isAdopted && this.#listener.turn.isSpent) {
      this.#listener.loop?.yieldSoon()
      return
    }
    this.leaveLoop()
    this.socket.pause()
  }

  /** False when the client reads too slowly or waits for too much, or when it is others' turn. */
  #mayRead(): boolean {
    const listener = this.#listener
    const limits = listener.limits
    if (listener.turn.isSpent || this.inFlight >= limits.tcpInFlightMax) return false
    const unsentOctets = this.#unsent + listener.gather.length
    if (unsentOctets >= limits.tcpUnsentOctetsMax) return false
    // Who has read everything gets an answer, however much others leave unread.
    return unsentOctets === 0 || listener.unsentOctets < limits.tcpUnsentTotalOctetsMax
  }

  /** Handles every complete message; their answers leave in one write. */
  #answerAll(): void {
    const listener = this.#listener
    listener.isGathering = true
    let mayRead = this.#mayRead()
    while (mayRead) {
      const octets = this.#reader.nextInto(listener.reply)
      if (octets === INCOMPLETE) break
      this.#handle(octets)
      mayRead = this.#mayRead()
      if (mayRead) continue
      // The system may take at once what would have been too much unread.
      this.#writeGathered()
      mayRead = this.#mayRead()
    }
    this.#writeGathered()
    listener.isGathering = false
    if (mayRead && this.#reader.partialOctets > 0 && !this.#awaitsMessage) {
      this.#awaitsMessage = true
      this.partialSinceMs = this.activeMs
    }
    if (!mayRead) this.#stopReading()
    else if (this.#paused) {
      this.#paused = false
      // What we did not read is not late.
      this.partialSinceMs = performance.now()
      if (!this.#isAdopted) this.socket.resume()
      this.#endIfDone()
    }
    const { turn } = listener
    if (turn.isSpent) turn.wait(this.#onTick)
  }

  /** The message stands where its answer is written. */
  #handle(messageOctets: number): void {
    const { handler, reply, gather } = this.#listener
    this.#awaitsMessage = false
    this.inFlight++
    const octets = handler.handle(reply, messageOctets, reply, this.#client, this, this.activeMs)
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
    const sent = this.socket.writable && this.#write()
    const milliseconds = performance.now() - this.activeMs
    for (let index = 0; index < replies; index++) {
      if (sent) handler.countSent(gather.codeOf(index), milliseconds)
      else handler.countUnsent()
    }
    gather.clear()
  }

  /** Writes the gathered answers at once; Node keeps what the system does not take. */
  #write(): boolean {
    const { gather, loop } = this.#listener
    const taken = this.#take(gather.octets, gather.length)
    if (taken === BROKEN) return false
    if (taken < gather.length) {
      this.leaveLoop()
      gather.writeTo(this.socket, taken, this.#onWritten)
      loop?.yieldSoon()
      this.#noteUnsent()
    }
    return true
  }

  /** Writes the late answers, which were counted when they came. */
  #writeLate(): void {
    if (this.#late.length === 0) return
    const { loop } = this.#listener
    const octets = this.#late.length === 1 ? this.#late[0]! : Buffer.concat(this.#late)
    this.#late.length = 0
    this.#lateOctets = 0
    const taken = this.socket.writable ? this.#take(octets, octets.length) : BROKEN
    if (taken !== BROKEN && taken < octets.length) {
      this.leaveLoop()
      this.socket.write(octets.subarray(taken), this.#onWritten)
      loop?.yieldSoon()
    }
    this.#noteUnsent()
  }

  /** Gives octets to the system: how many it took; `BROKEN` when the client is gone. */
  #take(octets: Uint8Array, length: number): number {
    const { socket } = this
    // What Node has still to write comes first.
    if (this.#fd === NO_DESCRIPTOR || socket.writableLength > 0) return 0
    const taken = this.#listener.calls!.send(this.#fd, octets, length)
    if (taken === BROKEN) socket.destroy()
    return taken === NOT_NOW ? 0 : taken
  }
}

function framed(reply: Uint8Array, octets: number): Buffer {
  const message = Buffer.allocUnsafe(LENGTH_OCTETS + octets)
  message[0] = octets >>> 8
  message[1] = octets
  message.set(reply.subarray(0, octets), LENGTH_OCTETS)
  return message
}
