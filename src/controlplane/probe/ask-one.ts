/** One question of the probe over UDP, and what the answer says of the filter. */
import { createSocket } from 'node:dgram'
import { SECOND_MS } from '../../base/units.ts'
import type { Endpoint } from '../../dataplane/settings.ts'
import { TYPE_A } from '../../wire/codes.ts'
import { encodeQuery, isReplyTo } from '../cli/dns-exchange.ts'
import { readMessage, type MessageText } from '../cli/dns-text.ts'

/** Above `forward.totalTimeoutMs`, so that a dead upstream is told from a dead server. */
const ANSWER_MS_MAX = 5 * SECOND_MS
/** A datagram may be lost: it is sent once more after this. */
const RESEND_MS = 2 * SECOND_MS
/** Extended errors that say that somebody did not want it answered (RFC 8914 4.16 to 4.18). */
const BLOCK_ERRORS: ReadonlySet<number> = new Set([15, 16, 17])
/** RNAME of the SOA of our blocks: what a router lets through that drops EDNS. */
const BLOCK_MAILBOX = 'nobody.invalid'
/** What `response: null` answers. */
const NULL_ADDRESSES: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

/**
 * `blocked` by a filter; `open`: answered as the DNS has it; `failed`: an error, most often because
 * no upstream answers; `silent`: no answer at all.
 */
export type Verdict = 'blocked' | 'open' | 'failed' | 'silent'
export const VERDICTS = ['blocked', 'open', 'failed', 'silent'] as const

export interface Asking {
  readonly server: Endpoint
  /** Own address to ask from; undefined: the system's choice. */
  readonly from?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** Asks for the A records of a wire name. Whatever happens is a verdict; it never throws. */
export async function askOne(name: Uint8Array, asking: Asking): Promise<Verdict> {
  const query = encodeQuery(name, TYPE_A)
  const reply = await exchange(query, asking)
  if (reply === undefined) return 'silent'
  try {
    return verdictOf(readMessage(reply))
  } catch {
    return 'failed'
  }
}

/** What an answer says. */
export function verdictOf({ answers, authorities, edns, rcode }: MessageText): Verdict {
  if (edns?.errors.some(({ code }) => BLOCK_ERRORS.has(code))) return 'blocked'
  const isOurs = authorities.some(
    ({ data, type }) => type === 'SOA' && data.includes(BLOCK_MAILBOX),
  )
  if (isOurs) return 'blocked'
  if (rcode !== 'NOERROR' && rcode !== 'NXDOMAIN') return 'failed'
  const addresses = answers.filter(({ type }) => type === 'A' || type === 'AAAA')
  const isNull = addresses.length > 0 && addresses.every(({ data }) => NULL_ADDRESSES.has(data))
  return isNull ? 'blocked' : 'open'
}

function exchange(query: Buffer, { from, server, signal }: Asking): Promise<Buffer | undefined> {
  const socket = createSocket(server.address.includes(':') ? 'udp6' : 'udp4')
  return new Promise<Buffer | undefined>((resolve) => {
    const silent = (): void => resolve(undefined)
    const send = (): void => socket.send(query)
    let resend: NodeJS.Timeout | undefined
    const patience = setTimeout(silent, ANSWER_MS_MAX)
    socket.once('close', () => {
      clearTimeout(resend)
      clearTimeout(patience)
      signal?.removeEventListener('abort', silent)
    })
    signal?.addEventListener('abort', silent)
    socket.on('error', silent)
    socket.on('message', (message) => {
      if (isReplyTo(query, message)) resolve(message)
    })
    const connected = (): void => {
      send()
      resend = setTimeout(send, RESEND_MS)
    }
    // Connected: the kernel takes datagrams of this server only, and tells when its port is closed.
    if (from === undefined) socket.connect(server.port, server.address, connected)
    else
      socket.bind({ address: from, port: 0 }, () => {
        socket.connect(server.port, server.address, connected)
      })
  }).finally(() => socket.close())
}
