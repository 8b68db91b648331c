import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { advanceClock } from '../support/clock.ts'
import { startDataplane, type Dataplane } from '../support/dataplane.ts'
import { askUdp, openTcp, openUdp, type TcpClient, type UdpClient } from '../support/dns-client.ts'
import { decodeMessage, questionEnd, type Message } from '../support/messages.ts'
import { header, join, question } from '../support/octets.ts'
import {
  answerAddresses,
  noData,
  startScriptedUpstream,
  type ReceivedQuery,
} from '../support/scripted-upstream.ts'
import { walkMessage } from '../support/walk.ts'

const DATA = resolve(process.env['NIVEAU3_DATA'] ?? '../shared/data')
const INDEX = resolve(DATA, 'packets/index.tsv')
if (!existsSync(INDEX)) {
  throw new Error(`no packets in ${DATA}; set NIVEAU3_DATA to the folder that holds them`)
}

interface Packet {
  readonly file: string
  readonly octets: Buffer
  readonly side: string
  /** Classes of which one has to come, `|` between them. */
  readonly expected: readonly string[]
}

/** Octets that one UDP datagram can carry over IPv4. */
const DATAGRAM_OCTETS_MAX = 65_507
const SERVFAIL = 2
const RCODES: Readonly<Record<string, number>> = {
  FORMERR: 1,
  SERVFAIL: 2,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
}

const packets = readFileSync(INDEX, 'utf8')
  .trim()
  .split('\n')
  .slice(1)
  .map((line): Packet => {
    const columns = line.split('\t')
    const file = columns[0]!
    // What stands behind the first word ("FORMERR, ID 67 kept") is checked for every reply.
    const expected = columns[15]!.split('|').map((word) => /^[\w-]+/.exec(word)?.[0] ?? word)
    return { file, octets: readFileSync(resolve(DATA, file)), side: columns[5]!, expected }
  })

function balanceOf(server: Dataplane): { received: number; answered: number; dropped: number } {
  const { received, answered, dropped } = server.balance()
  return { received, answered, dropped }
}

/** Sends one message and resolves with its reply, or with 'drop' when it was counted as one. */
async function outcomeOf(
  server: Dataplane,
  client: UdpClient | TcpClient,
  octets: Uint8Array,
): Promise<Buffer | 'drop'> {
  const before = balanceOf(server)
  await client.send(octets)
  await server.until(() => server.balance().received > before.received, 'received')
  await server.idle()
  const after = balanceOf(server)
  expect(after.received - before.received, 'messages received').toBe(1)
  expect(after.answered + after.dropped - before.answered - before.dropped, 'outcomes').toBe(1)
  return after.dropped > before.dropped ? 'drop' : client.next()
}

/** Which of the expected classes came; 'none of them' fails the test. */
function classOf(packet: Packet, outcome: Buffer | 'drop'): string {
  if (outcome === 'drop') return packet.expected.includes('DROP') ? 'DROP' : 'an unexpected drop'
  const message = decodeMessage(outcome)
  expect(message.response).toBe(true)
  expect(message.id).toBe(packet.octets.readUInt16BE(0))
  expectSameQuestion(packet, message)
  const matching = packet.expected.find((name) => RCODES[name] === message.extendedRcode)
  if (matching !== undefined) return matching
  return packet.expected.includes('WELLFORMED') ? 'WELLFORMED' : `rcode ${message.extendedRcode}`
}

/** A reply repeats the question octet by octet, or has none where none could be read. */
function expectSameQuestion(packet: Packet, message: Message): void {
  if (message.questions.length === 0) return
  const end = questionEnd(message.octets)
  expect(message.octets.subarray(12, end)).toEqual(packet.octets.subarray(12, end))
}

const TRANSPORTS = ['udp', 'tcp'] as const

describe.each(TRANSPORTS)('over %s', (transport) => {
  test('every packet of clients gets one reply of its class, or is one counted drop', async () => {
    const upstream = await startScriptedUpstream(answerAddresses)
    const server = await startDataplane({ upstreams: [upstream] })
    const client = transport === 'udp' ? await openUdp(server) : await openTcp(server)
    const surprises: string[] = []
    const clientPackets = packets.filter(({ side }) => side === 'client')
    expect(clientPackets.length).toBeGreaterThan(250)
    for (const packet of clientPackets) {
      if (transport === 'udp' && packet.octets.length > DATAGRAM_OCTETS_MAX) continue
      const found = classOf(packet, await outcomeOf(server, client, packet.octets))
      if (!packet.expected.includes(found)) {
        surprises.push(`${packet.file}: ${found}, expected ${packet.expected.join(' or ')}`)
      }
    }
    expect(surprises).toEqual([])
    expect((await askUdp(server, 'after.example')).rcode).toBe('NOERROR')
    await client.close()
  })

  test('every packet of servers, sent by a client, is a counted drop', async () => {
    const upstream = await startScriptedUpstream(answerAddresses)
    const server = await startDataplane({ upstreams: [upstream] })
    const client = transport === 'udp' ? await openUdp(server) : await openTcp(server)
    for (const { octets, side } of packets) {
      if (side !== 'upstream' || (octets[2]! & 0x80) === 0) continue
      if (transport === 'udp' && octets.length > DATAGRAM_OCTETS_MAX) continue
      expect(await outcomeOf(server, client, octets)).toBe('drop')
    }
    expect(upstream.queries).toHaveLength(0)
    await client.close()
  })
})

