/**
 * A fleet's image in Redis: the signed manifest under one key, the octets in chunks under keys made
 * of their digest, all sealed as every value there is. Redis may lose, cut or exchange any of it:
 * what is missing is not there yet, and the signature decides over the rest.
 */

import { createHash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { open, rm } from 'node:fs/promises'

import { OperationalError } from '../../base/errors.ts'
import { DAY_S, SECOND_MS } from '../../base/units.ts'
import { RedisLink } from '../../dataplane/cache/redis-link.ts'
import { createCounters } from '../../dataplane/counters.ts'
import type { RedisSettings } from '../../dataplane/settings.ts'
import { unwritable } from '../generations/state-file.ts'
import type { ImageSource } from './image-place.ts'
import { SealedValues } from './sealed-values.ts'
import { CHUNK_OCTETS, MANIFEST_OCTETS_MAX, type ImageManifest } from './signed-image.ts'

/** Longer than any box is away and then believed; `niveau3 fleet publish` begins it anew. */
const KEPT_MS = 31 * DAY_S * SECOND_MS
const CONNECT_MS_MAX = 5 * SECOND_MS
/** For one value, in either direction, whatever Redis does. */
const VALUE_MS_MAX = 10 * SECOND_MS
const MANIFEST_TEXT = '\u00ffimage'

/** One connection of a command; closed by `close`. */
export class RedisPlace implements ImageSource {
  readonly #link: RedisLink
  readonly #values: SealedValues
  readonly #up: Promise<void>

  constructor(settings: RedisSettings) {
    const events = new EventEmitter()
    this.#up = once(events, 'up').then(() => undefined)
    this.#link = new RedisLink(settings, createCounters(), {
      up: () => events.emit('up'),
      down: () => undefined,
    })
    this.#values = new SealedValues(
      this.#link,
      settings,
      'niveau3 fleet image',
      MANIFEST_OCTETS_MAX,
    )
  }

  /**
   * Publishes an image: its octets first, so that the manifest never names what is not there.
   *
   * @throws OperationalError ERR_SERVER_UNREACHABLE.
   */
  async publish(manifest: ImageManifest, signed: Buffer, image: Uint8Array): Promise<void> {
    for (const [index, at] of chunkStarts(manifest).entries()) {
      await this.#write(chunkText(manifest, index), image.subarray(at, at + CHUNK_OCTETS))
    }
    await this.#write(MANIFEST_TEXT, signed)
  }

  /** Redis knows no conditional read: the manifest is small, and its digest is the validator. */
  async manifest(validators: { readonly etag?: string | undefined } | undefined) {
    const octets = await this.#read(MANIFEST_TEXT)
    if (octets === undefined) throw failed('there is no image that this box can unseal')
    if (octets.length > MANIFEST_OCTETS_MAX) throw failed('the manifest is too large')
    const etag = createHash('sha256').update(octets).digest('hex')
    return validators?.etag === etag ? undefined : { octets, validators: { etag } }
  }

  async image(manifest: ImageManifest, file: string): Promise<void> {
    const handle = await open(file, 'w', 0o640).catch((cause: unknown) => {
      throw unwritable(file, cause)
    })
    try {
      for (const [index, at] of chunkStarts(manifest).entries()) {
        const chunk = await this.#read(chunkText(manifest, index))
        const wanted = Math.min(CHUNK_OCTETS, manifest.octets - at)
        if (chunk?.length !== wanted) throw failed(`part ${index} of the image is not there (yet)`)
        await handle.write(chunk, 0, wanted, at).catch((cause: unknown) => {
          throw unwritable(file, cause)
        })
      }
    } catch (cause) {
      await rm(file, { force: true })
      throw cause
    } finally {
      await handle.close()
    }
  }

  close(): void {
    this.#link.close()
    this.#values.close()
  }

  async #write(text: string, octets: Uint8Array): Promise<void> {
    await this.#connected()
    await inTime(this.#values.write(text, octets, KEPT_MS)).catch((cause: unknown) => {
      throw unreachable(cause)
    })
  }

  /** Undefined for what is not there, or that nobody with our secret has sealed. */
  async #read(text: string): Promise<Buffer | undefined> {
    await this.#connected()
    const value = await inTime(this.#values.read(text)).catch((cause: unknown) => {
      throw unreachable(cause)
    })
    return value.kind === 'opened' ? value.octets : undefined
  }

  async #connected(): Promise<void> {
    if (!this.#link.isUp) await inTime(this.#up, CONNECT_MS_MAX)
  }
}

function chunkStarts({ octets }: ImageManifest): readonly number[] {
  return Array.from({ length: Math.ceil(octets / CHUNK_OCTETS) }, (_, index) => {
    return index * CHUNK_OCTETS
  })
}

function chunkText({ sha256 }: ImageManifest, index: number): string {
  return `${MANIFEST_TEXT} ${sha256} ${index}`
}

async function inTime<Result>(work: Promise<Result>, ms = VALUE_MS_MAX): Promise<Result> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(failed(`no answer in ${ms / SECOND_MS} s`)), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

function failed(why: string): OperationalError {
  return new OperationalError('ERR_DOWNLOAD', `the fleet's image in Redis: ${why}`)
}

function unreachable(cause: unknown): OperationalError {
  if (cause instanceof OperationalError) return cause
  const why = cause instanceof Error ? cause.message : String(cause)
  return new OperationalError('ERR_DOWNLOAD', `the fleet's image in Redis: ${why}`, { cause })
}
