/** Free ports for servers of the tests. */
import { type Socket, createSocket } from 'node:dgram'
import { type Server, createServer } from 'node:net'

/**
 * Ports are drawn below the range that the kernel gives to outgoing connections (32768 and up), so
 * that none of those takes a port between our look and the server's bind.
 */
const PORT_MIN = 12_000
const PORT_MAX = 32_000

/** Parallel vitest workers draw from separate slices: SO_REUSEPORT would hide a collision. */
const SLICES = 8

const TRIES_MAX = 200

const handedOut = new Set<number>()

/** Returns a port that nothing uses, over UDP and TCP, on 127.0.0.1 and (where it exists) ::1. */
export async function freePort(): Promise<number> {
  const slice = Number(process.env['VITEST_POOL_ID'] ?? process.pid) % SLICES
  const width = Math.floor((PORT_MAX - PORT_MIN) / SLICES)
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = PORT_MIN + slice * width + Math.floor(Math.random() * width)
    if (handedOut.has(port)) continue
    handedOut.add(port)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port in ${TRIES_MAX} tries between ${PORT_MIN} and ${PORT_MAX}`)
}

async function isFree(port: number): Promise<boolean> {
  for (const address of ['127.0.0.1', '::1']) {
    if (!(await canListen(address, port)) || !(await canReceive(address, port))) return false
  }
  return true
}

function canListen(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server: Server = createServer()
    server.once('error', (error) => resolve(isAbsentAddress(error)))
    server.listen({ port, host: address, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

function canReceive(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket: Socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
    socket.once('error', (error) => {
      socket.close()
      resolve(isAbsentAddress(error))
    })
    socket.bind({ port, address, exclusive: true }, () => socket.close(() => resolve(true)))
  })
}

/** A machine without IPv6 has no ::1: nothing there can be in use. */
function isAbsentAddress(error: NodeJS.ErrnoException): boolean {
  return error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT'
}
