/**
 * Attacks by clients, and what is to be seen of the server meanwhile: alive, as large as before,
 * with as many descriptors, every query accounted for, and honest clients served in time.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { frame, openTcp, openUdp } from './dns-client.ts'
import { encodeQuery } from './messages.ts'
import type { Mutations } from './mutations.ts'
import type { Niveau3 } from './niveau3.ts'

const KIB = 1024
/** Packets between two looks at whether the server keeps up. */
const BURST = 50
const SETTLE_MS_MAX = 20_000
const POLL_MS = 50
const TABLE_READINGS = 4
/** Counting costs the server time that its clients would have: seldom while it is attacked. */
const POLL_UNDER_ATTACK_MS = 500

/** What an honest client saw. */
export interface Service {
  readonly sent: number
  readonly lost: number
  readonly p50: number
  readonly p99: number
  readonly worst: number
}

/** What the server takes, from /proc. */
export interface Footprint {
  readonly rssMiB: number
  /** Without its pool of source ports towards the upstream, which fills up to its limit. */
  readonly descriptors: number
}

/** What a server counted. */
export interface Account {
  readonly received: number
  readonly responses: number
  readonly dropped: number
}

/** Reads what the server takes at this moment. */
export function footprintOf(server: Niveau3, upstreamPort: number): Footprint {
  const folder = `/proc/${server.process.pid}`
  const rss = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`${folder}/status`, 'latin1'))
  const remote = `:${upstreamPort.toString(16).toUpperCase().padStart(4, '0')}`
  const sources = new Set<string>()
  // The kernel lists thousands of sockets in many steps, and misses some when others come or go.
  for (let times = 0; times < TABLE_READINGS; times++) {
    for (const line of readFileSync(`${folder}/net/udp`, 'latin1').split('\n')) {
      const words = line.trim().split(/\s+/)
      if (words[2]?.endsWith(remote) === true) sources.add(`socket:[${words[9]}]`)
    }
  }
  const open = readdirSync(`${folder}/fd`).map((fd) => targetOf(`${folder}/fd/${fd}`))
  return {
    rssMiB: Number(rss?.[1]) / KIB,
    descriptors: open.filter((target) => !sources.has(target)).length,
  }
}

/** What a descriptor is of; it may be closed meanwhile. */
function targetOf(link: string): string {
  try {
    return readlinkSync(link)
  } catch {
    return ''
  }
}

