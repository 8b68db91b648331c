/**
 * A steady stream of questions at a server while a test breaks something: what came back, how fast,
 * and whether any answer was another than it has to be.
 */
import { type Socket, createSocket } from 'node:dgram'
import { encodeQuery } from './messages.ts'

/** One kind of question, and what every answer to it has to be. */
export interface LoadKind {
  readonly kind: string
  /** The name of the question with this number. */
  readonly name: (index: number) => string
  readonly rcode: number
  /** Share of all questions, in parts. */
  readonly parts: number
}

/** What became of one kind. */
export interface KindReport {
  readonly kind: string
  readonly sent: number
  readonly lost: number
  /** Answers with another rcode: a client error, or a verdict that has flipped. */
  readonly wrong: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

interface Open {
  readonly kind: number
  readonly sentMs: number
}

const TICK_MS = 4
/** Answers that take longer are lost. */
const ANSWER_MS_MAX = 5000
const RCODE_MASK = 0xf

/** A running load; made by `startLoad`. */
export class SteadyLoad {
  readonly #kinds: readonly LoadKind[]
  readonly #socket: Socket
  readonly #port: number
  readonly #timer: NodeJS.Timeout
  readonly #open = new Map<number, Open>()
  readonly #latencies: number[][]
  readonly #sent: number[]
  readonly #wrong: number[]
  readonly #order: readonly number[]
  #id = 0
  #counts: number[]
  #dueAtMs = performance.now()
  readonly #gapMs: number

  constructor(socket: Socket, port: number, kinds: readonly LoadKind[], perSecond: number) {
    this.#socket = socket
    this.#port = port
    this.#kinds = kinds
    this.#latencies = kinds.map(() => [])
    this.#sent = kinds.map(() => 0)
    this.#wrong = kinds.map(() => 0)
    this.#counts = kinds.map(() => 0)
    this.#order = kinds.flatMap(({ parts }, index) => Array.from({ length: parts }, () => index))
    this.#gapMs = 1000 / perSecond
    socket.on('message', (message) => this.#take(message))
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
  }

  /** Queries of the kind that was asked least so far. */
  get leastSent(): number {
    return Math.min(...this.#sent)
  }

  /** Ends the load, waits for what is open, and returns the report. */
  async stop(): Promise<readonly KindReport[]> {
    clearInterval(this.#timer)
    const endMs = performance.now() + ANSWER_MS_MAX
    while (this.#open.size > 0 && performance.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, TICK_MS))
    }
    this.#socket.close()
    return this.#kinds.map(({ kind }, index) => {
      const sorted = this.#latencies[index]!.toSorted((a, b) => a - b)
      return {
        kind,
        sent: this.#sent[index]!,
        lost: this.#sent[index]! - sorted.length,
        wrong: this.#wrong[index]!,
        p50Ms: sorted[Math.floor(sorted.length * 0.5)] ?? 0,
        p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
        maxMs: sorted.at(-1) ?? 0,
      }
    })
  }

  #tick(): void {
    const nowMs = performance.now()
    // A test process that was held up does not send all that it has missed.
    if (nowMs - this.#dueAtMs > 50) this.#dueAtMs = nowMs
    while (this.#dueAtMs <= nowMs) {
      this.#send()
      this.#dueAtMs += this.#gapMs
    }
  }

  #send(): void {
    this.#id = (this.#id + 1) & 0xffff
    const kind = this.#order[this.#id % this.#order.length]!
    const name = this.#kinds[kind]!.name(this.#counts[kind]!++)
    this.#sent[kind]!++
    this.#open.set(this.#id, { kind, sentMs: performance.now() })
    this.#socket.send(encodeQuery(name, 'A', { id: this.#id }), this.#port, '127.0.0.1')
  }

  #take(message: Buffer): void {
    const id = message.readUInt16BE(0)
    const open = this.#open.get(id)
    if (open === undefined) return
    this.#open.delete(id)
    this.#latencies[open.kind]!.push(performance.now() - open.sentMs)
    const rcode = message.readUInt8(3) & RCODE_MASK
    if (rcode !== this.#kinds[open.kind]!.rcode) this.#wrong[open.kind]!++
  }
}

/** Starts to ask the server on that port of 127.0.0.1. */
export async function startLoad(
  port: number,
  kinds: readonly LoadKind[],
  perSecond: number,
): Promise<SteadyLoad> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 })
  await new Promise<void>((resolve) => {
    socket.bind(0, '127.0.0.1', resolve)
  })
  return new SteadyLoad(socket, port, kinds, perSecond)
}
