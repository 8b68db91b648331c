/** Asks a server very many names over UDP, with a bounded number of questions under way. */
import { type Socket, createSocket } from 'node:dgram'
import { type Message, decodeMessage, questionEnd } from '../../support/messages.ts'

/** Sockets that share the questions: the server may spread them over its workers. */
const SOCKETS = 4
/** Questions under way on one socket; well below the 256 small datagrams that a kernel keeps. */
const WINDOW = 48
const TRIES_MAX = 4
const TRY_MS_MAX = 2000
const SWEEP_MS = 250

const HEADER_OCTETS = 12
const TYPE_A = 1
const CLASS_IN = 1
/** OPT of 1232 octets, version 0, no option (RFC 6891 6.1.2): what lets an answer carry its EDE. */
const OPT = Buffer.from([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0])

export interface Swept {
  readonly answered: number
  /** Questions that had to be sent again. */
  readonly resent: number
  /** Questions that got no answer in all their tries. */
  readonly lost: readonly string[]
  /** Replies whose question was not the one asked, octet by octet. */
  readonly misquoted: readonly string[]
}

/** Called once for each answered name, in the order of the answers. */
export type Judge = (name: string, answer: Message) => void

/** Asks for the A record of every name, in mixed letter case, and hands each answer to `judge`. */
export async function askAll(port: number, names: readonly string[], judge: Judge): Promise<Swept> {
  const queue = new NameQueue(names)
  const lanes = Array.from({ length: SOCKETS }, () => new Lane(port, queue, judge))
  await Promise.all(lanes.map((lane) => lane.run()))
  return {
    answered: lanes.reduce((sum, lane) => sum + lane.answered, 0),
    resent: lanes.reduce((sum, lane) => sum + lane.resent, 0),
    lost: lanes.flatMap((lane) => lane.lost),
    misquoted: lanes.flatMap((lane) => lane.misquoted),
  }
}

class NameQueue {
  readonly #names: readonly string[]
  #next = 0

  constructor(names: readonly string[]) {
    this.#names = names
  }

  take(): string | undefined {
    return this.#names[this.#next++]
  }
}

interface Question {
  readonly name: string
  readonly octets: Buffer
  tries: number
  sentMs: number
}

/** One socket with its window of questions. */
class Lane {
  answered = 0
  resent = 0
  readonly lost: string[] = []
  readonly misquoted: string[] = []
  readonly #socket: Socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 })
  readonly #port: number
  readonly #queue: NameQueue
  readonly #judge: Judge
  readonly #underWay = new Map<number, Question>()
  #id = 0
  #done: () => void = () => {}
  #failed: (reason: Error) => void = () => {}

  constructor(port: number, queue: NameQueue, judge: Judge) {
    this.#port = port
    this.#queue = queue
    this.#judge = judge
  }

  async run(): Promise<void> {
    const finished = new Promise<void>((resolve, reject) => {
      this.#done = resolve
      this.#failed = reject
    })
    this.#socket.on('error', (error) => this.#failed(error))
    this.#socket.on('message', (octets) => this.#received(octets))
    const timer = setInterval(() => this.#sweep(), SWEEP_MS)
    this.#fill()
    try {
      await finished
    } finally {
      clearInterval(timer)
      this.#socket.close()
    }
  }

  #fill(): void {
    while (this.#underWay.size < WINDOW) {
      const name = this.#queue.take()
      if (name === undefined) break
      this.#id = (this.#id + 1) & 0xffff
      const question = { name, octets: encode(name, this.#id), tries: 0, sentMs: 0 }
      this.#underWay.set(this.#id, question)
      this.#send(question)
    }
    if (this.#underWay.size === 0) this.#done()
  }

  #send(question: Question): void {
    question.tries++
    question.sentMs = performance.now()
    this.#socket.send(question.octets, this.#port, '127.0.0.1')
  }

  #received(octets: Buffer): void {
    const question = octets.length < HEADER_OCTETS ? undefined : this.#question(octets)
    // A late answer to a question that was sent twice.
    if (question === undefined) return
    this.answered++
    const end = questionEnd(question.octets)
    const quoted = octets.subarray(HEADER_OCTETS, end)
    if (quoted.equals(question.octets.subarray(HEADER_OCTETS, end))) {
      try {
        this.#judge(question.name, decodeMessage(octets))
      } catch (error) {
        this.#failed(new Error(`${question.name}: ${String(error)}`, { cause: error }))
      }
    } else {
      this.misquoted.push(question.name)
    }
    this.#fill()
  }

  #question(octets: Buffer): Question | undefined {
    const id = octets.readUInt16BE(0)
    const question = this.#underWay.get(id)
    this.#underWay.delete(id)
    return question
  }

  #sweep(): void {
    const now = performance.now()
    for (const [id, question] of this.#underWay) {
      if (now - question.sentMs < TRY_MS_MAX) continue
      if (question.tries < TRIES_MAX) {
        this.resent++
        this.#send(question)
      } else {
        this.#underWay.delete(id)
        this.lost.push(question.name)
      }
    }
    this.#fill()
  }
}

/** A query for the A record, with EDNS, its letters in a case that changes from name to name. */
function encode(name: string, id: number): Buffer {
  const labels = name.split('.')
  const octets = Buffer.alloc(
    HEADER_OCTETS + Buffer.byteLength(name, 'latin1') + 2 + 4 + OPT.length,
  )
  octets.writeUInt16BE(id, 0)
  octets.writeUInt16BE(0x0100, 2)
  octets.writeUInt16BE(1, 4)
  octets.writeUInt16BE(1, 10)
  let at = HEADER_OCTETS
  for (const label of labels) {
    octets[at++] = label.length
    for (let index = 0; index < label.length; index++) {
      const octet = label.charCodeAt(index)
      const isLetter = octet >= 0x61 && octet <= 0x7a
      octets[at++] = isLetter && ((id >> (index & 15)) & 1) === 1 ? octet - 0x20 : octet
    }
  }
  octets[at++] = 0
  octets.writeUInt16BE(TYPE_A, at)
  octets.writeUInt16BE(CLASS_IN, at + 2)
  OPT.copy(octets, at + 4)
  return octets
}
