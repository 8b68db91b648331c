/**
 * Writes batches of look-ups and values to Redis. For one server a batch is one MGET, or a row of
 * SETs, written as octets at once: ioredis makes some 2 us of objects for each command of a
 * pipeline, and this a tenth of that (DECISIONS.md, 96). For Cluster ioredis sorts single commands
 * by node and sends them together.
 */
import { Command, type Redis } from 'ioredis'
import type { RedisLink } from './redis-link.ts'

/** Look-ups of one batch. */
export const BATCH_LOOKUPS_MAX = 64
const CRLF = '\r\n'

/** Gets the values of a batch, in order; null for each that was not there; an error for all. */
export type ReadCallback = (error: unknown, values: readonly (Buffer | null)[] | undefined) => void
/** Told once for each value that was written. */
export type WriteCallback = (error: unknown) => void

/** A batch of values to write. */
export interface WriteBatch {
  readonly keys: string[]
  readonly values: Buffer[]
  /** Milliseconds until each expires. */
  readonly ttlsMs: number[]
}

export interface RedisWire {
  read(keys: readonly string[], done: ReadCallback): void
  write(batch: WriteBatch, done: WriteCallback): void
}

/** Returns the wire that fits the link. */
export function createWire(link: RedisLink, isCluster: boolean): RedisWire {
  return isCluster ? new ClusterWire(link) : new SingleWire(link)
}

/** A command whose octets are ready; ioredis waits for its reply. */
class ReadyCommand extends Command {
  #octets: Buffer | string

  constructor(
    name: string,
    octets: Buffer | string,
    done: (error: unknown, value: unknown) => void,
  ) {
    super(name, [], { replyEncoding: null }, done)
    this.#octets = octets
  }

  override toWritable(): Buffer | string {
    const octets = this.#octets
    this.#octets = ''
    return octets
  }
}

/** What ioredis's own pipelines give in the socket's place. */
interface PipelineStream {
  readonly isPipeline: true
  readonly destination: { readonly redis: Redis }
  readonly write: () => boolean
}

class SingleWire implements RedisWire {
  readonly #redis: Redis
  /** Takes the socket's place for commands whose octets went with those of the first. */
  readonly #nowhere: PipelineStream

  constructor(link: RedisLink) {
    const redis = link.single
    this.#redis = redis
    this.#nowhere = { isPipeline: true, destination: { redis }, write: () => true }
  }

  read(keys: readonly string[], done: ReadCallback): void {
    let text = '*' + (keys.length + 1) + '\r\n$4\r\nMGET\r\n'
    for (const key of keys) text += '$' + key.length + CRLF + key + CRLF
    // ioredis types a callback by the command's name; MGET gives one element for each key.
    const command = new ReadyCommand('mget', text, (error, values) => {
      done(error, isList(values) ? values : undefined)
    })
    this.#redis.sendCommand(command)
  }

  write({ keys, values, ttlsMs }: WriteBatch, done: WriteCallback): void {
    const octets = encodeSets(keys, values, ttlsMs)
    for (let index = 0; index < keys.length; index++) {
      if (index === 0) this.#redis.sendCommand(new ReadyCommand('set', octets, done))
      else this.#redis.sendCommand(new ReadyCommand('set', '', done), this.#nowhere)
    }
  }
}

function isList(values: unknown): values is (Buffer | null)[] {
  return Array.isArray(values)
}

function encodeSets(
  keys: readonly string[],
  values: readonly Buffer[],
  ttlsMs: readonly number[],
): Buffer {
  const heads: string[] = []
  const tails: string[] = []
  let octets = 0
  for (const [index, key] of keys.entries()) {
    const ttl = String(ttlsMs[index]!)
    const valueOctets = values[index]!.length
    const head = '*5\r\n$3\r\nSET\r\n$' + key.length + CRLF + key + CRLF + '$' + valueOctets + CRLF
    const tail = '\r\n$2\r\nPX\r\n$' + ttl.length + CRLF + ttl + CRLF
    heads.push(head)
    tails.push(tail)
    octets += head.length + valueOctets + tail.length
  }
  const out = Buffer.allocUnsafe(octets)
  let at = 0
  for (let index = 0; index < keys.length; index++) {
    at += out.write(heads[index]!, at, 'latin1')
    at += values[index]!.copy(out, at)
    at += out.write(tails[index]!, at, 'latin1')
  }
  return out
}

class ClusterWire implements RedisWire {
  readonly #link: RedisLink

  constructor(link: RedisLink) {
    this.#link = link
  }

  read(keys: readonly string[], done: ReadCallback): void {
    const { cluster } = this.#link
    const values: (Buffer | null)[] = []
    let left = keys.length
    let failure: unknown
    for (const [index, key] of keys.entries()) {
      values.push(null)
      void cluster.getBuffer(key, (error, value) => {
        if (error) failure ??= error
        values[index] = value ?? null
        left--
        // What one master cannot say is a miss; the values of the others count.
        if (left === 0) done(failure, values)
      })
    }
  }

  write({ keys, values, ttlsMs }: WriteBatch, done: WriteCallback): void {
    const { cluster } = this.#link
    for (const [index, key] of keys.entries()) {
      void cluster.set(key, values[index]!, 'PX', ttlsMs[index]!, done)
    }
  }
}
