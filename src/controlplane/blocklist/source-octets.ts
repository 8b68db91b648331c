/**
 * The text of a list file as a stream of UTF-8 octets, whatever it is packed in, under hard limits.
 */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { open, type FileHandle } from 'node:fs/promises'
import { TextDecoder } from 'node:util'
import { createGunzip } from 'node:zlib'

import { OperationalError } from '../../base/errors.ts'
import { KiB, MiB } from '../../base/units.ts'

/**
 * Text octets of one list: six times the largest public list known (UT1 adult, 4.6 million names,
 * 85 MB), so that only a mistake or an attack reaches it.
 */
export const LIST_OCTETS_MAX = 512 * MiB
/** Lists shrink 3 to 10 times; a list of one repeated line shrinks 1,000 times. */
const GZIP_RATIO_MAX = 100
/** Below this size the ratio says nothing. */
const GZIP_RATIO_FROM_OCTETS = 8 * MiB
const CHUNK_OCTETS = 256 * KiB

export interface SourceOptions {
  readonly signal?: AbortSignal | undefined
  /** Octets of text; default `LIST_OCTETS_MAX`. */
  readonly octetsMax?: number | undefined
}

const FAILURES: Record<string, string> = {
  ENOENT: 'does not exist; correct the path, or download the list first',
  EISDIR: 'is a folder; name the list file inside it (UT1: CATEGORY/domains)',
  EACCES: 'may not be read; give the user of niveau3 read permission',
  EPERM: 'may not be read; give the user of niveau3 read permission',
}

function unreadable(file: string, cause: unknown): OperationalError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const why = FAILURES[code] ?? `cannot be read (${code === '' ? String(cause) : code})`
  return new OperationalError('ERR_LIST', `list ${file} ${why}`, { file, cause })
}

/** One reading of one list file; `chunks` may be walked once. */
export class SourceOctets {
  /** Size of the file as stored. */
  octetsTotal = 0
  /** Octets of the file read until now. */
  octetsRead = 0
  /** Octets of text given out until now. */
  textOctets = 0
  readonly #file: string
  readonly #hash = createHash('sha256')
  readonly #signal: AbortSignal | undefined
  readonly #octetsMax: number

  constructor(file: string, options: SourceOptions = {}) {
    this.#file = file
    this.#signal = options.signal
    this.#octetsMax = options.octetsMax ?? LIST_OCTETS_MAX
  }

  /** Of the whole file as stored; once `chunks` has ended. */
  sha256(): string {
    return this.#hash.digest('hex')
  }

  /**
   * Gives the text as UTF-8 without a byte order mark.
   *
   * @throws OperationalError ERR_LIST (unreadable, damaged gzip), ERR_LIST_TOO_LARGE; the reason of
   *   the signal when it is aborted.
   */
  async *chunks(): AsyncGenerator<Buffer> {
    const stored = this.#stored()
    const { value: first } = await stored.next()
    if (first === undefined) return
    const whole = prepend(first, stored)
    const unpacked = first[0] === 0x1f && first[1] === 0x8b ? this.#gunzip(whole) : whole
    for await (const chunk of decode(unpacked)) {
      this.textOctets += chunk.length
      this.#checkSize()
      yield chunk
    }
  }

  async *#stored(): AsyncGenerator<Buffer> {
    let handle: FileHandle | undefined
    try {
      handle = await open(this.#file).catch((cause: unknown) => {
        throw unreadable(this.#file, cause)
      })
      this.octetsTotal = (await handle.stat()).size
      while (true) {
        this.#signal?.throwIfAborted()
        const { bytesRead, buffer } = await handle
          .read(Buffer.allocUnsafe(CHUNK_OCTETS), 0, CHUNK_OCTETS)
          .catch((cause: unknown) => {
            throw unreadable(this.#file, cause)
          })
        if (bytesRead === 0) return
        this.octetsRead += bytesRead
        const chunk = buffer.subarray(0, bytesRead)
        this.#hash.update(chunk)
        yield chunk
      }
    } finally {
      await handle?.close()
    }
  }

  async *#gunzip(stored: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const gunzip = createGunzip({ chunkSize: CHUNK_OCTETS })
    // Errors are met where they are awaited; one that comes later must not end the process.
    gunzip.on('error', () => undefined)
    const feeding = feed(stored, gunzip)
    feeding.catch(() => undefined)
    try {
      for await (const chunk of gunzip as AsyncIterable<Buffer>) yield chunk
      await feeding
      // zlib ends in silence before octets that are no gzip member.
      if (gunzip.bytesWritten < this.octetsRead) throw new Error('octets behind the gzip data')
    } catch (cause) {
      if (cause instanceof OperationalError || this.#signal?.aborted === true) throw cause
      throw new OperationalError(
        'ERR_LIST',
        `list ${this.#file} is a damaged or cut gzip file; download it again`,
        { file: this.#file, cause },
      )
    } finally {
      gunzip.destroy()
      await feeding.catch(() => undefined)
    }
  }

  #checkSize(): void {
    const tooLong = this.textOctets > this.#octetsMax
    const tooDense =
      this.textOctets > GZIP_RATIO_FROM_OCTETS && this.textOctets > this.octetsRead * GZIP_RATIO_MAX
    if (!tooLong && !tooDense) return
    const what = tooLong
      ? `has more than ${this.#octetsMax} octets of text`
      : `unpacks to more than ${GZIP_RATIO_MAX} times its size`
    throw new OperationalError(
      'ERR_LIST_TOO_LARGE',
      `list ${this.#file} ${what}; this is no list that is known to exist, look into the file`,
      { file: this.#file },
    )
  }
}

async function* prepend(first: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield first
    yield* rest
  } finally {
    await rest.return(undefined)
  }
}

async function feed(
  stored: AsyncIterable<Buffer>,
  gunzip: ReturnType<typeof createGunzip>,
): Promise<void> {
  const closed = once(gunzip, 'close').catch(() => undefined)
  try {
    for await (const chunk of stored) {
      if (gunzip.destroyed) return
      if (!gunzip.write(chunk)) await Promise.race([once(gunzip, 'drain'), closed])
    }
    gunzip.end()
  } catch (cause) {
    gunzip.destroy(cause instanceof Error ? cause : new Error(String(cause)))
    throw cause
  }
}

/** Takes off a UTF-8 byte order mark; turns UTF-16 with one into UTF-8. */
async function* decode(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let decoder: TextDecoder | undefined
  let first = true
  for await (const chunk of chunks) {
    if (first) {
      first = false
      if (chunk[0] === 0xff && chunk[1] === 0xfe) decoder = new TextDecoder('utf-16le')
      else if (chunk[0] === 0xfe && chunk[1] === 0xff) decoder = new TextDecoder('utf-16be')
      else if (chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf) {
        yield chunk.subarray(3)
        continue
      }
    }
    yield decoder === undefined ? chunk : Buffer.from(decoder.decode(chunk, { stream: true }))
  }
}
