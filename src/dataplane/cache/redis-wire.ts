/**
 * Writes batches of look-ups and values to Redis. For one server a batch is one MGET, or a row of
 * SETs, written as octets at once: ioredis makes some 5 us of objects and promises for each command
 * of a pipeline, and this a tenth of that (DECISIONS.md, 96). For Cluster ioredis sorts single
 * commands by node and sends them together.
 */
import { Command, type Redis } from 'ioredis'
import type { RedisLink } from './redis-link.ts'
import type { KeyRow, SetRow } from './redis-rows.ts'

/** Gets the values of a batch, in order; null for each that was not there; an error for all. */
export type ReadCallback = (error: unknown, values: readonly (Buffer | null)[] | undefined) => void
/** Told once for each value that was written. */
export type WriteCallback = (error: unknown, row: SetRow) => void

export interface RedisWire {
  /** The row stays as it is until `done` was called. */
  read(row: KeyRow, done: ReadCallback): void
  /** The row stays as it is until `done` was called for each of its values. */
  write(row: SetRow, done: WriteCallback): void
}

/** Returns the wire that fits the link. */
export function createWire(link: RedisLink, isCluster: boolean): RedisWire {
  return isCluster ? new ClusterWire(link) : new SingleWire(link)
}

/**
 * One or more commands whose octets are ready; ioredis waits for their replies, and gives each to
 * `resolve` or `reject` of the command that it was told to expect it for.
 */
class ReadyCommand extends Command {
  #octets: Buffer | string

  constructor(
    name: string,
    octets: Buffer,
    replied: (value: unknown) => void,
    failed: (error: unknown) => void,
  ) {
    super(name, [], { replyEncoding: null })
    this.#octets = octets
    this.resolve = (value) => outside(replied, value)
    this.reject = (error) => outside(failed, error)
  }

  override toWritable(): Buffer | string {
    const octets = this.#octets
    this.#octets = ''
    return octets
  }
}

/**
 * Replies are told from within the parser, whose errors are the server's. One of ours is thrown
 * where it is seen for what it is.
 */
function outside(told: (value: unknown) => void, value: unknown): void {
  try {
    told(value)
  } catch (error) {
    process.nextTick(rethrow, error)
  }
}

function rethrow(error: unknown): void {
  throw error
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

  read(row: KeyRow, done: ReadCallback): void {
    const command = new ReadyCommand(
      'mget',
      row.command(),
      (values) => done(null, isList(values) ? values : undefined),
      (error) => done(error, undefined),
    )
    void this.#redis.sendCommand(command)
  }

  write(row: SetRow, done: WriteCallback): void {
    const { count } = row
    const command = new ReadyCommand(
      'set',
      row.commands(),
      () => done(null, row),
      (error) => done(error, row),
    )
    void this.#redis.sendCommand(command)
    // Once more for each further reply that is to be expected.
    for (let index = 1; index < count; index++) {
      void this.#redis.sendCommand(command, this.#nowhere)
    }
  }
}

/** A server may send anything: numbers, or lists in a list. */
function isList(values: unknown): values is (Buffer | null)[] {
  if (!Array.isArray(values)) return false
  for (const value of values) if (value !== null && !Buffer.isBuffer(value)) return false
  return true
}

class ClusterWire implements RedisWire {
  readonly #link: RedisLink

  constructor(link: RedisLink) {
    this.#link = link
  }

  read(row: KeyRow, done: ReadCallback): void {
    const { cluster } = this.#link
    const { count } = row
    const values: (Buffer | null)[] = []
    let left = count
    let failure: unknown
    for (let index = 0; index < count; index++) {
      values.push(null)
      void cluster.getBuffer(row.keyAt(index), (error, value) => {
        if (error) failure ??= error
        values[index] = Buffer.isBuffer(value) ? value : null
        left--
        // What one master cannot say is a miss; the values of the others count.
        if (left === 0) done(failure, values)
      })
    }
  }

  write(row: SetRow, done: WriteCallback): void {
    const { cluster } = this.#link
    const { count } = row
    const replied = (error: unknown): void => done(error, row)
    for (let index = 0; index < count; index++) {
      void cluster.set(row.keyAt(index), row.valueAt(index), 'PX', row.ttlMsAt(index), replied)
    }
  }
}
