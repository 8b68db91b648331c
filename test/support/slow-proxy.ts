/** A TCP proxy on loopback that makes a network slow, cuts it, or swallows what goes through it. */
import { type Server, type Socket, createConnection, createServer } from 'node:net'
import { afterAll } from 'vitest'

const open = new Set<SlowProxy>()
afterAll(async () => {
  await Promise.all([...open].map((proxy) => proxy.stop()))
})

/** A running proxy; made by `startProxy`. */
export class SlowProxy {
  readonly port: number
  /** Each octet is held back this long, in both directions. */
  delayMs = 0
  /** True: nothing gets through, and nobody is told. */
  swallows = false
  /** True: connections are reset at once. */
  refuses = false
  connections = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(server: Server, port: number, targetPort: number) {
    this.#server = server
    this.port = port
    open.add(this)
    server.on('connection', (client) => {
      this.connections++
      if (this.refuses) {
        client.resetAndDestroy()
        return
      }
      const target = createConnection({ port: targetPort, host: '127.0.0.1' })
      this.#join(client, target)
      this.#join(target, client)
    })
  }

  /** Ends every connection with RST. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  async stop(): Promise<void> {
    if (!open.delete(this)) return
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from)
    from.setNoDelay(true)
    from.on('error', () => {})
    from.on('close', () => {
      this.#sockets.delete(from)
      to.destroy()
    })
    from.on('data', (chunk) => {
      if (this.swallows) return
      if (this.delayMs === 0) to.write(chunk)
      else setTimeout(() => to.write(chunk), this.delayMs)
    })
  }
}

/** Starts a proxy in front of a port of 127.0.0.1. */
export async function startProxy(targetPort: number): Promise<SlowProxy> {
  const server = createServer()
  const port = await new Promise<number>((resolve) => {
    server.listen({ port: 0, host: '127.0.0.1' }, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
  return new SlowProxy(server, port, targetPort)
}
