/**
 * Fetches one URL into one file: conditional, bounded in octets, time and redirects. Whatever the
 * server does, the result is a whole file, "not modified", or an error that says what happened.
 */

import { createHash } from 'node:crypto'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { Dispatcher } from 'undici'

import { OperationalError } from '../../../base/errors.ts'
import { KiB, SECOND_MS } from '../../../base/units.ts'
import { packageVersion } from '../../version.ts'
import { bareHost, createClient, PrivateAddressError } from './http-client.ts'
import { isPublicAddress } from './public-address.ts'

/** What a server said about the version that we have, to be said back to it. */
export interface Validators {
  readonly etag?: string | undefined
  readonly lastModified?: string | undefined
}

export interface DownloadLimits {
  /** Octets on the wire. */
  readonly octetsMax: number
  readonly secondsMax: number
  readonly redirectsMax: number
}

export interface FetchOptions {
  readonly limits: DownloadLimits
  readonly validators?: Validators | undefined
  /** Whether private addresses may be connected to, by name or after a redirect. */
  readonly allowPrivate: boolean
  /** Asks for the octets as they are: their digest or signature is known. */
  readonly asStored: boolean
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal?: AbortSignal | undefined
  /** `octetsTotal` is 0 when the server does not say. */
  readonly onProgress?: ((octets: number, octetsTotal: number) => void) | undefined
}

export type FetchResult =
  | { readonly kind: 'unchanged' }
  | {
      readonly kind: 'fetched'
      readonly validators: Validators
      readonly octets: number
      /** Of the file as written; lower-case hexadecimal. */
      readonly sha256: string
    }

/** From this time on a transfer must have been at least so fast on average. */
const SLOW_AFTER_MS = 60 * SECOND_MS
const OCTETS_PER_SECOND_MIN = KiB
const REDIRECTS = new Set([301, 302, 303, 307, 308])

/**
 * Fetches `url` into `target`, which is written whole or removed.
 *
 * @throws OperationalError ERR_DOWNLOAD (the server, the network, a limit), ERR_WRITE (the disk);
 *   the reason of the signal when it is aborted.
 */
export async function fetchFile(
  url: string,
  target: string,
  options: FetchOptions,
): Promise<FetchResult> {
  const deadline = AbortSignal.timeout(options.limits.secondsMax * SECOND_MS)
  const signal =
    options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal])
  const start = new URL(url)
  const host = bareHost(start.hostname)
  const client = await createClient({
    allowPrivate: options.allowPrivate,
    trustedHost: isIP(host) === 0 ? undefined : host,
    environment: options.environment,
  })
  try {
    const { response, from } = await follow(client, start, signal, options)
    if (response.statusCode === 304) {
      await response.body.dump()
      return { kind: 'unchanged' }
    }
    if (response.statusCode !== 200) {
      await response.body.dump().catch(() => undefined)
      throw failed(from, `the server answers ${response.statusCode}${adviceFor(response)}`)
    }
    return await receive(response, from, target, options)
  } catch (cause) {
    options.signal?.throwIfAborted()
    if (cause instanceof OperationalError) throw cause
    if (deadline.aborted) {
      throw failed(start, `not complete after ${options.limits.secondsMax} s`, cause)
    }
    throw failed(start, whyOf(cause), cause)
  } finally {
    await client.destroy()
  }
}

interface Answered {
  readonly response: Dispatcher.ResponseData
  readonly from: URL
}

/** Asks, and goes where redirects lead: http and https, never from https to http. */
async function follow(
  client: Dispatcher,
  start: URL,
  signal: AbortSignal,
  options: FetchOptions,
): Promise<Answered> {
  const { request } = await import('undici')
  let at = start
  for (let hops = 0; hops <= options.limits.redirectsMax; hops += 1) {
    requireAllowed(at, start, options.allowPrivate)
    const headers = headersFor(at, options)
    const response = await request(at, { dispatcher: client, headers, signal })
    if (!REDIRECTS.has(response.statusCode)) return { response, from: at }
    await response.body.dump()
    const { location } = response.headers
    if (typeof location !== 'string' || !URL.canParse(location, at.href)) {
      throw failed(at, 'the server redirects without saying where to')
    }
    const next = new URL(location, at.href)
    if (at.protocol === 'https:' && next.protocol === 'http:') {
      throw failed(at, `the server redirects from https to ${next.origin}, which nobody secures`)
    }
    at = next
  }
  throw failed(start, `more than ${options.limits.redirectsMax} redirects`)
}

/** With a proxy no connection of ours shows the address: a literal one is looked at here. */
function requireAllowed(at: URL, start: URL, allowPrivate: boolean): void {
  if (at.protocol !== 'http:' && at.protocol !== 'https:') {
    throw failed(start, `the server redirects to ${at.protocol}, which no list is fetched by`)
  }
  if (allowPrivate || at.origin === start.origin) return
  const host = bareHost(at.hostname)
  if (isIP(host) !== 0 && !isPublicAddress(host)) {
    throw failed(start, `redirected: ${new PrivateAddressError(host, host).message}`)
  }
  if (host === 'localhost' || host.endsWith('.localhost')) {
    throw failed(start, `redirected: ${new PrivateAddressError(host, '127.0.0.1').message}`)
  }
}

