/** Redis is never an authority: what even somebody with the secret can put there. */
import { beforeAll, describe, expect, test } from 'vitest'
import { Redis } from 'ioredis'
import { createSealed } from '../../src/dataplane/cache/seal.ts'
import { createId, createKey } from '../../src/dataplane/cache/shared-keys.ts'
import {
  SharedValue,
  VALUE_OCTETS_MAX,
  writeValue,
} from '../../src/dataplane/cache/shared-value.ts'
import { REDIS } from '../../src/dataplane/counters.ts'
import {
  REDIS_HIT,
  REDIS_LOOKUPS,
  REDIS_REJECTED_VALUES,
  REDIS_REJECTIONS,
  REDIS_UP,
} from '../../src/dataplane/redis-counters.ts'
import { startDataplane, type Dataplane, type DataplaneOptions } from '../support/dataplane.ts'
import { askUdp } from '../support/dns-client.ts'
import { encodeQuery, encodeResponse, type ResourceRecord } from '../support/messages.ts'
import {
  answersSeal,
  cacheKey,
  keysOf,
  redisSettings,
  startRedis,
  type RedisServer,
} from '../support/redis.ts'
import {
  reply,
  startScriptedUpstream,
  type ScriptedUpstream,
} from '../support/scripted-upstream.ts'
import { conforms } from '../conformance/conforms.ts'

let server: RedisServer
let upstream: ScriptedUpstream
beforeAll(async () => {
  server = await startRedis()
  upstream = await startScriptedUpstream((query) =>
    reply(query, { answers: [{ name: query.name, type: 'A', ttl: 60, data: '192.0.2.99' }] }),
  )
})

const PLAIN: readonly ResourceRecord[] = [
  { name: 'www.example', type: 'A', ttl: 300, data: '192.0.2.1' },
]
const LEADS_ASTRAY: readonly ResourceRecord[] = [
  { name: 'www.example', type: 'CNAME', ttl: 300, data: 'tracker.example' },
  { name: 'tracker.example', type: 'A', ttl: 300, data: '192.0.2.2' },
]
const TRACKER = Buffer.from('\x07tracker\x07example\0', 'latin1')

interface Forged {
  readonly name?: string
  readonly question?: string
  readonly answers?: readonly ResourceRecord[]
  readonly names?: Uint8Array
  readonly ttlOffsets?: readonly number[]
  readonly lifetimeMs?: number
  readonly stamp?: string
  readonly category?: number
  readonly change?: (message: Buffer) => void
}

let prefixes = 0

/** A box over a Redis that holds this value, sealed under the right secret, in its place. */
async function startWith(forged: Forged, options: DataplaneOptions = {}): Promise<Dataplane> {
  const redis = redisSettings(server, { prefix: `a${prefixes++}:` })
  const name = forged.name ?? 'www.example'
  const query = encodeQuery(name, 'A', { id: 1 })
  const message = encodeResponse(query, { answers: [...(forged.answers ?? PLAIN)] })
  forged.change?.(message)
  const value = new SharedValue()
  value.question = cacheKey(forged.question ?? name)
  value.stamp = forged.stamp ?? 'another policy'
  value.category = forged.category ?? -1
  value.expiresAtMs = Date.now() + (forged.lifetimeMs ?? 300_000)
  value.names = forged.names ?? new Uint8Array(0)
  value.namesOctets = value.names.length
  const offsets = forged.ttlOffsets ?? PLAIN_OFFSETS
  value.ttlOffsets = Uint16Array.from(offsets)
  value.ttlCount = offsets.length
  value.message = message
  value.octets = message.length
  const keys = keysOf(redis, upstream, false)
  const id = createId(keys, cacheKey(name))
  const octets = Buffer.alloc(VALUE_OCTETS_MAX)
  const written = octets.subarray(0, writeValue(value, octets))
  const sealed = createSealed(answersSeal(redis.secret), written, id)!
  const client = new Redis({ port: server.port, host: '127.0.0.1' })
  await client.set(createKey(keys, id), sealed, 'PX', 600_000)
  client.disconnect()
  const box = await startDataplane({ ...options, upstreams: [upstream], redis })
  await box.until(() => box.count(REDIS + REDIS_UP) === 1)
  return box
}

function rejectedOf(box: Dataplane): readonly string[] {
  return REDIS_REJECTIONS.filter((_, index) => box.count(REDIS + REDIS_REJECTED_VALUES + index) > 0)
}

/** TTL offsets of `LEADS_ASTRAY` as dns-packet writes it: both owners are pointers or plain. */
function offsetsOf(message: Buffer, from: number): number[] {
  const offsets: number[] = []
  let at = from
  while (at < message.length) {
    while (message[at]! !== 0 && message[at]! < 0xc0) at += 1 + message[at]!
    at += message[at]! >= 0xc0 ? 2 : 1
    offsets.push(at + 4)
    at += 10 + message.readUInt16BE(at + 8)
  }
  return offsets
}

