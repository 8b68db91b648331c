/** A load of many clients with known questions, each of whose answers is looked for. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { afterAll } from 'vitest'
import { encodeQuery } from './messages.ts'

/** What one client sent and got. */
export interface LoadClient {
  /** The first label of its name: `c7`. */
  readonly name: string
  readonly sent: number
  readonly answered: number
}

const TICK_MS = 5
/** Ids start anew after this many queries of a client: more than one load has. */
const IDS = 0x10000
const RCODE_AT = 3
const RCODE_MASK = 0xf

const sockets = new Set<Socket>()
afterAll(() => {
  for (const socket of sockets) socket.close()
})

class Client implements LoadClient {
  readonly name: string
  readonly #socket: Socket
  readonly #port: number
  readonly #query: Buffer
  readonly #open = new Set<number>()
  readonly #rcode: number
  sent = 0
  answered = 0

  constructor(socket: Socket, name: string, zone: string, port: number, rcode: number) {
    this.#socket = socket
    this.#port = port
    this.#rcode = rcode
    this.name = name
    this.#query = encodeQuery(`${name}.${zone}`)
    socket.on('message', (message) => this.#received(message))
  }

  send(queries: number): void {
    for (let index = 0; index < queries; index++) {
      const query = Buffer.from(this.#query)
      const id = this.sent++ % IDS
      query.writeUInt16BE(id)
      this.#open.add(id)
      this.#socket.send(query, this.#port, '127.0.0.1')
    }
  }

  #received(message: Buffer): void {
    // A second answer to one question, or another rcode, leaves a question open: the test fails.
    if ((message[RCODE_AT]! & RCODE_MASK) !== this.#rcode) return
    if (this.#open.delete(message.readUInt16BE())) this.answered++
  }
}

/** Many clients, each on its own port; made by `openLoad`. */
export class UdpLoad {
  readonly #clients: readonly Client[]
  #timer: NodeJS.Timeout | undefined

  constructor(clients: readonly Client[]) {
    this.#clients = clients
  }

  get clients(): readonly LoadClient[] {
    return this.#clients
  }

  get sent(): number {
    return this.#clients.reduce((sum, client) => sum + client.sent, 0)
  }

  get answered(): number {
    return this.#clients.reduce((sum, client) => sum + client.answered, 0)
  }

  /** Every client sends one query now and every few milliseconds from now on. */
  start(): void {
    const tick = (): void => {
      for (const client of this.#clients) client.send(1)
    }
    tick()
    this.#timer = setInterval(tick, TICK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

/**
 * Opens clients that will ask for `c0.ZONE`, `c1.ZONE` and so on.
 *
 * @param rcode the only one that counts as an answer.
 */
export async function openLoad(
  count: number,
  zone: string,
  port: number,
  rcode: number,
): Promise<UdpLoad> {
  const clients: Client[] = []
  for (let index = 0; index < count; index++) {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 })
    sockets.add(socket)
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    clients.push(new Client(socket, `c${index}`, zone, port, rcode))
  }
  return new UdpLoad(clients)
}
