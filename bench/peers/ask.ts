/** Asks a server many names and says what became of each: the proof around every measurement. */
import { createSocket } from 'node:dgram'
import { createConnection } from 'node:net'
import { type DecodedPacket, decode, encode } from 'dns-packet'
import { SECOND_MS } from '../../src/base/units.ts'

/** The address in every answer of the upstream. */
export const UPSTREAM_ADDRESS = '192.0.2.1'

/** Queries in flight. */
const IN_FLIGHT_MAX = 50
/** Without an answer for so long, a query is asked again, so many times in all. */
const PATIENCE = { retryMs: 500, tries: 10 }
const TCP_MS_MAX = 5 * SECOND_MS
const SOCKET_BUFFER_OCTETS = 1024 * 1024

/** What an answer says of its name. `echoed` is the question itself, sent back as a response. */
export type Verdict = 'blocked' | 'answered' | 'echoed' | 'wrong' | 'none'

/** How a block looks. */
export type BlockForm = 'NXDOMAIN' | 'NODATA' | '0.0.0.0'

/** What a server said to one name. */
export interface Said {
  readonly name: string
  readonly verdict: Verdict
  readonly form?: BlockForm
}

function query(name: string, id: number): Buffer {
  // AD and CD stay clear and EDNS away, as dnsperf asks: packet caches know the difference.
  return encode({
    type: 'query',
    id,
    flags: 0x0100,
    questions: [{ type: 'A', class: 'IN', name }],
  })
}

/** Reads one answer to a question for `name`. */
function judge(name: string, octets: Buffer): Said {
  let message: DecodedPacket
  try {
    message = decode(octets)
  } catch {
    return { name, verdict: 'wrong' }
  }
  const asked = message.questions?.[0]?.name
  if (message.type !== 'response' || asked?.toLowerCase() !== name)
    return { name, verdict: 'wrong' }
  const records = message.answers ?? []
  const rcode = (octets[3] ?? 0) & 15
  if (rcode === 3) return { name, verdict: 'blocked', form: 'NXDOMAIN' }
  if (rcode !== 0) return { name, verdict: 'wrong' }
  const addresses = new Set(
    records.map((record) => (record.type === 'A' ? record.data : undefined)),
  )
  if (addresses.has(UPSTREAM_ADDRESS)) return { name, verdict: 'answered' }
  if (addresses.has('0.0.0.0')) return { name, verdict: 'blocked', form: '0.0.0.0' }
  if (records.length > 0) return { name, verdict: 'wrong' }
  const isEcho = octets.length === query(name, 0).length && !message.flag_ra
  if (isEcho) return { name, verdict: 'echoed' }
  return { name, verdict: 'blocked', form: 'NODATA' }
}

/** Asks all names for type A over UDP, a bounded number at a time; silence is `none`. */
export async function askAll(
  port: number,
  names: readonly string[],
  patience = PATIENCE,
): Promise<Said[]> {
  const said: Said[] = []
  const waiting = new Map<number, (octets: Buffer) => void>()
  const socket = createSocket({ type: 'udp4', recvBufferSize: SOCKET_BUFFER_OCTETS })
  // ICMP says that nobody listens yet: the retry or its end says so too.
  socket.on('error', () => {})
  socket.on('message', (octets) => {
    if (octets.length >= 12) waiting.get(octets.readUInt16BE(0))?.(octets)
  })
  await new Promise<void>((resolve) => socket.connect(port, '127.0.0.1', resolve))
  let next = 0
  const askOne = async (name: string, index: number): Promise<Said> => {
    const id = index & 0xffff
    for (let tries = 0; tries < patience.tries; tries++) {
      const octets = await new Promise<Buffer | undefined>((resolve) => {
        const timer = setTimeout(() => resolve(undefined), patience.retryMs)
        waiting.set(id, (answer) => {
          clearTimeout(timer)
          resolve(answer)
        })
        socket.send(query(name, id), () => {})
      })
      waiting.delete(id)
      if (octets !== undefined) return judge(name, octets)
    }
    return { name, verdict: 'none' }
  }
  const ask = async (): Promise<void> => {
    for (let index = next++; index < names.length; index = next++) {
      said.push(await askOne(names[index] ?? '', index))
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT_MAX }, ask))
  await new Promise<void>((resolve) => socket.close(() => resolve()))
  return said
}

/** Asks all names on one TCP connection, all in one write. */
export function askAllTcp(port: number, names: readonly string[]): Promise<Said[]> {
  const said = new Map<number, Said>()
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1' })
    const finish = (): void => {
      socket.destroy()
      resolve(names.map((name, id) => said.get(id) ?? { name, verdict: 'none' }))
    }
    socket.setTimeout(TCP_MS_MAX, finish)
    socket.once('error', finish)
    socket.once('close', finish)
    socket.once('connect', () => {
      const messages = names.map((name, id) => query(name, id))
      const framed = messages.flatMap((octets) => [
        Buffer.from([octets.length >> 8, octets.length & 255]),
        octets,
      ])
      socket.write(Buffer.concat(framed))
    })
    let rest: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
        const octets = rest.subarray(2, 2 + rest.readUInt16BE(0))
        rest = rest.subarray(2 + octets.length)
        const id = octets.length >= 12 ? octets.readUInt16BE(0) : -1
        const name = names[id]
        if (name !== undefined) said.set(id, judge(name, octets))
      }
      if (said.size === names.length) finish()
    })
  })
}
