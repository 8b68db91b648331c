/** The server under soak, watched from outside, and an upstream for it. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { freePort } from '../../test/support/ports.ts'
import { type Child, startPinned } from '../peers/children.ts'
import { readMemory } from '../peers/proc.ts'

const PROGRAM = resolve('dist/bin.js')
const READY_MS_MAX = 30_000
const LOOK_MS = 100
const ANSWER_TTL_AT = 6

/**
 * Loaded into every thread of the server: counts the timers that live, those that let the process
 * end included, and writes the number down every second. Its own timer is one of them.
 */
const TIMER_COUNT = `
  import { createHook } from 'node:async_hooks'
  import { writeFileSync } from 'node:fs'
  import { threadId } from 'node:worker_threads'
  const alive = new Set()
  createHook({
    init: (id, type) => { if (type === 'Timeout') alive.add(id) },
    destroy: (id) => { alive.delete(id) },
  }).enable()
  const file = process.env.SOAK_TIMERS + '/' + threadId
  setInterval(() => writeFileSync(file, String(alive.size)), 1000).unref()
`

/** What one look at the server found. */
export interface Look {
  readonly residentOctets: number
  readonly descriptors: number
  /** Of all threads. */
  readonly timers: number
}

/** A running server; made by `startServer`. */
export interface SoakServer {
  readonly port: number
  look(): Look
  stop(): Promise<void>
}

/** Starts `niveau3 serve` with the curated lists and one worker, on one core. */
export async function startServer(
  folder: string,
  upstreamPort: number,
  blocked: readonly string[],
  cpu: number,
): Promise<SoakServer> {
  const port = await freePort()
  const timers = join(folder, 'timers')
  mkdirSync(timers)
  const module = join(folder, 'timers.mjs')
  writeFileSync(module, TIMER_COUNT)
  const list = join(folder, 'blocked.txt')
  writeFileSync(list, `${blocked.join('\n')}\n`)
  const args = ['--max-semi-space-size=2', PROGRAM, 'serve', '--workers', '1']
  args.push('--metrics', '127.0.0.1:0')
  args.push('--listen', `127.0.0.1:${port}`, '--upstream', `udp://127.0.0.1:${upstreamPort}`)
  args.push('--blocklist', `adult=${list}`, '--state-dir', join(folder, 'state'))
  const env = {
    NODE_OPTIONS: `--import ${pathToFileURL(module).href}`,
    SOAK_TIMERS: timers,
  }
  const child = startPinned({ program: process.execPath, args, cwd: folder, env }, cpu)
  await untilReady(child, timers)
  return {
    port,
    look: () => {
      if (!child.isRunning()) throw new Error(`the server has ended\n${child.output()}`)
      return {
        residentOctets: readMemory(child.pid).rssOctets,
        descriptors: readdirSync(`/proc/${child.pid}/fd`).length,
        timers: timersIn(timers),
      }
    },
    stop: () => child.end(),
  }
}

async function untilReady(child: Child, timers: string): Promise<void> {
  const endMs = performance.now() + READY_MS_MAX
  const isReady = (): boolean =>
    child.output().includes('"event":"ready"') && readdirSync(timers).length > 1
  while (!isReady()) {
    if (!child.isRunning() || performance.now() > endMs) {
      throw new Error(`the server is not ready\n${child.output()}`)
    }
    await new Promise((resolve_) => setTimeout(resolve_, LOOK_MS))
  }
}

function timersIn(folder: string): number {
  const counts = readdirSync(folder).map((file) => Number(readFileSync(join(folder, file), 'utf8')))
  return counts.reduce((sum, count) => sum + count, 0)
}

/**
 * Answers every question with one address that lives for `ttlSeconds`, up to half of it more or
 * less by the name: names that have one TTL are all fetched in one wave a minute, which no real
 * upstream brings about.
 */
export async function startUpstream(
  ttlSeconds: number,
): Promise<{ port: number; close: () => void }> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 * 1024 * 1024 })
  const record = Buffer.from('c00c00010001000000000004c0000201', 'hex')
  const leastSeconds = Math.ceil(ttlSeconds / 2)
  socket.on('message', (query, from) => {
    record.writeUInt32BE(leastSeconds + (sumOf(query) % ttlSeconds), ANSWER_TTL_AT)
    answer(socket, query, record, from.port)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { port: socket.address().port, close: () => socket.close() }
}

/** Differs from name to name, whatever the case of its letters; the id is no part of it. */
function sumOf(query: Buffer): number {
  let sum = 0
  for (const octet of query.subarray(12)) sum = (sum * 31 + (octet & 0xdf)) % 65_521
  return sum
}

function answer(socket: Socket, query: Buffer, record: Buffer, port: number): void {
  let end = 12
  while (query[end]! !== 0) end += query[end]! + 1
  const reply = Buffer.concat([query.subarray(0, end + 5), record])
  reply.writeUInt16BE(0x8180, 2)
  reply.writeUInt16BE(1, 6)
  reply.writeUInt32BE(0, 8)
  socket.send(reply, port, '127.0.0.1')
}
