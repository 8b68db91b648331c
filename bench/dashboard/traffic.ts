/** What a few houses ask in two minutes: traffic whose curves have a shape. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { SITES } from '../../test/support/dashboard.ts'
import { askTcp, type Server } from '../../test/support/dns-client.ts'
import { encodeQuery } from '../../test/support/messages.ts'
import {
  answerAddresses,
  nameError,
  type ReceivedQuery,
  type Script,
} from '../../test/support/scripted-upstream.ts'

const TICK_MS = 50
const TICKS_PER_SECOND = 1000 / TICK_MS
const POPULAR_NAMES = 400
/** Clients, and which part of the questions comes from each. */
const CLIENTS = ['127.0.0.1', SITES.lyon, SITES.paris] as const
const CLIENT_PARTS = [0.2, 0.45, 0.35]
const TYPES = ['A', 'A', 'A', 'AAAA', 'AAAA', 'HTTPS']
/** Names of the lists that ship. */
const ADULT = ['www.pornhub.com', 'jizz.us', 'fapster.xxx']
const VPN = ['mullvad.net', 'purevpn.fr', 'hoxx.net']
const DARKWEB = ['onion.to', 'hiddenwiki.com', 'thehiddenwiki.org']
/** Signs of a way round the filter, answered here. */
const BYPASS = ['abcdef.onion', 'abcdef.onion', 'use-application-dns.net', 'mask.icloud.com']

/** A kind of question, and how many of it come in the second `t` of `of`. */
interface Kind {
  readonly name: () => string
  readonly perSecond: (t: number) => number
}

const KINDS: readonly Kind[] = [
  { name: () => `www-${popular()}.example`, perSecond: (t) => 180 + 130 * wave(t, 60, 8) },
  { name: () => `new-${random(1e9)}.example`, perSecond: (t) => 28 + 16 * wave(t, 35, 0) },
  { name: () => `nx-${random(5000)}.example`, perSecond: (t) => 14 + 6 * wave(t, 25, 5) },
  { name: () => oneOf(ADULT), perSecond: (t) => 26 + 18 * wave(t, 50, 20) },
  { name: () => oneOf(VPN), perSecond: (t) => 16 + 10 * wave(t, 30, 12) + bump(t, 55, 6, 40) },
  { name: () => oneOf(DARKWEB), perSecond: (t) => 8 + 5 * wave(t, 40, 3) },
  { name: () => oneOf(BYPASS), perSecond: (t) => 5 + 7 * wave(t, 55, 15) },
]
const TCP_PER_SECOND = 6

/** Two upstreams that answer after some milliseconds, now the one sooner and now the other. */
export function slowUpstreams(startMs: number): readonly [Script, Script] {
  const script =
    (milliseconds: (t: number) => number): Script =>
    async (query) => {
      const t = (Date.now() - startMs) / 1000
      await pause(milliseconds(t) * (0.3 + 1.4 * Math.random()))
      return answered(query)
    }
  return [script((t) => 6 + 9 * wave(t, 70, 10)), script((t) => 7 + 8 * wave(t, 70, 45))]
}

/** Asks the server for so many seconds. Answers are not looked at: tests do that. */
export async function drive(server: Server, seconds: number): Promise<void> {
  const sockets: Socket[] = []
  for (const address of CLIENTS) {
    const socket = createSocket('udp4')
    socket.bind(0, address)
    await once(socket, 'listening')
    socket.on('message', () => undefined)
    sockets.push(socket)
  }
  const overTcp: Promise<unknown>[] = []
  const startMs = Date.now()
  for (let tick = 0; tick < seconds * TICKS_PER_SECOND; tick++) {
    const t = tick / TICKS_PER_SECOND
    for (const { name, perSecond } of KINDS) {
      for (let left = atRandom(perSecond(t) / TICKS_PER_SECOND); left > 0; left--) {
        const query = encodeQuery(name(), oneOf(TYPES), { edns: {} })
        sockets[client()]!.send(query, server.port, server.address)
      }
    }
    if (Math.random() < TCP_PER_SECOND / TICKS_PER_SECOND) {
      overTcp.push(askTcp(server, `www-${popular()}.example`))
    }
    await pause(startMs + (tick + 1) * TICK_MS - Date.now())
  }
  await Promise.all(overTcp)
  for (const socket of sockets) socket.close()
}

function answered(query: ReceivedQuery): Buffer {
  if (query.name.toLowerCase().startsWith('nx-')) return nameError(query)
  return answerAddresses(query) as Buffer
}

/** From 0 to 1 and back within a period. */
function wave(t: number, periodSeconds: number, shiftSeconds: number): number {
  return (1 + Math.sin(((t - shiftSeconds) / periodSeconds) * 2 * Math.PI)) / 2
}

/** Rises to `height` at one moment and falls again. */
function bump(t: number, atSecond: number, widthSeconds: number, height: number): number {
  return height * Math.exp(-(((t - atSecond) / widthSeconds) ** 2))
}

/** A whole number whose mean is `mean`. */
function atRandom(mean: number): number {
  return Math.floor(mean + Math.random())
}

function random(count: number): number {
  return Math.floor(Math.random() * count)
}

/** Low numbers often, high ones seldom. */
function popular(): number {
  return Math.floor(POPULAR_NAMES * Math.random() ** 3)
}

function oneOf(names: readonly string[]): string {
  return names[random(names.length)]!
}

function client(): number {
  let left = Math.random()
  return Math.max(
    0,
    CLIENT_PARTS.findIndex((part) => (left -= part) < 0),
  )
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)))
}