const PLAIN_OFFSETS = offsetsOf(
  encodeResponse(encodeQuery('www.example', 'A', { id: 1 }), { answers: [...PLAIN] }),
  12 + 'www.example'.length + 2 + 4,
)
const ASTRAY = encodeResponse(encodeQuery('www.example', 'A', { id: 1 }), {
  answers: [...LEADS_ASTRAY],
})
const ASTRAY_OFFSETS = offsetsOf(ASTRAY, 12 + 'www.example'.length + 2 + 4)

describe('a value sealed under the right secret', () => {
  test('answers, when nothing is wrong with it', async () => {
    const box = await startWith({})
    const asked = upstream.queries.length
    expect((await askUdp(box, 'www.example')).answers[0]).toMatchObject({ data: '192.0.2.1' })
    expect(upstream.queries).toHaveLength(asked)
    expect(rejectedOf(box)).toEqual([])
  })

  test('is not even looked at for a name that is blocked here', async () => {
    conforms('redis-untrusted')
    const box = await startWith({}, { rules: { adult: ['www.example'] } })
    expect((await askUdp(box, 'www.example')).rcode).toBe('NXDOMAIN')
    for (let result = 0; result < 6; result++)
      expect(box.count(REDIS + REDIS_LOOKUPS + result)).toBe(0)
  })

  test('of another policy is judged by ours: its pass becomes a block, without asking upstream', async () => {
    conforms('redis-untrusted')
    const forged = { answers: LEADS_ASTRAY, names: TRACKER, ttlOffsets: ASTRAY_OFFSETS }
    const box = await startWith(forged, { rules: { adult: ['tracker.example'] } })
    const asked = upstream.queries.length
    const answer = await askUdp(box, 'www.example')
    expect(answer.answers).toEqual([])
    expect(box.count(REDIS + REDIS_LOOKUPS + REDIS_HIT)).toBe(1)
    expect(upstream.queries).toHaveLength(asked)
  })

  test('of another policy is judged by ours: its block becomes an answer', async () => {
    const forged = {
      answers: LEADS_ASTRAY,
      names: TRACKER,
      ttlOffsets: ASTRAY_OFFSETS,
      category: 3,
    }
    const box = await startWith(forged)
    expect((await askUdp(box, 'www.example')).answers).toHaveLength(2)
  })

  test.each([
    { what: 'a lifetime of 0', forged: { lifetimeMs: 0 }, reason: 'expiry' },
    { what: 'a negative lifetime', forged: { lifetimeMs: -1000 }, reason: 'expiry' },
    { what: 'no number as expiry', forged: { lifetimeMs: Number.NaN }, reason: 'expiry' },
    {
      what: 'an expiry in an hour for a TTL of 300',
      forged: { lifetimeMs: 3.6e6 },
      reason: 'expiry',
    },
    { what: 'an infinite expiry', forged: { lifetimeMs: Infinity }, reason: 'expiry' },
    { what: 'another question', forged: { question: 'xyz.example' }, reason: 'question' },
    {
      what: 'no response bit',
      forged: { change: (message: Buffer) => message.writeUInt8(0, 2) },
      reason: 'question',
    },
    {
      what: 'a record that ends beyond it',
      forged: { change: (message: Buffer) => message.writeUInt8(200, message.length - 5) },
      reason: 'answer',
    },
    {
      what: 'SERVFAIL',
      forged: { change: (message: Buffer) => message.writeUInt8(0x82, 3) },
      reason: 'answer',
    },
    {
      what: 'TC',
      forged: { change: (message: Buffer) => message.writeUInt8(0x82, 2) },
      reason: 'answer',
    },
    { what: 'a TTL at another place', forged: { ttlOffsets: [13] }, reason: 'answer' },
    { what: 'one TTL too few', forged: { ttlOffsets: [] }, reason: 'answer' },
    {
      what: 'the names that it leads through left out',
      forged: { answers: LEADS_ASTRAY, ttlOffsets: ASTRAY_OFFSETS },
      reason: 'answer',
    },
  ])('and with $what is a counted miss', async ({ forged, reason }) => {
    conforms('redis-poison', 'redis-untrusted')
    const box = await startWith(forged)
    const asked = upstream.queries.length
    const answer = await askUdp(box, 'www.example')
    expect(answer.answers[0]).toMatchObject({ data: '192.0.2.99' })
    expect(upstream.queries).toHaveLength(asked + 1)
    expect(rejectedOf(box)).toEqual([reason])
    expect(box.count(REDIS + REDIS_LOOKUPS + REDIS_HIT)).toBe(0)
  })
})