/** Resolves with the counts once nothing is in flight; they may still not add up. */
export async function settledAccount(server: Niveau3): Promise<Account> {
  const endMs = Date.now() + SETTLE_MS_MAX
  for (;;) {
    const text = await server.metrics()
    const account = {
      received: sumOf(text, 'niveau3_dns_queries_total'),
      responses: sumOf(text, 'niveau3_dns_responses_total'),
      dropped: sumOf(text, 'niveau3_dns_dropped_total'),
    }
    const isEven = account.received === account.responses + account.dropped
    if (isEven || Date.now() > endMs) return account
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** Resolves when the server has let go of every connection that its clients have ended. */
export function connectionsEnded(server: Niveau3): Promise<void> {
  return connectionsUntil(server, (count) => count === 0, POLL_MS)
}

/** Resolves when the server has taken that many connections; throws when it never does. */
export function connectionsOpen(server: Niveau3, atLeast: number): Promise<void> {
  return connectionsUntil(server, (count) => count >= atLeast, POLL_UNDER_ATTACK_MS)
}

async function connectionsUntil(
  server: Niveau3,
  isDue: (count: number) => boolean,
  pollMs: number,
): Promise<void> {
  const endMs = Date.now() + SETTLE_MS_MAX
  for (;;) {
    const count = await server.metric('niveau3_tcp_connections')
    if (isDue(count)) return
    if (Date.now() > endMs) throw new Error(`${count} connections are open`)
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
}

function sumOf(text: string, metric: string): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${metric}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

const HONEST_CLIENT = join(import.meta.dirname, 'honest-client.mjs')
const clients = new Set<ChildProcess>()
afterAll(() => {
  for (const client of clients) client.kill('SIGKILL')
})

/** A client that asks for the names in turn, two milliseconds apart, from a process of its own. */
export class HonestClient {
  readonly #process: ChildProcess

  constructor(server: Niveau3, names: readonly string[]) {
    const queries = names.map((name) => encodeQuery(name, 'A', { edns: {} }).toString('hex'))
    this.#process = fork(HONEST_CLIENT, [String(server.port), ...queries], { execArgv: [] })
    clients.add(this.#process)
  }

  get pid(): number {
    return this.#process.pid!
  }

  /** Asks while the work runs. */
  async during(work: () => Promise<unknown>): Promise<Service> {
    this.#process.send('start')
    await work()
    const told = once(this.#process, 'message') as Promise<[Service]>
    this.#process.send('stop')
    return (await told)[0]
  }
}

/** How many packets or connections, and how many of them in a second at most. */
export interface Flood {
  readonly count: number
  readonly perSecondMax: number
}

/** Waits until so many packets are due. */
async function keepPace(startMs: number, sent: number, { perSecondMax }: Flood): Promise<void> {
  const aheadMs = startMs + (sent / perSecondMax) * 1000 - performance.now()
  if (aheadMs > 1) await new Promise((resolve) => setTimeout(resolve, aheadMs))
}

/**
 * Sends mutations over UDP. After each burst a question of our own has to be answered, so that the
 * kernel's buffer never overflows and every packet is handled.
 */
export async function floodUdp(server: Niveau3, mutations: Mutations, flood: Flood): Promise<void> {
  const { count } = flood
  const startMs = performance.now()
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const probe = await openUdp(server)
  try {
    for (let sent = 0; sent < count; sent += BURST) {
      for (let index = 0; index < Math.min(BURST, count - sent); index++) {
        socket.send(mutations.next(), server.port, server.address)
      }
      await new Promise((resolve) => setImmediate(resolve))
      await probe.send(encodeQuery('localhost', 'A', { id: sent & 0xffff }))
      await probe.next(SETTLE_MS_MAX)
      await keepPace(startMs, sent, flood)
    }
  } finally {
    await probe.close()
    socket.close()
  }
}

/** Sends mutations over TCP, pipelined; the answers are read until that of our own question. */
export async function floodTcp(server: Niveau3, mutations: Mutations, flood: Flood): Promise<void> {
  const { count } = flood
  const startMs = performance.now()
  const own = encodeQuery('localhost', 'A', { id: 0xfeed })
  for (let sent = 0; sent < count;) {
    const client = await openTcp(server)
    // A connection lives for some bursts: those of honest clients do not live for ever either.
    for (let bursts = 0; bursts < 20 && sent < count; bursts++) {
      const packets = Array.from({ length: Math.min(BURST, count - sent) }, () => mutations.next())
      sent += packets.length
      await client.send(...packets, own)
      for (let answer = await client.next(SETTLE_MS_MAX); !isReplyTo(own, answer);) {
        answer = await client.next(SETTLE_MS_MAX)
      }
      await keepPace(startMs, sent, flood)
    }
    await client.close()
  }
}

function isReplyTo(query: Buffer, answer: Buffer): boolean {
  const octets = query.length
  return (
    query.readUInt16BE(0) === answer.readUInt16BE(0) &&
    query.subarray(12).equals(answer.subarray(12, octets))
  )
}

/** Connections from addresses of their own, so many for each; `first` is what each of them says. */
export async function connectMany(
  server: Niveau3,
  flood: Flood,
  perAddress: number,
  first: Uint8Array,
): Promise<Socket[]> {
  const { count } = flood
  const startMs = performance.now()
  const sockets: Socket[] = []
  for (let index = 0; index < count; index++) {
    await keepPace(startMs, index, flood)
    const localAddress = `127.0.1.${1 + Math.floor(index / perAddress)}`
    const socket = createConnection({ host: server.address, port: server.port, localAddress })
    socket.on('error', () => {})
    await once(socket, 'connect')
    // Who says nothing at all is not idle, but cut off after two seconds.
    if (first.length > 0) socket.write(first)
    socket.resume()
    sockets.push(socket)
  }
  return sockets
}

/** Ends the connections and waits until they are gone. */
export async function disconnectAll(sockets: readonly Socket[]): Promise<void> {
  for (const socket of sockets) socket.destroy()
  const open = sockets.filter((socket) => !socket.closed)
  await Promise.all(open.map((socket) => once(socket, 'close')))
}

/** Begins a message on every connection and goes on octet by octet, for so long. */
export async function dripTcp(sockets: readonly Socket[], milliseconds: number): Promise<void> {
  const message = frame(encodeQuery('slow.example.com'))
  const endMs = Date.now() + milliseconds
  for (let at = 0; Date.now() < endMs; at++) {
    const octet = message.subarray(at % message.length, (at % message.length) + 1)
    for (const socket of sockets) if (socket.writable) socket.write(octet)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** Opens connections that ask a hundred questions at once and are gone. */
export async function floodConnections(server: Niveau3, flood: Flood): Promise<void> {
  const { count } = flood
  const startMs = performance.now()
  const names = Array.from({ length: 100 }, (_, index) => encodeQuery(`gone${index}.example.com`))
  const questions = frame(...names)
  for (let index = 0; index < count; index++) {
    await keepPace(startMs, index, flood)
    const socket = createConnection({ host: server.address, port: server.port })
    socket.on('error', () => {})
    await once(socket, 'connect')
    await new Promise((resolve) => socket.write(questions, resolve))
    if (index % 2 === 0) socket.resetAndDestroy()
    else socket.destroy()
  }
}

/**
 * Pipelines questions with large answers on every connection and reads none of the answers, for so
 * long.
 */
export async function leaveUnread(
  sockets: readonly Socket[],
  questions: number,
  milliseconds: number,
): Promise<void> {
  const one = frame(encodeQuery('large.example.com', 'TXT', { edns: {} }))
  const all = Buffer.concat(Array.from({ length: questions }, () => one))
  for (const socket of sockets) {
    socket.pause()
    socket.write(all)
  }
  await new Promise((resolve) => setTimeout(resolve, milliseconds))
}