/** The question of a packet when a client could ask it: one, plain, class IN, a usual type. */
function questionOf(octets: Buffer): Buffer | undefined {
  if (octets.length < 17 || octets.readUInt16BE(4) !== 1) return undefined
  for (let at = 12; ; at += 1 + octets[at]!) {
    const labelOctets = octets[at]
    if (labelOctets === undefined || labelOctets > 63 || at > 12 + 254) return undefined
    if (labelOctets !== 0) continue
    if (at + 5 > octets.length || octets.readUInt16BE(at + 3) !== 1) return undefined
    const type = octets.readUInt16BE(at + 1)
    const isUsual = type !== 0 && type !== 41 && (type < 128 || type > 255)
    return isUsual ? octets.subarray(12, at + 5) : undefined
  }
}

/** The packet as a reply to the query: its id, and its question where the packet has another. */
function adapted(packet: Packet, query: ReceivedQuery): Buffer {
  const own = questionOf(packet.octets)
  const asked = query.octets.subarray(12, questionEnd(query.octets))
  const head = Buffer.from(packet.octets.subarray(0, 12))
  head.writeUInt16BE(query.id, 0)
  head[2] = (head[2]! | 0x80) & 0x87
  head.writeUInt16BE(1, 4)
  return join(head, asked, packet.octets.subarray(12 + (own?.length ?? 0)))
}

/** `cache.failureSecondsMax` is 30 by default, and a little. */
const FAILURE_MS_MAX = 31_000

describe('every packet of servers, as the reply of an upstream', () => {
  const replies = packets.filter(({ side, octets }) => side === 'upstream' && octets.length >= 12)

  test.each(['udp', 'tcp'] as const)(
    'over %s: nothing malformed is relayed or kept, and the next query is answered',
    async (protocol) => {
      expect(replies.length).toBeGreaterThan(400)
      const upstream = await startScriptedUpstream()
      const server = await startDataplane({
        upstreams: [{ address: upstream.address, port: upstream.port, protocol }],
        forward: { tryTimeoutMs: 2000, totalTimeoutMs: 2000, triesMax: 1 },
      })
      const client = await openTcp(server)
      let relayed = 0
      for (const [index, packet] of replies.entries()) {
        const own = questionOf(packet.octets)
        const asked = join(header({ id: index }), own ?? question(`p${index}.example`, 1))
        // The packet as it is answers nothing; where the adapted one does not either, NODATA does.
        upstream.follow((query) => [packet.octets, adapted(packet, query), noData(query)])
        const before = upstream.queries.length
        const first = await outcomeOf(server, client, asked)
        if (first === 'drop') throw new Error(`${packet.file}: no reply`)
        const failed = rcodeOf(packet, first, asked) === SERVFAIL
        relayed += failed ? 0 : 1
        if (upstream.queries.length === before) continue
        upstream.follow(noData)
        // Longer than any failure is remembered (RFC 9520): nothing else of it may be left.
        if (failed) advanceClock(FAILURE_MS_MAX)
        const again = rcodeOf(packet, await replyOf(server, client, asked), asked)
        if (failed) expect(again, `${packet.file}: a failure is not kept`).not.toBe(SERVFAIL)
      }
      expect(relayed).toBeGreaterThan(100)
      upstream.follow(answerAddresses)
      expect((await askUdp(server, 'after.example')).answers).toHaveLength(1)
      expect(server.balance().inFlight).toBe(0)
      await client.close()
    },
  )
})

async function replyOf(server: Dataplane, client: TcpClient, octets: Buffer): Promise<Buffer> {
  const outcome = await outcomeOf(server, client, octets)
  if (outcome === 'drop') throw new Error('no reply')
  return outcome
}

/** Reads a reply strictly; returns its rcode. */
function rcodeOf(packet: Packet, octets: Buffer, asked: Buffer): number {
  try {
    walkMessage(octets)
  } catch (cause) {
    throw new Error(`${packet.file}: ${octets.toString('hex')}`, { cause })
  }
  expect(octets.readUInt16BE(0)).toBe(asked.readUInt16BE(0))
  expect(octets.subarray(12, asked.length)).toEqual(asked.subarray(12))
  return octets.readUInt16BE(2) & 0xf
}