function headersFor(at: URL, { asStored, validators }: FetchOptions): Record<string, string> {
  // A packed file would only be packed twice.
  const isPacked = /\.(?:gz|tgz)$/i.test(at.pathname)
  return {
    'user-agent': `niveau3/${packageVersion()}`,
    accept: '*/*',
    'accept-encoding': asStored || isPacked ? 'identity' : 'gzip',
    ...(validators?.etag !== undefined && { 'if-none-match': validators.etag }),
    ...(validators?.lastModified !== undefined && {
      'if-modified-since': validators.lastModified,
    }),
  }
}

/** Writes the body to `target`, counting and hashing. */
async function receive(
  response: Dispatcher.ResponseData,
  from: URL,
  target: string,
  options: FetchOptions,
): Promise<FetchResult> {
  const { limits } = options
  const encoding = String(response.headers['content-encoding'] ?? 'identity')
  if (encoding !== 'identity' && (encoding !== 'gzip' || options.asStored)) {
    throw failed(from, `the body is encoded as ${encoding}, which was not asked for`)
  }
  const octetsTotal = Number(response.headers['content-length'] ?? 0)
  if (octetsTotal > limits.octetsMax) throw tooLarge(from, limits.octetsMax)
  const hash = createHash('sha256')
  const startMs = performance.now()
  let octets = 0
  const sink = await FileSink.open(target)
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      octets += chunk.length
      if (octets > limits.octetsMax) throw tooLarge(from, limits.octetsMax)
      const ms = performance.now() - startMs
      if (ms > SLOW_AFTER_MS && octets < (ms / SECOND_MS) * OCTETS_PER_SECOND_MIN) {
        throw failed(from, `slower than ${OCTETS_PER_SECOND_MIN} octets a second`)
      }
      hash.update(chunk)
      await sink.write(chunk)
      options.onProgress?.(octets, octetsTotal)
    }
    if (octets === 0) throw failed(from, 'the server answers 200 with nothing in it')
    await sink.finish()
  } catch (cause) {
    await sink.discard()
    throw cause
  }
  const { etag, 'last-modified': lastModified } = response.headers
  const validators = { etag: textOf(etag), lastModified: textOf(lastModified) }
  return { kind: 'fetched', validators, octets, sha256: hash.digest('hex') }
}

/** A file that is being written; its failures are those of the disk, not of the server. */
class FileSink {
  readonly #file: string
  readonly #handle: FileHandle

  private constructor(file: string, handle: FileHandle) {
    this.#file = file
    this.#handle = handle
  }

  static async open(file: string): Promise<FileSink> {
    try {
      return new FileSink(file, await open(file, 'w', 0o640))
    } catch (cause) {
      throw unwritable(file, cause)
    }
  }

  async write(chunk: Buffer): Promise<void> {
    try {
      await this.#handle.writeFile(chunk)
    } catch (cause) {
      throw unwritable(this.#file, cause)
    }
  }

  async finish(): Promise<void> {
    try {
      await this.#handle.sync()
      await this.#handle.close()
    } catch (cause) {
      throw unwritable(this.#file, cause)
    }
  }

  async discard(): Promise<void> {
    await this.#handle.close().catch(() => undefined)
    await rm(this.#file, { force: true }).catch(() => undefined)
  }
}

function textOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined
}

function adviceFor({ statusCode, headers }: Dispatcher.ResponseData): string {
  if (statusCode === 404 || statusCode === 410) return ': the list is not there (any more)'
  if (statusCode === 401 || statusCode === 403) return ': it does not give the list to us'
  if (statusCode === 407) return ': the proxy wants a password'
  const after = headers['retry-after']
  if (statusCode === 429) return ': asked too often'
  return typeof after === 'string' ? ` (again after ${after})` : ''
}

function tooLarge(from: URL, octetsMax: number): OperationalError {
  return failed(from, `larger than ${octetsMax} octets (key updates.downloadOctetsMax)`)
}

/** No query, no user: they may hold a secret. */
function failed(url: URL, why: string, cause?: unknown): OperationalError {
  const text = `${url.protocol}//${url.host}${url.pathname}: ${why}`
  return new OperationalError('ERR_DOWNLOAD', text, cause === undefined ? {} : { cause })
}

function unwritable(file: string, cause: unknown): OperationalError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new OperationalError('ERR_WRITE', `cannot write ${file}: ${why}`, { file, cause })
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there (connection refused)',
  ECONNRESET: 'the connection was cut',
  ENOTFOUND: 'the name does not exist; is there a network?',
  EAI_AGAIN: 'the name could not be resolved; is there a network?',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  UND_ERR_HEADERS_TIMEOUT: 'connected, but no answer in time',
  UND_ERR_BODY_TIMEOUT: 'the transfer stood still',
  UND_ERR_SOCKET: 'the connection was cut before the end',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'cut short: fewer octets than announced',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is signed by itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by nobody we know',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by nobody we know',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
}

function whyOf(cause: unknown): string {
  if (cause instanceof PrivateAddressError) return cause.message
  if (cause instanceof AggregateError && cause.errors.length > 0) return whyOf(cause.errors[0])
  if (!(cause instanceof Error)) return String(cause)
  const code = 'code' in cause ? String(cause.code) : ''
  return REASONS[code] ?? (code === '' ? cause.message : `${cause.message} (${code})`)
}
