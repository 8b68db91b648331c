/** One question to one server, over UDP or TCP: cold code that waits for the answer and ends. */

import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { createConnection } from 'node:net'
import { encode } from 'dns-packet'
import { OperationalError } from '../../base/errors.ts'
import { SECOND_MS } from '../../base/units.ts'
import type { Endpoint } from '../../dataplane/settings.ts'
import { formatEndpoint } from '../config/addresses.ts'
import { systemCode } from '../config/plain.ts'

const ANSWER_MS_MAX = 5 * SECOND_MS
/** A datagram may be lost: it is sent once more after this. */
const RESEND_MS = 2 * SECOND_MS
const HEADER_OCTETS = 12
const UDP_OCTETS_MAX = 1232

export interface DnsReply {
  readonly octets: Buffer
  readonly protocol: 'udp' | 'tcp'
  readonly milliseconds: number
}

/**
 * Returns a query with recursion desired and EDNS, under a random id.
 *
 * @param name the name's wire octets: dns-packet takes texts, which cannot say every name.
 */
export function encodeQuery(name: Uint8Array, type: number): Buffer {
  const octets = encode({
    type: 'query',
    id: randomInt(0x10000),
    flags: 0x0100,
    questions: [{ name: '.', type: 'A', class: 'IN' }],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: UDP_OCTETS_MAX,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  })
  octets.writeUInt16BE(type, HEADER_OCTETS + 1)
  const header = octets.subarray(0, HEADER_OCTETS)
  return Buffer.concat([header, name, octets.subarray(HEADER_OCTETS + 1)])
}

/** The offset past the question of a message whose names are well formed. */
function questionEnd(octets: Buffer): number {
  let at = HEADER_OCTETS
  while (at < octets.length && octets[at] !== 0) at += octets[at]! + 1
  return Math.min(octets.length, at + 5)
}

/** Whether a message answers a query: its id, its response bit and its question (RFC 5452 9). */
export function isReplyTo(query: Buffer, message: Buffer): boolean {
  if (message.length < HEADER_OCTETS) return false
  if (message.readUInt16BE(0) !== query.readUInt16BE(0) || (message[2]! & 0x80) === 0) return false
  // A server that could make nothing of the question may leave it out.
  if (message.readUInt16BE(4) === 0) return true
  const end = questionEnd(query)
  const fold = (octets: Buffer) => octets.toString('latin1', HEADER_OCTETS, end).toLowerCase()
  return message.length >= end && fold(message) === fold(query)
}

/**
 * Sends the query and returns the first answer to it.
 *
 * @throws OperationalError ERR_SERVER_UNREACHABLE when none comes within 5 s.
 */
export async function exchange(
  server: Endpoint,
  query: Buffer,
  protocol: 'udp' | 'tcp',
): Promise<DnsReply> {
  let sentMs = performance.now()
  const sent = (): void => void (sentMs = performance.now())
  const ask = protocol === 'udp' ? askUdp : askTcp
  try {
    const octets = await ask(server, query, sent)
    return { octets, protocol, milliseconds: performance.now() - sentMs }
  } catch (cause) {
    const place = `${formatEndpoint(server)} over ${protocol.toUpperCase()}`
    const why = cause instanceof Silence ? cause.message : systemCode(cause)
    const message = `no answer from ${place}: ${why}; is "niveau3 serve" running there?`
    throw new OperationalError('ERR_SERVER_UNREACHABLE', message, { cause })
  }
}

/** Nothing came in time, or the connection closed without an answer. */
class Silence extends Error {}

function askUdp(server: Endpoint, query: Buffer, sent: () => void): Promise<Buffer> {
  const socket = createSocket(server.address.includes(':') ? 'udp6' : 'udp4')
  return new Promise<Buffer>((resolve, reject) => {
    const send = (): void => socket.send(query)
    const resend = setTimeout(send, RESEND_MS)
    const silence = setTimeout(() => {
      reject(
        new Silence(
          `silence for ${ANSWER_MS_MAX / SECOND_MS} s (it drops clients outside allowFrom)`,
        ),
      )
    }, ANSWER_MS_MAX)
    const end = (): void => {
      clearTimeout(resend)
      clearTimeout(silence)
    }
    socket.on('error', (error) => {
      end()
      reject(error)
    })
    socket.on('message', (message) => {
      if (!isReplyTo(query, message)) return
      end()
      resolve(message)
    })
    // Connected: the kernel takes datagrams of this server only, and tells when its port is closed.
    socket.connect(server.port, server.address, () => {
      sent()
      send()
    })
  }).finally(() => socket.close())
}

function askTcp(server: Endpoint, query: Buffer, sent: () => void): Promise<Buffer> {
  const socket = createConnection({ host: server.address, port: server.port })
  return new Promise<Buffer>((resolve, reject) => {
    let received = Buffer.alloc(0)
    socket.setTimeout(ANSWER_MS_MAX, () => {
      reject(new Silence(`silence for ${ANSWER_MS_MAX / SECOND_MS} s`))
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Silence('it closed the connection')))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      const length = received.length >= 2 ? received.readUInt16BE(0) : Number.POSITIVE_INFINITY
      if (received.length < length + 2) return
      const message = received.subarray(2, length + 2)
      if (isReplyTo(query, message)) resolve(message)
      else reject(new Silence('it answered another question'))
    })
    const prefix = Buffer.alloc(2)
    prefix.writeUInt16BE(query.length)
    socket.on('connect', () => {
      sent()
      socket.write(Buffer.concat([prefix, query]))
    })
  }).finally(() => socket.destroy())
}
